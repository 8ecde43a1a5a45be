"""Files counted by extractor, as far as the viewer may see them."""

from __future__ import annotations

from collections.abc import Mapping

from lustre_events.index.search.search import Search
from lustre_events.web import signin


def visible_counts(index: Search, field: str, counts: Mapping[str, int]) -> dict[str, int]:
    """Count for each extractor the files, visible to the viewer, in which a field names it; zeros are left out."""
    viewer = signin.person().viewer
    if viewer.sees_all:
        return dict(counts)
    seen = {name: index.count(f'{field}:"{name}"', visible_to=viewer) for name in counts}
    return {name: count for name, count in seen.items() if count}
