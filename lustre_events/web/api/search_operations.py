"""Operations that look at the index: search, count, facets, hints, files, sums."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError
from lustre_events.index.remote import answers
from lustre_events.index.remote.client import FILES_AT_ONCE, MOST_VALUES
from lustre_events.index.search.hits import hit_json, view_json
from lustre_events.inspect import inventory
from lustre_events.web.api.calls import Call, hints_json
from lustre_events.web.api.operation import Operation, Parameter

QUERY = Parameter("q", "the query, as for `lustre-events search`", needed=True)
CURSOR = Parameter("cursor", "the cursor of the page before, for the same query and order")
LIMIT = Parameter("limit", "most hits per page", 100, least=1, most=1_000)
FIELDS = Parameter("field", "a field or a key, e.g. owner, ext, tabular.columns", many=True, most=20)


def search(call: Call) -> dict[str, Any]:
    """Answer with a page of hits, and with hints where nothing is found."""
    given = call.given
    query, mount = call.mount.query(given["q"]), call.mount
    with call.search() as index:
        page = index.page(
            query,
            limit=given["limit"],
            sort=given["sort"],
            cursor=given["cursor"],
            visible_to=call.viewer,
            excerpts=bool(given["excerpts"]),
        )
        empty = not page.hits and given["cursor"] is None
        hints = index.hints(query, visible_to=call.viewer, found_nothing=True) if empty else ()
    return {
        "hits": [hit_json(mount.placed(hit)) for hit in page.hits],
        "cursor": page.cursor,
        "hints": hints_json(hints),
        "mount": call.site.mount,
        "note": page.note,
    }


def count(call: Call) -> dict[str, Any]:
    """Answer with how many objects match."""
    with call.search() as index:
        query = call.mount.query(call.given["q"])
        found = index.count(query, visible_to=call.viewer)
        hints = () if found else index.hints(query, visible_to=call.viewer, found_nothing=True)
    return {"count": found, "hints": hints_json(hints)}


def facets(call: Call) -> dict[str, Any]:
    """Answer with the most frequent values of fields, and with hints about fields without any."""
    query, fields = call.mount.query(call.given["q"]), call.given["field"]
    with call.search() as index:
        found = index.facets(query, fields, limit=call.given["limit"], visible_to=call.viewer)
        empty = [name for name, values in found.items() if not values]
        hints = index.hints(query, fields=empty, visible_to=call.viewer) if empty else ()
    return {
        "facets": {name: [asdict(each) for each in values] for name, values in found.items()},
        "hints": hints_json(hints),
    }


def hints(call: Call) -> dict[str, Any]:
    """Answer with the reasons why nothing is found."""
    with call.search() as index:
        query = call.mount.query(call.given["q"])
        found = index.hints(query, fields=call.given["field"], visible_to=call.viewer)
    return {"hints": hints_json(found)}


def fields(call: Call) -> dict[str, Any]:
    """Answer with the fields and keys that one can ask for."""
    with call.search() as index:
        found = index.fields(call.given["prefix"], limit=call.given["limit"], visible_to=call.viewer)
    return {"fields": [asdict(each) for each in found]}


def complete(call: Call) -> dict[str, Any]:
    """Answer with what a query can become."""
    with call.search() as index:
        return {"queries": index.complete(call.given["q"], limit=call.given["limit"], visible_to=call.viewer)}


def files(call: Call) -> dict[str, Any]:
    """Answer with all that is known of objects, by FID or path; an object without a path is not visible."""
    fids = [FID.parse(text) for text in call.given["fid"]]
    with call.search() as index:
        for text in call.given["path"]:
            found = index.fid_of_path(call.path(text), visible_to=call.viewer)
            fids.append(NOWHERE if found is None else found)
        views = index.show_many(fids, visible_to=call.viewer)
    return {"files": [view_json(call.mount.placed(view)) for view in views], "mount": call.site.mount}


NOWHERE = FID.parse("[0x0:0x0:0x0]")
"""Stands for a path that the index does not know: it has no paths."""


def file(call: Call) -> dict[str, Any]:
    """Answer with all that is known of one object."""
    fid = FID.parse(call.given["fid"])
    with call.search() as index:
        view = index.show(fid, visible_to=call.viewer)
    if not view.paths:
        raise ConfigError(f"{fid}: there is no such file, or you may not see it")
    return view_json(call.mount.placed(view))


def du(call: Call) -> dict[str, Any]:
    """Answer with the sums of a tree."""
    path = call.path(call.given["path"])
    with call.search() as index:
        found = index.du(path, call.given["by"], visible_to=call.viewer)
    return {"sums": [asdict(each) for each in found]}


def report(call: Call) -> dict[str, Any]:
    """Answer with what is below a path, summed up."""
    path, query = call.path(call.given["path"]), call.mount.query(call.given["q"])
    with call.search() as index:
        found = inventory.take(index, path, query, call.given["limit"], call.viewer)
    return {**inventory.answer_json(inventory.placed(found, call.mount)), "mount": call.site.mount}


OPERATIONS = (
    Operation("GET", "/search", "search", "Find files, page by page.", answers.PageAnswer, search, (
        QUERY, LIMIT,
        Parameter("sort", "relevance, size, mtime, ctime or atime; with - before it from the largest down"),
        CURSOR, Parameter("excerpts", "1: say what the query matched in each hit", 1, most=1),
    )),
    Operation("GET", "/count", "count", "Count the files that match.", answers.CountAnswer, count, (QUERY,)),
    Operation("GET", "/facets", "facets", "The most frequent values of fields.", answers.FacetsAnswer, facets, (
        QUERY, FIELDS, Parameter("limit", "most values per field", 20, least=1, most=MOST_VALUES),
    )),
    Operation("GET", "/hints", "hints", "Why nothing is found.", answers.HintsAnswer, hints, (
        QUERY, FIELDS,
    )),
    Operation("GET", "/fields", "fields", "Fields and keys that a query can use.", answers.KeysAnswer, fields, (
        Parameter("prefix", "the beginning of a step of the key; empty: all keys", ""),
        Parameter("limit", "most of them", 100, least=1, most=1_000),
    )),
    Operation("GET", "/complete", "complete", "Complete a query.", answers.CompletionsAnswer, complete, (
        Parameter("q", "what has been typed so far", ""), Parameter("limit", "most of them", 20, least=1, most=100),
    )),
    Operation("GET", "/files", "files", "All that is known of the given files.", answers.FilesAnswer, files, (
        Parameter("fid", "a FID", many=True, most=FILES_AT_ONCE),
        Parameter("path", "a path below the mount point", many=True, most=FILES_AT_ONCE),
    )),
    Operation("GET", "/files/{fid}", "file", "All that is known of one file.", answers.FileAnswer, file, (
        Parameter("fid", "a FID", needed=True, in_path=True),
    )),
    Operation("GET", "/du", "du", "Sums of a tree.", answers.SumsAnswer, du, (
        Parameter("path", "a path below the mount point", needed=True),
        Parameter("by", "owner, group, ext, extractor, type, mime, or a key", "owner"),
    )),
    Operation("GET", "/report", "report", "What is below a path, summed up.", answers.ReportAnswer, report, (
        Parameter("path", "a path below the mount point", "/"),
        Parameter("q", "only of what this query finds; empty: of everything", ""),
        Parameter("limit", "most rows of each kind", 10, least=1, most=1_000),
    )),
)  # fmt: skip
