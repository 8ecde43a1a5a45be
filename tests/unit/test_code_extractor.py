"""What the code extractor makes of Slurm's options, whose forms the samples cannot all show."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS


@pytest.fixture
def code_shell(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, as the program imports it."""
    monkeypatch.syspath_prepend(str(EXTRACTORS / "code"))
    import code_shell

    sys.modules.pop("code_shell")
    sys.modules.pop("code_python")
    return code_shell


@each_row(
    ("text", "seconds"),
    [
        (30, 1800), ("30", 1800), ("10:30", 630), ("2:00:00", 7200), ("1-12", 129_600), ("1-12:30", 131_400),
        ("1-00:00:30", 86_430), ("UNLIMITED", None), (True, None), ("", None),
    ],
)  # fmt: skip
def test_time_limits_have_the_six_forms_of_sbatch(
    code_shell: ModuleType, text: object, seconds: int | None
) -> None:
    """Every form of --time in the manual page gives its seconds."""
    assert code_shell.time_seconds(text) == seconds


def test_options_are_known_by_their_long_names(code_shell: ModuleType) -> None:
    """Short and long options, with and without =, with quotes and remarks, have one name and their type."""
    source = (
        "#SBATCH -N2 -n 8\n#SBATCH --mem-per-cpu=4G --exclusive # all\n#SBATCH -J 'my run'\n#SBATCH --unknown=1\n"
    )

    assert code_shell.directives(source) == {
        "nodes": 2, "ntasks": 8, "mem_per_cpu": "4G", "exclusive": True, "job_name": "my run",
    }  # fmt: skip


def test_modules_are_those_that_are_loaded(code_shell: ModuleType) -> None:
    """`module load`, `ml` and `module swap` load; purge, list, unload and ml -x do not."""
    source = "module purge\nmodule load a/1 b\nml c d/2\nml list\nmodule unload a\nmodule swap b e/3\n"
    source += "ml -b\n  ml load f\n"

    assert code_shell.modules(source) == ["a/1", "b", "c", "d/2", "e/3", "f"]
