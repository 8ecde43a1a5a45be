"""Documents of a hit as they are stored: each is parsed when it is first used."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec


class StoredDocuments(Mapping[str, dict[str, Any]]):
    """Documents by the names of their extractors.

    Args:
        texts: the documents as ASCII JSON, by extractor.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __getitem__(self, extractor: str) -> dict[str, Any]:
        """Return the document of an extractor."""
        return _parsed(self._texts[extractor])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the extractors."""
        return iter(self._texts)

    def __len__(self) -> int:
        """Return how many documents there are."""
        return len(self._texts)

    def __repr__(self) -> str:
        """Return them as the repr of a dict."""
        return repr(dict(self))

    def parsed(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each extractor and its document."""
        return ((extractor, _parsed(text)) for extractor, text in self._texts.items())

    @property
    def text(self) -> str:
        """All of them as one JSON object, of which nothing was parsed."""
        return "{" + ",".join([f"{_quoted(name)}:{text}" for name, text in self._texts.items()]) + "}"


def text_of(documents: Mapping[str, Mapping[str, Any]]) -> str:
    """Return documents as one JSON object in ASCII, without spaces, as the index stores each of them."""
    return (
        documents.text if isinstance(documents, StoredDocuments) else json.dumps(documents, separators=(",", ":"))
    )


def parsed(documents: Mapping[str, Mapping[str, Any]]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Return each extractor and its document."""
    return documents.parsed() if isinstance(documents, StoredDocuments) else documents.items()


def _parsed(text: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(text)
    except msgspec.MsgspecError:  # a lone surrogate, which only json reads
        found = json.loads(text)
    return found


@lru_cache(maxsize=1024)
def _quoted(name: str) -> str:
    return json.dumps(name)
