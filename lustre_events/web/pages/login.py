"""The pages where a user logs in and out."""

from __future__ import annotations

from urllib.parse import urlsplit

import flask
from werkzeug.wrappers import Response

from lustre_events.errors import NotAllowed, TooOften
from lustre_events.web import signin

pages = flask.Blueprint("login", __name__)


@pages.get("/login")
def login() -> str:
    """Show the form."""
    return flask.render_template("login.html", next=flask.request.args.get("next", "/"), sentence="")


@pages.post("/login")
def enter() -> Response | tuple[str, int]:
    """Log in a user who gives the right password."""
    user, password = flask.request.form.get("user", ""), flask.request.form.get("password", "")
    then = _inside(flask.request.form.get("next", "/"))
    try:
        signin.admit(user, password)
    except NotAllowed as exc:
        return flask.render_template("login.html", next=then, sentence=str(exc)), 403
    except TooOften as exc:
        return flask.render_template("login.html", next=then, sentence=str(exc)), 429
    flask.session.clear()
    flask.session["user"] = user
    flask.session.permanent = True
    return flask.redirect(then)


@pages.post("/logout")
def leave() -> Response:
    """Let somebody out."""
    flask.session.clear()
    return flask.redirect("/login")


def _inside(address: str) -> str:
    """Return a path of this console, whatever the form says."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "/"
    # Browsers take a backslash for a slash; a line end would be one of the header.
    outside = parts.scheme or parts.netloc or not address.startswith("/") or address[1:2] in {"/", "\\"}
    return address if address.isprintable() and not outside else "/"
