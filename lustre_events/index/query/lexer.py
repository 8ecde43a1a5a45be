"""The first step of a query: its tokens, with their places, in a form that luqum parses without surprises.

luqum's own lexer takes `/` for a regular expression, `now-7d` and `10:00` apart, and needs no operator between
terms but binds that more loosely than OR. So the terms are cut out here, luqum sees only their numbers
(`f1:(t2 OR t3) AND t4`), and every place in an error leads back to the text that was typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from lustre_events.errors import QueryError
from lustre_events.index.query.wildcards import escape

MAX_QUERY_LENGTH = 10_000
MAX_TOKENS = 500

_OPERATORS = {"AND": "AND", "OR": "OR", "NOT": "NOT", "&&": "AND", "||": "OR"}
_COMPARISON = re.compile(r"[<>]=?")
_BRACKETED = re.compile(r"\[[^\s\]]*\](?=[\s)]|\Z)")
_ENDS_OPERAND = frozenset({"t", ")", "]", "}"})
_OPENS_RANGE = frozenset({"[", "{"})
_STARTS_OPERAND = frozenset({"t", "f", "(", "NOT", "-", "+", "<", "<=", ">", ">="}) | _OPENS_RANGE
_SHOWN = 60
"""Characters of the query shown on either side of an error."""


@dataclass(frozen=True, slots=True)
class Token:
    """A term (kind `t`), a field's name (`f`), or an operator (its kind is what luqum sees).

    `text` is without quotes and escapes. `glob` is the same as a pattern in which only `*` and `?` are wild
    and literal ones stand in brackets (`[*]`); it is the text itself where nothing is special.
    """

    kind: str
    start: int
    end: int
    text: str = ""
    glob: str = ""
    wild: bool = False
    quoted: bool = False


def query_error(message: str, query: str, position: int) -> QueryError:
    """Return the error with the query and a caret under the place."""
    first = max(0, position - _SHOWN)
    shown = "".join(char if char.isprintable() else "?" for char in query[first : position + _SHOWN])
    return QueryError(f"{message}\n  {shown}\n  {' ' * (position - first)}^")


def tokenise(query: str) -> list[Token]:
    """Return the tokens of a query, with AND where two operands stand side by side.

    Raises:
        QueryError: the query is too long, or has an open quote or a character that cannot be searched.
    """
    if len(query) > MAX_QUERY_LENGTH:
        raise query_error(f"a query may have {MAX_QUERY_LENGTH} characters", query, MAX_QUERY_LENGTH)
    bad = re.search("[\0\ud800-\udc7f\udd00-\udfff]", query)
    if bad:
        raise query_error("a query cannot have this character; remove it", query, bad.start())
    tokens = _Tokeniser(query).run()
    if len(tokens) > MAX_TOKENS:
        raise query_error(f"a query may have {MAX_TOKENS} terms and operators", query, tokens[MAX_TOKENS].start)
    return tokens


@dataclass(slots=True)
class _Tokeniser:
    query: str
    position: int = 0
    tokens: list[Token] = field(default_factory=list)
    groups: list[bool] = field(default_factory=list)  # for each open parenthesis: is it a field's?
    in_range: bool = False

    def run(self) -> list[Token]:
        while self.position < len(self.query):
            if self.query[self.position].isspace():
                self.position += 1
            else:
                self.add(self.next_token())
        return self.tokens

    def add(self, token: Token) -> None:
        previous = self.tokens[-1].kind if self.tokens else ""
        if previous == "t" and token.kind in {"t", "f", "("} and self.tokens[-1].end == token.start:
            raise query_error(
                "put a space here, or a backslash before each special character", self.query, token.start
            )
        inside = self.in_range and token.kind not in _OPENS_RANGE
        if previous in _ENDS_OPERAND and token.kind in _STARTS_OPERAND and not inside:
            self.tokens.append(Token("AND", token.start, token.start))
        self.tokens.append(token)
        self.position = token.end

    # Branches: one for each kind of token, in the order in which they are tried.
    def next_token(self) -> Token:  # noqa: PLR0911 - one for each kind
        char = self.query[self.position]
        if char == '"':
            return self.phrase()
        if char in "()":
            return self.parenthesis(char)
        if self.after_value_sign() or self.in_range:
            return self.value(char)
        if self.query[self.position : self.position + 2] in {"&&", "||"}:
            return self.operator(_OPERATORS[self.query[self.position : self.position + 2]], 2)
        following = self.query[self.position + 1 : self.position + 2]
        if char == "!" and following:
            return self.operator("NOT", 1)
        number = any(self.groups) and (following.isdigit() or following == ".")
        if char in "+-" and following.strip() and not number:
            return self.operator(char, 1)
        if char in "<>[{":
            return self.value(char)
        return self.word()

    def after_value_sign(self) -> bool:
        return bool(self.tokens) and self.tokens[-1].kind in {"f", "<", "<=", ">", ">="}

    def operator(self, kind: str, length: int) -> Token:
        return Token(
            kind, self.position, self.position + length, self.query[self.position : self.position + length]
        )

    def parenthesis(self, char: str) -> Token:
        if char == "(":
            self.groups.append(bool(self.tokens) and self.tokens[-1].kind == "f")
        elif self.groups:
            self.groups.pop()
        self.in_range = False
        return self.operator(char, 1)

    def value(self, char: str) -> Token:
        if self.in_range and char in "]}":
            self.in_range = False
            return self.operator(char, 1)
        if self.in_range:
            token = self.term(" ]}")
            return self.operator("TO", 2) if self.is_plain(token, "TO") else token
        comparison = _COMPARISON.match(self.query, self.position)
        if comparison:
            return self.operator(comparison.group(), len(comparison.group()))
        if char in "[{" and not _BRACKETED.match(self.query, self.position):
            self.in_range = True
            return self.operator(char, 1)
        return self.word()

    def word(self) -> Token:
        """Return a term, an operator in words, or a field's name with its colon."""
        if self.after_value_sign() or any(self.groups):
            token = self.term(" ")
        else:
            token = self.term(" :")
            if self.query[token.end : token.end + 1] == ":":
                if token.end == token.start:
                    raise query_error("a field's name is missing before the colon", self.query, token.start)
                return Token("f", token.start, token.end + 1, token.text, token.glob, token.wild)
        for word, kind in _OPERATORS.items():
            if self.is_plain(token, word):
                return self.operator(kind, len(word))
        return token

    def is_plain(self, token: Token, word: str) -> bool:
        return self.query[token.start : token.end] == word

    def term(self, ends: str) -> Token:
        """Return the term that begins here and ends before a quote, a parenthesis or one of `ends`."""
        text, glob, wild, position = [], [], False, self.position
        while position < len(self.query):
            char = self.query[position]
            if char in '"()' or char in ends or char.isspace():
                break
            literal = char == "\\" and position + 1 < len(self.query)
            if literal:
                position += 1
                char = self.query[position]
            wild |= not literal and char in "*?"
            text.append(char)
            glob.append(escape(char) if literal or char == "[" else char)
            position += 1
        return Token("t", self.position, position, "".join(text), "".join(glob), wild)

    def phrase(self) -> Token:
        text, position = [], self.position + 1
        while position < len(self.query) and self.query[position] != '"':
            if self.query[position] == "\\" and position + 1 < len(self.query):
                position += 1
            text.append(self.query[position])
            position += 1
        if position == len(self.query):
            raise query_error("this quote is not closed", self.query, self.position)
        end = position + 1
        if self.query[end : end + 1] == ":" and not (self.after_value_sign() or self.in_range):
            return Token("f", self.position, end + 1, "".join(text))
        return Token("t", self.position, end, "".join(text), "".join(map(escape, text)), quoted=True)
