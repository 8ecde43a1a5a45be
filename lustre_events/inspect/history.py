"""A history that somebody asks for: what is told, to which viewer, and which part of it."""

from __future__ import annotations

import contextlib
import fnmatch
import pwd
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError
from lustre_events.history import formatting
from lustre_events.history.archive import Archive, Coverage
from lustre_events.history.gaps import FOREVER_NS, Missing
from lustre_events.history.lookup import Deed, Present, Story, Teller
from lustre_events.index.query.literals import Interval, time_interval
from lustre_events.index.remote.answers import FormerAnswer, GapAnswer, HistoryAnswer
from lustre_events.index.search.hits import printable
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer, user_name
from lustre_events.inspect.tail import types_of

_TREE = b"/**"


@dataclass(frozen=True, slots=True)
class ChosenDeeds:
    """Which deeds are shown; `uid` None: anybody's, `job` empty: any, `types` empty: all."""

    since_ns: int = 0
    until_ns: int = 1 << 63
    uid: int | None = None
    job: str = ""
    types: frozenset[int] = frozenset()

    @classmethod
    def of(cls, since: str, until: str, user: str, job: str, types: str) -> ChosenDeeds:
        """Return the choice that somebody wrote; empty texts choose nothing. Raises ConfigError: one is wrong."""
        begin = moment("since", since)[0] if since else 0
        end = moment("until", until)[1] if until else 1 << 63
        return cls(begin, end, _uid(user) if user else None, job, types_of(types) if types else frozenset())

    def __contains__(self, deed: Deed) -> bool:
        """Whether a deed is shown."""
        record = deed.happening.record
        return (
            self.since_ns <= record.time_ns < self.until_ns
            and self.uid in {None, record.uid}
            and (not self.job or fnmatch.fnmatchcase(record.jobid.decode("utf-8", "surrogateescape"), self.job))
            and (not self.types or record.type in self.types)
        )

    def of_story(self, story: Story) -> Sequence[Deed]:
        """Return the deeds that are shown."""
        return [deed for deed in story.deeds if deed in self]

    def gaps(self, coverage: Coverage) -> list[Missing]:
        """Return where records are missing within the time that is shown."""
        return coverage.gaps_within(self.since_ns, self.until_ns)


def moment(name: str, text: str) -> Interval:
    """Return the first nanosecond of a time that a text means, and the one behind it. Raises ConfigError."""
    try:
        return time_interval(text, time.time_ns())
    except ValueError as exc:
        raise ConfigError(f"{name} {text}: {exc}") from exc


def _uid(name: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError as exc:
        raise ConfigError(f"user {name}: this machine knows no such user; give the UID") from exc


def happened(told: Teller, target: bytes, choice: ChosenDeeds, most: int) -> HistoryAnswer:
    """Return what happened at a target, the last `most` deeds that are shown. Raises ConfigError."""
    found = story(told, target)
    deeds = choice.of_story(found)
    shown = deeds[-most:]
    return HistoryAnswer(
        [formatting.as_json(deed) | {"sentence": sentence(deed)} for deed in shown],
        len(deeds) - len(shown),
        _gaps(choice.gaps(found.coverage)),
        list(formatting.remarks(found, choice.since_ns)),
    )


def stood(told: Teller, directory: bytes, time_ns: int) -> FormerAnswer:
    """Return what stood in a directory at a given time. Raises ConfigError."""
    former, coverage = told.as_of(objects(told, directory), time_ns)
    return FormerAnswer(
        list(map(formatting.former_json, former)),
        _gaps(coverage.gaps_within(0, FOREVER_NS)),
        list(formatting.coverage_remarks(coverage, time_ns)),
    )


def _gaps(found: Iterable[Missing]) -> list[GapAnswer]:
    return [GapAnswer(**formatting.gap_json(gap)) for gap in found]


def sentence(deed: Deed) -> str:
    """Return what happened, where, and who did it, without its time; nothing is escaped."""
    return formatting.sentence(deed, lambda name: name.decode("utf-8", "surrogateescape"), user_name)


@contextlib.contextmanager
def teller(folder: Path, search: Search, viewer: Viewer | None, seconds: float = float("inf")) -> Iterator[Teller]:
    """Give a reader of a folder's history, beside an index, for a viewer. Raises ConfigError: none is there."""
    archive = Archive(folder, seconds)
    with search.moment(visible_to=viewer) as (reading, access):

        def entries(directory: FID, after: bytes, limit: int) -> list[tuple[bytes, FID, str | None]]:
            return [(each.name, each.fid, each.type) for each in reading.entries(directory, after, limit)]

        uid = None if viewer is None else viewer.uid
        yield Teller(archive, Present(reading.links, reading.child, entries, access, uid))


def story(told: Teller, target: bytes) -> Story:
    """Return the history of a FID, a path, or a directory and all below it (`DIRECTORY/**`). Raises ConfigError."""
    if target == _TREE[1:] or target.endswith(_TREE):
        return told.of_tree(objects(told, target.removesuffix(_TREE[1:]).rstrip(b"/")))
    return told.of_objects(objects(told, target))


def last_deeds(folder: Path, search: Search, target: bytes, viewer: Viewer | None, most: int) -> list[Deed]:
    """Return the last deeds about one FID or path, as many as `most`; none where there is no history of it."""
    with contextlib.suppress(ConfigError), teller(folder, search, viewer) as told:
        return list(story(told, target).deeds[-most:])
    return []


def objects(told: Teller, target: bytes) -> set[FID]:
    """Return the object of a FID, or those that a path ever meant. Raises ConfigError: there was never one."""
    if target.lstrip(b"[").startswith(b"0"):
        with contextlib.suppress(ConfigError, UnicodeDecodeError):
            return {FID.parse(target.decode("ascii"))}
    found = told.fids_at(target)
    if not found:
        raise ConfigError(
            f"/{printable(target.strip(b'/'))}: neither in the index nor in the history; check how it is "
            "written: upper and lower case differ"
        )
    return found
