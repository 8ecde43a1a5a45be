"""What each type of record means: for the names of the file system, and for the object that it is about.

CHANGES names every record type with the reason, so that nothing is left out by accident. Only the types in
LINK_EFFECTS name a place. The parent in all other records is not to be trusted (captures: 143 of 162 XATTR records
held an unrelated directory). history/frame.py finds the same places in the bytes of records.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import CLOSE_WRITE, RENME_LAST, UNLNK_LAST, ChangelogRecord, RecordType


class Kind(enum.IntEnum):
    """What a record says about an object. A greater one includes the smaller ones' work but GONE."""

    NONE = 0
    NAME = 1
    ATTRIBUTES = 2
    CONTENT = 3
    GONE = 4


CHANGES: dict[int, Kind] = {
    RecordType.CREAT: Kind.CONTENT,  # an empty file is content too, and the first CLOSE may never come
    RecordType.CLOSE: Kind.CONTENT,  # only after an open for writing, see `change_of`
    RecordType.TRUNC: Kind.CONTENT,
    RecordType.MTIME: Kind.CONTENT,  # also logged for data written, at close
    RecordType.FLRW: Kind.CONTENT,  # the first write to a mirrored file
    RecordType.MKDIR: Kind.ATTRIBUTES,  # a new object, but nothing in it to extract
    RecordType.SLINK: Kind.ATTRIBUTES,
    RecordType.MKNOD: Kind.ATTRIBUTES,
    RecordType.HLINK: Kind.ATTRIBUTES,  # the link count; the new name asks the rules again
    RecordType.SATTR: Kind.ATTRIBUTES,
    RecordType.XATTR: Kind.ATTRIBUTES,
    RecordType.CTIME: Kind.ATTRIBUTES,
    RecordType.HSM: Kind.ATTRIBUTES,  # archived, released, restored: the content is the same; see results.py
    RecordType.LYOUT: Kind.ATTRIBUTES,
    RecordType.RESYNC: Kind.ATTRIBUTES,
    RecordType.RENME: Kind.NAME,
    RecordType.MIGRT: Kind.NAME,  # same content under a new FID
    RecordType.UNLNK: Kind.GONE,  # with the last-link flag; else the link count changed
    RecordType.RMDIR: Kind.GONE,  # a directory has one name only
    RecordType.RNMTO: Kind.NONE,  # second half of an old server's RENME, says nothing new
    RecordType.OPEN: Kind.NONE,  # changes nothing
    RecordType.ATIME: Kind.NONE,  # reading changes nothing that is extracted, and our own reading causes it
    RecordType.GXATR: Kind.NONE,  # reading
    RecordType.NOPEN: Kind.NONE,  # an open that was denied
    RecordType.MARK: Kind.NONE,  # the changelog was switched on or off: no object at all
}

TYPE_OF: dict[int, str] = {
    RecordType.CREAT: "f",
    RecordType.CLOSE: "f",
    RecordType.TRUNC: "f",
    RecordType.FLRW: "f",
    RecordType.RESYNC: "f",
    RecordType.HSM: "f",
    RecordType.MKDIR: "d",
    RecordType.RMDIR: "d",
    RecordType.SLINK: "l",
}
"""The type of an object, where the type of a record says it (captures: CLOSE of a directory is read only)."""

ORIGINS = frozenset({RecordType.RENME, RecordType.MKDIR})
"""They tell where an object comes from, or what a new directory is called."""
MAY_REMOVE = frozenset({RecordType.UNLNK, RecordType.RMDIR})
MAY_CHANGE_RIGHTS = frozenset({RecordType.XATTR, RecordType.SATTR, RecordType.CTIME})
CREATES = frozenset({RecordType.CREAT, RecordType.MKDIR, RecordType.SLINK, RecordType.MKNOD})
GIVES_NAME = frozenset({RecordType.CREAT, RecordType.HLINK, RecordType.RENME, RecordType.MIGRT})
"""They give a file a name that it did not have."""
NAMES_TWO = frozenset({RecordType.RENME, RecordType.MIGRT})
"""They may name a second object: one whose name was taken, or the same one with its former FID."""


