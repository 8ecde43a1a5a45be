"""The page of a file: its facts, its documents as they are and as pictures, and what happened to it."""

from __future__ import annotations

import json
from typing import Any

import flask
from werkzeug.wrappers import Response

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError
from lustre_events.index.search.hits import ObjectView, PendingWork, name_text
from lustre_events.web import highlight, signin, thumbnails
from lustre_events.web.pages import history
from lustre_events.web.pages.directory import crumbs
from lustre_events.web.previews import preview_of

pages = flask.Blueprint("file", __name__)


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
    return flask.redirect(flask.url_for("file.file", fid=fid))


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
