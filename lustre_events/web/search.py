"""The pages for everybody: search, and one file."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import flask
from werkzeug.wrappers import Response

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError, LustreEventsError, QueryError
from lustre_events.index.mount import Mount
from lustre_events.index.query.slips import field_text
from lustre_events.index.search.hits import ObjectView, PendingWork, name_text
from lustre_events.index.search.search import Search
from lustre_events.web import account, highlight, history, narrowing, signin, thumbnails, welcome
from lustre_events.web.directory_pages import crumbs
from lustre_events.web.previews import preview_of

pages = flask.Blueprint("files", __name__)

PAGE = 50
FACET_VALUES = 8
KEYS = 200
"""Most keys on the page of fields."""
SORTS = ("", "relevance", "-mtime", "mtime", "-size", "size")


@pages.get("/")
def search() -> str | tuple[str, int]:
    """Show the hits of a query, and what they have in common. The address of the page is all of its state."""
    asked = flask.request.args
    site = flask.current_app.extensions["site"]
    query, sort = Mount.at(site.mount).query(asked.get("q", "").strip()), asked.get("sort", "")
    shown: dict[str, Any] = {
        "query": query,
        "sort": sort,
        "sorts": SORTS,
        "facets": {},
        "histograms": {},
        "summary": None,
        "page": None,
        "hints": (),
        "mistake": "",
        "saved": account.saved() if not query else (),
        "address": lambda narrowed: flask.url_for("files.search", q=narrowed, sort=sort, facets=1),
    }
    viewer = signin.person().viewer
    if not query:
        with site.search() as index:
            shown["here"] = welcome.welcome(index, viewer)
        return flask.render_template("search.html", **shown)
    shown |= {"chips": welcome.chips(query), "words": highlight.words_in(query)}
    try:
        with site.search() as index:
            shown |= _found(index, query, sort, asked.get("cursor"))
    except QueryError as exc:
        with contextlib.suppress(LustreEventsError), site.search() as index:
            shown["hints"] = index.hints(query, visible_to=viewer)
        return flask.render_template("search.html", **{**shown, "mistake": str(exc)}), 400
    return flask.render_template("search.html", **shown)


def _found(index: Search, query: str, sort: str, cursor: str | None) -> dict[str, Any]:
    """Return a page of hits, and what narrows the query, which is the same beside every page."""
    viewer, fields = signin.person().viewer, narrowing.FIELDS
    page, summary = index.overview(
        query, fields, limit=PAGE, sort=sort or None, values=FACET_VALUES, visible_to=viewer
    )
    if cursor:
        page = index.page(query, limit=PAGE, sort=sort or None, cursor=cursor, visible_to=viewer)
    return {
        "page": page,
        "summary": summary,
        **narrowing.beside(query, summary),
        "hints": () if page.hits or cursor else index.hints(query, visible_to=viewer, found_nothing=True),
    }


@pages.get("/fields")
def fields() -> str:
    """Show the fields and keys that one can ask for, with what they are and examples."""
    site, prefix = flask.current_app.extensions["site"], flask.request.args.get("prefix", "").strip()
    with site.search() as index:
        found = index.fields(prefix, limit=KEYS, visible_to=signin.person().viewer)
    return flask.render_template(
        "fields.html", fields=found, prefix=prefix, asked=lambda each: f"{field_text(each.name)}*"
    )


@pages.get("/file/<fid>")
def file(fid: str) -> str:
    """Show what the index knows of one object, as far as the viewer may know it."""
    view, query = _view(fid), flask.request.args.get("q", "")
    with flask.current_app.extensions["site"].search() as index:
        above = crumbs(index, view.paths[0], signin.person().viewer)
    return flask.render_template(
        "file.html",
        view=view,
        events=_events(view),
        above=above,
        deeds=history.last(str(view.fid).encode()),
        previews={each.extractor: preview_of(each.body) for each in view.documents},
        query=query,
        words=highlight.words_in(query),
        matches=highlight.why(view, query),
    )


@pages.get("/file/<fid>/<path:extractor>.json")
def document(fid: str, extractor: str) -> Response:
    """Give one document as it is."""
    found = next((each for each in _view(fid).documents if each.extractor == extractor), None)
    if found is None:
        flask.abort(404, f"There is no document of {extractor} for this file.")
    return flask.Response(json.dumps(found.body, indent=1), mimetype="application/json")


@pages.get("/file/<fid>/<path:extractor>/thumbnail")
def thumbnail(fid: str, extractor: str) -> Response:
    """Give the small picture of a document, as the type that its bytes are; a browser runs nothing in it."""
    body = next((each.body for each in _view(fid).documents if each.extractor == extractor), {})
    found = thumbnails.of(body)
    if found is None:
        flask.abort(404, f"There is no picture by {extractor} for this file.")
    answer = flask.Response(found.content, mimetype=found.mime)
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    return answer


@pages.post("/file/<fid>/again")
def again(fid: str) -> Response:
    """Have an extractor process a file again."""
    view, extractor = _view(fid), flask.request.form.get("extractor", "")
    known = {each.extractor for each in view.documents} | {each.extractor for each in view.failures}
    if extractor not in known:
        flask.abort(400, f"{extractor!r} has never read this file; add a rule that gives it this file.")
    site = flask.current_app.extensions["site"]
    site.ask("retry", {"works": [[str(view.fid), extractor]]})
    flask.flash(f"{extractor} will read this file again.")
    return flask.redirect(flask.url_for("files.file", fid=fid))


def _view(text: str) -> ObjectView:
    try:
        fid = FID.parse(text)
    except ConfigError as exc:
        flask.abort(404, str(exc))
    site = flask.current_app.extensions["site"]
    with site.search() as index:
        view: ObjectView = index.show(fid, visible_to=signin.person().viewer)
    if not view.paths:
        flask.abort(404, "There is no such file, or you may not see it.")
    return view


def _events(view: ObjectView) -> list[tuple[int, str]]:
    """Return what happened to an object, as (time in ns, sentence), the newest first."""
    found: list[tuple[int, str]] = []
    if view.facts is not None and view.facts.mtime_ns is not None:
        job = f" by job {name_text(view.facts.jobid)}" if view.facts.jobid else ""
        found.append((view.facts.mtime_ns, f"last written{job}"))
        found.append((view.facts.ctime_ns or 0, "last changed (content, attributes or names)"))
    for each in view.documents:
        where = each.provenance.get("host", "?")
        version = each.provenance.get("version", "")
        keys = f"found {len(each.body)} keys, on {where}"
        found.append((_time(each.provenance), f"{each.extractor} {version} {keys}"))
    for failed in view.failures:
        provenance = failed.failure.get("provenance") or {}
        found.append((_time(provenance), f"{failed.extractor} failed: {failed.failure.get('error', '?')}"))
    found += [(row.due_ns, _pending(row)) for row in view.pending]
    return sorted(found, reverse=True)


def _pending(row: PendingWork) -> str:
    told = f"{row.extractor} is at work" if row.job else f"{row.extractor} is due ({row.reason})"
    return f"{told}; its last try failed: {row.error}" if row.error else told


def _time(provenance: dict[str, Any]) -> int:
    time_ns = provenance.get("time_ns", 0)
    return time_ns if isinstance(time_ns, int) else 0
