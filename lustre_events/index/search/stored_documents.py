"""Documents of a hit as they are stored, and how they are parsed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec


class StoredDocuments(Mapping[str, dict[str, Any]]):
    """Documents by the names of their extractors; each is parsed when it is first used.

    Args:
        texts: the documents as ASCII JSON, by extractor.
    """

    __slots__ = ("_texts",)

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def __getitem__(self, extractor: str) -> dict[str, Any]:
        """Return the document of an extractor."""
        return parsed(self._texts[extractor])

    def __iter__(self) -> Iterator[str]:
        """Iterate over the extractors."""
        return iter(self._texts)

    def __len__(self) -> int:
        """Return how many documents there are."""
        return len(self._texts)

    def __repr__(self) -> str:
        """Return them as the repr of a dict."""
        return repr(dict(self))

    @property
    def texts(self) -> Mapping[str, str]:
        """The documents as they are stored."""
        return self._texts


def texts_of(documents: Mapping[str, Mapping[str, Any]]) -> Mapping[str, str]:
    """Return documents as JSON text in ASCII, without spaces, as the index stores them."""
    if isinstance(documents, StoredDocuments):
        return documents.texts
    return {extractor: json.dumps(body, separators=(",", ":")) for extractor, body in documents.items()}


_decoded = msgspec.json.Decoder().decode


def all_parsed(texts: Sequence[str | None]) -> list[dict[str, Any] | None]:
    """Return some documents of their JSON texts, by one call; None stays None."""
    try:
        found: list[dict[str, Any] | None] = _decoded(f"[{','.join(each or 'null' for each in texts)}]")
    except msgspec.MsgspecError:  # one of them has a lone surrogate
        found = [None if each is None else parsed(each) for each in texts]
    return found


def parsed(text: str) -> dict[str, Any]:
    """Return a document of its JSON text."""
    try:
        found: dict[str, Any] = _decoded(text)
    except msgspec.MsgspecError:  # a lone surrogate, which only json reads
        found = json.loads(text)
    return found
