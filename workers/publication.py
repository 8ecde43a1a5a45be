"""The outputs of a run, from a directory of its own into the one that they are for: all of them, the marker last.

    TARGET/.lustre-events/RUN-EXPIRY/...            what the program makes
    TARGET/.lustre-events/RUN-EXPIRY.plan/marker    that they are complete and checked, and their names
    TARGET/.NAME.ACTION.done                        the same file, when all of them are in TARGET

The plan decides. Without one, what a killed attempt has left is thrown away; with one, whoever comes next moves
what is left to move, and then the plan itself, which is the marker. An older marker goes away before that. So who
waits for the marker never sees half of the outputs, whatever was killed when.

All of this runs as the owner of the file (as_owner.py), on directories that are opened without following a link.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lustre_events.catalog.manifest import OutputLimits
from lustre_events.domain.rules.containers import STAGING, expiry_of, run_of
from lustre_events.llapi.openat2 import open_beneath
from workers.contract import readable

PLAN = b".plan"
MARKER = b"marker"
LATE_NS = 60 * 10**9
"""So long after its end an attempt of another run counts as dead."""
LONGEST_NAME = 200
TRIES = 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

Step = Callable[[str], None]
"""Called between any two steps, with a word for the one that is done: where tests kill it."""


class OutputsRefused(Exception):
    """Why outputs cannot be published, however often they are made."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the outputs of one attempt go: `directory` below the mount point; `name` is that of its directory."""

    mount: bytes
    directory: bytes
    marker: bytes
    name: bytes
    uid: int

    @property
    def staging(self) -> bytes:
        """The absolute path of the attempt's directory."""
        return b"/".join((self.target, STAGING, self.name)).replace(b"//", b"/")

    @property
    def target(self) -> bytes:
        """The absolute path of the directory where outputs go."""
        return b"/".join((self.mount.rstrip(b"/"), self.directory))


def marker_of(path: bytes, action: str) -> bytes:
    """Return the name of the marker of a file's outputs."""
    name = path.rpartition(b"/")[2]
    if len(name) > LONGEST_NAME:
        name = name[:100] + b"~" + hashlib.sha256(name).hexdigest()[:16].encode()
    return b".%b.%b.done" % (name, action.encode())


def prepare(place: Place, now_ns: int, step: Step) -> list[str] | None:
    """Make the attempt's directory, and look after what others have left.

    Return the names of what the run has published already; None: nothing, so go on.

    Raises:
        OutputsRefused: the target is not the owner's, or is none.
        OSError: the file system did not do it.
    """
    for _ in range(TRIES):
        with contextlib.suppress(FileNotFoundError):  # another run has just removed the empty directory of runs
            return _prepare(place, now_ns, step)
    raise OSError(errno.EAGAIN, "the directory of runs is removed again and again")


def _prepare(place: Place, now_ns: int, step: Step) -> list[str] | None:
    with _opened(place, make=True) as (target, staging):
        run = run_of(place.name)
        published = _published(target, place.marker)
        if published.get("run") == run:
            _clear(staging, [each for each in _names(staging) if run_of(each) == run])
            _remove_empty(target)
            return _outputs_of(published)
        for name in sorted(_attempts(staging), key=expiry_of):
            own = run_of(name) == run
            if not own and expiry_of(name) + LATE_NS > now_ns:
                continue
            if not _has_plan(staging, name) or (not own and _is_late(target, staging, name)):
                _clear(staging, [name, name + PLAN])
            elif own:
                return _finish(target, staging, name, step)
            else:
                with contextlib.suppress(OSError, OutputsRefused):  # that run's own error
                    _finish(target, staging, name, step)
        os.mkdir(place.name, 0o700, dir_fd=staging)
        step("prepared")
        return None


