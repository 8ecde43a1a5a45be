"""The page of the service's state: each MDT, what waits, what went wrong, and charts."""

from __future__ import annotations

import flask

from lustre_events.inspect import status as texts

pages = flask.Blueprint("overview", __name__)


@pages.get("/overview")
def overview() -> str:
    """Show the progress of each MDT, what waits, what went wrong, and the charts of the last hours."""
    site = flask.current_app.extensions["site"]
    found = site.status()
    return flask.render_template(
        "overview.html", status=found, lines=list(texts.lines(found)), charts=site.history.charts()
    )
