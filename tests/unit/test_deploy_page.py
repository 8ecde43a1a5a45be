"""deploy/README.md as `make field` types it: what is left out is marked, and is little."""

from __future__ import annotations

import click

from lustre_events.cli.main import cli
from tests.support.field.readme import Block, blocks
from tests.support.service.command import REPOSITORY

PAGE = (REPOSITORY / "deploy" / "README.md").read_text(encoding="utf-8")


def test_what_no_machine_can_do_is_all_that_is_left_out() -> None:
    """Only blocks for Lustre's changelogs, the internet, Slurm, ssh and nginx are skipped, each with a reason."""
    found = list(blocks(PAGE))
    skipped = [block for block in found if block.skipped]
    assert len(found) > 12
    assert {block.script.split()[0] + " " + block.script.split()[1] for block in skipped} == {
        "lustre-events changelog", "location /", "scancel --signal=TERM", "scp ~/moved.tgz",
        "deploy/package/wheelhouse.sh wheelhouse",
        "/usr/share/lustre-events/extractors/build-images.sh images",
    }  # fmt: skip
    assert PAGE.count("<!--") == len(skipped) + 1 + sum(block.elsewhere for block in found)


def test_blocks_are_read_as_they_are_typed() -> None:
    """Lines of a block stay together; a mark counts for the next block only, and for none behind other text."""
    page = """\
## One

<!-- field test: add --more -->

    first
    second

Text.

    third

<!-- field test: skip it cannot -->

    fourth

<!-- field test: on the other node -->

    there

### Two

<!-- field test: skip never -->

Text between.

    fifth
"""
    assert list(blocks(page)) == [
        Block("One", "first --more\nsecond --more"), Block("One", "third"), Block("One", "fourth", "it cannot"),
        Block("One", "there", elsewhere=True), Block("Two", "fifth"),
    ]  # fmt: skip


def test_every_command_of_the_page_is_one() -> None:
    """What a block calls of ours exists, with its subcommand: nobody types what was renamed."""
    lines = [line.split() for block in blocks(PAGE) for line in block.script.splitlines()]
    calls = [words[1:] for words in lines if words[:1] == ["lustre-events"]]
    assert len(calls) > 12
    assert [words for words in calls if not is_command(words)] == []


def is_command(words: list[str]) -> bool:
    """Return whether words begin with a command, and with one of its own where it has some."""
    context = click.Context(cli)
    command = cli.get_command(context, words[0])
    if isinstance(command, click.Group):
        return len(words) > 1 and command.get_command(context, words[1]) is not None
    return command is not None
