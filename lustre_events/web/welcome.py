"""What a search page shows besides hits: before a query what is here to be found, then the query's parts."""

from __future__ import annotations

import json
from dataclasses import dataclass

from lustre_events.errors import QueryError
from lustre_events.index.query.slips import alternatives, field_text
from lustre_events.index.search.hits import Hit, Summary
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer

RECENT = 8
"""Files that changed last."""
EXAMPLES = 8
_KEYS = 60
"""Keys that are looked at for examples."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """What somebody may find here.

    Args:
        recent: the files that changed last.
        summary: how many files there are, as far as a short look tells.
        kinds: for some fields their values, each with the query that finds such files and how many are known.
        examples: queries that find something, each with what its key means.
    """

    recent: tuple[Hit, ...]
    summary: Summary
    kinds: dict[str, tuple[tuple[str, str, int], ...]]
    examples: tuple[tuple[str, str], ...]


def welcome(index: Search, viewer: Viewer | None) -> Welcome:
    """Return what is here, as a viewer may know it; by bounded looks."""
    page, summary = index.overview(
        "type:f", ("extractor", "ext", "owner"), limit=RECENT, sort="-mtime", values=6, visible_to=viewer
    )
    examples = [
        (f"{field_text(each.name)}{_term(each.examples[0])}", each.help)
        for each in index.fields(limit=_KEYS, visible_to=viewer)
        if each.extractors and each.files and each.examples
    ]
    kinds = {
        name: tuple(
            (str(each.value), f"{name}:{_term(str(each.value))}", each.files)
            for each in values
            if each.value is not None
        )
        for name, values in summary.facets.items()
    }
    return Welcome(page.hits, summary, kinds, tuple(examples[:EXAMPLES]))


def _term(value: str) -> str:
    plain = value.replace(".", "").replace("-", "").replace("_", "").isalnum() and not value.startswith("-")
    return value if plain else json.dumps(value, ensure_ascii=False)


def chips(query: str) -> tuple[tuple[str, str], ...]:
    """Return the parts of a query that all must match, each with the query without it; one part: nothing."""
    try:
        found = alternatives(query)
    except QueryError:
        return ()
    parts = [part.text for part in found[0]] if len(found) == 1 else []
    if len(parts) < 2:
        return ()
    return tuple((text, " AND ".join(parts[:number] + parts[number + 1 :])) for number, text in enumerate(parts))
