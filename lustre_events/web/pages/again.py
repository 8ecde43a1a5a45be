"""The page that has all hits of a query extracted again, as far as they are the user's own."""

from __future__ import annotations

import flask

from lustre_events.errors import QueryError
from lustre_events.index.mount import Mount
from lustre_events.web import signin
from lustre_events.web.reprocessing import Reprocessing

pages = flask.Blueprint("again", __name__)

MOST_PORTIONS = 10
"""Portions of files that one press of a button asks for."""


@pages.post("/again")
def again() -> str:
    """Have an extractor process again the hits of a query that the viewer owns."""
    site, form, viewer = flask.current_app.extensions["site"], flask.request.form, signin.person().viewer
    query, extractor = Mount.at(site.mount).query(form.get("q", "").strip()), form.get("extractor", "")
    if not query:
        raise QueryError("there is no query; search first, then extract again")
    cursor: str | None = form.get("cursor") or None
    files, more, waits = 0, True, ""
    with site.search() as index:
        asker = Reprocessing(index, site.ask, viewer)
        for _ in range(MOST_PORTIONS):
            done = asker.portion(query, extractor, cursor)
            files, more, waits, cursor = files + done.rows, done.more, done.waits, done.cursor
            if not more or done.taken < done.files:
                break
    return flask.render_template(
        "again.html", query=query, extractor=extractor, files=files, more=more, waits=waits, cursor=cursor
    )
