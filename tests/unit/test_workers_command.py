"""The command line of `python -P -m workers`."""

from __future__ import annotations

from click.testing import CliRunner

from tests.support.rows import each_row
from workers.__main__ import cli

NO_SETTINGS = {"LUSTRE_EVENTS_CONFIG": "/no/such/file.toml"}


@each_row("words", [(), ("try",), ("validate",), ("approve",), ("look",), ("unpack",)])
def test_help_needs_no_settings(words: tuple[str, ...]) -> None:
    """--help answers also where the settings are what somebody is about to repair."""
    said = CliRunner(env=NO_SETTINGS).invoke(cli, [*words, "--help"])

    assert (said.exit_code, said.exception) == (0, None)
    assert said.output.startswith("Usage: ")


@each_row(
    ("words", "named"),
    [
        (("dance",), "dance"),
        (("--until", "soon"), "soon"),
        (("--until", "-5"), "-5"),
        (("--until", "nan"), "nan"),
        (("try", "tabular"), "FILE"),
        (("validate",), "FOLDER|NAME"),
        (("unpack",), "NAME"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(words: tuple[str, ...], named: str) -> None:
    """What was typed wrong, or is missing, is named before any setting is read."""
    said = CliRunner(env=NO_SETTINGS).invoke(cli, words)

    assert said.exit_code == 2
    assert named in said.output
