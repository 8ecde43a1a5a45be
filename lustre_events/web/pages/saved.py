"""The page of the user's saved searches, with their feeds and subscriptions."""

from __future__ import annotations

import flask
from werkzeug.wrappers import Response

from lustre_events.web import signin, subscribing

pages = flask.Blueprint("saved", __name__)


@pages.get("/saved")
def saved() -> str:
    """Show the user's saved searches, with their feeds and subscriptions."""
    return _shown()


@pages.post("/saved/feed")
def change_feed() -> str | Response:
    """Make the address of a search's feed and show it once, or revoke it."""
    site, form, user = flask.current_app.extensions["site"], flask.request.form, signin.person().name
    if form.get("make"):
        address = site.feeds.make(user, form["make"])
        return _shown(flask.request.host_url.rstrip("/") + address)
    site.feeds.end(user, form.get("end", ""))
    flask.flash("The feed is stopped: its address no longer works.")
    return flask.redirect(flask.url_for("saved.saved"))


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
    return flask.redirect(flask.url_for("saved.saved"))


def _shown(address: str = "") -> str:
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
        return flask.redirect(flask.url_for("search.search"))
    query, sort = form.get("query", ""), form.get("sort", "")
    site.saved.save(user, form.get("name", "").strip() or query[:100], query, sort)
    flask.flash("The search is saved; it is listed on the first page.")
    return flask.redirect(flask.url_for("search.search", q=query, sort=sort, facets=1))
