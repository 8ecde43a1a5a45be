"""Operations that ask the dispatcher to retry failed files, or to process a user's own files again."""

from __future__ import annotations

import time
from typing import Annotated, Any

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.index.remote import answers
from lustre_events.index.search import failures as failed
from lustre_events.index.search.failures import Choice, FailedFile
from lustre_events.jobs.requests import MOST_FILES
from lustre_events.web.api.calls import Call
from lustre_events.web.api.operation import Operation, Parameter
from lustre_events.web.api.search_operations import CURSOR
from lustre_events.web.reprocessing import Reprocessing


class Works(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Failed files: pairs of a FID and an extractor."""

    works: Annotated[
        list[Annotated[list[str], msgspec.Meta(min_length=2, max_length=2)]], msgspec.Meta(max_length=MOST_FILES)
    ]


class Again(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which of the user's own files an extractor is to process again, in portions."""

    extractor: str
    query: str = "*"
    cursor: str | None = None


def failures(call: Call) -> dict[str, Any]:
    """Answer with a page of failures that fit."""
    given = call.given
    since_ns = time.time_ns() - failed.age_seconds(given["since"]) * 10**9 if given["since"] else 0
    choice = Choice(given["extractor"], given["path"], given["error"], given["owner"], since_ns)
    with call.search() as index:
        page = index.page(choice.query(), limit=given["limit"], cursor=given["cursor"], visible_to=call.viewer)
        views = index.show_many([hit.fid for hit in page.hits], visible_to=call.viewer)
    placed = map(call.mount.placed, views)
    found = [FailedFile(view, each).json() for view in placed for each in view.failures if choice.fits(each)]
    return {"failures": found, "cursor": page.cursor}


def retry(call: Call) -> dict[str, Any]:
    """Have failed files retried."""
    return _ask(call, "retry", "rows")


def drop(call: Call) -> dict[str, Any]:
    """Have failures forgotten."""
    return _ask(call, "drop", "dropped")


def _ask(call: Call, action: str, counted: str) -> dict[str, Any]:
    chosen = [(str(FID.parse(fid)), extractor) for fid, extractor in call.body.works]
    with call.search() as index:
        views = index.show_many([FID.parse(fid) for fid, _ in chosen], visible_to=call.viewer)
    # Only what this viewer could see as failed: the body may say anything.
    seen = {(str(view.fid), failure.extractor) for view in views for failure in view.failures}
    works = [list(each) for each in dict.fromkeys(chosen) if each in seen]
    answer = call.site.ask(action, {"works": works}) if works else {counted: 0}
    return {"files": len(works), "rows": int(answer[counted])}


def reprocess(call: Call) -> dict[str, Any]:
    """Have an extractor process again a portion of the matching files that the viewer owns."""
    body = call.body
    query = call.mount.query(body.query)
    with call.search() as index:
        asker = Reprocessing(index, call.site.ask, call.viewer)
        return msgspec.structs.asdict(asker.portion(query, body.extractor, body.cursor))


OPERATIONS = (
    Operation("GET", "/failures", "failures", "Failed attempts on files.", answers.FailuresAnswer, failures, (
        Parameter("extractor", "failures of these extractors (* and ?)", "*"),
        Parameter("path", "the path matches, e.g. /proj/**", ""),
        Parameter("error", "the error contains this text", ""),
        Parameter("owner", "files of this user (name or uid)", ""),
        Parameter("since", "failed within the last 90s, 30m, 12h, 7d or 2w", ""),
        Parameter("limit", "most files per page", 100, least=1, most=500),
        CURSOR,
    )),
    Operation("POST", "/failures/retry", "retry", "Retry failed files.", answers.AskedAnswer, retry, body=Works,
              scope="act"),
    Operation("POST", "/failures/drop", "drop", "Forget failures.", answers.AskedAnswer, drop, body=Works,
              scope="act"),
    Operation(
        "POST", "/reprocess", "reprocess", "Have an extractor process your own files again, in portions.",
        answers.ReprocessedAnswer, reprocess, body=Again, scope="act",
    ),
)  # fmt: skip
