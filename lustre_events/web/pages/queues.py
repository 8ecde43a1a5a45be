"""The page of the queues, for admins. It only reads; anybody with a worker's login can write what it reads."""

from __future__ import annotations

from dataclasses import replace

import flask

from lustre_events.jobs import queue_view
from lustre_events.jobs.pool_states import read_states
from lustre_events.jobs.queue_view import QueueView
from lustre_events.streams.connection import Client
from lustre_events.streams.records import RedisRecordStreams
from lustre_events.web import signin

pages = flask.Blueprint("queues", __name__)


def viewed(client: Client) -> QueueView:
    """Return what is in the queues, and how the dispatcher saw the pools last. Raises StreamError."""
    told = RedisRecordStreams(client).state()
    return replace(queue_view.look(client), pools=read_states(told.get("pools", "")))


@pages.get("/queues")
def queues() -> str:
    """Show RQ's queues, the pools, the workers, and the last jobs."""
    if not signin.person().admin:
        flask.abort(403, "The queues are for admins ([web] admins).")
    site = flask.current_app.extensions["site"]
    return flask.render_template("queues.html", view=site.queues(), dashboard=site.settings.dashboard)
