"""Common slips in a typed query, and how its text is repaired: pure text, no database.

A query is taken apart as lexer.py cuts it, so that each part is a query itself and keeps its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from lustre_events.index.query.lexer import Token, tokenise
from lustre_events.index.query.written_dates import MOST_WORDS, date_meant

_OPENS, _CLOSES = frozenset({"(", "[", "{"}), frozenset({")", "]", "}"})
_VALUE_SIGNS = frozenset({"f", "<", "<=", ">", ">="})
_DATE_SIGNS = _VALUE_SIGNS | {"[", "{", "TO"}
_OPERATORS = frozenset({"AND", "OR", "NOT"})
_WORDS = frozenset({"and", "or", "not"})
_EQUALS = re.compile(r"(?P<field>[^\W\d][\w.\-/]*)(?P<sign>==?|[<>]=?)(?P<value>[^=<>].*)", re.DOTALL)
_PLAIN = re.compile(r"[\w./][\w.\-/]*\Z")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a query that is a query itself, from `start` to `end`; `negative`: it says what must not match."""

    start: int
    end: int
    text: str
    negative: bool = False

    @property
    def grouped(self) -> bool:
        """Whether it stands in parentheses."""
        return self.text.startswith("(")


def alternatives(query: str, within: Part | None = None) -> list[list[Part]]:
    """Return the parts that are joined by AND, for each of the alternatives that are joined by OR.

    `within` is a part in parentheses, of which the inside is taken apart. Raises QueryError.
    """
    start, text = (0, query) if within is None else (within.start + 1, within.text[1:-1])
    found: list[list[list[Token]]] = [[[]]]
    depth = 0
    for token in tokenise(text):
        if depth == 0 and token.kind == "OR":
            found.append([[]])
        elif depth == 0 and token.kind == "AND":
            found[-1].append([])
        else:
            depth += (token.kind in _OPENS) - (token.kind in _CLOSES)
            found[-1][-1].append(token)
    return [[_part(text, tokens, start) for tokens in parts if tokens] for parts in found]


def _part(text: str, tokens: list[Token], start: int) -> Part:
    if tokens[0].kind == "+" and len(tokens) > 1:
        tokens = tokens[1:]
    first, end = tokens[0].start, tokens[-1].end
    return Part(start + first, start + end, text[first:end], tokens[0].kind in {"NOT", "-"})


def with_operators(query: str) -> str | None:
    """Return a query with `and`, `or` and `not` in capitals where they stand as words; None: they do not."""
    tokens = tokenise(query)
    lower = [
        token
        for before, token in zip([None, *tokens], tokens, strict=False)
        if token.kind == "t" and query[token.start : token.end].lower() in _WORDS
        and (before is None or before.kind not in _VALUE_SIGNS)
    ]  # fmt: skip
    return _with(query, [(each.start, each.end, each.text.upper()) for each in lower]) if lower else None


def with_colons(query: str) -> str | None:
    """Return a query with `field:value` for `field=value`, `field = value` and `field>value`; None: it has none."""
    tokens = [token for token in tokenise(query) if token.end > token.start]
    changes: list[tuple[int, int, str]] = []
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.kind == "t" and not token.quoted and not (before and before.kind in _VALUE_SIGNS):
            changes += _colon_for(query, before, token, after)
    return _with(query, changes) if changes else None


def _colon_for(
    query: str, before: Token | None, token: Token, after: Token | None
) -> Iterator[tuple[int, int, str]]:  # fmt: skip
    written = query[token.start : token.end]
    match = _EQUALS.fullmatch(written)
    if match:
        sign = "" if match["sign"].startswith("=") else match["sign"]
        yield token.start, token.end, f"{match['field']}:{sign}{match['value']}"
    elif written in {"=", "=="} and before and after and before.kind == "t":
        yield before.end, after.start, ":"


def with_dates(query: str) -> str | None:
    """Return a query with a date for `03.2026` and `March 2026` where they are values; None: it has no such."""
    tokens = [token for token in tokenise(query) if token.end > token.start]
    changes: list[tuple[int, int, str]] = []
    for place, (before, token) in enumerate(zip([None, *tokens], tokens, strict=False)):
        if token.kind == "t" and before is not None and before.kind in _DATE_SIGNS:
            changes += _date_for(tokens[place : place + MOST_WORDS])
    return _with(query, changes) if changes else None


def _date_for(tokens: list[Token]) -> Iterator[tuple[int, int, str]]:
    """Yield the change that makes a date of the first tokens, of as many as can be one."""
    words = list(takewhile(lambda token: token.kind == "t", tokens))
    for count in range(len(words), 0, -1):
        meant = date_meant(" ".join(word.text for word in words[:count]))
        if meant is not None:
            yield words[0].start, words[count - 1].end, meant
            return


def replaced(query: str, part: Part, kind: str, is_meant: Callable[[str], bool], new: str) -> str:
    """Return a query with some tokens of a part replaced: fields (kind `f`, with their colon) or terms (`t`)."""
    changes = [
        (part.start + token.start, part.start + token.end, new)
        for token in tokenise(part.text)
        if token.kind == kind and is_meant(token.text)
    ]
    return _with(query, changes)


def with_part(query: str, part: Part, new: str) -> str:
    """Return a query with another part in the place of one."""
    return query[: part.start] + new + query[part.end :]


def field_text(name: str) -> str:
    """Return a field's name as it is written in a query, with its colon."""
    plain = _PLAIN.match(name) is not None
    return f"{name}:" if plain else '"' + re.sub(r'(["\\])', r"\\\1", name) + '":'


def literal(text: str) -> str:
    """Return text as it is written in a query, with a backslash before what would be special."""
    inside = "".join(char if char.isalnum() or char in "_./-" else "\\" + char for char in text)
    return "\\" + inside if text in _OPERATORS or inside[:1] == "-" else inside


def written(glob: str) -> str:
    """Return a glob (wildcards.py) as it is written in a query."""
    pieces = re.split(r"(\[[*?[]\]|[*?])", glob)
    return "".join(piece if piece in {"*", "?"} else literal(piece[1]) if piece[:1] == "[" and len(piece) == 3
                   else literal(piece) for piece in pieces)  # fmt: skip


def _with(query: str, changes: Iterable[tuple[int, int, str]]) -> str:
    for start, end, text in sorted(changes, reverse=True):
        query = query[:start] + text + query[end:]
    return query
