"""The page of the extractors: how much each found, how often it failed, and whether it works."""

from __future__ import annotations

import flask

from lustre_events.domain.rules.action_rules import user_of
from lustre_events.web import signin
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
    person = signin.person()
    sees_all = person.admin or person.viewer.sees_all
    installed = {each for each in found.extractors if sees_all or user_of(each) in {"", person.name}}
    names = sorted({*documents, *failures, *installed})
    rows = [(name, found.extractor(name), documents.get(name, 0), failures.get(name, 0)) for name in names]
    return flask.render_template("extractors.html", rows=rows)
