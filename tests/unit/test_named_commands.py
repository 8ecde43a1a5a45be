"""Commands that pages and messages name are there, with the options that they are named with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from lustre_events.cli.main import cli
from tests.support.service.command import REPOSITORY

BLOCK = re.compile(r"^```\w*\n(.*?)^```", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`([^`]+)`")
CALL = re.compile(r"(?<![\w/.-])lustre-events ([a-z][a-z-]*)([^|;&>#\n]*)")
OPTION = re.compile(r"(?<!\S)(--[a-z][a-z-]*)")


def pages() -> Iterator[Path]:
    """Yield the pages that people write."""
    yield from (REPOSITORY / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))
    yield from (path for path in (REPOSITORY / "docs").rglob("*.md") if path.name != "commands.md")
    yield from (path for top in ("deploy", "examples", "extractors") for path in (REPOSITORY / top).rglob("*.md"))


def calls(text: str) -> Iterator[tuple[str, str]]:
    """Yield each call that a page has as code: the command, and the rest of its line."""
    for code in (*BLOCK.findall(text), *(each.replace("\n", " ") for each in INLINE.findall(BLOCK.sub("", text)))):
        yield from CALL.findall(code)


def unknown(name: str, rest: str) -> str:
    """Return what of a call does not exist; nothing: all does."""
    context = click.Context(cli)
    command = cli.get_command(context, name)
    if command is None:
        return name
    words = rest.split()
    if isinstance(command, click.Group) and words and words[0].isalpha() and words[0].islower():
        found = command.get_command(context, words[0])
        if found is None:
            return f"{name} {words[0]}"
        command = found
    known = {option for each in command.params for option in (*each.opts, *each.secondary_opts)} | {"--help"}
    if isinstance(command, click.Group):
        return ""
    return ", ".join(f"{name} {option}" for option in OPTION.findall(rest) if option not in known)


def test_commands_of_the_pages_exist() -> None:
    """What a page names as code can be typed: no command, subcommand or option was renamed or never was."""
    found = [(path, *call) for path in pages() for call in calls(path.read_text())]

    assert len(found) > 300
    wrong = [f"{path.relative_to(REPOSITORY)}: {what}" for path, *call in found if (what := unknown(*call))]
    assert wrong == []