def publish(  # noqa: PLR0917 - adapters arrive as arguments
    place: Place,
    limits: OutputLimits,
    input_id: tuple[int, int],
    about: dict[str, str],
    step: Step,
    clock: Callable[[], int] = time.time_ns,
) -> list[str]:
    """Publish what an attempt has made; return the names. `input_id`: device and inode of the input.

    Raises:
        OutputsRefused: it is not what may be published.
        OSError: the file system did not do it: the next attempt goes on, or begins anew.
    """
    with _opened(place) as (target, staging):
        with _directory(staging, place.name) as made:
            names = _checked(made, place.uid, limits)
            _check_target(target, names, input_id)
            for name in names:
                _sync(name, made)
        step("checked")
        if clock() >= expiry_of(place.name):
            raise OSError(errno.ETIME, "its attempt has ended, and perhaps another one has begun")
        outputs = [os.fsdecode(name) for name in names]
        plan = {"run": run_of(place.name), "marker": os.fsdecode(place.marker), "outputs": outputs} | about
        os.mkdir(place.name + PLAN, 0o700, dir_fd=staging)
        step("made the plan's directory")
        with _directory(staging, place.name + PLAN) as folder:
            _write(folder, json.dumps(plan).encode())
            step("wrote the plan")
            os.rename(b"new", MARKER, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        step("planned")
        return _finish(target, staging, place.name, step)


def settle(place: Place) -> None:
    """Finish what an attempt has planned, or remove what it has left; nothing is there: all is well.

    Raises:
        OutputsRefused: the target is not there, or not the owner's any more, or its plan is none.
        FileNotFoundError: the mount point is not there.
        OSError: the file system did not do it.
    """
    with _target(place) as target:  # the file system is mounted
        with contextlib.suppress(FileNotFoundError), _opened(place) as (_, staging):  # or another run has swept it
            if _has_plan(staging, place.name) and not _is_late(target, staging, place.name):
                _finish(target, staging, place.name, lambda _step: None)
            else:
                _clear(staging, [place.name, place.name + PLAN])
        _remove_empty(target)


def discard(place: Place) -> None:
    """Remove an attempt that has come to nothing."""
    with contextlib.suppress(OSError, OutputsRefused), _opened(place) as (_, staging):
        if not _has_plan(staging, place.name):
            _clear(staging, [place.name, place.name + PLAN])
    with contextlib.suppress(OSError, OutputsRefused), _target(place) as target:
        _remove_empty(target)


def _outputs_of(plan: dict[str, Any]) -> list[str]:
    """Return the names of outputs that a plan has, which its owner could have written. Raises OutputsRefused."""
    found = plan.get("outputs")
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise OutputsRefused("the plan of a run does not name its outputs")
    if any("/" in each or "\0" in each or each in {"", ".", ".."} for each in found):
        raise OutputsRefused("the plan of a run has an output with a / in it")
    try:
        "".join(found).encode(errors="surrogateescape")
    except UnicodeEncodeError as exc:
        raise OutputsRefused("the plan of a run has an output whose name is not bytes") from exc
    return found


def _finish(target: int, staging: int, name: bytes, step: Step) -> list[str]:
    """Move what is planned and not moved yet, and the plan last; return the names of the outputs."""
    plan = _read_plan(staging, name)
    marker, outputs = os.fsencode(plan["marker"]), _outputs_of(plan)
    if not marker.startswith(b"."):
        raise OutputsRefused("the plan of a run has a marker that is not one")
    _unlink(marker, target)
    step("removed the old marker")
    for each in map(os.fsencode, outputs):
        with contextlib.suppress(FileNotFoundError):  # it was moved before somebody was killed
            with _directory(staging, name) as made:
                os.rename(each, each, src_dir_fd=made, dst_dir_fd=target)
            step("moved an output")
    os.fsync(target)
    with _directory(staging, name + PLAN) as folder:
        os.rename(MARKER, marker, src_dir_fd=folder, dst_dir_fd=target)
    os.fsync(target)
    step("moved the marker")
    _clear(staging, [name, name + PLAN])
    step("cleared")
    _remove_empty(target)
    return outputs


def _remove_empty(target: int) -> None:
    with contextlib.suppress(OSError):  # another run is at work there
        os.rmdir(STAGING, dir_fd=target)


def _checked(made: int, uid: int, limits: OutputLimits) -> Sequence[bytes]:
    """Return the names of what was made. Raises OutputsRefused: one is not what may be published."""
    total, names = 0, []
    for name in _names(made):
        facts, shown = os.stat(name, dir_fd=made, follow_symlinks=False), readable(os.fsdecode(name))
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1 or facts.st_uid != uid:
            raise OutputsRefused(f"its output {shown} is not a regular file of its own")
        if facts.st_mode & (stat.S_ISUID | stat.S_ISGID):
            raise OutputsRefused(f"its output {shown} would run with the rights of its owner or group")
        if name.startswith(b"."):
            raise OutputsRefused(f"its output {shown} begins with a dot, as markers do")
        total += facts.st_size
        names.append(name)
        if len(names) > limits.files:
            raise OutputsRefused(f"it made more than {limits.files} files; see files in [outputs] of its manifest")
        if total > limits.bytes:
            raise OutputsRefused(f"it made more than {limits.bytes} bytes; see bytes in [outputs] of its manifest")
    return sorted(names)


def _check_target(target: int, names: Sequence[bytes], input_id: tuple[int, int]) -> None:
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            facts, shown = os.stat(name, dir_fd=target, follow_symlinks=False), readable(os.fsdecode(name))
            if not stat.S_ISREG(facts.st_mode):
                raise OutputsRefused(f"{shown}, where an output goes, is there and is not a regular file")
            if (facts.st_dev, facts.st_ino) == input_id:
                raise OutputsRefused(f"its output {shown} would replace the file itself")


@contextlib.contextmanager
def _opened(place: Place, *, make: bool = False) -> Iterator[tuple[int, int]]:
    """Give the target and the directory of runs in it."""
    with _target(place, make=make) as target:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(STAGING, 0o700, dir_fd=target)
        with _directory(target, STAGING) as staging:
            if os.fstat(staging).st_uid != place.uid:
                raise OutputsRefused(
                    f"{STAGING.decode()} in the directory for outputs is another user's; remove it"
                )
            yield target, staging


@contextlib.contextmanager
def _target(place: Place, *, make: bool = False) -> Iterator[int]:
    """Give the directory for outputs, which is its owner's; a missing one is made where its parent is there."""
    root = os.open(place.mount, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            target = _below(root, place.directory)
        except FileNotFoundError:
            parent, _, name = place.directory.rpartition(b"/")
            if not make or not name:
                raise
            above = _below(root, parent)
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, dir_fd=above)
            finally:
                os.close(above)
            target = _below(root, place.directory)
    except OSError as exc:
        if exc.errno in {errno.ELOOP, errno.ENOTDIR, errno.EXDEV, errno.ENOENT, errno.EACCES}:
            shown = readable(os.fsdecode(place.directory))
            raise OutputsRefused(f"/{shown}, where outputs go, cannot be used: {exc.strerror}") from exc
        raise
    finally:
        os.close(root)
    try:
        owner = os.fstat(target).st_uid
        if owner != place.uid:
            shown = readable(os.fsdecode(place.directory))
            raise OutputsRefused(
                f"/{shown} belongs to uid {owner}, and outputs go only into directories of the file's owner, uid"
                f" {place.uid}"
            )
        yield target
    finally:
        os.close(target)


def _below(root: int, path: bytes) -> int:
    return open_beneath(root, path or b".", _DIRECTORY)


@contextlib.contextmanager
def _directory(above: int, name: bytes) -> Iterator[int]:
    found = open_beneath(above, name, _DIRECTORY)
    try:
        yield found
    finally:
        os.close(found)


def _names(folder: int) -> list[bytes]:
    return [os.fsencode(name) for name in os.listdir(folder)]


def _attempts(staging: int) -> set[bytes]:
    return {name.removesuffix(PLAN) for name in _names(staging) if run_of(name)}


def _has_plan(staging: int, name: bytes) -> bool:
    try:
        os.stat(name + PLAN + b"/" + MARKER, dir_fd=staging, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _is_late(target: int, staging: int, name: bytes) -> bool:
    """Whether a newer run has published for the same file: then what is planned here would put old beside new."""
    try:
        marker = os.fsencode(_read_plan(staging, name)["marker"])
        published = os.stat(marker, dir_fd=target, follow_symlinks=False)
        planned = os.stat(name + PLAN + b"/" + MARKER, dir_fd=staging, follow_symlinks=False)
    except (OSError, OutputsRefused, KeyError, TypeError):
        return False
    return published.st_mtime_ns > planned.st_mtime_ns


def _read_plan(staging: int, name: bytes) -> dict[str, Any]:
    with _directory(staging, name + PLAN) as folder:
        return _read(folder, MARKER)


def _published(target: int, marker: bytes) -> dict[str, Any]:
    """Return the plan of the run whose outputs are complete in the target; nothing: none are."""
    try:
        return _read(target, marker)
    except (OSError, OutputsRefused):
        return {}


def _read(folder: int, name: bytes) -> dict[str, Any]:
    with open(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder), "rb") as file:  # noqa: PTH123
        try:
            found = json.loads(file.read(16 << 20))
        except ValueError as exc:
            raise OutputsRefused("the plan of a run cannot be read") from exc
    return found if isinstance(found, dict) else {}


def _write(folder: int, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(b"new", flags, 0o644, dir_fd=folder), "wb") as file:  # noqa: PTH123 - a descriptor
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync(name: bytes, folder: int) -> None:
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _unlink(name: bytes, folder: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _clear(staging: int, names: Sequence[bytes]) -> None:
    """Remove directories with all that is in them, following no link."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            with _directory(staging, name) as folder:
                for each in _names(folder):
                    try:
                        _unlink(each, folder)
                    except IsADirectoryError:
                        _clear(folder, [each])
            os.rmdir(name, dir_fd=staging)
