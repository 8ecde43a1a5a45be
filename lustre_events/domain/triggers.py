"""Why an action fires: what a record says about a name or an object, by the words of rules.

TRIGGERS of a record type stand in one table; all other types say nothing that a rule could ask for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lustre_events.changelog.record import RecordType
from lustre_events.domain.record_meaning import Kind

CONTENT, CREATED, REMOVED, RENAMED = "content", "created", "removed", "renamed"
ATTRIBUTES, XATTR, HSM = "attributes", "xattr", "hsm"
LAYOUT = "layout"
"""No trigger: it tells a CLOSE that only followed a new layout from one that wrote."""

DOCUMENT = "document"
"""A document was written that a rule's query matches: no record says that."""

DIRECTORY = "directory"
"""A directory is complete, as its rule says: no record says that either."""

AFTER = "after"
"""The run of another rule, for the same object, has succeeded: no record says that either."""

TRIGGERS = (CONTENT, CREATED, REMOVED, RENAMED, ATTRIBUTES, XATTR, HSM)
"""What `on` of a rule may say, about files and directories."""

_BY_RECORD: dict[int, tuple[str, ...]] = {
    RecordType.CREAT: (CREATED, CONTENT),
    RecordType.MKDIR: (CREATED,),
    RecordType.CLOSE: (CONTENT,),
    RecordType.TRUNC: (CONTENT,),
    RecordType.MTIME: (CONTENT,),
    RecordType.FLRW: (CONTENT,),
    RecordType.RENME: (RENAMED,),
    RecordType.SATTR: (ATTRIBUTES,),
    RecordType.CTIME: (ATTRIBUTES,),
    RecordType.XATTR: (XATTR,),
    RecordType.HSM: (HSM,),
    RecordType.LYOUT: (LAYOUT,),
    RecordType.RESYNC: (LAYOUT,),
}
USUAL = frozenset({RecordType.CREAT, RecordType.CLOSE, RecordType.TRUNC, RecordType.MTIME, RecordType.FLRW})
"""They are most records, and what they mean to rules depends on nothing else in them."""

_NONE: tuple[str, ...] = ()
_KIND_GONE, _KIND_NAME, _RENAME = Kind.GONE, Kind.NAME, int(RecordType.RENME)
_GONE = -1
"""In a table by record types: what means that an object is gone."""

Noted = Mapping[int, tuple[str, ...]]


def noted_by_type(watched: Collection[str]) -> Noted:
    """Return what record types mean, as far as it is watched: the same tuple where it is the same."""
    meant = {**_BY_RECORD, _GONE: (REMOVED,)}
    found = {number: tuple(each for each in triggers if each in watched) for number, triggers in meant.items()}
    same = {triggers: triggers for triggers in found.values()}
    return {number: same[triggers] for number, triggers in found.items() if triggers}


def triggers_of(record_type: int, kind: Kind, noted: Noted) -> tuple[str, ...]:
    """Return what a record that changes an object in this way means to rules."""
    # For every record: names of this module, since a look into an enumeration costs more than all else.
    if kind is _KIND_GONE:
        return noted.get(_GONE, _NONE)
    found = noted.get(record_type, _NONE)
    if found and record_type == _RENAME and kind is not _KIND_NAME:
        return _NONE  # of the object that lost one of its names
    return found
