"""The page of the extractors: how much each found, how often it failed, and whether it works."""

from __future__ import annotations

import flask

from lustre_events.web.visible_counts import visible_counts

pages = flask.Blueprint("extractors", __name__)


@pages.get("/extractors")
def extractors() -> str:
    """Show the extractors: documents and failures of files that the viewer may see, and whether they work."""
    site = flask.current_app.extensions["site"]
    found = site.status()
    with site.search() as index:
        documents = visible_counts(index, "extractor", found.index.documents)
        failures = visible_counts(index, "failed", found.index.failures)
    names = sorted({*documents, *failures, *found.extractors})
    rows = [(name, found.extractor(name), documents.get(name, 0), failures.get(name, 0)) for name in names]
    return flask.render_template("extractors.html", rows=rows)