def change_of(record: ChangelogRecord) -> Kind | None:
    """Return what `record` says about the object that it is about (`object_of`); None: an unknown type."""
    kind = CHANGES.get(record.type)
    if record.type == RecordType.CLOSE and not record.flags & CLOSE_WRITE:
        return Kind.NONE
    if record.type == RecordType.UNLNK and not record.flags & UNLNK_LAST:
        return Kind.ATTRIBUTES
    return kind


def changes_rights(record: ChangelogRecord) -> bool:
    """Return whether an object may have another owner, mode or access list after a record.

    CTIME stands for SATTR where that is masked; access lists are attributes named `system.`, if the record says so.
    """
    if record.type == RecordType.XATTR:
        return not record.xattr or record.xattr.startswith(b"system.")
    return record.type in {RecordType.SATTR, RecordType.CTIME}


def object_of(record: ChangelogRecord) -> FID:
    """Return the object that `record` is about: for RENME the one that moved, else the target."""
    return record.source if record.type == RecordType.RENME else record.target


def overwritten(record: ChangelogRecord) -> tuple[FID, Kind] | None:
    """Return the object whose name a RENME took, and whether it is gone or only lost one of its names."""
    if record.type != RecordType.RENME or not record.target or record.target == record.source:
        return None
    return record.target, Kind.GONE if record.flags & RENME_LAST else Kind.ATTRIBUTES


def new_fid_of(record: ChangelogRecord) -> tuple[FID, FID] | None:
    """Return the old and the new FID of an object that a MIGRT gave a new one: a migration or a split."""
    if record.type != RecordType.MIGRT or not record.source or record.source == record.target:
        return None
    return record.source, record.target


class Effect(msgspec.Struct, frozen=True, gc=False):
    """What a record does to one place: the name now means `fid`; None: it is removed."""

    parent: FID
    name: bytes
    fid: FID | None


def effects(record: ChangelogRecord) -> tuple[Effect, ...]:
    """Return what `record` does to the namespace, in order: of two effects on one place the later counts."""
    make = LINK_EFFECTS.get(record.type)
    return make(record) if make is not None else ()


def lacks_old_name(record: ChangelogRecord) -> bool:
    """Whether this is a RENME of an old server that does not say where the object came from.

    The old name then stays in the index until something else is found there.
    """
    return record.type == RecordType.RENME and not (record.source_parent and record.source_name)


def _set(record: ChangelogRecord) -> tuple[Effect, ...]:
    if not (record.parent and record.name and record.target):
        return ()
    return (Effect(record.parent, record.name, record.target),)


def _remove(record: ChangelogRecord) -> tuple[Effect, ...]:
    if not (record.parent and record.name):
        return ()
    return (Effect(record.parent, record.name, None),)


def _rename(record: ChangelogRecord) -> tuple[Effect, ...]:
    # The object that moved is the source; the target is what was overwritten, or zero.
    if not (record.parent and record.name and record.source):
        return ()
    moved = Effect(record.parent, record.name, record.source)
    if lacks_old_name(record):
        return (moved,)
    return (Effect(record.source_parent, record.source_name, None), moved)


def _migrate(record: ChangelogRecord) -> tuple[Effect, ...]:
    # Only the parents are the other way round, the names stand as in RENME: the object was
    # (parent, source_name) and is (source_parent, name). Seen where both differ: captures/11-random-defmask.
    old_name = record.source_name or record.name
    if not (record.source_parent and record.name and record.target):
        return ()
    moved = Effect(record.source_parent, record.name, record.target)
    return (Effect(record.parent, old_name, None), moved) if record.parent else (moved,)


LINK_EFFECTS: dict[int, Callable[[ChangelogRecord], tuple[Effect, ...]]] = {
    RecordType.CREAT: _set,
    RecordType.MKDIR: _set,
    RecordType.HLINK: _set,
    RecordType.SLINK: _set,
    RecordType.MKNOD: _set,
    RecordType.UNLNK: _remove,
    RecordType.RMDIR: _remove,
    RecordType.RENME: _rename,
    RecordType.MIGRT: _migrate,
}
"""Every type that names a place, and how to read its places. RNMTO, the second half of a RENME of servers
before 2.2, repeats what its RENME said; it never appeared in captures."""
