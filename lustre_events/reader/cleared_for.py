"""For which changelog user the MDT has accepted a clear: kept in Redis beside the mark (see clearing.py)."""

from __future__ import annotations

from lustre_events.changelog.users import number
from lustre_events.streams.interface import ReaderStream


class ClearedFor:
    """The id for which the MDT has accepted a clear, and up to where, as it is kept in Redis; "": none."""

    def __init__(self, stream: ReaderStream) -> None:
        self._stream = stream
        self._kept = ""
        self.user = ""
        self.index = 0

    def load(self, mark: int) -> None:
        """Read what is kept; where that has no index, it is the mark. This process knows what Redis lost."""
        self._kept = self._stream.cleared_for()
        user, _, index = self._kept.partition(" ")
        self.user = user or self.user
        self.index = int(index or mark)

    def keep(self, user: str) -> None:
        """Keep that the MDT accepted a clear for this user, up to its present mark."""
        self.user = user
        self._write(user)

    def keep_index(self) -> None:
        """Keep the index too: the mark may advance without a clear."""
        self._write(f"{self.user} {self.index}")

    def forget(self) -> None:
        """Keep nothing."""
        self.user = ""
        self._write("")

    def _write(self, text: str) -> None:
        if self._kept != text:
            self._stream.set_cleared_for(text)
            self._kept = text

    def is_for(self, user: str) -> bool:
        """Whether the MDT has accepted a clear for that id."""
        return bool(self.user) and number(self.user) == number(user)
