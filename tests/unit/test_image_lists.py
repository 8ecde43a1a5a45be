"""What extractors/README.md and the manifests say of images is what images/*.txt have."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.support.service.images import EXTRACTORS, extractors

LISTS = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in (EXTRACTORS / "images").glob("*.txt")}


def test_every_extractor_has_an_image_that_can_be_built() -> None:
    """A manifest names an image of which a list says what it has."""
    assert {one.image for one in extractors().values()} <= LISTS.keys()


def test_lists_have_only_lines_that_are_built() -> None:
    """A line is a comment, a Debian package, a wheel with its version, a program, or what is dropped again."""
    for name, lines in LISTS.items():
        for line in lines:
            kinds = r"#.*||deb [a-z0-9.+-]+|pip [a-z0-9-]+==[0-9.]+|run [a-z_]+[.]py|drop usr/\S+"
            assert re.fullmatch(kinds, line), (name, line)
            program = line.removeprefix("run ")
            assert program == line or (EXTRACTORS / "images" / program).is_file()


def test_every_image_reads_what_is_compressed() -> None:
    """Each image has a reader of zstd, and one of lz4."""
    for name, lines in LISTS.items():
        wheels = {line.removeprefix("pip ").partition("==")[0] for line in lines}
        assert "zstandard" in wheels, name
        assert wheels & {"lz4", "pyarrow"}, name


def test_every_wheel_is_installed_by_its_hash(tmp_path: Path) -> None:
    """Each wheel of a list has its SHA-256, and a list with a wheel that has none is not built at all."""
    hashes = (EXTRACTORS / "images" / "wheels.hashes").read_text(encoding="utf-8")
    known = set(re.findall(r"^(\S+==\S+)(?: --hash=sha256:[0-9a-f]{64})+$", hashes, re.MULTILINE))
    assert {
        line.removeprefix("pip ") for lines in LISTS.values() for line in lines if line.startswith("pip ")
    } == known

    script = (EXTRACTORS / "build-images.sh").read_text(encoding="utf-8")
    assert re.findall(r"pip install(?:[^\\\n]|\\\n)+(--\S+ -r \S+)", script) == [
        '--require-hashes -r "$work/wheels.txt"'
    ]
    (tmp_path / "images").mkdir()
    shutil.copy(EXTRACTORS / "build-images.sh", tmp_path)
    (tmp_path / "images" / "wheels.hashes").write_text("numpy==2.4.6 --hash=sha256:0\n")
    (tmp_path / "images" / "mine.txt").write_text("deb python3\npip numpy==2.4\n")
    done = subprocess.run(
        ["bash", tmp_path / "build-images.sh", tmp_path / "out"], capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr.startswith(b"images/wheels.hashes has no line for numpy==2.4 of the image mine; add it")


def test_readme_names_every_wheel_with_its_version() -> None:
    """The table of libraries and licences is complete and of the versions that are built."""
    readme = (EXTRACTORS / "README.md").read_text(encoding="utf-8")
    for lines in LISTS.values():
        for line in lines:
            if line.startswith("pip "):
                name, version = line.removeprefix("pip ").split("==")
                assert re.search(rf"{name}[^\n]* {re.escape(version)}\b", readme), line


def test_readme_names_every_extractor() -> None:
    """The table of families has a line for each folder, with its image."""
    readme = (EXTRACTORS / "README.md").read_text(encoding="utf-8")
    for name, one in extractors().items():
        assert re.search(rf"^\| \[{name}\]\({name}/README.md\) .*\| `{one.image}` \|", readme, re.MULTILINE), name
