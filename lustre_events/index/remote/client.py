"""An index that a server answers for: the same calls as `Search`, and what a user may ask the dispatcher for.

The user is the owner of the token, so the client cannot choose `visible_to`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from lustre_events import errors
from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError, IndexUnavailable, LustreEventsError
from lustre_events.index.mount import Mount
from lustre_events.index.remote import account_answers, answers
from lustre_events.index.remote.transport import Pairs, Transport
from lustre_events.index.search.hints.hint import Hint
from lustre_events.index.search.hits import Facet, ObjectView, Page, from_root
from lustre_events.index.search.key_list import KeyInfo
from lustre_events.index.search.portions import PORTION, HitPortion
from lustre_events.index.visibility import Viewer

PREFIX = "/api/v1"
FILES_AT_ONCE = 200
"""Most objects that one request asks about, since its address must not become too long."""
HITS_AT_ONCE = 1_000
"""Most hits of a page that a server returns."""
MOST_VALUES = 10_000
"""Most values of a field that a server returns."""

MOST_DEEDS = 10_000
"""Most deeds of one history that a server returns: the last ones."""

T = TypeVar("T")


class RemoteSearch:
    """The index behind a server. A `with` closes it. For one thread."""

    def __init__(self, transport: Transport) -> None:
        self._send = transport

    def page(
        self,
        query: str,
        *,
        limit: int = 100,
        sort: str | None = None,
        cursor: str | None = None,
        visible_to: Viewer | None = None,
        excerpts: bool = True,
    ) -> Page:
        """Return one page of hits, and the cursor that gives the next one."""
        _nobody_else(visible_to)
        asked = [("q", query), ("limit", str(limit)), *_given(sort=sort, cursor=cursor)]
        asked += [] if excerpts else [("excerpts", "0")]
        found = self.get(answers.PageAnswer, "/search", asked)
        mount = Mount.at(found.mount)
        return Page(tuple(hit.value(mount) for hit in found.hits), found.cursor, found.note)

    def portion(
        self,
        query: str,
        *,
        limit: int = PORTION,
        sort: str | None = None,
        cursor: str | None = None,
        visible_to: Viewer | None = None,
    ) -> tuple[HitPortion, str | None]:
        """Return the hits of a page as columns, and the cursor of the next one."""
        page = self.page(
            query, limit=min(limit, HITS_AT_ONCE), sort=sort, cursor=cursor, visible_to=visible_to, excerpts=False
        )
        return HitPortion.of(page.hits), page.cursor

    def count(self, query: str, *, visible_to: Viewer | None = None) -> int:
        """Return how many objects match."""
        _nobody_else(visible_to)
        return self.get(answers.CountAnswer, "/count", [("q", query)]).count

    def facets(
        self, query: str, fields: Sequence[str], *, limit: int | None = 20, visible_to: Viewer | None = None
    ) -> dict[str, tuple[Facet, ...]]:
        """Return the most frequent values of fields; without a limit at most MOST_VALUES of each."""
        _nobody_else(visible_to)
        asked = [("q", query), ("limit", str(limit or MOST_VALUES)), *(("field", name) for name in fields)]
        found = self.get(answers.FacetsAnswer, "/facets", asked).facets
        return {name: tuple(each.file_facet() for each in values) for name, values in found.items()}

    def hints(
        self, query: str, *, fields: Sequence[str] = (), visible_to: Viewer | None = None
    ) -> tuple[Hint, ...]:
        """Return why a query finds nothing, or `facets` no values of some fields."""
        _nobody_else(visible_to)
        found = self.get(answers.HintsAnswer, "/hints", [("q", query), *(("field", name) for name in fields)])
        return tuple(hint.value() for hint in found.hints)

    def fields(
        self, prefix: str = "", *, limit: int = 100, visible_to: Viewer | None = None
    ) -> tuple[KeyInfo, ...]:
        """Return the fields and keys of which a step begins with `prefix`."""
        _nobody_else(visible_to)
        found = self.get(answers.KeysAnswer, "/fields", [("prefix", prefix), ("limit", str(limit))])
        return tuple(each.value() for each in found.fields)

    def complete(self, typed: str, *, limit: int = 20, visible_to: Viewer | None = None) -> tuple[str, ...]:
        """Return what a query can become while it is typed."""
        _nobody_else(visible_to)
        return tuple(
            self.get(answers.CompletionsAnswer, "/complete", [("q", typed), ("limit", str(limit))]).queries
        )

    def du(self, path: bytes, by: str, *, visible_to: Viewer | None = None) -> tuple[Facet, ...]:
        """Return files and bytes of a path and all below it, by a field as of `facets`."""
        _nobody_else(visible_to)
        asked = [("path", from_root([path])[0]), ("by", by)]
        return tuple(each.file_facet() for each in self.get(answers.SumsAnswer, "/du", asked).sums)

    def report(
        self, path: bytes, query: str, most: int, *, visible_to: Viewer | None = None
    ) -> answers.ReportAnswer:
        """Return what is below a path, summed up, as `inspect.inventory`."""
        _nobody_else(visible_to)
        asked = [("path", from_root([path])[0]), ("q", query), ("limit", str(most))]
        return self.get(answers.ReportAnswer, "/report", asked)

    def show(self, fid: FID, *, visible_to: Viewer | None = None) -> ObjectView:
        """Return all that is known of one object."""
        return self.show_many([fid], visible_to=visible_to)[0]

    def show_many(self, fids: Iterable[FID], *, visible_to: Viewer | None = None) -> list[ObjectView]:
        """Return all that is known of each object, in the order asked for."""
        _nobody_else(visible_to)
        left, found = iter(fids), []
        while portion := [("fid", str(fid)) for fid in islice(left, FILES_AT_ONCE)]:
            answer = self.get(answers.FilesAnswer, "/files", portion)
            found += [each.value(Mount.at(answer.mount)) for each in answer.files]
        return found

    def fid_of_path(self, path: bytes, *, visible_to: Viewer | None = None) -> FID | None:
        """Return the object at a path, or None."""
        _nobody_else(visible_to)
        (found,) = self.get(answers.FilesAnswer, "/files", [("path", from_root([path])[0])]).files
        return FID.parse(found.fid) if found.paths else None

    def history(
        self, path: bytes, narrowed: Mapping[str, str], *, most: int = MOST_DEEDS, visible_to: Viewer | None = None
    ) -> answers.HistoryAnswer:
        """Return what happened at a path, as `inspect.history`; narrowed by since, until, user, job, types."""
        _nobody_else(visible_to)
        asked = [("path", _text(path)), ("limit", str(most)), *narrowed.items()]
        return self.get(answers.HistoryAnswer, "/history", asked)

    def former(self, path: bytes, at: str, *, visible_to: Viewer | None = None) -> answers.FormerAnswer:
        """Return what stood in a directory at a given time."""
        _nobody_else(visible_to)
        return self.get(answers.FormerAnswer, "/former", [("path", _text(path)), ("at", at)])

    @functools.cached_property
    def mount(self) -> str:
        """Where the file system is mounted, as the server says."""
        return self.get(account_answers.SiteAnswer, "/").mount

    def ask(self, action: str, works: Sequence[tuple[FID, str]]) -> int:
        """Have failed files tried again (`retry`) or their failures forgotten (`drop`); return how many are."""
        body = {"works": [[str(fid), extractor] for fid, extractor in works]}
        return self.send(answers.AskedAnswer, "POST", f"/failures/{action}", body=body).rows

    def reprocess(self, extractor: str, query: str) -> Iterator[answers.ReprocessedAnswer]:
        """Have an extractor process the user's own matching files again; a portion for each step."""
        cursor: str | None = None
        while True:
            body = {"extractor": extractor, "query": query, "cursor": cursor}
            portion = self.send(answers.ReprocessedAnswer, "POST", "/reprocess", body=body)
            yield portion
            cursor = portion.cursor
            if not portion.more:
                return

    def get(self, kind: type[T], path: str, query: Pairs = ()) -> T:
        """Return an answer of a type. Raises the error that the server names."""
        return self.send(kind, "GET", path, query)

    def send(
        self, kind: type[T], method: str, path: str, query: Pairs = (), body: Mapping[str, Any] | None = None
    ) -> T:
        """Send a request and return its answer. Raises the error that the server names."""
        reply = self._send(method, PREFIX + path, query, body)
        if reply.status != 200:
            raise _refusal(reply.status, reply.body)
        try:
            return msgspec.convert(reply.body, kind)
        except msgspec.ValidationError as exc:
            raise IndexUnavailable(
                f"the server's answer is not what this version expects ({exc}); bring both to the same version"
            ) from exc

    def close(self) -> None:
        """Close the connection."""
        self._send.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _text(path: bytes) -> str:
    return path.decode("utf-8", "surrogateescape")


def _given(**pairs: str | None) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairs.items() if value is not None]


def _nobody_else(viewer: Viewer | None) -> None:
    if viewer is not None:
        raise ConfigError("a server shows what the owner of the token may see; leave --as (visible_to) out")


def _refusal(status: int, body: Any) -> LustreEventsError:
    """Return the error that a server names, as an object of its class here."""
    try:
        told = msgspec.convert(body, answers.RefusalAnswer)
    except msgspec.ValidationError:
        return IndexUnavailable(f"the server refused with status {status} and gave no reason")
    kind = getattr(errors, told.kind, None)
    if isinstance(kind, type) and issubclass(kind, LustreEventsError) and "__init__" not in vars(kind):
        return kind(told.error)
    return IndexUnavailable(told.error)
