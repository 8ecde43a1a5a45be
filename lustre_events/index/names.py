"""Names as they are searched: without case and accents, and word by word. All of it is pure.

A name is bytes of any encoding; bytes that are not UTF-8 stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lustre_events.index.typed_values import composed, segmented, unaccented
from lustre_events.index.values import VALUE_GAP, clean
from lustre_events.index.words import has_words


def folded(name: bytes) -> bytes:
    """Return a name without case and accents, composed."""
    if name.isascii():
        return name.lower()
    return folded_text(name.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")


def folded_text(text: str) -> str:
    """Return the same of a name as text, or of a glob."""
    return text.lower() if text.isascii() else composed(unaccented(text.casefold()))


def kept(name: bytes) -> bytes | None:
    """Return what is stored beside a name: its folded form, or None where that is the name itself."""
    other = folded(name)
    return None if other == name else other


def text_of(names: Iterable[bytes]) -> str:
    """Return the text that names are found by, word by word."""
    return VALUE_GAP.join(map(_text_of, names))


def _text_of(name: bytes) -> str:
    return segmented(unaccented(clean(name.decode("utf-8", "surrogateescape"))))


def name_has_words(name: bytes, wanted: Sequence[str], *, prefix: bool) -> bool:
    """Return whether a name has these words, one behind the other; `prefix`: the last one may go on."""
    return has_words(_text_of(name), wanted, prefix=prefix)
