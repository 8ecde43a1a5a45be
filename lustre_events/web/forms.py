"""Protection against forms of other sites (CSRF): each change needs a token that only our own pages know."""

from __future__ import annotations

import secrets

import flask

from lustre_events.web.login import same

_SAFE = {"GET", "HEAD", "OPTIONS"}
FIELD = "csrf"


def token() -> str:
    """Return the token of this session; it is made when a page first needs it."""
    if FIELD not in flask.session:
        flask.session[FIELD] = secrets.token_urlsafe(24)
    return str(flask.session[FIELD])


def for_programs() -> bool:
    """Return whether a request is to the API: it has no forms, and what changes something shows a token."""
    return flask.request.path.startswith("/api/")


def check() -> None:
    """Refuse a change that does not come from a page of ours."""
    if flask.request.method in _SAFE or for_programs():
        return
    made = flask.session.get(FIELD)  # none where another site's form comes without the session's cookie
    if not made or not same(flask.request.form.get(FIELD, ""), made):
        flask.abort(400, "This form is no longer valid; load the page again and repeat what you did.")
