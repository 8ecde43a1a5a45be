"""The contract between a worker and an extractor's program, as values and pure functions.

batch: one JSON line per file on stdin, `{"id": ..., "path": ...}`; one JSON line per file on stdout, in any order,
`{"id": ..., "document": {...}}` or `{"id": ..., "error": "..."}`; then the end marker `{"end": N}`.
single: one path as argument, one JSON object on stdout.

A failure is final where another try at the same content would end alike: a batch program says so with
`"final": true` beside its error, or, as extractor_batch writes a ValueError, with an error that begins so; a single
program with the exit code 65 (EX_DATAERR of sysexits.h).

What a program says is not trusted: each file's answer is checked alone, and a bad one harms no other file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from workers import odd_values
from workers.child_process import Ended

ENVELOPE_BYTES = 256
"""What an answer's line may have beyond its document."""
MAX_DEPTH = 32
MAX_VALUES = 100_000
MAX_ERROR_CHARACTERS = 500
MAX_REMARKS = 5
FINAL_ERROR = "ValueError: "
FINAL_EXIT = 65
_ID = re.compile(rb'\s*\{\s*"id"\s*:\s*"([^"\\]{1,32})"')


class AnswerRefused(ValueError):
    """What is wrong with one answer, in words."""


class Answers:
    """What a batch program said about the files whose ids it was given. The first answer of a file counts."""

    def __init__(self, ids: Iterable[str], limit_bytes: int) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.errors: dict[str, str] = {}
        self.final: set[str] = set()
        self.ended = False
        self.remarks: list[str] = []
        self._open = set(ids)
        self._ids = frozenset(self._open)
        self._limit_bytes = limit_bytes

    def line(self, data: bytes, whole: bool) -> None:
        """Take one line of stdout; `whole` is False where only its head is here."""
        if not whole or len(data) > self._limit_bytes + ENVELOPE_BYTES:
            self._refuse_unread(data, f"its document is longer than {self._limit_bytes} bytes")
            return
        if not data.strip():
            return
        try:
            answer = odd_values.loads(data)
        except RecursionError:
            self._refuse_unread(data, f"its document is nested deeper than {MAX_DEPTH}")
            return
        except ValueError as exc:
            self._refuse_unread(data, f"its answer is not JSON: {exc}")
            return
        if not isinstance(answer, dict):
            self._remark("a line that is not a JSON object")
        elif "end" in answer:
            self.ended = True
        else:
            self._take(answer)

    def _take(self, answer: dict[str, Any]) -> None:
        key = answer.get("id")
        if not isinstance(key, str) or key not in self._ids:
            self._remark(f"an answer for the unknown id {key!r:.50}")
            return
        if key not in self._open:
            self._remark(f"a second answer for the id {key}")
            return
        self._open.discard(key)
        if "error" in answer:
            self.errors[key] = error = readable(answer["error"]) or "the program gave an empty error"
            if answer.get("final", error.startswith(FINAL_ERROR)) is True:
                self.final.add(key)
            return
        try:
            self.documents[key] = checked(answer.get("document"))
        except AnswerRefused as exc:
            self.errors[key] = str(exc)

    def _refuse_unread(self, data: bytes, reason: str) -> None:
        match = _ID.match(data)
        key = match[1].decode(errors="replace") if match else ""
        if key in self._open:
            self._open.discard(key)
            self.errors[key] = reason
        else:
            self._remark(f"a line without a known id ({reason})")

    def _remark(self, words: str) -> None:
        if len(self.remarks) < MAX_REMARKS:
            self.remarks.append(words)


def single_document(data: bytes, whole: bool, limit_bytes: int) -> dict[str, Any]:
    """Return the document that a `single` program printed.

    Raises:
        AnswerRefused: it is no document; the message says why.
    """
    if not whole or len(data) > limit_bytes:
        raise AnswerRefused(f"its document is longer than {limit_bytes} bytes")
    try:
        return checked(odd_values.loads(data))
    except RecursionError as exc:
        raise AnswerRefused(f"its document is nested deeper than {MAX_DEPTH}") from exc
    except AnswerRefused:
        raise
    except ValueError as exc:
        raise AnswerRefused(f"what it printed is not JSON: {exc}") from exc


def checked(document: Any) -> dict[str, Any]:
    """Return `document` as the index can take it; what it cannot hold is left out, and named under `partial`.

    Raises:
        AnswerRefused: it is no object, or has too many values.
    """
    if not isinstance(document, dict):
        raise AnswerRefused(f"its document must be a JSON object, not {_KINDS.get(type(document), 'missing')}")
    values, whole = 0, True
    layer: list[Any] = [document]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for value in layer:
            if isinstance(value, dict):
                whole = whole and all(map(odd_values.holds, value))
                below += value.values()
            elif isinstance(value, list):
                below += value
            else:
                whole = whole and odd_values.holds(value)
        values += len(below)
        if values > MAX_VALUES:
            raise AnswerRefused(f"its document has more than {MAX_VALUES} values")
        layer = below
        if not below:
            break
    return document if whole and not layer else odd_values.without(document, MAX_DEPTH)


_KINDS = {list: "a list", str: "a string", int: "a number", float: "a number", bool: "true or false"}


def readable(value: Any) -> str:
    """Return `value` as one short line of text that every later stage can hold."""
    exact = str(value).encode(errors="replace").decode()
    # No control character: what a program says is shown on terminals.
    text = " ".join("".join(character if character.isprintable() else " " for character in exact).split())
    return text if len(text) <= MAX_ERROR_CHARACTERS else text[: MAX_ERROR_CHARACTERS - 3] + "..."


def no_answer(ended: Ended, marked: bool, remarks: Iterable[str] = ()) -> str:
    """Return why a file has no answer; `marked`: the program gave its end marker."""
    if ended.killed:
        reason = f"the extractor was {ended.killed}"
    elif ended.exit_code:
        reason = f"the program ended with {exit_words(ended.exit_code)}"
    elif not marked:
        reason = "the program ended without its end marker"
    else:
        reason = "the program left this file out"
    return "; it said ".join(["no answer: " + reason, *remarks])


def exit_words(code: int) -> str:
    """Return an exit code in words: negative, or above 128, it was a signal."""
    number = -code if code < 0 else code - 128
    return f"signal {number}" if 0 < number <= 64 else f"exit code {code}"
