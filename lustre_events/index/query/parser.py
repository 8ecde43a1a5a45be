"""The query language: Lucene-like text to a small tree that knows no database.

    columns:temperature AND size:>1k            a document's key, a fact
    common.instrument:ARPES temperature:[10 TO 20]     no operator means AND
    path:/proj/run7/** (ext:h5 OR ext:nc)       * and ? stay in one directory, ** crosses them
    "silicon carbide" graph* NOT owner:alice    words, phrases, beginnings of words, in documents and in names

The fields are those of index/fields.py. Every other field is a key of the documents, in dotted form, alone or
behind its extractor's name: `columns` or `tabular.columns`; with * and ? it is any such key. A backslash or quotes
make any character literal.

Text and names are compared without case and accents; paths and name.exact: as in the file system, but for how
accents are encoded. A value that is a time or a number as text is found as such, too. NOT matches whatever its
operand does not, unknown facts included.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from luqum import tree as lucene
from luqum.exceptions import ParseError
from luqum.thread import parse as parse_lucene

from lustre_events.changelog.fid import FID
from lustre_events.domain.bounds import LEAST, MOST, within
from lustre_events.errors import ConfigError, QueryError
from lustre_events.index.fields import FIELDS, Field, FieldType
from lustre_events.index.paths import components_of
from lustre_events.index.query import slips
from lustre_events.index.query.lexer import Token, query_error, tokenise
from lustre_events.index.query.literals import (
    Interval,
    group_interval,
    owner_interval,
    size_interval,
    time_interval,
)
from lustre_events.index.query.tree import (
    All,
    And,
    Exact,
    Extension,
    Fact,
    FactWord,
    Failed,
    HasDocument,
    HasFid,
    JobId,
    KeyEquals,
    KeyExists,
    KeyGlob,
    KeyRange,
    Mime,
    Name,
    NameWords,
    Node,
    Not,
    Or,
    Path,
    Released,
    Text,
    Type,
)  # fmt: skip
from lustre_events.index.typed_values import number
from lustre_events.index.values import clean, fold

MAX_DEPTH = 50
"""Most operators inside each other."""


_INTERVALS: dict[FieldType, Callable[[str, int], Interval]] = {
    FieldType.SIZE: size_interval,
    FieldType.COUNT: size_interval,
    FieldType.TIME: time_interval,
    FieldType.USER: owner_interval,
    FieldType.GROUP: group_interval,
}
_TYPES = {
    "f": "f", "file": "f",
    "d": "d", "dir": "d", "directory": "d",
    "l": "l", "link": "l", "symlink": "l",
    "p": "p", "fifo": "p", "pipe": "p",
    "s": "s", "socket": "s",
    "b": "b", "block": "b",
    "c": "c", "char": "c",
}  # fmt: skip
_GLOBS: dict[str, Callable[[str], Node]] = {
    "name": Name,
    "name.exact": partial(Name, exact=True),
    "path": Path,
    "jobid": JobId,
    "mime": Mime,
    "extractor": HasDocument,
    "failed": Failed,
}
_FLAGS: dict[str, Callable[[bool], Node]] = {"released": Released}
_EXACT = ".exact"
"""Behind a key: its value is compared with case and accents."""
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_PLACE = re.compile(r"at position (\d+)!\Z")


def parse(query: str, *, now_ns: int) -> Node:
    """Return the tree of a query. `now_ns` is what `now` means in it.

    Raises:
        QueryError: the query cannot be understood; the message shows the place with a caret.
    """
    tokens = tokenise(query)
    if not tokens:
        raise query_error("the query is empty; write * to find everything", query, 0)
    # What luqum sees: operators as they are, fields and terms as f and t with the number of their token.
    seen = [f"{token.kind}{i}:" if token.kind == "f" else f"t{i}" if token.kind == "t" else token.kind
            for i, token in enumerate(tokens)]  # fmt: skip
    try:
        parsed = parse_lucene(" ".join(seen))  # type: ignore[no-untyped-call]
    except ParseError as exc:
        raise _syntax_error(query, tokens, seen, str(exc)) from exc
    return _Converter(query, tokens, now_ns).convert(parsed, None, 0)


def both(query: str, condition: str) -> str:
    """Return a query for what two of them find.

    Raises:
        QueryError: the first one is none by itself. Between parentheses `a) OR (b` would be two.
    """
    parse(query, now_ns=0)
    return f"({query}) AND {condition}"


def _syntax_error(query: str, tokens: list[Token], seen: list[str], message: str) -> QueryError:
    at = _PLACE.search(message)
    if at is None:
        return query_error("the query ends too early", query, len(query))
    token = tokens[" ".join(seen)[: int(at[1])].count(" ")]
    return query_error(f"{query[token.start : token.end] or token.kind!r} cannot stand here", query, token.start)


@dataclass(frozen=True, slots=True)
class _Converter:
    query: str
    tokens: list[Token]
    now_ns: int

    def convert(self, node: lucene.Item, field: Token | None, depth: int) -> Node:  # noqa: PLR0911 - one for each kind
        if depth > MAX_DEPTH:
            raise query_error(f"a query may have {MAX_DEPTH} operators inside each other", self.query, 0)
        match node:
            case lucene.AndOperation():
                return And(tuple(self.convert(item, field, depth + 1) for item in node.operands))
            case lucene.OrOperation():
                return Or(tuple(self.convert(item, field, depth + 1) for item in node.operands))
            case lucene.Not() | lucene.Prohibit():
                return Not(self.convert(node.a, field, depth + 1))
            case lucene.Group() | lucene.FieldGroup() | lucene.Plus():
                return self.convert(node.children[0], field, depth + 1)
            case lucene.SearchField():
                return self.convert(node.expr, self.token(node.name), depth + 1)
            case lucene.Range():
                low, high = self.token(node.low), self.token(node.high)
                return self.between(field, low, high, node.include_low, node.include_high)
            case lucene.From():
                return self.between(field, self.token(node.a), None, node.include, include_high=True)
            case lucene.To():
                return self.between(field, None, self.token(node.a), include_low=True, include_high=node.include)
        return self.term(field, self.token(node))

    def token(self, placeholder: lucene.Item | str) -> Token:
        """Return the token of a number that luqum saw."""
        return self.tokens[int(str(placeholder)[1:])]

    def error(self, message: str, token: Token) -> QueryError:
        return query_error(message, self.query, token.start)

    def term(self, field: Token | None, term: Token) -> Node:  # noqa: PLR0911 - one for each kind
        if field is None:
            return All() if term.glob == "*" else self.text(term)
        name = field.text
        known = FIELDS.get(name)
        if known is not None:
            return self.of_field(known, term)
        if name.endswith(_EXACT):
            return self.exactly(field, term)
        if field.glob == term.glob == "*":
            return All()
        key, wild = _key(field), field.wild
        if term.glob == "*":
            return KeyExists(key, wild)
        if term.wild:
            return KeyGlob(key, fold(term.glob), wild)
        value = None if term.quoted else number(term.text)
        if isinstance(value, float) and term.text.lstrip("-").isdigit():
            value = None  # beyond 64 bits only the digits tell integers apart
        return KeyEquals(key, fold(term.text), value, self.time(term), wild)

    def of_field(self, known: Field, term: Token) -> Node:
        if known.ranged:
            return self.fact_between(
                known, *(None if term.glob == "*" else term,) * 2, include_low=True, include_high=True
            )
        if known.type is FieldType.GLOB:
            self.check_path(known.name, term)
            return _GLOBS[known.name](term.glob)
        if known.type is FieldType.FACT_WORDS:
            return FactWord(known.source, term.glob)
        if known.type is FieldType.WORDS:
            if term.wild:
                raise self.error("exact: takes whole words, no * or ?; a key does: title.exact:M*", term)
            return Exact(Text(clean(term.text)), clean(term.text))
        return self.exact(known, term)

    def exactly(self, field: Token, term: Token) -> Node:
        """Return a key's value with case and accents."""
        short = replace(field, text=field.text.removesuffix(_EXACT), glob=field.glob.removesuffix(_EXACT))
        key, wild = _key(short), short.wild
        if term.wild:
            near: Node = KeyExists(key, wild) if term.glob == "*" else KeyGlob(key, fold(term.glob), wild)
            return Exact(near, clean(term.glob), key, wild)
        return Exact(KeyEquals(key, fold(term.text), None, None, wild), clean(term.text), key, wild)

    def check_path(self, name: str, term: Token) -> None:
        if name == "path":
            try:
                components_of(term.glob)
            except QueryError as exc:
                raise self.error(str(exc), term) from exc

    def text(self, term: Token) -> Node:
        words = term.text
        if not term.wild:
            return _anywhere(clean(words))
        if words.count("*") + words.count("?") > 1 or not words.endswith("*"):
            raise self.error("a word of the full text may have one *, at its end; name:*abc* searches names", term)
        return _anywhere(clean(words[:-1]), prefix=True)

    def time(self, term: Token) -> Interval | None:
        """Return the nanoseconds of a term that is a time, within what the index holds; None: it is none."""
        if term.quoted:
            return None
        try:
            first, behind = time_interval(term.text, self.now_ns)
        except ValueError:
            return None
        return within(first), within(behind)

    def exact(self, field: Field, term: Token) -> Node:
        if term.wild:
            raise self.error(f"{field.name}: takes no * or ?", term)
        if field.type is FieldType.EXTENSION:
            return Extension(term.text.removeprefix("."))
        if field.type is FieldType.FILE_TYPE:
            letter = _TYPES.get(term.text.lower())
            if letter is None:
                raise self.error("the types are file, dir, link, fifo, socket, block and char", term)
            return Type(letter)
        if field.type is FieldType.BOOLEAN:
            value = _BOOLEANS.get(term.text.lower())
            if value is None:
                raise self.error(f"{field.name}: is true or false ({field.help})", term)
            return _FLAGS[field.name](value)
        try:
            return HasFid(FID.parse(term.text))
        except ConfigError as exc:
            raise self.error(str(exc), term) from exc

    def interval(self, field: Field, term: Token) -> Interval:
        if term.wild:
            raise self.error(f"{field.name}: takes no * or ?", term)
        try:
            return _INTERVALS[field.type](term.text, self.now_ns)
        except ValueError as exc:
            better = slips.with_dates(self.query) if field.type is FieldType.TIME else None
            did = f"; did you mean {better}" if better else ""
            raise self.error(f"{field.name}: {exc}{did}", term) from exc

    def between(
        self, field: Token | None, low: Token | None, high: Token | None, include_low: bool, include_high: bool
    ) -> Node:
        position = low or high
        if field is None and position is not None:
            raise self.error("a range or comparison needs a field before it: size:>1k", position)
        low, high = _bound(low), _bound(high)
        if field is None or position is None or (low is None and high is None):
            return self.term(field, Token("t", 0, 0, "*", "*", wild=True))
        known = FIELDS.get(field.text)
        if known is not None and known.ranged:
            return self.fact_between(known, low, high, include_low, include_high)
        if known is not None:
            raise self.error(f"{field.text}: has no order; write one value", position)
        span = self.span(low, high, include_low, include_high)
        return KeyRange(_key(field), *self.ends(low, high), include_low, include_high, time=span, wild=field.wild)

    def ends(self, low: Token | None, high: Token | None) -> tuple[float | str | None, float | str | None]:
        """Return the ends of a key's range: numbers if all that are given are, else text."""
        given = [token for token in (low, high) if token is not None]
        for token in given:
            if token.wild:
                raise self.error("the ends of a range take no * or ? inside", token)
        numeric = all(number(token.text) is not None for token in given)
        first, last = (
            None if token is None else number(token.text) if numeric else fold(token.text) for token in (low, high)
        )
        return first, last

    def span(
        self, low: Token | None, high: Token | None, include_low: bool, include_high: bool
    ) -> tuple[int | None, int | None] | None:
        """Return the nanoseconds from the first to behind the last, where all ends of a range are times."""
        first, last = (None if token is None else self.time(token) for token in (low, high))
        if (low is not None and first is None) or (high is not None and last is None):
            return None
        return (
            None if first is None else first[0 if include_low else 1],
            None if last is None else last[1 if include_high else 0],
        )

    def fact_between(
        self, field: Field, low: Token | None, high: Token | None, include_low: bool, include_high: bool
    ) -> Node:
        first = None if low is None else within(self.interval(field, low)[0 if include_low else 1])
        behind = None if high is None else _behind(self.interval(field, high)[1 if include_high else 0])
        return Fact(field.source, first, behind)


def _bound(token: Token | None) -> Token | None:
    return None if token is None or token.glob == "*" else token


def _behind(number: int) -> int | None:
    """Return the bound below which a fact is to be, so that one at an end of the index's range is found.

    It stands for all beyond that end (bounds.py), so it is found by whatever may be true of one of these.
    """
    return None if number > MOST else max(number, LEAST + 1)


def _key(field: Token) -> str:
    """Return the key of a document that a field is, or the glob of such keys."""
    return clean(field.glob if field.wild else field.text)


def _anywhere(words: str, *, prefix: bool = False) -> Node:
    return Or((Text(words, prefix), NameWords(words, prefix)))
