"""A new extractor's folder: manifest, program, samples and README that work at once and wait to be changed."""

from __future__ import annotations

from pathlib import Path

from lustre_events.catalog.manifest import FILE_NAME, NAME
from lustre_events.errors import ManifestError

MANIFEST = """\
name = "{name}"
version = "1"                    # stands in every document; raise it when documents change
description = "Lines and words of text files"
image = "base"                   # in the worker's [worker] images
command = ["python3", "/extractor/{name}.py"]
contract = "{contract}"
accepts = ["txt"]                # extensions that it is made for; rules decide what it gets

[limits]                         # what one run may use
seconds = 60
memory_bytes = 1_000_000_000
"""

EXTRACT = '''\
def extract(path):
    """Return the document of the file at `path`; an exception is the file's error."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().splitlines()
    return {"lines": len(lines), "words": sum(len(line.split()) for line in lines)}


'''

PROGRAMS = {
    "batch": '"""Many files in one run: extractor_batch calls `extract` for each."""\n\n'
    "import extractor_batch  # part of the base image\n\n\n" + EXTRACT + "extractor_batch.run(extract)\n",
    "single": '"""One file per run: its path is the last argument, one JSON object is printed."""\n\n'
    "import json\nimport sys\n\n\n" + EXTRACT + "print(json.dumps(extract(sys.argv[-1])))\n",
}

README = """\
# {name}

Run `lustre-events extractor validate {name}` after each change. It runs the program on `samples/`: each file must
give a document, and a file whose name begins with `bad-` must fail.
"""

SAMPLES = {"samples/sample.txt": b"the first line\nthe second\n", "samples/bad-binary.txt": b"\xff\xfe\x00"}


def files(name: str, contract: str) -> dict[str, bytes]:
    """Return the files of a new extractor by their path in its folder.

    Raises:
        ManifestError: an extractor cannot have this name, or there is no such contract.
    """
    if not NAME.match(name):
        raise ManifestError(
            f"{name!r} is not a name for an extractor; use lower-case letters, digits and _, at most 32"
        )
    if contract not in PROGRAMS:
        raise ManifestError(f"contract is {contract!r}; it must be one of: {', '.join(PROGRAMS)}")
    texts = {
        FILE_NAME: MANIFEST.format(name=name, contract=contract),
        f"{name}.py": PROGRAMS[contract],
        "README.md": README.format(name=name),
    }
    return {path: text.encode() for path, text in texts.items()} | SAMPLES


def write(folder: Path, contract: str) -> list[Path]:
    """Make a new extractor's folder, named as the extractor, and return its files.

    Raises:
        ManifestError: as `files`; or the folder is there already, or cannot be made.
    """
    made = {folder / path: content for path, content in files(folder.name, contract).items()}
    try:
        folder.mkdir()
        for path, content in made.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
    except FileExistsError as exc:
        raise ManifestError(f"{folder}: it is there already; choose another name, or remove it") from exc
    except OSError as exc:
        raise ManifestError(f"{folder}: cannot be made ({exc.strerror})") from exc
    return list(made)
