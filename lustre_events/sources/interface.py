"""What a source is: the raw changelog of one MDT, read forwards and cleared behind.

`lustre` is the product; `directory` and `replay` give the same records where no Lustre is. The reader
knows only this interface, and tests/contract holds all of them to it.
"""

from __future__ import annotations

from typing import Protocol


class Source(Protocol):
    """The changelog of one MDT. Not thread-safe; `wake` alone may be called from a signal handler."""

    mdt: str
    """The MDT's full name, e.g. `lustre-MDT0000`: it ends in MDT and four hexadecimal digits."""

    handle: int
    """The number of the open handle: it changes whenever the source opens one, also by itself."""

    lag_seconds: float
    """How long a record can exist before `read` sees it."""

    def open(self, start_index: int) -> None:
        """Begin at the first record whose index is not below `start_index` (0: the oldest one left).

        Opening again closes first; it is what one does after ChangelogBroken, at the last index + 1.
        Raises ChangelogUnavailable, ChangelogRefused, LibraryMissing.
        """

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:
        """Return whole raw records, about `limit_bytes` at most (never less than one record), in order.

        Returns b"" when nothing came within the timeout or `wake` was called: all records that existed
        when it was called have been returned before, so the caller has caught up.
        Raises ChangelogBroken (open again at the last index + 1).
        """

    def peek(self, start_index: int) -> bytes:
        """Return the header (64 bytes) of the first record whose index is not below `start_index`, b"" for none.

        Through a handle of its own: the one that reads is not disturbed.
        Raises ChangelogBroken, ChangelogUnavailable.
        """

    def knows(self, user: str) -> bool | None:
        """Return whether a changelog user is registered; None: it cannot be told.

        Raises ChangelogUnavailable.
        """

    def clear(self, user: str, index: int) -> None:
        """Tell the MDT that `user` no longer needs any record up to `index`.

        Raises ChangelogRefused (0, or past the end), ChangelogUserUnknown, ChangelogUnavailable.
        Repeating the last clear is allowed and keeps a quiet user alive.
        """

    def close(self) -> None:
        """Close; closing twice is fine."""

    def wake(self) -> None:
        """Make a `read` that waits return b"" at once, now or the next time."""

    @property
    def ended(self) -> bool:
        """Whether no record will ever come again (a recording at its end); a live source says False."""
