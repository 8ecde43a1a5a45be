"""`lustre-events setup`: everything that a node needs for its roles, done, told, or undone."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from lustre_events.cli.doctor import report
from lustre_events.config.settings import from_text
from lustre_events.errors import ConfigError
from lustre_events.node import setup, steps
from lustre_events.node.roles import EXAMINED
from lustre_events.node.setup import KNOWN, Node


def _changed(_ctx: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return the settings that --set named, by section. Raises ConfigError."""
    found: dict[str, dict[str, Any]] = {}
    for text in given:
        name, equals, value = text.partition("=")
        section, dot, key = name.partition(".")
        if not (dot and equals):
            raise ConfigError(f"--set {text}: write SECTION.KEY=VALUE, e.g. filesystem.mount=/mnt/lustre")
        found.setdefault(section, {})[key] = from_text(section, key, value)
    return found


@click.command("setup")
@click.argument("roles", metavar="[ROLE...]", nargs=-1, type=click.Choice(KNOWN))
@click.option("--redis", metavar="HOST[:PORT]", default="localhost", help="Redis, as other nodes reach it.")
@click.option("--set", "changed", multiple=True, metavar="SECTION.KEY=VALUE", callback=_changed,
              help="A setting for the file that is made; may be repeated.")  # fmt: skip
@click.option("--enable", is_flag=True, help="Start the units now and after each boot.")
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(min=1), help="With --enable: how many units."
)
@click.option("--dry-run", "dry", is_flag=True, help="Only print what would be done.")
@click.option(
    "--remove", is_flag=True, help="Undo the setup of these roles, or of all. Logins, settings and data stay."
)
@click.option("--purge", is_flag=True, help="With --remove: logins, certificates, settings, index and images, too.")
@click.option("--root", default="/", type=click.Path(file_okay=False, path_type=Path),
              help="Set up below this folder, e.g. for the image of a node; nothing is started.")  # fmt: skip
def setup_command(
    roles: tuple[str, ...], redis: str, changed: dict[str, dict[str, Any]], workers: int, root: Path,
    *, enable: bool, dry: bool, remove: bool, purge: bool,
) -> None:  # fmt: skip
    """Set up this node for ROLES, as root.

    ROLES are redis, reader, dispatcher, indexer, worker, web, history, courier and dashboard.

    Makes logins and certificates, accounts and folders, settings and units, then looks with `doctor`. What is there
    stays; run it again after an upgrade.
    """
    here = root == Path("/")
    if here and os.geteuid() != 0 and not dry:
        raise ConfigError("setting a node up needs root; or look with --dry-run, or name a folder with --root")
    chosen = roles or (KNOWN if remove else ())
    if not chosen and not remove:
        raise ConfigError(f"name the roles of this node: {', '.join(KNOWN)}")
    node = Node(chosen, root, redis, changed, enable, workers, live=here and setup.systemd_runs())
    if remove:
        _say(steps.backward(setup.removal(node), purge=purge, dry=dry), "nothing to undo")
        return
    setup.check(node)
    _say(steps.forward(setup.plan(node), dry=dry), "everything is there")
    if here and not dry:
        _after(node)


def _say(told: Iterator[str], otherwise: str) -> None:
    count = 0
    for count, each in enumerate(told, 1):  # noqa: B007 - the last one is the number
        click.echo(each)
    if not count:
        click.echo(otherwise)


def _after(node: Node) -> None:
    examined: Sequence[str] = [role for role in node.roles if role in EXAMINED]
    worst = report(None, examined) if examined else 0
    if not node.enable and (names := setup.instances(node, setup.settings(node))):
        click.echo(f"next: systemctl daemon-reload; systemctl enable --now {' '.join(names)}")
    sys.exit(worst)
