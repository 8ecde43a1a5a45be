"""The changelog of a Lustre MDT, read from its device in large blocks.

liblustreapi opens the device; the records are then read from its descriptor without the library, which is
several times faster and gives the same bytes with every extension. Where a server sends an extension that
this version does not know (so that the record's length is unknown), the library's own `recv` takes over.

Facts that shape this module (seen on a live Lustre): the kernel starts to read only when somebody polls; it
never splits a record over two reads, but gives 0, like the end, when the buffer is smaller than the next
record; with FOLLOW it looks for new records once a second; a client that was unmounted stays silent for ever.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import re
import select
import time
import weakref
from pathlib import Path

from lustre_events import llapi
from lustre_events.changelog.record import HEADER_BYTES, scan
from lustre_events.errors import (
    ChangelogBroken,
    ChangelogError,
    ChangelogUnavailable,
    ChangelogUserUnknown,
    LibraryMissing,
    RecordDecodeError,
    UnknownExtension,
)
from lustre_events.llapi.return_codes import READ, failure

READ_BYTES = 256 << 10
"""One read. More than any record, and more than the 1,024 records that the kernel reads ahead usually have."""
FLAGS = llapi.Flag.FOLLOW | llapi.READ_ALL
PEEK_SECONDS = 10.0
BUSY_SECONDS = 10.0
"""An MDT is busy this long after its last records."""
DEVICES = Path("/dev")
MOUNTS = Path("/proc/self/mounts")

_DEVICE_PREFIX = "changelog-"
_MDT = re.compile(r".+-MDT[0-9a-f]{4}\Z")

log = logging.getLogger(__name__)


def discover(devices: Path = DEVICES) -> list[str]:
    """Return the MDTs whose changelog can be read on this node, sorted; [] where no Lustre is mounted."""
    names = (path.name.removeprefix(_DEVICE_PREFIX) for path in devices.glob(f"{_DEVICE_PREFIX}*"))
    return sorted(name for name in names if _MDT.match(name))


class LustreSource:
    """The changelog of one MDT, through liblustreapi; see `sources.interface.Source`.

    "Caught up" means: the kernel had nothing more to give. It looks for new records once a second, so a record
    can exist for that long before it is seen here.
    """

    lag_seconds = 2.0
    """The kernel looks once a second, and an MDT that is busy may answer late."""

    def __init__(
        self,
        mdt: str,
        library: str = "",
        *,
        reopen_seconds: float = 0.0,
        busy_seconds: float = BUSY_SECONDS,
        mounts: Path = MOUNTS,
    ) -> None:
        """Open nothing yet.

        Args:
            mdt: the MDT's name.
            library: the path of liblustreapi.so, empty for the usual places; it is loaded by the first call.
            reopen_seconds: while nothing comes open the changelog again this often: a new handle sees new records
                at once, an old one when the kernel looks, once a second. 0: never.
            busy_seconds: how long after its last records an MDT is opened again; a quiet one costs nothing more.
            mounts: the kernel's list of mounts.
        """
        self.mdt = mdt
        self.handle = 0
        self._reopen_seconds = reopen_seconds or math.inf
        self._reopen_at = math.inf
        self._busy_seconds = busy_seconds
        self._busy_until = -math.inf
        self._library_path = library
        self._library: llapi.Library | None = None
        self._mounts = mounts
        self._was_mounted = False
        self._changelog: llapi.Changelog | None = None
        self._descriptor = -1
        self._next_index = 0
        self._failure: ChangelogError | None = None
        self._through_library = False
        self._woken = False
        self._poll = select.poll()
        # It lives as long as this object: `wake` may come at any time, also while another thread closes.
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        weakref.finalize(self, os.close, self._wake)

    def open(self, start_index: int) -> None:
        """Begin at the first record whose index is not below `start_index` (0: the oldest one left).

        Raises ChangelogUnavailable, ChangelogRefused, LibraryMissing.
        """
        self.close()
        self._check_mount(ChangelogUnavailable)
        changelog = llapi.Changelog.open(self._loaded(), self.mdt, start_index, FLAGS)
        self._changelog = changelog
        changelog.set_xflags(llapi.ALL_EXTRA)
        self._descriptor = changelog.fileno()
        os.set_blocking(self._descriptor, False)
        self._poll = select.poll()
        self._poll.register(self._descriptor, select.POLLIN)
        self._poll.register(self._wake, select.POLLIN)
        self._next_index = start_index
        self._plan_to_reopen()
        self.handle += 1

    def read(self, limit_bytes: int, timeout_seconds: float) -> bytes:
        """Return whole raw records, in order; b"" when nothing came in time or `wake` was called.

        The answer can be longer than `limit_bytes` by what one read gives.
        Raises ChangelogBroken (open again at the last index + 1).
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            changelog = self._opened()
            data = self._gather(changelog, limit_bytes)
            if data:
                self._busy_until = time.monotonic() + self._busy_seconds
                self._plan_to_reopen()
                data = self._whole(data)
                if data:
                    return data
            elif self._failure is None and not self._wait(min(deadline, self._reopen_at)):
                self._check_mount(ChangelogBroken)
                if self._woken or time.monotonic() >= deadline:
                    self._woken = False
                    return b""
                self._open_again()

    def peek(self, start_index: int) -> bytes:
        """Return the header of the first record whose index is not below `start_index`, b"" for none.

        Raises ChangelogBroken, ChangelogUnavailable (also when nothing is answered in time: a client that was
        unmounted is silent).
        """
        deadline = time.monotonic() + PEEK_SECONDS
        with llapi.Changelog.open(self._loaded(), self.mdt, start_index, llapi.READ_ALL) as changelog:
            descriptor = changelog.fileno()
            os.set_blocking(descriptor, False)
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            while poll.poll(max(0, math.ceil(1000 * (deadline - time.monotonic())))):
                try:
                    return os.read(descriptor, READ_BYTES)[:HEADER_BYTES]
                except BlockingIOError:
                    continue
                except OSError as exc:
                    raise failure(READ, exc.errno or errno.EIO, mdt=self.mdt) from exc
        raise ChangelogUnavailable(
            f"{self.mdt}: the changelog was silent for {PEEK_SECONDS:.0f} s; check that the MDT is up: "
            "lfs check mds",
            errno.ETIMEDOUT,
        )

    def knows(self, user: str) -> bool | None:
        """Return whether a changelog user is registered; None: the library is older than Lustre 2.17.50.

        Raises ChangelogUnavailable.
        """
        try:
            llapi.Changelog.open(self._loaded(), self.mdt, 0, llapi.READ_ALL, user=user).close()
        except ChangelogUserUnknown:
            return False
        except LibraryMissing:
            return None
        return True

    def clear(self, user: str, index: int) -> None:
        """Tell the MDT that `user` no longer needs any record up to `index`; see `llapi.clear`."""
        llapi.clear(self._loaded(), self.mdt, user, index)

    def close(self) -> None:
        """Close; closing twice is fine."""
        changelog, self._changelog = self._changelog, None
        self._failure = None
        self._descriptor = -1
        if changelog is not None:
            changelog.close()

    def wake(self) -> None:
        """Make a `read` that waits return b"" at once, now or the next time; from any thread or signal handler."""
        os.eventfd_write(self._wake, 1)

    @property
    def ended(self) -> bool:
        """A live changelog never ends."""
        return False

    def _loaded(self) -> llapi.Library:
        if self._library is None:
            self._library = llapi.load(self._library_path)
        return self._library

    def _opened(self) -> llapi.Changelog:
        if self._failure is not None:
            raise self._failure
        if self._changelog is None:
            raise ChangelogBroken(f"{self.mdt}: the changelog is not open; open it first")
        return self._changelog

    def _gather(self, changelog: llapi.Changelog, limit_bytes: int) -> bytes:
        """Return what is there now, b"" for nothing; a failure is kept for when that has been returned."""
        blocks: list[bytes] = []
        size = 0
        try:
            while size < max(limit_bytes, 1):
                block = changelog.recv() if self._through_library else os.read(self._descriptor, READ_BYTES)
                if not block:
                    self._failure = ChangelogBroken(
                        f"{self.mdt}: the changelog ended, although it was opened to be followed; "
                        "open it again at the last index + 1"
                    )
                    break
                blocks.append(block)
                size += len(block)
        except BlockingIOError:
            pass
        except ChangelogBroken as exc:
            self._failure = exc
        except OSError as exc:
            self._failure = failure(READ, exc.errno or errno.EIO, mdt=self.mdt)
        return b"".join(blocks)

    def _wait(self, deadline: float) -> bool:
        """Wait until there is something to read; False at the deadline or after `wake`."""
        remaining = max(0.0, deadline - time.monotonic())
        ready = dict(self._poll.poll(math.ceil(remaining * 1000)))
        if self._descriptor in ready:
            return True
        if self._wake in ready:
            os.eventfd_read(self._wake)
            self._woken = True
        return False

    def _plan_to_reopen(self) -> None:
        """Say when to open again if nothing comes: soon while the MDT is busy, else not at all."""
        at = time.monotonic() + self._reopen_seconds
        self._reopen_at = at if at <= self._busy_until else math.inf

    def _open_again(self) -> None:
        """Open at the next index, where a record may wait that the kernel would show later."""
        try:
            self.open(self._next_index)
        except ChangelogError as exc:
            self._failure = ChangelogBroken(str(exc), exc.errno)

    def _whole(self, data: bytes) -> bytes:
        """Return `data`, or the whole records at its beginning where something that cannot be read follows."""
        try:
            span = scan(data)
        except RecordDecodeError as exc:
            data = data[: exc.offset]
            span = scan(data)
            if span.count:
                self._next_index = span.last_index + 1
            if isinstance(exc, UnknownExtension) and not self._through_library:
                self._change_over(exc)
            else:
                self._failure = ChangelogBroken(
                    f"{self.mdt}: the changelog gave a record that is not whole ({exc}), to follow at index "
                    f"{self._next_index} or above; open it again there: nothing was lost"
                )
            return data
        self._next_index = span.last_index + 1
        return data

    def _change_over(self, reason: UnknownExtension) -> None:
        """Read through the library from here on: it leaves out the extensions that nobody asked for."""
        log.warning(
            "reading %s through liblustreapi from now on, which is slower: %s; upgrade lustre-events",
            self.mdt, reason, extra={"action": "change_over", "mdt": self.mdt, "next_index": self._next_index},
        )  # fmt: skip
        self._through_library = True
        self._open_again()

    def _check_mount(self, kind: type[ChangelogError]) -> None:
        """Raise if the client was mounted and is no more: then the device stays, and says nothing for ever.

        Reads only the kernel's list: any look at the file system itself could hang.
        """
        fsname = self.mdt.rpartition("-MDT")[0]
        source = re.compile(rb"^\S*:/" + re.escape(os.fsencode(fsname)) + rb"(/\S*)? \S+ lustre ", re.MULTILINE)
        mounted = source.search(self._mounts.read_bytes()) is not None
        if self._was_mounted and not mounted:
            raise kind(
                f"{self.mdt}: the file system {fsname} is no longer mounted on this node; mount it again",
                errno.ENODEV,
            )
        self._was_mounted = mounted
