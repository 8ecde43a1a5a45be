"""`lustre-events extractor try` and `validate` on extractors that are wrong; the right ones are in the tutorial."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lustre_events.catalog import shipped, template
from tests.support.service.command import lustre_events
from workers.privileges import account_named

pytestmark = pytest.mark.apptainer


class Bench:
    """A folder with a new extractor called `mine`, and the command that tries it."""

    def __init__(self, folder: Path, images: Path) -> None:
        self.folder = folder / "mine"
        self.environment = {"LUSTRE_EVENTS_WORKER_IMAGES": str(images)}
        template.write(self.folder, "batch")

    def replace(self, old: str, new: str, file: str = "manifest.toml") -> None:
        """Change a file of the extractor."""
        text = (self.folder / file).read_text()
        assert old in text
        (self.folder / file).write_text(text.replace(old, new, 1))

    def run(self, *words: str | bytes | Path) -> subprocess.CompletedProcess[bytes]:
        """Run `lustre-events extractor`."""
        return lustre_events("extractor", *words, environment=self.environment)


@pytest.fixture
def bench(open_folder: Path, base_image: Path) -> Bench:
    """A new extractor, and the image that it needs."""
    return Bench(open_folder, base_image)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("/mine.py", "/mien.py", "program: WRONG: the command names /extractor/mien.py, but"),
        ('"base"', '"bass"', "image: WRONG: "),
        ('"base"', '"bass"', "the image of mine is not there; build it with {build}"),
    ],
)
def test_validate_says_what_is_wrong(bench: Bench, old: str, new: str, line: str) -> None:
    """A program or an image that is not there is told without running anything."""
    bench.replace(old, new)

    done = bench.run("validate", bench.folder)

    assert line.format(build=shipped.build_script()) in done.stdout.decode()
    assert b"samples/" not in done.stdout
    assert (done.returncode, done.stderr) == (7, b"")


def test_validate_runs_the_samples(bench: Bench) -> None:
    """A sample without a document, or a bad one with a document, is wrong; the reason is told."""
    bench.replace('"words": sum(', '"words": 1 / 0 + sum(', "mine.py")
    (bench.folder / "samples/bad-binary.txt").write_text("")
    bench.replace("    return {", "    if not lines:\n        return {'a': 1}\n    return {", "mine.py")

    done = bench.run("validate", bench.folder)

    lines = done.stdout.decode().splitlines()
    assert lines[-2] == "samples/bad-binary.txt: WRONG: it has a document, but its name says that it must fail"
    assert lines[-1].startswith("samples/sample.txt: WRONG: ZeroDivisionError: ")
    assert done.returncode == 7


def test_validate_wants_samples(bench: Bench) -> None:
    """An extractor without samples is not known to work."""
    for path in (bench.folder / "samples").iterdir():
        path.unlink()

    done = bench.run("validate", bench.folder)

    assert "samples: WRONG: none; put a small file that it must understand into" in done.stdout.decode()
    assert done.returncode == 7


def test_wrong_manifest_is_one_sentence(bench: Bench) -> None:
    """A manifest that cannot be read ends everything with its one sentence."""
    bench.replace("contract =", "contrakt =")

    for words in (("validate", bench.folder), ("try", bench.folder, "/etc/hostname")):
        done = bench.run(*words)
        assert b"unknown key contrakt; did you mean contract?" in done.stderr
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (7, b"", 1)


def test_try_is_what_a_worker_does(bench: Bench, open_folder: Path) -> None:
    """Strange names, a fifo, a program that crashes: each file has its answer, with the last lines of stderr."""
    bench.replace(
        "    with open", "    if path.endswith('.die'):\n        raise SystemExit(3)\n    with open", "mine.py"
    )
    names = [b"\xff\x1b\n,x.txt", b"-rf", b"last.die"]
    for name in names:
        (open_folder / name.decode(errors="surrogateescape")).write_text("a b\n")
    subprocess.run(["mkfifo", open_folder / "fifo"], check=True, timeout=10)
    paths = [str(open_folder).encode() + b"/" + name for name in (*names, b"fifo")]

    done = bench.run("try", "--json", bench.folder, *paths)

    first, second, third, fifo = map(json.loads, done.stdout.splitlines())
    assert first["file"].endswith("\\xff\x1b\n,x.txt")
    assert first["document"] == second["document"] == {"lines": 1, "words": 2}
    assert first["provenance"]["runtime"].startswith("apptainer")
    assert third["error"] == "no answer: the program ended with exit code 3"
    assert "not a regular file" in fifo["error"]
    assert done.returncode == 7
    assert b"\x1b" not in bench.run("try", bench.folder, paths[0]).stdout


def test_try_of_nothing_is_one_sentence(bench: Bench) -> None:
    """A file or an extractor that is not there is said in one sentence."""
    missing = bench.run("try", bench.folder, "/nowhere/a.txt")
    unknown = bench.run("try", "tabulr", "/etc/hostname")

    assert missing.stderr.decode() == "lustre-events: /nowhere/a.txt: No such file or directory\n"
    assert unknown.stderr.decode().endswith("none is installed; did you mean tabular?\n")
    assert (missing.returncode, unknown.returncode) == (2, 7)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's worker runs extractors as the owner of each file")
def test_approved_extractor_reads_as_the_owner(bench: Bench) -> None:
    """With run_as_owner `try` runs as the file's owner once the extractor is approved, and says how until then."""
    private = bench.folder / "private.txt"
    private.write_text("one two\n")
    nobody = account_named("nobody")
    os.chown(private, nobody.uid, nobody.gid)
    private.chmod(0o600)
    bench.environment |= {
        "LUSTRE_EVENTS_WORKER_RUN_AS_OWNER": "true",
        "LUSTRE_EVENTS_WORKER_APPROVED": str(bench.folder.parent / "approved"),
        "LUSTRE_EVENTS_WORKER_EXTRACTORS": str(bench.folder.parent),
    }

    before = bench.run("try", "mine", private)
    approved = bench.run("approve", "mine")
    after = bench.run("try", "--json", "mine", private)

    assert b"run: lustre-events extractor approve mine" in before.stdout
    assert approved.stdout == f"{bench.folder.parent}/approved: mine 1 may run as the owner of each file\n".encode()
    assert json.loads(after.stdout)["document"] == {"lines": 1, "words": 2}
    assert json.loads(after.stdout)["provenance"]["run_as"] == "nobody"
