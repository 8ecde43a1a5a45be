"""Scans and comparisons with a progress bar, for the commands that wait for them."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from lustre_events.config.settings import Settings
from lustre_events.node import wiring
from lustre_events.repair import scan as scans
from lustre_events.repair.verify import Outcome

AGAIN_SECONDS = 2.0


class Share(click.ParamType[float]):
    """A part of a whole: `1%` or `0.01`."""

    name = "SHARE"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return it as a number from 0 to 1."""
        text = str(value)
        try:
            share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            share = -1.0
        if not 0 < share <= 1:
            self.fail(f"{text!r} is not a share; write 1% or 0.01", param, ctx)
        return share


def watched(settings: Settings, scan: int) -> scans.ScanProgress:
    """Show the progress of a scan until it has ended, and return what it found."""
    columns = (TextColumn("{task.fields[what]}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None, what="scanning")
        for at in scans.progress(wiring.requests(settings), scan):
            what = f"{at.directories} directories done, {at.left} left, {at.files} files"
            bar.update(task, completed=at.directories, total=at.directories + at.left, what=what)
    return at


def verified(  # noqa: PLR0917 - what the command was given
    ctx: click.Context, settings: Settings, index_url: str, path: str, share: float,
    chance: random.Random | None = None,
) -> Outcome:  # fmt: skip
    """Compare a share of the directories below `path` with the index, show the progress, and return the outcome.

    `chance` chooses them; None: each time anew.
    """
    columns = (TextColumn("{task.fields[what]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None, what="comparing")

        def say(outcome: Outcome) -> None:
            bar.update(task, what=f"{outcome.directories} directories, {outcome.names} names compared")

        return scans.compare(
            settings,
            ctx.obj["config_path"],
            index_url,
            path,
            share,
            say,
            chance or random.Random(),  # noqa: S311 - a sample
        )


def settled(
    compare: Callable[[random.Random], Outcome], wait_seconds: float, again_seconds: float = AGAIN_SECONDS
) -> Outcome:
    """Return a comparison without differences, or the last one when the time is over; all see the same sample."""
    deadline = time.monotonic() + wait_seconds
    seed = secrets.randbits(32)
    while True:
        outcome = compare(random.Random(seed))  # noqa: S311 - a sample
        if not outcome.differences or time.monotonic() >= deadline:
            return outcome
        click.echo(
            f"{len(outcome.differences)} differences are left, since workers may not be done; comparing again",
            err=True,
        )
        time.sleep(min(again_seconds, max(0.0, deadline - time.monotonic())))
