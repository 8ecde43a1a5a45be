"""One call of an operation: who asks, for what, and where it is looked up."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.index.mount import Mount
from lustre_events.index.search.hints.hint import Hint
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer


@dataclass(frozen=True, slots=True)
class Call:
    """What an operation is given.

    Args:
        site: the console's Site.
        user: who asks; empty: nobody that is known.
        viewer: what this user may see.
        scopes: what the user's token, or session, is for.
        given: the parameters.
        body: what was sent, in the operation's type.
    """

    site: Any
    user: str
    viewer: Viewer
    scopes: frozenset[str]
    given: Mapping[str, Any]
    body: Any = None

    @property
    def mount(self) -> Mount:
        """Where the file system is mounted."""
        return Mount.at(self.site.mount)

    def path(self, text: str) -> bytes:
        """Return a path that was given as the index has it."""
        return self.mount.inside(text.encode("utf-8", "surrogateescape"))

    @contextlib.contextmanager
    def search(self) -> Iterator[Search]:
        """Give the index."""
        with self.site.search() as index:
            yield index


def hints_json(hints: tuple[Hint, ...]) -> list[dict[str, Any]]:
    """Return hints as JSON types."""
    return [{"text": each.text, "query": each.query, "files": each.files} for each in hints]
