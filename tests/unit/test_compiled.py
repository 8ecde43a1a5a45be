"""Modules that a worker has compiled: Python takes them, but never in place of another source."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.catalog.manifest import Manifest, load
from tests.support.service.images import write_extractor
from workers.compiled import MOST_BYTES, compiled
from workers.runs import staging

NEVER_COMPILE = "import importlib.machinery, sys; importlib.machinery.SourceFileLoader.source_to_code = None; "


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    """An extractor with a module beside its program, and one in a folder."""
    folder = write_extractor(tmp_path, "ours", "import values, more.others\n").folder
    (folder / "values.py").write_text("found = 'as written'\n")
    (folder / "more").mkdir()
    (folder / "more" / "others.py").write_text("found = 'below'\n")
    (folder / "wrong.py").write_text("def (\n")
    return load(folder)


def said(program: Path, code: str) -> str:
    """Return what Python prints that finds modules in a folder."""
    done = subprocess.run(
        [sys.executable, "-P", "-B", "-c", f"import sys; sys.path.insert(0, {str(program)!r}); {code}"],
        capture_output=True, check=False, timeout=60, text=True,
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def test_python_takes_what_was_compiled(made: Manifest) -> None:
    """A staged program's modules are imported without being compiled again, in folders, too."""
    with staging(made, [], compiled=compiled(made)) as (folder, _):
        code = "import values, more.others; print(values.found, more.others.found)"
        assert said(folder / "extractor", NEVER_COMPILE + code) == "as written below"


def test_what_runs_is_what_the_source_says(made: Manifest) -> None:
    """Beside another source of the same name, what was compiled is not taken."""
    with staging(made, [], compiled=compiled(made)) as (folder, _):
        (folder / "extractor" / "values.py").write_text("found = 'as changed'\n")
        assert said(folder / "extractor", "import values; print(values.found)") == "as changed"


def test_not_all_is_compiled(made: Manifest) -> None:
    """Left alone are a user's own program, what the command starts, what has a mistake, and what is too long."""
    assert compiled(replace(made, owner="ada", uid=1000)) == ()
    names = {file.name.rpartition("/")[2].partition(".")[0] for file in compiled(made)}
    assert names == {"values", "others"}
    (made.folder / "large.py").write_bytes(b"#" * (MOST_BYTES + 1))
    assert "large" not in str([file.name for file in compiled(load(made.folder))])
