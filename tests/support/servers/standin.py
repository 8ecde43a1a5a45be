"""Builds and drives the stand-in for liblustreapi (standin.c says what it does and what it does not model).

In the test's own process: `build` it, make a `Standin`, feed it, and give its path to the code under test.
In a child process: put `environment(...)` into the child's environment and the path into its settings.
"""

from __future__ import annotations

import ctypes
import errno
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.need import need

SOURCE = Path(__file__).with_name("standin.c")
FUTURE_EXTENSION = 0x20
"""An extra flag that the stand-in knows and lustre_events does not: 16 bytes behind the other extensions."""
FUTURE_BYTES = 16


def build(folder: Path, *, old: bool = False) -> Path:
    """Compile the stand-in into `folder` and return its path; `old`: without start_user and in_buf."""
    target = folder / ("liblustreapi-old.so" if old else "liblustreapi.so")
    return _compile(SOURCE, target, *(["-DSTANDIN_OLD"] if old else []))


def build_ioctl(folder: Path) -> Path:
    """Compile what a worker preloads to tell FIDs in the stand-in's tree (lustre_ioctl.c); return its path."""
    return _compile(SOURCE.with_name("lustre_ioctl.c"), folder / "lustre_ioctl.so")


def _compile(source: Path, target: Path, *more: str) -> Path:
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", *more]
    subprocess.run([need("gcc"), *flags, str(source), "-o", str(target)], check=True, timeout=60)
    return target


def environment(
    records: Mapping[str, Path], users: str = "cl1", state: Path | None = None, follow_ms: int = 0
) -> dict[str, str]:
    """Return the variables that make the stand-in serve files of raw records in another process.

    The files may grow while they are read. `state` gets a line `<mdt> <user> <position>` for each clear, and
    the stand-in obeys what stands there: also when the test appends `<mdt> <user> gone`. `follow_ms`: how often
    FOLLOW looks for new records, 0: at once.
    """
    variables = {
        "STANDIN_RECORDS": ":".join(f"{mdt}={path}" for mdt, path in records.items()),
        "STANDIN_USERS": users,
        "STANDIN_FOLLOW_MS": str(follow_ms),
    }
    return variables if state is None else {**variables, "STANDIN_STATE": str(state)}


def positions(state: Path) -> dict[tuple[str, str], int]:
    """Return the positions that a state file holds: (mdt, user) to the index cleared last; gone users not."""
    found: dict[tuple[str, str], int] = {}
    for line in state.read_text(encoding="utf-8").splitlines() if state.exists() else []:
        mdt, user, position = line.split()
        if position == "gone":
            found.pop((mdt, user), None)
        else:
            found[mdt, user] = int(position)
    return found


class Standin:
    """The stand-in in this process. One per library file: its state is the library's."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._c = ctypes.CDLL(self.path)
        self._c.standin_append.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
        self._c.standin_append.restype = ctypes.c_size_t
        self._c.standin_inject.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
        self._c.standin_register.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_uint32)
        self._c.standin_register.restype = ctypes.c_uint
        self._c.standin_position.restype = ctypes.c_longlong
        for name in ("leaks", "misuses", "clears"):
            self._c[f"standin_{name}"].restype = ctypes.c_long

    def reset(self) -> None:
        """Forget everything."""
        self._c.standin_reset()

    def add_mdt(self, mdt: str) -> None:
        """Make an MDT with an empty changelog."""
        self._c.standin_add_mdt(mdt.encode())

    def append(self, mdt: str, raw: bytes) -> None:
        """Let the MDT record raw records; they must be whole and in the order of their indexes."""
        assert self._c.standin_append(mdt.encode(), raw, len(raw)) == len(raw)

    def inject(self, mdt: str, raw: bytes) -> None:
        """Send bytes to the open handles as they are, e.g. a torn record."""
        self._c.standin_inject(mdt.encode(), raw, len(raw))

    def register(self, mdt: str, name: str = "", mask: int = 0) -> str:
        """Register a changelog user at the current end and return its id, e.g. `cl1`."""
        return f"cl{self._c.standin_register(mdt.encode(), name.encode(), mask)}"

    def deregister(self, mdt: str, user: str) -> None:
        """Deregister a user, as the MDS does with idle ones; without users all records go."""
        assert self._c.standin_deregister(mdt.encode(), user.encode()) == 0

    def position(self, mdt: str, user: str) -> int:
        """Return the index that the user cleared last, -1 if it is not registered."""
        return int(self._c.standin_position(mdt.encode(), user.encode()))

    def restart(self, mdt: str) -> None:
        """Restart the MDT: handles die; without a registered user the index begins anew."""
        self._c.standin_restart(mdt.encode())

    def fail_next(self, function: str, error: int = errno.EIO, times: int = 1) -> None:
        """Let the next calls of start, start_user, recv, clear or fid2path fail (recv, 0: out of memory)."""
        self._c.standin_fail_next(function.encode(), error, times)

    def set_follow(self, seconds: float) -> None:
        """Let FOLLOW look for new records only so often, as the kernel does every second; 0: at once."""
        self._c.standin_set_follow(ctypes.c_long(round(seconds * 1000)))

    def unmount(self, mdt: str) -> None:
        """Unmount the client: handles, also new ones, give nothing and do not fail."""
        self._c.standin_set_silent(mdt.encode(), 1)

    def mount(self, mdt: str) -> None:
        """Mount the client again."""
        self._c.standin_set_silent(mdt.encode(), 0)

    def set_mount(self, path: str) -> None:
        """Say where the file system is mounted (for fid2path)."""
        self._c.standin_set_mount(path.encode())

    def add_path(self, fid: str, path: bytes) -> None:
        """Give an object one more name."""
        self._c.standin_add_path(fid.encode(), path)

    def waiting(self, mdt: str) -> int:
        """Return how many threads wait in recv."""
        return int(self._c.standin_waiting(mdt.encode()))

    @property
    def leaks(self) -> int:
        """Records not freed and handles not closed."""
        return int(self._c.standin_leaks())

    @property
    def misuses(self) -> int:
        """Calls that are undefined behaviour in the real library."""
        return int(self._c.standin_misuses())

    @property
    def clears(self) -> int:
        """How many clears were accepted."""
        return int(self._c.standin_clears())
