"""Whether the program in a container has begun, told by a sign that comes before it.

Every failure of Apptainer is exit code 255, and a program may end with any code. So the last thing before the
program is a line on stdout. A program can print that line too, but then it only says that it has begun; it cannot
take the line back, however it ends and whatever it kills.
"""

from __future__ import annotations

from workers.child_process import Ended, OnLine
from workers.contract import exit_words

SIGN = "lustre-events: the program begins"
GATE = ("sh", "-c", f"echo '{SIGN}'; exec \"$@\"", "sh")
"""Stands in front of a program that reads stdin."""
WAITING_GATE = ("sh", "-c", f"read -r _; echo '{SIGN}'; exec \"$@\" </dev/null", "sh")
"""Stands in front of one that does not, and waits in its place until stdin has been closed."""


class Beginning:
    """Takes the sign out of what a container prints, and passes all else on to `on_line`."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self.seen = False

    def line(self, data: bytes, whole: bool) -> None:
        """Take one line of stdout."""
        if not self.seen and data == SIGN.encode():
            self.seen = True
        else:
            self._on_line(data, whole)


def last_words(ended: Ended) -> str:
    """Return the last line of what a runtime said."""
    lines = ended.stderr.splitlines()
    return lines[-1].strip() if lines else f"it printed nothing, and ended with {exit_words(ended.exit_code)}"
