"""XML read piece by piece, in bounded memory: no document types unless allowed, never entities or other files.

Families that read XML have a copy of extractors/base/extractor_xml.py in their folder; standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from xml.parsers import expat

PIECE = 1 << 16
MAX_MARK = 4 << 20  # bytes of one element with its attributes
MAX_WORDS = 1 << 16  # characters of one text that are kept


class Refused(ValueError):
    """What a file has that is not read."""


class Walk:
    """Calls back at the beginning and end of elements, by their names without namespace."""

    def __init__(
        self,
        start: Callable[[str, dict[str, str]], None],
        end: Callable[[str, str], None] | None = None,
        text: Callable[[str], None] | None = None,
        *,
        document_type: bool = False,
    ) -> None:
        """`end` gets the text of an element, up to MAX_WORDS of it; `text` gets all of it, piece by piece."""
        self._start, self._end = start, end
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._close
        self._parser.CharacterDataHandler = text or self._characters
        self._parser.EntityDeclHandler = self._entity
        if not document_type:
            self._parser.StartDoctypeDeclHandler = self._doctype
        self._text: list[str] = []
        self._length = 0

    def _doctype(self, *_: Any) -> None:
        raise Refused("it declares a document type, which is not read")

    def _entity(self, *_: Any) -> None:
        raise Refused("it declares an entity, which is not read")

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._text, self._length = [], 0
        found = {key.rpartition(" ")[2]: value for key, value in attributes.items()} if attributes else attributes
        if len(found) < len(attributes):  # of two with one name that in a namespace counts
            found |= {key.rpartition(" ")[2]: value for key, value in attributes.items() if " " in key}
        self._start(name.rpartition(" ")[2], found)

    def _close(self, name: str) -> None:
        if self._end is not None:
            self._end(name.rpartition(" ")[2], "".join(self._text))
        self._text, self._length = [], 0

    def _characters(self, text: str) -> None:
        if self._length < MAX_WORDS:
            self._text.append(text)
            self._length += len(text)

    def read(self, stream: Any) -> None:
        """Read a part to its end.

        Raises:
            ValueError: it is no XML, or has a document type.
        """
        try:
            fed = 0
            while piece := stream.read(PIECE):
                self._parser.Parse(piece, False)
                fed += len(piece)
                if fed - self._parser.CurrentByteIndex > MAX_MARK:
                    raise ValueError("it has an element that is too long")
            self._parser.Parse(b"", True)
        except expat.ExpatError as exc:
            raise ValueError(f"it is broken XML: {exc}") from None
