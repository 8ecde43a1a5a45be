"""The changelog of an MDT as an object, and the two functions that need no handle.

    with Changelog.open(load(), "lustre-MDT0000") as changelog:
        changelog.set_xflags(ALL_EXTRA)
        while (raw := changelog.recv()) is not None:
            record, _ = decode_record(raw)

Two ways to read, and one handle should use only one of them: `recv` (one record, repacked by the library to
what was asked for), or `fileno` with poll and reads of 64 KiB or more (whole raw records with every extension).
"""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from types import TracebackType
from typing import Self

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import MAX_RECORD_BYTES, record_size
from lustre_events.errors import ChangelogBroken, ChangelogError, ChangelogRefused, RecordDecodeError
from lustre_events.llapi.loader import Library
from lustre_events.llapi.return_codes import CLEAR, FID2PATH, READ, START, START_USER, failure
from lustre_events.llapi.signatures import ChangelogRec, ExtraFlag, Flag

READ_ALL = Flag.JOBID | Flag.EXTRA_FLAGS
CLOSE_WAIT_SECONDS = 10.0
_MAX_INDEX = (1 << 63) - 1
_PATH_BYTES = 4096
_MAX_PATH_BYTES = 1 << 20


class Changelog:
    """An open changelog. Made by `open`; a context manager that closes.

    A lock keeps every C call on the handle apart from `close`: freeing a handle while another thread is in
    `recv` would be a use after free in the library. Threads that want to read at once open one handle each.
    """

    def __init__(self, library: Library, mdt: str, handle: ctypes.c_void_p) -> None:
        self.mdt = mdt
        self._library = library
        self._handle: ctypes.c_void_p | None = handle
        self._lock = threading.Lock()
        self._broken: ChangelogError | None = None

    @classmethod
    def open(
        cls, library: Library, mdt: str, startrec: int = 0, flags: Flag = READ_ALL, *, user: str = "", mask: int = 0
    ) -> Self:
        """Open the changelog of `mdt` at the first record whose index is not below `startrec`.

        A startrec in the purged range begins, without a word, at the oldest record left. With `user` the
        kernel filters to `mask` (bits 1 << RecordType; 0: the mask the user was registered with).

        Raises:
            ChangelogUnavailable: no such MDT, or no rights.
            ChangelogRefused: a name or an index that cannot be.
            ChangelogUserUnknown: `user` is not registered.
            LibraryMissing: `user` was given, and the library is older than Lustre 2.17.50.
        """
        handle = ctypes.c_void_p()
        device = _text(mdt, mdt)
        if startrec > _MAX_INDEX:
            raise failure(START, errno.EINVAL, mdt=mdt, index=startrec)
        if not user:
            code = library.call("llapi_changelog_start", ctypes.byref(handle), int(flags), device, startrec)
        else:
            code = library.call(
                "llapi_changelog_start_user",
                ctypes.byref(handle), int(flags), device, _text(user, mdt), mask, startrec,
            )  # fmt: skip
        if code >= 0:
            return cls(library, mdt, handle)
        if handle.value is None:
            raise failure(START, -code, mdt=mdt, index=startrec)
        # Seen on a live Lustre: start_user for an unknown user fails but leaves an unfiltered handle behind.
        library.call("llapi_changelog_fini", ctypes.byref(handle))
        raise failure(START_USER, -code, mdt=mdt, user=user)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def set_xflags(self, flags: ExtraFlag) -> None:
        """Say which extra extensions `recv` is to give; right after `open`, which must have EXTRA_FLAGS."""
        with self._lock:
            code = self._library.call("llapi_changelog_set_xflags", self._open_handle(), int(flags))
        if code < 0:
            raise failure(READ, -code, mdt=self.mdt)

    def recv(self) -> bytes | None:
        """Return the next record as on the wire, None at the end.

        Without FOLLOW the end is final: the handle never sees a later record. With FOLLOW this waits for ever;
        to wait with a deadline use poll on `fileno` while `in_buf` is False. A signal handler may raise
        out of this; no record is lost then.

        Raises:
            ChangelogBroken: the handle is dead, now and on every later call.
            BlockingIOError: `fileno` was made non-blocking, and nothing is there.
        """
        with self._lock:
            if self._broken is not None:
                raise self._broken
            try:
                return self._recv()
            except ChangelogError as exc:
                # What follows on this handle could leave a record out.
                self._broken = exc
                raise

    def _recv(self) -> bytes | None:
        handle = self._open_handle()
        record = ctypes.POINTER(ChangelogRec)()
        while True:
            try:
                code = self._library.call("llapi_changelog_recv", handle, ctypes.byref(record))
                if code == 0:
                    return self._wire_bytes(record)
            finally:
                if record:
                    self._library.call("llapi_changelog_free", ctypes.byref(record))
            if code == 1:
                return None
            if code == -errno.EAGAIN:
                raise BlockingIOError(errno.EAGAIN, f"{self.mdt}: no record yet")
            if code != -errno.EINTR:
                raise failure(READ, -code, mdt=self.mdt)

    def _wire_bytes(self, record: ctypes._Pointer[ChangelogRec]) -> bytes:
        if not record:
            # The library found no memory for its copy, and has moved on: the record is gone from this handle.
            raise failure(READ, errno.ENOMEM, mdt=self.mdt)
        # A view that claims the largest size; only the bytes that belong to the record are touched.
        view = (ctypes.c_char * MAX_RECORD_BYTES).from_address(ctypes.addressof(record.contents))
        try:
            size = record_size(memoryview(view).cast("B"))
        except RecordDecodeError as exc:
            raise ChangelogBroken(
                f"{self.mdt}: the library gave something that is not a record ({exc}); "
                "check that its version fits this program"
            ) from exc
        return ctypes.string_at(record, size)

    def in_buf(self) -> bool:
        """Whether `recv` has records in the library's own buffer, of which poll knows nothing.

        Raises LibraryMissing where the library is older than Lustre 2.13.
        """
        with self._lock:
            return self._library.call("llapi_changelog_in_buf", self._open_handle()) > 0

    def fileno(self) -> int:
        """Return the descriptor of the device, for poll and for raw reads. It belongs to this object."""
        with self._lock:
            descriptor = self._library.call("llapi_changelog_get_fd", self._open_handle())
        if descriptor < 0:
            raise failure(READ, -descriptor, mdt=self.mdt)
        return descriptor

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._handle is None

    def close(self) -> None:
        """Close; closing twice is fine.

        Raises:
            ChangelogRefused: another thread has been in `recv` for ten seconds. Closing would not wake it.
        """
        if not self._lock.acquire(timeout=CLOSE_WAIT_SECONDS):
            raise ChangelogRefused(
                f"{self.mdt}: cannot close the changelog while another thread waits in recv; "
                "let that thread wait with poll and a timeout, and close when it has ended"
            )
        try:
            handle, self._handle = self._handle, None
            if handle is not None:
                self._library.call("llapi_changelog_fini", ctypes.byref(handle))
        finally:
            self._lock.release()

    def _open_handle(self) -> ctypes.c_void_p:
        if self._handle is None:
            raise ChangelogBroken(f"{self.mdt}: this changelog is closed; open it again", errno.EBADF)
        return self._handle


