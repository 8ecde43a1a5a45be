"""Runs of `transfer`: files are copied to an endpoint by rsync or rclone, as the owner of each file.

The endpoint is read from this node's own file, and the program must be approved here as it is. What is copied is
what was opened by its FID: the program gets its descriptor, so who swaps names meanwhile changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import unquote_to_bytes

from lustre_events.actions import transfer_commands
from lustre_events.actions.delivery import Delivery, Parcel
from lustre_events.actions.kinds import transfer
from lustre_events.actions.kinds.transfer import CopyOrder
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, GONE, OK, REFUSED, UNTRIED, Attempt
from lustre_events.actions.slurm_commands import Caller
from lustre_events.actions.transfer_commands import Copied, Copy
from lustre_events.changelog.fid import FID
from lustre_events.domain.rules import transfers
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import JobItem
from lustre_events.llapi.openat2 import open_beneath
from workers.contract import readable
from workers.copy_views import view_of
from workers.files import Files, OpenFile
from workers.many_copies import NOT_THERE, PORTION, QUOTE, CopyItem, ManyCopies, Unfit
from workers.privileges import Account
from workers.rights import OwnerRefused, Rights
from workers.tree_listing import ListedFile, listing

MARGIN_NS = 2 * SECOND_NS
ON_TAPE = "HSM has its content on tape"
MEANWHILE = "it went away, or became another file, while it was copied"


@dataclass(frozen=True, slots=True)
class Piece:
    """One run's file: open, with the path that it gets at the endpoint, and its state before it was copied."""

    event: Parcel
    file: OpenFile
    name: bytes
    state: tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Found:
    """What a run is about, open, and what is to be done with it."""

    order: CopyOrder
    file: OpenFile

    @property
    def is_many(self) -> bool:
        """Whether it stands for many files."""
        return self.order.directory or self.order.outputs is not None


