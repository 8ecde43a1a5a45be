"""The page of the service's state: each MDT, what waits, what went wrong, and charts."""

from __future__ import annotations

import flask

from lustre_events.inspect import status as texts
from lustre_events.inspect.status import Status
from lustre_events.inspect.status.parts import DispatcherStatus
from lustre_events.web import signin

pages = flask.Blueprint("overview", __name__)


@pages.get("/overview")
def overview() -> str:
    """Show the progress of each MDT and the charts of the last hours; to admins, all that waits or went wrong."""
    site, person = flask.current_app.extensions["site"], signin.person()
    found = site.status()
    shown = found if person.admin or person.viewer.sees_all else _progress(found)
    return flask.render_template(
        "overview.html", status=found, lines=list(texts.lines(shown)), charts=site.history.charts()
    )


def _progress(status: Status) -> Status:
    """Return what of a status is everybody's: the rest names extractors, rules, and what is wrong with them."""
    told = {} if status.dispatcher is None else status.dispatcher.told
    kept = {name: text for name, text in told.items() if name in {"alive_ns", "holder"}}
    dispatcher = None if status.dispatcher is None else DispatcherStatus(kept)
    return Status(
        time_ns=status.time_ns, mdts=status.mdts, dispatcher=dispatcher, rates=status.rates, history=status.history
    )