def clear(library: Library, mdt: str, user: str, endrec: int) -> None:
    """Tell the MDT that `user` (`cl1`, `cl1-name`) needs no record up to `endrec`.

    Repeating the last clear is allowed and keeps a quiet user alive. 0 is refused here: the library takes it
    for "everything up to now", records included that nobody has read (man llapi_changelog_clear).

    Raises:
        ChangelogRefused: 0 or below, behind the last record, or no changelog user's id.
        ChangelogUserUnknown: the user is not registered, **or** has cleared more already: the MDT answers both
            with ENOENT.
        ChangelogUnavailable: no such MDT, no rights, or the MDT does not answer.
    """
    if endrec <= 0:
        raise ChangelogRefused(
            f"{mdt}: refused to clear up to {endrec} for {user}: 0 would clear every record; "
            "give the index of the last record that is safe",
            errno.EINVAL,
        )
    if endrec > _MAX_INDEX:
        raise failure(CLEAR, errno.EINVAL, mdt=mdt, user=user, index=endrec)
    code = library.call("llapi_changelog_clear", _text(mdt, mdt), _text(user, mdt), endrec)
    if code == -errno.ENOENT:
        # A third meaning of ENOENT is a device that is not there; opening it tells, with an error of its own.
        Changelog.open(library, mdt).close()
    if code < 0:
        raise failure(CLEAR, -code, mdt=mdt, user=user, index=endrec)


def fid2path(library: Library, mount: str | bytes, fid: FID) -> list[bytes]:
    """Return all names that `fid` has now, as paths relative to the root of the file system at `mount`.

    The root directory's is b"". An object that is gone has none: []. A name that comes or goes meanwhile
    may be in the answer or not.

    Raises:
        ChangelogUnavailable: not a Lustre mount, or no rights.
        ChangelogRefused: not a FID of this file system.
    """
    paths: dict[bytes, None] = {}
    size = _PATH_BYTES
    link = 0
    while True:
        buffer = ctypes.create_string_buffer(size)
        # In: which name; out: one more if there are further names, else unchanged.
        linkno = ctypes.c_int(link)
        recno = ctypes.c_longlong(-1)
        code = library.call(
            "llapi_fid2path",
            _text(mount, str(fid)), str(fid).encode(), buffer, size, ctypes.byref(recno), ctypes.byref(linkno),
        )  # fmt: skip
        if code in (-errno.ERANGE, -errno.EOVERFLOW) and size < _MAX_PATH_BYTES:
            size *= 4
            continue
        if code in (-errno.ENOENT, -errno.ESTALE):
            return []
        if code < 0:
            raise failure(FID2PATH, -code, mount=os.fsdecode(mount), fid=fid)
        paths[buffer.value] = None
        if linkno.value == link:
            return list(paths)
        link = linkno.value


def _text(value: str | bytes, what: str) -> bytes:
    text = os.fsencode(value)
    if b"\0" in text:
        raise ChangelogRefused(f"{what!r}: {value!r} holds a zero byte; correct the name", errno.EINVAL)
    return text
