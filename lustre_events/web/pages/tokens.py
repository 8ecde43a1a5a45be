"""The page of the user's personal tokens."""

from __future__ import annotations

import flask
from werkzeug.wrappers import Response

from lustre_events.errors import ConfigError
from lustre_events.web import signin
from lustre_events.web.personal_tokens import SCOPES

pages = flask.Blueprint("tokens", __name__)

DAYS = (7, 30, 90, 365)


@pages.get("/tokens")
def tokens() -> str:
    """Show the user's tokens, and a form for a new one."""
    return _shown()


@pages.post("/tokens")
def change() -> str | Response:
    """Make a token and show it once, or revoke one."""
    site, form, user = flask.current_app.extensions["site"], flask.request.form, signin.person().name
    if form.get("revoke"):
        token = site.tokens.revoke(form["revoke"], user)
        flask.flash(f"The token {token.label or token.id} no longer works.")
        return flask.redirect(flask.url_for("tokens.tokens"))
    days = form.get("days", "")
    if days not in {str(each) for each in DAYS}:
        raise ConfigError("choose how long the token lives")
    secret, _ = site.tokens.create(
        user, form.get("label", "").strip(), scopes=form.getlist("scope"),
        days=min(float(days), site.settings.token_days),
    )  # fmt: skip
    return _shown(secret)


def _shown(secret: str = "") -> str:
    site, user = flask.current_app.extensions["site"], signin.person().name
    return flask.render_template(
        "tokens.html", tokens=site.tokens.list(user), secret=secret, scopes=SCOPES, now_ns=site.tokens.now_ns(),
        days=[each for each in DAYS if each <= site.settings.token_days] or [DAYS[0]],
    )  # fmt: skip
