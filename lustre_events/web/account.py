"""The pages of what belongs to the user: personal tokens, and saved searches."""

from __future__ import annotations

import flask
from werkzeug.wrappers import Response

from lustre_events.errors import ConfigError
from lustre_events.web import signin, subscribing
from lustre_events.web.personal_tokens import SCOPES
from lustre_events.web.saved_searches import SavedSearch

pages = flask.Blueprint("account", __name__)

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
        return flask.redirect(flask.url_for("account.tokens"))
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


@pages.get("/saved")
def followed() -> str:
    """Show the user's saved searches, with their feeds and subscriptions."""
    return _followed()


@pages.post("/saved/feed")
def change_feed() -> str | Response:
    """Make the address of a search's feed and show it once, or revoke it."""
    site, form, user = flask.current_app.extensions["site"], flask.request.form, signin.person().name
    if form.get("make"):
        address = site.feeds.make(user, form["make"])
        return _followed(flask.request.host_url.rstrip("/") + address)
    site.feeds.end(user, form.get("end", ""))
    flask.flash("The feed is stopped: its address no longer works.")
    return flask.redirect(flask.url_for("account.followed"))


@pages.post("/saved/subscription")
def subscribe() -> Response:
    """Subscribe an endpoint to what a saved search finds from now on, or end the subscription."""
    site, form, person = flask.current_app.extensions["site"], flask.request.form, signin.person()
    if form.get("end"):
        subscribing.end(site, person.name, person.viewer, form["end"])
        flask.flash("The subscription is stopped.")
    else:
        name, endpoint = form.get("name", ""), form.get("endpoint", "")
        subscribing.begin(site, person.name, person.viewer, name, endpoint)
        flask.flash(f"{endpoint} is notified of each new document that {name} finds.")
    return flask.redirect(flask.url_for("account.followed"))


def _followed(address: str = "") -> str:
    site, person = flask.current_app.extensions["site"], signin.person()
    return flask.render_template(
        "saved.html", saved=site.saved.list(person.name), feeds=site.feeds.by_name(person.name), address=address,
        known=subscribing.known_or_away(site, person.name, person.viewer),
    )  # fmt: skip


@pages.post("/saved")
def save() -> Response:
    """Keep a search, or forget one."""
    site, form, user = flask.current_app.extensions["site"], flask.request.form, signin.person().name
    if form.get("forget"):
        site.saved.forget(user, form["forget"])
        return flask.redirect(flask.url_for("files.search"))
    query, sort = form.get("query", ""), form.get("sort", "")
    site.saved.save(user, form.get("name", "").strip() or query[:100], query, sort)
    flask.flash("The search is saved; it is listed on the first page.")
    return flask.redirect(flask.url_for("files.search", q=query, sort=sort, facets=1))


def saved() -> list[SavedSearch]:
    """Return the user's searches; none where they cannot be read, since the page has more to show."""
    site = flask.current_app.extensions["site"]
    try:
        found: list[SavedSearch] = site.saved.list(signin.person().name)
    except ConfigError:
        return []
    return found
