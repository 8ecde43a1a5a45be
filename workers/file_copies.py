"""Runs of `transfer`: files are copied to an endpoint by rsync or rclone, as the owner of each file.

The endpoint is read from this node's own file, and the program must be approved here as it is. What is copied is
what was opened by its FID: the program gets its descriptor, so who swaps names meanwhile changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
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
from lustre_events.actions.ledger import AGAIN, ENDPOINT, GONE, OK, REFUSED, UNTRIED, Attempt
from lustre_events.actions.slurm_commands import Caller
from lustre_events.actions.transfer_commands import Copied, Copy, Sources
from lustre_events.changelog.fid import FID
from lustre_events.domain.pending import SECOND_NS
from lustre_events.domain.rules import transfers
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError
from lustre_events.jobs.messages import JobItem
from workers.acting import as_owner
from workers.contract import readable
from workers.files import Files, OpenFile
from workers.privileges import Account
from workers.rights import OwnerRefused, Rights

MARGIN_NS = 2 * SECOND_NS
PREFIX = "lustre-events-transfer-"
_QUOTE = "\u201b".encode()
"""What rclone writes instead of bytes that it cannot; a name with it comes to nothing."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One run's file: open, with the path that it gets at the endpoint, and its state before it was copied."""

    event: Parcel
    file: OpenFile
    name: bytes
    state: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Transfers:
    """Copies files."""

    endpoints: Callable[[], Mapping[str, Endpoint]]
    files: Files
    rights: Rights
    copy: Copy = transfer_commands.copy
    clock: Callable[[], int] = time.time_ns

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
                found = self._piece(endpoint, event, stack)
                if isinstance(found, Attempt):
                    yield event, found
                else:
                    of_owners[found.file.uid].append(found)
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

    def _piece(self, endpoint: Endpoint, event: Parcel, stack: contextlib.ExitStack) -> Piece | Attempt:
        """Return a run's file, or how its attempt ends without one."""
        try:
            order = transfer.read(event.body)
            file = self.files.open(JobItem(FID.parse(order.fid), 0, unquote_to_bytes(order.path)))
        except (ConfigError, ValueError) as exc:
            return Attempt(REFUSED, error=readable(exc))
        except OSError as exc:
            return Attempt(AGAIN, error=f"the file cannot be opened: {readable(exc.strerror)}")
        if file is None:
            return Attempt(GONE, error="the file is not there any more")
        return self._named(endpoint, event, order, stack.enter_context(file))

    def _named(self, endpoint: Endpoint, event: Parcel, order: CopyOrder, file: OpenFile) -> Piece | Attempt:
        """Return an open file with the path that it gets, or why it is not copied."""
        if not file.regular or file.released:
            why = "HSM has its content on tape" if file.regular else "it is no regular file"
            return Attempt(REFUSED, error=f"{why}, so it is not copied")
        name = self._name(file, os.fsencode(order.strip))
        if name is None:
            return Attempt(REFUSED, error=f"it is not below /{readable(order.strip)}, which `strip` names")
        if transfers.scheme_of(endpoint.url) == "rclone" and _QUOTE in name:
            return Attempt(REFUSED, error="its name has a U+201B, which rclone takes for its own sign")
        return Piece(event, file, name, _state(file))

    def _name(self, file: OpenFile, strip: bytes) -> bytes | None:
        """Return the path that a file gets at the endpoint; None: it is not below `strip`."""
        inside = file.path.removeprefix(self.files.mount.rstrip(b"/")).strip(b"/")
        if not strip:
            return inside
        return inside.removeprefix(strip + b"/") if inside.startswith(strip + b"/") else None

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
            with _view(pieces, account) as view:
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


@contextlib.contextmanager
def _view(pieces: Sequence[Piece], account: Account | None) -> Iterator[Sources]:
    """Give a directory that has, at each file's path, a link to its descriptor; its user makes and removes it."""
    folder = os.fsencode(as_owner(account, partial(_make_view, pieces), OwnerRefused))
    try:
        names = list(dict.fromkeys(piece.name for piece in pieces))
        yield Sources(folder, names, [piece.file.fd for piece in pieces])
    finally:
        as_owner(account, partial(shutil.rmtree, folder, ignore_errors=True), OwnerRefused)


def _make_view(pieces: Sequence[Piece]) -> str:
    folder = tempfile.mkdtemp(prefix=PREFIX)
    try:
        for piece in pieces:
            path = os.fsencode(folder) + b"/" + piece.name
            os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)  # noqa: PTH103, PTH120 - bytes
            with contextlib.suppress(FileExistsError):  # two runs of one file
                os.symlink(b"/proc/self/fd/%d" % piece.file.fd, path)  # noqa: PTH211 - bytes
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder
