"""The changelog's side: mount, devices, liblustreapi, registered users, and the mask against the rules."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from lustre_events import llapi
from lustre_events.changelog.lctl import Users
from lustre_events.changelog.users import number
from lustre_events.domain.record_meaning import Kind
from lustre_events.errors import LustreEventsError
from lustre_events.llapi.signatures import SIGNATURES
from lustre_events.node.doctor.findings import Finding, failure, ok, warning

MOUNTS = Path("/proc/self/mountinfo")

NAMES = {"CREAT", "MKDIR", "HLINK", "SLINK", "MKNOD", "UNLNK", "RMDIR", "RENME", "MIGRT"}
"""Without each of these the names in the index go wrong."""

KINDS = {
    Kind.CONTENT: {"CLOSE", "TRUNC", "MTIME"},
    Kind.ATTRIBUTES: {"SATTR", "XATTR", "HSM", "LYOUT"},
    Kind.NAME: {"RENME", "HLINK"},
}
"""What a rule's events need of the mask; of CLOSE and MTIME one tells that a file was written (pending.CHANGES)."""

IDLE_SHARE = 0.5
IDLE_DAYS_SECONDS = 7 * 86_400
"""A user that has not cleared for so long is near what servers allow by default (mdd.*.changelog_max_idle_time)."""


def mount(path: str, source: str, mountinfo: str) -> Iterator[Finding]:
    """Look at the mount point; `mountinfo` is the text of /proc/self/mountinfo (proc(5))."""
    if not os.path.isdir(path):  # noqa: PTH112 - a string of the settings
        yield failure("mount", f"{path} is not there", "mount the file system, or correct [filesystem] mount")
        return
    if source != "lustre":
        yield ok("mount", f"{path} is watched as a directory")
        return
    kinds = {fields[4]: fields[fields.index("-") + 1] for fields in map(str.split, mountinfo.splitlines())}
    kind = kinds.get(os.path.realpath(path))
    if kind == "lustre":
        yield ok("mount", f"{path} is a Lustre client mount")
    else:
        yield failure(
            "mount", f"{path} is {f'of type {kind}' if kind else 'no mount point'}, not Lustre",
            f"mount -t lustre MGS:/FSNAME {path}, or correct [filesystem] mount",
        )  # fmt: skip


def devices(folder: Path, mdts: Collection[str]) -> Iterator[Finding]:
    """Look whether this process may open the changelog device of each MDT."""
    if not mdts:
        yield failure("devices", f"no {folder}/changelog-* on this node", "mount the file system here as a client")
    for mdt in mdts:
        path = folder / f"changelog-{mdt}"
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
        except OSError as exc:
            fix = (
                "mount the file system here as a client" if exc.errno == errno.ENOENT else "run the reader as root"
            )
            yield failure("devices", f"{path} cannot be opened: {os.strerror(exc.errno or 0)}", fix)
        else:
            yield ok("devices", f"{path} can be opened")


def library(path: str, load: Callable[[str], llapi.Library] = llapi.load) -> Iterator[Finding]:
    """Look whether liblustreapi can be loaded, and which of its functions it has."""
    try:
        found = load(path)
    except LustreEventsError as exc:
        yield failure("liblustreapi", str(exc), "dnf install lustre-client, or set [filesystem] library")
        return
    lacking = [name for name in SIGNATURES if name not in found]
    if lacking:
        names = ", ".join(f"{name} ({SIGNATURES[name].since})" for name in lacking)
        yield warning(
            "liblustreapi", f"{found.path} works, but lacks {names}: some errors cannot be distinguished",
            "upgrade the Lustre client at the next opportunity",
        )  # fmt: skip
    else:
        yield ok("liblustreapi", f"{found.path} has every function that can be used")


def user(users: Users, name: str, server_mask: Collection[str], kinds: Collection[Kind]) -> Iterator[Finding]:
    """Look at our user on one MDT: registered, not about to be idled out, and with a mask that suits the rules.

    Args:
        users: who is registered.
        name: our user's id on this MDT.
        server_mask: the types that the server records for everybody.
        kinds: what the rules want to hear of.
    """
    subject = f"changelog {users.mdt}"
    own = next((each for each in users.users if number(each.id) == number(name)), None)
    if not name:
        yield warning(
            subject, "no changelog user is set, so nothing is ever cleared",
            f"lustre-events changelog register --mdt {users.mdt}, then follow what it prints",
        )  # fmt: skip
    elif own is None:
        known = ", ".join(each.id for each in users.users) or "none"
        yield failure(
            subject, f"the user {name} is not registered (registered: {known})",
            f"lustre-events changelog register --mdt {users.mdt}, then follow what it prints",
        )  # fmt: skip
    elif own.idle_seconds is not None and own.idle_seconds > IDLE_DAYS_SECONDS * IDLE_SHARE:
        yield failure(
            subject, f"the user {name} has cleared nothing for {own.idle_seconds // 86_400} days",
            f"start its reader: systemctl start lustre-events-reader@{users.mdt}",
        )  # fmt: skip
    else:
        yield ok(subject, f"{name} is registered, {users.current_index - own.index} records behind")
    mask = set(own.mask if own is not None and own.mask else server_mask)
    yield from _mask(subject, users.mdt, mask, kinds)


def _mask(subject: str, mdt: str, mask: Collection[str], kinds: Collection[Kind]) -> Iterator[Finding]:
    wanted: Mapping[str, set[str]] = {
        "names": NAMES,
        **{kind.name.lower(): KINDS[kind] for kind in kinds if kind in KINDS},
    }
    lacking = {what: needed - set(mask) for what, needed in wanted.items()}
    if {"CLOSE", "MTIME"} & set(mask):
        lacking = {what: types - {"CLOSE", "MTIME"} for what, types in lacking.items()}
    missing = sorted(set().union(*lacking.values()))
    if not missing:
        yield ok(subject, "its mask records all that names and rules need")
        return
    level = failure if lacking["names"] else warning
    what = ", ".join(f"{', '.join(sorted(types))} ({what})" for what, types in lacking.items() if types)
    yield level(
        subject, f"its mask does not record {what}, so the index cannot follow these changes",
        f"lustre-events changelog mask {','.join('+' + each for each in missing)} --mdt {mdt}",
    )  # fmt: skip
