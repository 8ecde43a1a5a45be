"""The download of all hits of a query."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

import flask
from werkzeug.wrappers import Response

from lustre_events.index.mount import Mount
from lustre_events.index.search.asking import portions
from lustre_events.index.search.portions import HitPortion
from lustre_events.inspect import export
from lustre_events.web import signin

pages = flask.Blueprint("download", __name__)

MOST_DOWNLOADED = 10_000
"""Most hits of one download, since it holds one of the console's threads. The command `search` has no limit."""
FORMATS: dict[str, tuple[str, Callable[[Iterable[HitPortion]], Iterator[bytes]]]] = {
    "csv": ("text/csv", export.comma_separated),
    "jsonl": ("application/jsonl", export.jsonl),
}


@pages.get("/download")
def download() -> Response:
    """Send the hits of a query as a file, from the first on."""
    site, asked = flask.current_app.extensions["site"], flask.request.args
    mount, viewer = Mount.at(site.mount), signin.person().viewer
    query, sort = mount.query(asked.get("q", "").strip()), asked.get("sort") or None
    mime, form = FORMATS.get(asked.get("format", "csv"), FORMATS["csv"])

    def found() -> Iterator[HitPortion]:
        with site.search() as index:
            yield from portions(index, query, limit=MOST_DOWNLOADED, sort=sort, visible_to=viewer)

    rest = found()
    # The first portion now: what is wrong with the query is an answer, and no broken file.
    first = next(rest)
    lines = form(map(mount.placed_all, chain((first,), rest)))
    answer = flask.Response(lines, mimetype=mime)
    kind = "csv" if mime == "text/csv" else "jsonl"
    answer.headers["Content-Disposition"] = f'attachment; filename="hits.{kind}"'
    return answer
