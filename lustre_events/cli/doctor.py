"""`lustre-events doctor`: what is wrong on this node, and the commands that fix it."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from lustre_events.cli.options import index_of, with_index
from lustre_events.config import places
from lustre_events.node.doctor import FAILURE, INFO, OK, WARNING, Finding, examine
from lustre_events.node.doctor.node import passwords
from lustre_events.node.roles import EXAMINED
from lustre_events.node.setup import installed

_SIGNS = {OK: ("ok", "green"), INFO: ("info", "blue"), WARNING: ("warning", "yellow"), FAILURE: ("FAILURE", "red")}


@click.command("doctor")
@click.option(
    "--role",
    "roles",
    multiple=True,
    type=click.Choice(EXAMINED),
    help="The role of this node. Default: all that it is set up for.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per finding.")
@click.option("--config", "path", envvar="LUSTRE_EVENTS_CONFIG", metavar="FILE",
              type=click.Path(path_type=Path), help="Settings (TOML), with ROLE.env beside it.")  # fmt: skip
@with_index
def doctor_command(*, roles: tuple[str, ...], as_json: bool, path: Path | None, index_url: str | None) -> None:
    """Check everything that the service needs on this node.

    It prints how to fix what is wrong. The exit code is 1 if something cannot work as it is. It reads what the
    units read: the settings, and the login of each role from ROLE.env beside them.
    """
    here = tuple(role for role in installed(Path("/")) if role in EXAMINED)
    sys.exit(report(path, roles or here or EXAMINED, index_url, as_json=as_json))


def report(path: Path | None, roles: Sequence[str], index_url: str | None = None, *, as_json: bool = False) -> int:
    """Print what there is to say of each role, with its own login; return 1 if something cannot work."""
    worst, said = 0, set()
    for role in roles:
        settings = places.settings(path, role=role)
        found = itertools.chain(
            passwords(path or places.find()), examine(settings, index_of(settings, index_url), [role])
        )
        for finding in found:
            if finding not in said:
                said.add(finding)
                click.echo(json.dumps(asdict(finding)) if as_json else _text(finding))
                worst |= finding.level == FAILURE
    return worst


def _text(finding: Finding) -> str:
    word, colour = _SIGNS[finding.level]
    fix = f"\n         fix: {finding.fix}" if finding.fix else ""
    return f"{click.style(f'{word:8}', fg=colour)} {finding.subject}: {finding.text}{fix}"
