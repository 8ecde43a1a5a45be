"""The demo's sandbox: what is waited for is shown where somebody watches."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path

import pytest

from lustre_events.errors import LustreEventsError
from lustre_events.node.sandbox import Sandbox


class Terminal(io.StringIO):
    """A terminal that keeps what it got."""

    def isatty(self) -> bool:
        """Somebody watches."""
        return True


def test_a_terminal_shows_what_is_waited_for(tmp_path: Path) -> None:
    """While it waits a terminal has one line, for what and how far it is, and none in the end; a file has none."""
    terminal, file = Terminal(), io.StringIO()
    for out in (terminal, file):
        come = partial(next, iter([False, True]))
        Sandbox(tmp_path).wait(come, "it is there", 60, every=0.0, terminal=out, far=lambda: ", 2 of 7 files")

    assert terminal.getvalue() == "\rwaiting until it is there: 0 s, 2 of 7 files\x1b[K\r\x1b[K"
    assert file.getvalue() == ""


def test_a_wait_in_vain_says_for_what(tmp_path: Path) -> None:
    """What does not come true in time is an error that names it."""
    (tmp_path / "service.log").write_text("why\n")
    with pytest.raises(LustreEventsError, match="of waiting until it is there"):
        Sandbox(tmp_path).wait(lambda: False, "it is there", 0, terminal=Terminal())
