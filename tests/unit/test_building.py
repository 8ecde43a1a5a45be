"""Definition files, as far as they are read; and extractors put into place."""

from __future__ import annotations

from pathlib import Path

import pytest

from lustre_events.catalog import build, manifest, template
from lustre_events.catalog.install import add
from lustre_events.errors import ConfigError, ContainerFailed, ImageMissing, ManifestError

TEXT = """\
Bootstrap: localimage
From: base.sif

%files
    a /a

%post
    echo made > /made
%labels
    x y
"""


def test_post_is_taken_apart(tmp_path: Path) -> None:
    """What cannot be run everywhere is kept apart from the rest, and the base is looked for beside the file."""
    found = build.parse(TEXT, tmp_path)

    assert found.base == tmp_path / "base.sif"
    assert found.post.strip() == "echo made > /made"
    assert "%files\n    a /a\n" in found.rest
    assert "%labels\n    x y\n" in found.rest
    assert "made" not in found.rest


def test_an_image_of_a_registry_has_no_local_base(tmp_path: Path) -> None:
    """Only local images can be unpacked here."""
    assert build.parse("bootstrap: docker\nfrom: debian\n", tmp_path).base is None


def runtime(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the one Apptainer on PATH."""
    program = folder / "apptainer"
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_an_image_is_there_as_a_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that fails leaves the image that was there, and says why."""
    (tmp_path / "mine.def").write_text("Bootstrap: docker\nFrom: debian\n")
    image = tmp_path / "images" / "mine.sif"
    runtime(tmp_path, "echo it is so; exit 3", monkeypatch)
    with pytest.raises(ContainerFailed, match="ended with 3: it is so"):
        build.build(tmp_path / "mine.def", image)
    assert not image.exists()

    runtime(tmp_path, 'for word; do last2="$last"; last="$word"; done; echo image > "$last2"', monkeypatch)
    assert build.build(tmp_path / "mine.def", image) == "by apptainer build"
    assert image.read_text() == "image\n"
    assert list(image.parent.iterdir()) == [image]


def test_a_missing_base_is_said_before_anything_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names the image; {{ IMAGES }} is the folder where images lie."""
    (tmp_path / "mine.def").write_text("Bootstrap: localimage\nFrom: {{ IMAGES }}/base.sif\n")
    runtime(tmp_path, "exit 0", monkeypatch)
    with pytest.raises(ImageMissing, match=f"{tmp_path}/images/base.sif, which is not there"):
        build.build(tmp_path / "mine.def", tmp_path / "images" / "mine.sif")
    with pytest.raises(ConfigError, match="No such file"):
        build.build(tmp_path / "none.def", tmp_path / "images" / "mine.sif")


def test_an_extractor_is_added_and_replaced(tmp_path: Path) -> None:
    """It is there as a whole, over the one before, and nothing else is left in the folder."""
    folder = tmp_path / "site"
    template.write(tmp_path / "words", "single")
    assert add(tmp_path / "words", folder, link=False) == folder / "words"
    (tmp_path / "words" / "words.py").write_text("print({})\n")
    add(tmp_path / "words", folder, link=False)

    assert manifest.load_all((folder,))["words"].digest == manifest.load(tmp_path / "words").digest
    assert [path.name for path in folder.iterdir()] == ["words"]


def test_an_extractor_is_linked(tmp_path: Path) -> None:
    """With a link changes count at once; linking what is there is refused, as is a folder that is no extractor."""
    folder = tmp_path / "site"
    template.write(tmp_path / "words", "single")
    add(tmp_path / "words", folder, link=True)

    assert (folder / "words").is_symlink()
    with pytest.raises(ManifestError, match="there already"):
        add(tmp_path / "words", folder, link=True)
    with pytest.raises(ManifestError):
        add(tmp_path, folder, link=False)
