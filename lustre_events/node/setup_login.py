"""The part of a setup for [web] login = "pam": a socket, and a process of root behind it for each login."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from lustre_events.node import steps
from lustre_events.node.steps import Owner, Step

SOCKET = "lustre-events-login.socket"
CONSOLE = "lustre-events-web.service"
UNITS = (SOCKET, "lustre-events-login@.service")


@dataclass(frozen=True, slots=True)
class LoginUnits:
    """What the steps are about.

    Args:
        folder: where units go.
        shipped: where they come from.
        owner: of units.
        wanted: whether the console asks PAM; else what is there stays, and answers nobody.
        run: runs a command.
    """

    folder: Path
    shipped: Path
    owner: Owner
    wanted: bool
    run: Callable[[Sequence[str]], object]

    def files(self) -> Iterator[Step]:
        """Return the steps that write the units."""
        for unit in UNITS:
            written = steps.file(self.folder / unit, (self.shipped / unit).read_bytes, 0o644, self.owner)
            yield replace(written, done=partial(self._needless, written.done))

    def enabled(self, below: Sequence[str], now: Sequence[str], *, enable: bool) -> Step:
        """Return the step that lets systemd listen at the socket."""
        link = self.folder / "sockets.target.wants" / SOCKET

        def do() -> None:
            self.run(["systemctl", *below, "enable", *now, SOCKET])

        def undo() -> None:
            self.run(["systemctl", *below, "disable", *now, SOCKET])

        def done() -> bool:
            # Where the console starts by itself already, it needs the socket whatever is asked for.
            wanted = enable or (self.folder / "multi-user.target.wants" / CONSOLE).is_symlink()
            return not wanted or self._needless(link.is_symlink)

        return Step(f"enable {SOCKET}", done, do, undo, link.is_symlink)

    def _needless(self, done: Callable[[], bool]) -> bool:
        return not self.wanted or done()
