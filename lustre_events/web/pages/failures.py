"""The page of failures: files that an extractor could not read, to try again or to forget."""

from __future__ import annotations

from typing import Any

import flask
from werkzeug.wrappers import Response

from lustre_events.changelog.fid import FID
from lustre_events.errors import QueryError, StreamError
from lustre_events.index.query.parser import both
from lustre_events.index.search.search import Search
from lustre_events.web import narrowing, signin, welcome
from lustre_events.web.visible_counts import visible_counts

pages = flask.Blueprint("failures", __name__)

FAILED = 100
FACET_VALUES = 8


@pages.get("/failures")
def failures() -> str | tuple[str, int]:
    """Show failed attempts, of one extractor or of all, in files that the viewer may see and that `q` finds."""
    site, given = flask.current_app.extensions["site"], flask.request.args
    name, query = given.get("extractor", ""), given.get("q", "").strip()
    shown: dict[str, Any] = {
        "names": {},
        "chosen": name,
        "query": query,
        "chips": welcome.chips(query) or ([(query, "")] if query else []),
        "address": lambda narrowed: flask.url_for("failures.failures", extractor=name, q=narrowed),
    }
    try:
        with site.search() as index:
            shown["names"] = visible_counts(index, "failed", site.status().index.failures)
            shown |= _failed(index, name, query, given.get("cursor"))
    except QueryError as exc:
        return flask.render_template("failures.html", **shown, mistake=str(exc)), 400
    return flask.render_template("failures.html", **shown)


def _failed(index: Search, name: str, query: str, cursor: str | None) -> dict[str, Any]:
    """Return a page of failures, and what narrows the query, which is the same beside every page."""
    viewer = signin.person().viewer
    condition = f'failed:"{name}"' if name else "failed:*"
    failed = both(query, condition) if query else condition
    first = 1 if cursor else FAILED
    page, summary = index.overview(failed, narrowing.FIELDS, limit=first, values=FACET_VALUES, visible_to=viewer)
    if cursor:
        page = index.page(failed, limit=FAILED, cursor=cursor, visible_to=viewer)
    views = index.show_many([hit.fid for hit in page.hits], visible_to=viewer)
    rows = [(view, failure) for view in views for failure in view.failures if not name or failure.extractor == name]
    return {"rows": rows, "cursor": page.cursor, **narrowing.beside(query, summary)}


@pages.post("/failures")
def retry() -> Response:
    """Try chosen files again, or forget that they failed."""
    site = flask.current_app.extensions["site"]
    viewer, form = signin.person().viewer, flask.request.form
    action = "drop" if form.get("action") == "drop" else "retry"
    listed = dict.fromkeys(word for word in form.getlist("work") if " " in word)
    chosen = [word.split(" ", 1) for word in [*listed][:FAILED]]
    with site.search() as index:
        views = index.show_many([FID.parse(fid) for fid, _ in chosen], visible_to=viewer)
    # Only what this viewer could see as failed: the form may say anything.
    seen = {(str(view.fid), failure.extractor) for view in views for failure in view.failures}
    works = [[fid, extractor] for fid, extractor in chosen if (fid, extractor) in seen]
    if works:
        flask.flash(_asked(action, works))
    return flask.redirect(
        flask.url_for("failures.failures", extractor=form.get("extractor", ""), q=form.get("q", ""))
    )


def _asked(action: str, works: list[list[str]]) -> str:
    """Ask the dispatcher; return a sentence with the outcome."""
    try:
        flask.current_app.extensions["site"].ask(action, {"works": works})
    except StreamError as exc:
        return str(exc)
    files = "1 file" if len(works) == 1 else f"{len(works)} files"
    return f"To be {'forgotten' if action == 'drop' else 'retried'}: {files}."
