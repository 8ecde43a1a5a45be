"""Numbers of YAML and TOML that no index can hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.programs import load
from tests.support.rows import each_row
from workers.contract import checked

STRUCTURED = load("structured")


@each_row(
    ("name", "text"),
    [
        ("a.yaml", f"a: 1\nn: {'9' * 30}\nz: 2\n"),
        ("a.yaml", f"a: 1\nn: {'9' * 5000}\nz: 2\n"),
        ("a.toml", f"a = 1\nn = {'9' * 30}\nz = 2\n"),
        ("a.toml", "a = 1\nn = inf\nz = 2\n"),
    ],
)
def test_a_number_that_nothing_can_hold_is_said(tmp_path: Path, name: str, text: str) -> None:
    """It costs only itself, and the document says so."""
    (tmp_path / name).write_text(text)
    found = checked(STRUCTURED.extract(str(tmp_path / name)))
    assert found["value"] == {"a": 1, "z": 2}
    assert "numbers beyond 64 bits" in found["partial"]


def test_a_number_of_thousands_of_digits_is_no_toml(tmp_path: Path) -> None:
    """TOML has none, so the file is not read as such, and one sentence says why."""
    path = tmp_path / "a.toml"
    path.write_text(f"a = 1\nn = {'9' * 5000}\n")
    with pytest.raises(ValueError, match="it has a number of thousands of digits, and TOML ends"):
        STRUCTURED.extract(str(path))
