"""What README shows is what the program prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.service.command import REPOSITORY, lustre_events

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of README in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def steady(text: str) -> str:
    """Replace what differs from run to run: seconds, the demo's directory, how many blocks and jobs it took."""
    text = re.sub(r"/tmp/lustre-events-demo-\w+", "DEMO", text)
    text = re.sub(r"^    (blocks|records|results) .*", r"    \1 ...", text, flags=re.MULTILINE)
    return re.sub(r"\d+\.\d s", "N s", text)


@pytest.mark.slow
def test_the_demo_prints_what_readme_shows(base_image: Path) -> None:
    """The block below `make demo` is the beginning of what it prints."""
    command, shown = next(block for block in blocks("console") if block.startswith("$ make demo")).split("\n", 1)

    done = lustre_events("demo", "--images", base_image, seconds=120)

    assert command == "$ make demo"
    assert done.returncode == 0, done.stderr.decode()
    lines = [line for line in steady(done.stdout.decode()).splitlines() if line]
    assert [line for line in steady(shown).splitlines() if line] == lines[
        : len([x for x in shown.splitlines() if x])
    ]


def test_the_rule_in_readme_is_a_rule(tmp_path: Path) -> None:
    """The rule that README shows passes `config check`."""
    (tmp_path / "rules.toml").write_text(blocks("toml")[0])
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[dispatcher]\nrules = "{tmp_path}/rules.toml"\n')

    done = lustre_events("config", "check", settings)

    assert done.returncode == 0, done.stderr.decode()
    assert b"rules for hdf5" in done.stdout


def test_every_command_in_readme_exists() -> None:
    """Each `lustre-events COMMAND` that README names answers --help."""
    named = set(re.findall(r"^lustre-events ([a-z]+)", README, re.MULTILINE))
    rows = re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)
    table = {name for row in rows for name in re.findall(r"`([a-z]+)(?: [a-z]+)?`", row)}

    for command in sorted(named | table):
        assert lustre_events(command, "--help").returncode == 0, command
