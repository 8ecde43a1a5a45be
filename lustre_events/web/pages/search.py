"""The page of searches, at `/`: the hits of a query, what narrows it, and where to begin."""

from __future__ import annotations

import contextlib
from typing import Any

import flask

from lustre_events.errors import ConfigError, LustreEventsError, QueryError
from lustre_events.index.mount import Mount
from lustre_events.index.search.search import Search
from lustre_events.web import highlight, narrowing, signin, welcome
from lustre_events.web.saved_searches import SavedSearch

pages = flask.Blueprint("search", __name__)

PAGE = 50
FACET_VALUES = 8
SORTS = ("", "relevance", "-mtime", "mtime", "-size", "size")


@pages.get("/")
def search() -> str | tuple[str, int]:
    """Show the hits of a query, and what they have in common. The address of the page is all of its state."""
    asked = flask.request.args
    site = flask.current_app.extensions["site"]
    query, sort = Mount.at(site.mount).query(asked.get("q", "").strip()), asked.get("sort", "")
    shown: dict[str, Any] = {
        "query": query,
        "sort": sort,
        "sorts": SORTS,
        "facets": {},
        "histograms": {},
        "summary": None,
        "page": None,
        "hints": (),
        "mistake": "",
        "saved": _saved() if not query else (),
        "address": lambda narrowed: flask.url_for("search.search", q=narrowed, sort=sort, facets=1),
    }
    viewer = signin.person().viewer
    if not query:
        with site.search() as index:
            shown["here"] = welcome.welcome(index, viewer)
        return flask.render_template("search.html", **shown)
    shown |= {"chips": welcome.chips(query), "words": highlight.words_in(query)}
    try:
        with site.search() as index:
            shown |= _found(index, query, sort, asked.get("cursor"))
    except QueryError as exc:
        with contextlib.suppress(LustreEventsError), site.search() as index:
            shown["hints"] = index.hints(query, visible_to=viewer)
        return flask.render_template("search.html", **{**shown, "mistake": str(exc)}), 400
    return flask.render_template("search.html", **shown)


def _found(index: Search, query: str, sort: str, cursor: str | None) -> dict[str, Any]:
    """Return a page of hits, and what narrows the query, which is the same beside every page."""
    viewer, fields = signin.person().viewer, narrowing.FIELDS
    page, summary = index.overview(
        query, fields, limit=PAGE, sort=sort or None, values=FACET_VALUES, visible_to=viewer
    )
    if cursor:
        page = index.page(query, limit=PAGE, sort=sort or None, cursor=cursor, visible_to=viewer)
    return {
        "page": page,
        "summary": summary,
        **narrowing.beside(query, summary),
        "hints": () if page.hits or cursor else index.hints(query, visible_to=viewer, found_nothing=True),
    }


def _saved() -> list[SavedSearch]:
    """Return the user's searches; none where they cannot be read, since the page has more to show."""
    site = flask.current_app.extensions["site"]
    try:
        found: list[SavedSearch] = site.saved.list(signin.person().name)
    except ConfigError:
        return []
    return found
