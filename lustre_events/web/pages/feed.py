"""The feed of a saved search, for whoever has its address."""

from __future__ import annotations

import flask
from werkzeug.wrappers import Response

from lustre_events.errors import ConfigError, NotAllowed
from lustre_events.index.visibility import Viewer
from lustre_events.web import user_turns
from lustre_events.web.feeds import Heading, atom, newest

pages = flask.Blueprint("feed", __name__)

FILES = 50


@pages.get("/feed/<address>")
def feed(address: str) -> Response:
    """Serve a feed to whoever has its address, without a login."""
    site = flask.current_app.extensions["site"]
    try:
        found = site.feeds.known(address)
        viewer = Viewer.of_login(found.user)
        kept = site.saved.one(found.user, found.name)
    except (NotAllowed, ConfigError) as exc:
        flask.abort(404, str(exc))
    if viewer.uid != found.uid:
        flask.abort(404, f"{found.user} is not the account that this feed was made for; make a new one")
    seconds = site.pace.wait(found.user, site.settings.requests_per_minute)
    if seconds:
        flask.abort(429, f"too many requests; ask again in {int(seconds) + 1} s")
    user_turns.take(flask.request.environ, found.uid)
    heading = Heading(kept.name, flask.request.host_url, f"{site.mount}\0{found.user}\0{kept.name}", kept.made_ns)
    told = atom(heading, newest(site, kept.query, viewer, FILES))
    response = flask.Response(told, content_type="application/atom+xml; charset=utf-8")
    response.headers["Cache-Control"] = "private, no-cache"
    response.add_etag()
    return response.make_conditional(flask.request)
