"""Who the user is, and who is let in."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import flask
from werkzeug.wrappers import Response

from lustre_events.errors import ConfigError, NotAllowed, TooOften
from lustre_events.index.visibility import Viewer
from lustre_events.web import forms, user_turns

log = logging.getLogger(__name__)

_OPEN = {"login.login", "login.enter", "health.health", "feed.feed", "static"}
_MANY_AT_ONCE = _OPEN | {"file.thumbnail"}
"""What a page asks for many times at once, and what costs little: it is not counted among a user's requests."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in. `admin`: sees the state of the service and what fails for others."""

    name: str
    viewer: Viewer
    admin: bool


def current() -> Person | None:
    """Return who asks; None: nobody has logged in."""
    person: Person | None = flask.g.get("person")
    return person


def person() -> Person:
    """Return who asks, where `require` has let somebody in."""
    found = current()
    if found is None:
        flask.abort(401)
    return found


def named() -> str:
    """Return the name of the user who has logged in, or that the proxy names; empty: nobody."""
    site = flask.current_app.extensions["site"]
    if site.login.header:
        return str(site.login.by_proxy(flask.request.remote_addr or "", flask.request.headers))
    return str(flask.session.get("user", ""))


def require() -> Response | None:
    """Let in known users; send anybody else to the login page, or refuse where only a proxy can name users.

    Raises TooOften: the user has as many requests at work as one may have.
    """
    if forms.for_programs():  # the API asks each call itself
        return None
    site = flask.current_app.extensions["site"]
    name = named()
    if name:
        try:
            flask.g.person = Person(name, Viewer.of_login(name), name in site.settings.admins)
        except ConfigError as exc:
            flask.session.clear()
            flask.abort(403, str(exc))
        if flask.request.endpoint not in _MANY_AT_ONCE:
            user_turns.take(flask.request.environ, flask.g.person.viewer.uid)
        return None
    if flask.request.endpoint in _OPEN:
        return None
    if site.login.check is None:
        flask.abort(
            401, "The site's proxy named no user; open the console at the proxy's address, and log in there."
        )
    return flask.redirect(flask.url_for("login.login", next=flask.request.full_path.rstrip("?")))


def admit(user: str, password: str) -> None:
    """Return if the password is the user's. Raises NotAllowed, TooOften."""
    login = flask.current_app.extensions["site"].login
    admitted = login.patience.admits(user)
    if admitted and login.check is not None and login.check(user, password):
        login.patience.right(user)
        return
    log.warning("refused a login", extra={"action": "refuse", "user": user[:64], "from": flask.request.remote_addr})
    if not admitted:
        raise TooOften("Too many wrong passwords for this user; wait a few seconds before the next one.")
    raise NotAllowed("Wrong user or password.")
