"""Against forms of other sites: every change needs a token that only a page of ours could know."""

from __future__ import annotations

import secrets
from urllib.parse import urlsplit

import flask

from lustre_events.web.login import same

_SAFE = {"GET", "HEAD", "OPTIONS"}
FIELD = "csrf"


def token() -> str:
    """Return the token of this session; it is made when a page first needs it."""
    if FIELD not in flask.session:
        flask.session[FIELD] = secrets.token_urlsafe(24)
    return str(flask.session[FIELD])


def check() -> None:
    """Refuse a change that does not come from a page of ours.

    rq-dashboard's pages know no token: there the browser's own word counts (Sec-Fetch-Site, else Origin).
    """
    if flask.request.method in _SAFE:
        return
    if flask.request.blueprint == "rq_dashboard":
        allowed = _from_here()
    else:
        allowed = same(flask.request.form.get(FIELD, ""), flask.session.get(FIELD, "\0"))
    if not allowed:
        flask.abort(400, "This form is no longer valid; load the page again and repeat what you did.")


def _from_here() -> bool:
    site = flask.request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(flask.request.headers.get("Origin", "")).netloc == flask.request.host
