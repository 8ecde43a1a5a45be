"""A history as lines for a person, and as JSON."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from lustre_events.changelog.record import (
    CLOSE_WRITE,
    RENME_LAST,
    TYPE_FLAGS,
    UNLNK_LAST,
    ChangelogRecord,
    RecordType,
)
from lustre_events.changelog.text import hsm, nid_text, open_mode, to_json
from lustre_events.history.archive import Coverage
from lustre_events.history.gaps import FOREVER_NS, Missing
from lustre_events.history.lookup import Deed, Former, Story

IN_PART = (
    "entries that are neither your own doing nor in what you could surely list then are left out, if there are any"
)
"""Said to all who may not know everything: how much is left out would tell what is there."""
_SECOND = 1_000_000_000

D = TypeVar("D")
G = TypeVar("G")


# Branches: one for each kind of record that says more than its type.
def words_of(record: ChangelogRecord) -> str:  # noqa: PLR0911 - one per kind
    """Return what a record says that happened, as words."""
    match record.type:
        case RecordType.UNLNK:
            return "removed" if record.flags & UNLNK_LAST else "one of its names removed"
        case RecordType.RENME:
            return "renamed" + (" over another file" if record.flags & TYPE_FLAGS & RENME_LAST else "")
        case RecordType.CLOSE:
            return "closed after writing" if record.flags & CLOSE_WRITE else "closed"
        case RecordType.OPEN | RecordType.NOPEN:
            how = f" ({open_mode(record.open_flags)})" if record.open_flags is not None else ""
            return ("opened" if record.type == RecordType.OPEN else "refused to open") + how
        case RecordType.XATTR | RecordType.GXATR:
            name = (record.xattr or b"").decode("utf-8", "backslashreplace")
            return f"extended attribute {'set' if record.type == RecordType.XATTR else 'read'} {name}".rstrip()
        case RecordType.HSM:
            return f"HSM: {hsm(record.flags)['event'] or 'an event'}"
        case _:
            return _WORDS.get(record.type, f"a record of type {record.type}")


_WORDS = {
    int(type_): words
    for type_, words in {
        RecordType.CREAT: "created",
        RecordType.MKDIR: "directory made",
        RecordType.HLINK: "got another name",
        RecordType.SLINK: "symbolic link made",
        RecordType.MKNOD: "special file made",
        RecordType.RMDIR: "directory removed",
        RecordType.LYOUT: "layout changed",
        RecordType.TRUNC: "truncated",
        RecordType.SATTR: "attributes set",
        RecordType.MTIME: "written",
        RecordType.CTIME: "attributes changed",
        RecordType.ATIME: "read",
        RecordType.MIGRT: "migrated",
        RecordType.FLRW: "mirror written",
        RecordType.RESYNC: "mirror synchronised",
    }.items()
}


def line(deed: Deed, show: Callable[[bytes], str], user: Callable[[int], str]) -> str:
    """Return one deed on a line: the time in UTC, what happened, where, and who did it."""
    return f"{time_text(deed.happening.record.time_ns)}  {sentence(deed, show, user)}"


def sentence(deed: Deed, show: Callable[[bytes], str], user: Callable[[int], str]) -> str:
    """Return what happened, where, and who did it."""
    record = deed.happening.record
    path = show(deed.path) if deed.path is not None else f"{deed.fid}"
    if deed.source is not None and deed.source != deed.path:
        path = f"{show(deed.source)} to {path}"
    who = [f"user {user(record.uid)}"] if record.uid is not None else []
    who += [f"job {show(record.jobid)}"] if record.jobid else []
    who += [f"client {nid_text(record.nid, record.extra_flags)}"] if record.nid is not None else []
    return f"{words_of(record)}: {path}" + (f"  ({', '.join(who)})" if who else "")


def as_json(deed: Deed) -> dict[str, Any]:
    """Return one deed: the record (text.to_json), where it came from, what happened, and the paths at that time."""
    happening = deed.happening
    return {
        "mdt": happening.mdt,
        "epoch": happening.epoch,
        "happened": words_of(happening.record),
        "fid": str(deed.fid),
        "path": _text(deed.path),
        "source_path": _text(deed.source),
        **to_json(happening.record),
        # What is not told as a path is no name either.
        **({} if deed.path is not None else {"name": ""}),
        **({} if deed.source is not None else {"source_name": None}),
    }


def remarks(story: Story, since_ns: int) -> Iterator[str]:
    """Yield what must be said beside a history: what is left out, damaged, or before its beginning."""
    if story.in_part:
        yield IN_PART
    yield from coverage_remarks(story.coverage, since_ns)


def coverage_remarks(coverage: Coverage, since_ns: int) -> Iterator[str]:
    """Yield where the history begins, and what is damaged."""
    for mdt, begins_ns in sorted(coverage.begins_ns.items()):
        if since_ns < begins_ns:
            yield f"the history of {mdt} begins at {time_text(begins_ns)}: nothing is known of the time before"
    yield from sorted(coverage.damaged)


def gap_sentence(gap: Missing) -> str:
    """Return which records are missing, between which times, and why."""
    match gap:
        case Missing(first_index=0):
            what = "records"
        case Missing(last_index=0):
            what = f"records from {gap.first_index} on"
        case _:
            what = f"records {gap.first_index} to {gap.last_index}"
    after, before = gap.after_ns > 0, gap.before_ns < FOREVER_NS
    when = {
        (True, True): f" between {time_text(gap.after_ns)} and {time_text(gap.before_ns)}",
        (True, False): f" after {time_text(gap.after_ns)}",
        (False, True): f" before {time_text(gap.before_ns)}",
    }.get((after, before), "")
    return f"{what} of {gap.mdt}{when} are or may be missing here: {gap.reason}"


def gap_json(gap: Missing) -> dict[str, Any]:
    """Return a gap as JSON types."""
    after_ns = gap.after_ns or None
    before_ns = gap.before_ns if gap.before_ns < FOREVER_NS else None
    return {**gap._asdict(), "after_ns": after_ns, "before_ns": before_ns, "sentence": gap_sentence(gap)}


def former_json(former: Former) -> dict[str, Any]:
    """Return what stood in a directory as JSON types."""
    return {"fid": str(former.fid), "name": _text(former.name), "certain": former.certain}


def timeline(
    deeds: Iterable[D], gaps: Iterable[G], deed_ns: Callable[[D], int], gap_ns: Callable[[G], int]
) -> Iterator[D | G]:
    """Yield deeds, which are in order, with the gaps where they begin; the last two tell the times."""
    waiting = deque(sorted(gaps, key=gap_ns))
    for deed in deeds:
        while waiting and gap_ns(waiting[0]) < deed_ns(deed):
            yield waiting.popleft()
        yield deed
    yield from waiting


def time_text(time_ns: int) -> str:
    """Return a time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time_ns // _SECOND))


def _text(path: bytes | None) -> str | None:
    return None if path is None else path.decode("utf-8", "surrogateescape")
