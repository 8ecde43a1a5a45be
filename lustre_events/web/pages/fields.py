"""The page of fields: what one can ask for."""

from __future__ import annotations

import flask

from lustre_events.index.query.slips import field_text
from lustre_events.web import signin

pages = flask.Blueprint("fields", __name__)

KEYS = 200
"""Most keys on the page."""


@pages.get("/fields")
def fields() -> str:
    """Show the fields and keys that one can ask for, with what they are and examples."""
    site, prefix = flask.current_app.extensions["site"], flask.request.args.get("prefix", "").strip()
    with site.search() as index:
        found = index.fields(prefix, limit=KEYS, visible_to=signin.person().viewer)
    return flask.render_template(
        "fields.html", fields=found, prefix=prefix, asked=lambda each: f"{field_text(each.name)}*"
    )
