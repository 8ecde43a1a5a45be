"""What extractors/README.md and the manifests say of images is what images/*.txt have."""

from __future__ import annotations

import re

from tests.support.service.images import EXTRACTORS, extractors

LISTS = {path.stem: path.read_text(encoding="utf-8").splitlines() for path in (EXTRACTORS / "images").glob("*.txt")}


def test_every_extractor_has_an_image_that_can_be_built() -> None:
    """A manifest names an image of which a list says what it has."""
    assert {one.image for one in extractors().values()} <= LISTS.keys()


def test_lists_have_only_lines_that_are_built() -> None:
    """A line is a comment, a Debian package, a wheel with its version, or what is dropped again."""
    for name, lines in LISTS.items():
        for line in lines:
            assert re.fullmatch(r"#.*||deb [a-z0-9.+-]+|pip [a-z0-9-]+==[0-9.]+|drop usr/\S+", line), (name, line)


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