@dataclass(frozen=True, slots=True)
class Transfers:
    """Copies files."""

    endpoints: Callable[[], Mapping[str, Endpoint]]
    files: Files
    rights: Rights
    copy: Copy = transfer_commands.copy
    clock: Callable[[], int] = time.time_ns
    portion: int = PORTION
    """How many files of one run are copied together."""

    def attempts(self, delivery: Delivery) -> Iterator[tuple[Parcel, Attempt]]:
        """Yield how it went for each run of a delivery."""
        try:
            endpoint = self._endpoint(transfers.target_of(delivery.endpoint))
        except ConfigError as exc:
            yield from ((event, Attempt(ENDPOINT, error=readable(exc))) for event in delivery.events)
            return
        if self.clock() > delivery.expires_ns - MARGIN_NS - int(endpoint.timeout_seconds * SECOND_NS):
            late = Attempt(UNTRIED, error="it came too late to end within its lease")
            yield from ((event, late) for event in delivery.events)
            return
        ends_ns = self.clock() + int(endpoint.timeout_seconds * SECOND_NS)
        with contextlib.ExitStack() as stack:
            of_owners: defaultdict[int, list[Piece]] = defaultdict(list)
            for event in delivery.events:
                found = self._found(event, stack)
                if isinstance(found, _Found) and found.is_many:
                    yield event, self._many(endpoint, found, ends_ns)
                    continue
                piece = found if isinstance(found, Attempt) else self._piece(endpoint, event, found)
                if isinstance(piece, Attempt):
                    yield event, piece
                else:
                    of_owners[piece.file.uid].append(piece)
            for uid, pieces in of_owners.items():
                yield from self._of_owner(endpoint, uid, pieces, ends_ns)

    def _endpoint(self, name: str) -> Endpoint:
        """Return the endpoint, which is approved as it is. Raises ConfigError."""
        endpoint = self.endpoints().get(name)
        if endpoint is None or endpoint.kind != transfers.KIND:
            raise ConfigError(f"no endpoint {name!r} for transfers is here; see [actions] endpoints on this node")
        transfer_commands.check_approved(endpoint, self.rights.approved())
        if transfers.scheme_of(endpoint.url) == "file":
            folder = os.path.realpath(b"/" + transfers.path_of(endpoint.url).strip(b"/"))
            mount = os.path.realpath(self.files.mount)
            if os.path.commonpath([folder, mount]) == mount:
                raise ConfigError(f"{endpoint.url} is in the file system that is watched: copies would fire rules")
        return endpoint

    def _found(self, event: Parcel, stack: contextlib.ExitStack) -> _Found | Attempt:
        """Return what a run is about, open until the stack ends, or how its attempt ends without it."""
        try:
            order = transfer.read(event.body)
            file = self.files.open(JobItem(FID.parse(order.fid), 0, unquote_to_bytes(order.path)))
        except (ConfigError, ValueError) as exc:
            return Attempt(REFUSED, error=readable(exc))
        except OSError as exc:
            return Attempt(AGAIN, error=f"the file cannot be opened: {readable(exc.strerror)}")
        if file is None:
            return Attempt(GONE, error=f"the {'directory' if order.directory else 'file'} is not there any more")
        stack.enter_context(file)
        return _Found(order, file)

    def _piece(self, endpoint: Endpoint, event: Parcel, found: _Found) -> Piece | Attempt:
        """Return an open file with the path that it gets, or why it is not copied."""
        order, file = found.order, found.file
        if not file.regular or file.released:
            why = ON_TAPE if file.regular else "it is not a regular file"
            return Attempt(REFUSED, error=f"{why}, so it is not copied")
        name = self._name(file, order)
        if name is None:
            return Attempt(REFUSED, error=f"it is not below /{readable(order.strip)}, which `strip` names")
        if transfers.scheme_of(endpoint.url) == "rclone" and QUOTE in name:
            return Attempt(REFUSED, error="its name has a U+201B, which rclone takes for its own sign")
        return Piece(event, file, name, _state(file))

    def _name(self, file: OpenFile, order: CopyOrder) -> bytes | None:
        """Return the path that a file or directory gets at the endpoint; None: it is not below `strip`."""
        inside = file.path.removeprefix(self.files.mount.rstrip(b"/")).strip(b"/")
        return stripped(inside, order, whole=order.directory)

    # Many files of one run

    def _many(self, endpoint: Endpoint, found: _Found, ends_ns: int) -> Attempt:
        """Copy all that is below a directory, or what a container has made of a file, as its owner."""
        many = ManyCopies(endpoint, self.copy, self.clock, self.portion)
        try:
            account = self.rights.owner(found.file.uid)
            if found.order.outputs is not None:
                wanted, closed = self._outputs(found)
                return many.attempt(wanted, account, ends_ns, closed=closed)
            return self._tree(many, found, account, ends_ns)
        except OwnerRefused as exc:
            return Attempt(REFUSED, error=readable(exc))
        except OSError as exc:
            return Attempt(AGAIN, error=f"the directory cannot be listed: {readable(exc.strerror or exc)}")

    def _tree(self, many: ManyCopies, found: _Found, account: Account | None, ends_ns: int) -> Attempt:
        name = self._name(found.file, found.order)
        if name is None:
            return Attempt(REFUSED, error=f"it is not below /{readable(found.order.strip)}, which `strip` names")
        if not stat.S_ISDIR(os.fstat(found.file.fd).st_mode):
            return Attempt(REFUSED, error="it is not a directory any more")
        tree = listing(found.file.fd, account)
        prefix = name + b"/" if name else b""
        wanted = [
            CopyItem(prefix + each.path, partial(self._member, found.file.fd, each), each.size)
            for each in tree.files
        ]
        closed = [(prefix + path, why) for path, why in tree.closed]
        return many.attempt(wanted, account, ends_ns, closed=closed, others=tree.others)

    def _member(self, folder: int, listed: ListedFile) -> int:
        """Open a file that was listed, and no other one that has its name now. Raises Unfit, OSError."""
        try:
            fd = open_beneath(folder, listed.path, os.O_PATH | os.O_NOFOLLOW)
        except OSError as exc:
            if exc.errno in NOT_THERE:
                raise Unfit(MEANWHILE, later=True) from exc
            raise
        facts = os.fstat(fd)
        if (facts.st_dev, facts.st_ino) != (listed.device, listed.inode):
            os.close(fd)
            raise Unfit(MEANWHILE, later=True)
        return self._on_disk(fd)

    def _outputs(self, found: _Found) -> tuple[list[CopyItem], list[tuple[bytes, str]]]:
        """Return what a container has made, by its paths, and what lies elsewhere than `strip` says."""
        paths = [unquote_to_bytes(each).strip(b"/") for each in found.order.outputs or ()]
        named = [(path, stripped(path, found.order)) for path in paths]
        why = f"it is not below /{readable(found.order.strip)}, which `strip` names"
        wanted = [CopyItem(name, partial(self._output, path, found.file.uid)) for path, name in named if name]
        return wanted, [(path, why) for path, name in named if not name]

    def _output(self, path: bytes, uid: int) -> int:
        """Open an output, which must belong to the owner of the run's own file. Raises Unfit, OSError."""
        fd = self.files.open_path(path)
        owner = os.fstat(fd).st_uid
        if owner != uid:
            os.close(fd)
            raise Unfit(f"it belongs to uid {owner} now")
        return self._on_disk(fd)

    def _on_disk(self, fd: int) -> int:
        """Return a descriptor of a regular file whose content is there; else close it. Raises Unfit, OSError."""
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Unfit("it is not a regular file")
            if self.files.is_released(fd):
                raise Unfit(ON_TAPE)
        except (Unfit, OSError):
            os.close(fd)
            raise
        return fd

    def _of_owner(
        self, endpoint: Endpoint, uid: int, pieces: Sequence[Piece], ends_ns: int
    ) -> Iterator[tuple[Parcel, Attempt]]:
        """Yield how it went for the files of one owner, which are copied together."""
        try:
            account = self.rights.owner(uid)
        except OwnerRefused as exc:
            yield from ((piece.event, Attempt(REFUSED, error=readable(exc))) for piece in pieces)
            return
        user = None if account is None else Caller(account.uid, account.gid, account.groups)
        left = max(1.0, (ends_ns - self.clock()) / SECOND_NS)
        try:
            with view_of([(piece.name, piece.file.fd) for piece in pieces], account) as view:
                copied = self.copy(endpoint, view, user, left)
        except OSError as exc:
            long = exc.errno == errno.ENAMETOOLONG
            copied = Copied(
                REFUSED if long else AGAIN, f"no list of files can be made: {exc.strerror}", of_file=True
            )
        for piece in pieces:
            yield piece.event, _attempt(piece, copied, len(pieces) - 1)


def _attempt(piece: Piece, copied: Copied, together: int) -> Attempt:
    """Return how an attempt ended for one of several files that were copied together."""
    if copied.outcome != OK:
        if copied.of_file and together:
            return Attempt(REFUSED, error=readable(copied.error), together=together)  # each one is tried alone
        return Attempt(copied.outcome, error=readable(copied.error))
    if _state(piece.file) != piece.state:
        return Attempt(AGAIN, error="the file changed while it was copied")
    return Attempt(OK)


def _state(file: OpenFile) -> tuple[int, int]:
    facts = os.fstat(file.fd)
    return facts.st_size, facts.st_mtime_ns


def stripped(path: bytes, order: CopyOrder, *, whole: bool = False) -> bytes | None:
    """Return a path from the mount point on without what `strip` says; None: it is not below that.

    `whole`: it may be that itself, and is empty then.
    """
    strip = os.fsencode(order.strip)
    if whole and path == strip:
        return b""
    if not strip:
        return path
    return path.removeprefix(strip + b"/") if path.startswith(strip + b"/") else None
