"""The pages about the service: overview, extractors, and failures of one's own files."""

from __future__ import annotations

import flask
from werkzeug.wrappers import Response

from lustre_events.changelog.fid import FID
from lustre_events.errors import StreamError
from lustre_events.inspect import status as texts
from lustre_events.web import signin

pages = flask.Blueprint("admin", __name__)

FAILED = 100


@pages.get("/overview")
def overview() -> str:
    """Show how far each MDT is, what waits, what went wrong, and how that was in the last hours."""
    site = flask.current_app.extensions["site"]
    found = site.status()
    return flask.render_template(
        "overview.html", status=found, lines=list(texts.lines(found)), charts=site.history.charts()
    )


@pages.get("/extractors")
def extractors() -> str:
    """Show the extractors: documents, failures, and whether they work."""
    site = flask.current_app.extensions["site"]
    found = site.status()
    index = found.index
    names = sorted({*index.documents, *index.failures, *found.extractors})
    rows = [
        (name, found.extractor(name), index.documents.get(name, 0), index.failures.get(name, 0)) for name in names
    ]
    return flask.render_template("extractors.html", rows=rows)


@pages.get("/failures")
def failures() -> str:
    """Show failed attempts, of one extractor or of all; those of files that the viewer may see."""
    site = flask.current_app.extensions["site"]
    name, viewer = flask.request.args.get("extractor", ""), signin.person().viewer
    query = f'failed:"{name}"' if name else "failed:*"
    with site.search() as index:
        page = index.page(query, limit=FAILED, cursor=flask.request.args.get("cursor"), visible_to=viewer)
        views = index.show_many([hit.fid for hit in page.hits], visible_to=viewer)
    names = site.status().index.failures
    rows = [(view, failure) for view in views for failure in view.failures if not name or failure.extractor == name]
    return flask.render_template("failures.html", rows=rows, names=names, chosen=name, cursor=page.cursor)


@pages.post("/failures")
def retry() -> Response:
    """Try chosen files again, or forget that they failed."""
    site = flask.current_app.extensions["site"]
    viewer, form = signin.person().viewer, flask.request.form
    action = "drop" if form.get("action") == "drop" else "retry"
    chosen = [word.split(" ", 1) for word in form.getlist("work") if " " in word]
    with site.search() as index:
        views = index.show_many([FID.parse(fid) for fid, _ in chosen], visible_to=viewer)
    # Only what this viewer could see as failed: the form may say anything.
    seen = {(str(view.fid), failure.extractor) for view in views for failure in view.failures}
    works = [[fid, extractor] for fid, extractor in chosen if (fid, extractor) in seen]
    if works:
        flask.flash(_asked(action, works))
    return flask.redirect(flask.url_for("admin.failures", extractor=form.get("extractor", "")))


def _asked(action: str, works: list[list[str]]) -> str:
    """Ask the dispatcher; return the sentence that says what became of it."""
    try:
        flask.current_app.extensions["site"].ask(action, {"works": works})
    except StreamError as exc:
        return str(exc)
    files = "1 file" if len(works) == 1 else f"{len(works)} files"
    return f"To be {'forgotten' if action == 'drop' else 'retried'}: {files}."
