"""Numbers at the edges of what a database can hold."""

from __future__ import annotations

from hypothesis import strategies as st

from lustre_events.domain.bounds import LEAST, MOST

NUMBERS = ("size", "mtime_ns", "ctime_ns", "atime_ns", "uid", "gid", "mode", "nlink")


any_number = st.integers(-(1 << 127), (1 << 128) - 1) | st.sampled_from([LEAST - 1, LEAST, MOST, MOST + 1, 1 << 64])
