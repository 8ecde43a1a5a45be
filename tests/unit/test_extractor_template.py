"""A new extractor's folder: valid and working before anybody has changed it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lustre_events.catalog import manifest, template
from lustre_events.errors import ManifestError
from tests.support.service.images import EXTRACTORS


@pytest.mark.parametrize("contract", template.PROGRAMS)
def test_new_extractor_has_a_valid_manifest(tmp_path: Path, contract: str) -> None:
    """What is written is an extractor of the name and contract that were asked for, with samples and README."""
    made = template.write(tmp_path / "mine", contract)

    found = manifest.load(tmp_path / "mine")
    assert (found.name, found.contract, found.trusted) == ("mine", contract, False)
    assert {path.relative_to(tmp_path / "mine").as_posix() for path in made} == {
        "manifest.toml", "mine.py", "README.md", "samples/sample.txt", "samples/bad-binary.txt",
    }  # fmt: skip
    assert all(path.is_file() for path in made)


def test_single_program_needs_nothing_of_ours(tmp_path: Path) -> None:
    """A `single` program runs by hand: a path in, a JSON object out; what it does not understand fails."""
    template.write(tmp_path / "mine", "single")

    good, bad = (
        subprocess.run(
            [sys.executable, "-I", tmp_path / "mine/mine.py", tmp_path / "mine/samples" / sample],
            capture_output=True, text=True, timeout=30, check=False,
        )
        for sample in ("sample.txt", "bad-binary.txt")
    )  # fmt: skip

    assert json.loads(good.stdout) == {"lines": 2, "words": 5}
    assert bad.returncode == 1


def test_batch_program_answers_every_line(tmp_path: Path) -> None:
    """A `batch` program answers each file, one that it does not understand with an error, then the end marker."""
    template.write(tmp_path / "mine", "batch")
    samples = ("sample.txt", "bad-binary.txt")
    asked = "".join(
        json.dumps({"id": f"{number:04}", "path": str(tmp_path / "mine/samples" / sample)}) + "\n"
        for number, sample in enumerate(samples)
    )

    done = subprocess.run(
        [sys.executable, tmp_path / "mine/mine.py"], input=asked, capture_output=True, text=True, timeout=30,
        check=True, env={**os.environ, "PYTHONPATH": str(EXTRACTORS / "base")},
    )  # fmt: skip

    first, second, end = map(json.loads, done.stdout.splitlines())
    assert first == {"id": "0000", "document": {"lines": 2, "words": 5}}
    assert second["error"].startswith("UnicodeDecodeError")
    assert end == {"end": 2}


def test_existing_folder_is_not_touched(tmp_path: Path) -> None:
    """A folder that is there is left as it is; a name that no extractor can have makes none."""
    (tmp_path / "mine").mkdir()

    with pytest.raises(ManifestError, match="it is there already; choose another name"):
        template.write(tmp_path / "mine", "batch")
    with pytest.raises(ManifestError, match="'My-Own' is not a name for an extractor; use lower-case letters"):
        template.write(tmp_path / "My-Own", "batch")
    with pytest.raises(ManifestError, match="cannot be made"):
        template.write(tmp_path / "none" / "mine", "batch")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]
