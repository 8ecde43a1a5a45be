"""The page of the queues, for admins. It only reads, and what it reads is anybody's who has a worker's login."""

from __future__ import annotations

import flask

from lustre_events.web import signin

pages = flask.Blueprint("queues", __name__)


@pages.get("/queues")
def queues() -> str:
    """Show RQ's queues, its workers, and the last jobs."""
    if not signin.person().admin:
        flask.abort(403, "The queues are for admins ([web] admins).")
    site = flask.current_app.extensions["site"]
    return flask.render_template("queues.html", view=site.queues(), dashboard=site.settings.dashboard)
