"""The contract: what a program may say, and that a bad answer harms no other file."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.rows import each_row
from workers.child_process import Ended
from workers.contract import MAX_DEPTH, AnswerRefused, Answers, checked, no_answer, single_document

LIMIT = 1000


def said(*lines: bytes, ids: tuple[str, ...] = ("0001", "0002")) -> Answers:
    """Return the answers of a program that printed `lines`."""
    answers = Answers(ids, LIMIT)
    for line in lines:
        answers.line(line, whole=True)
    return answers


GOOD = b'{"id": "0002", "document": {"a": 1}}'


@each_row(
    ("document", "reason"),
    [
        (b"NaN", "must be a JSON object"),
        (b"[1]", "must be a JSON object, not a list"),
        (b'"x"', "must be a JSON object, not a string"),
        (b"null", "must be a JSON object, not missing"),
        (b'{"a": "' + b"x" * 2000 + b'"}', "longer than 1000 bytes"),
        (b"{oops}", "is not JSON"),
    ],
)
def test_bad_document_fails_alone(document: bytes, reason: str) -> None:
    """A document that the index cannot hold fails its own file with one sentence, and no other file."""
    answers = said(b'{"id": "0001", "document": ' + document + b"}", GOOD, b'{"end": 2}')

    assert reason in answers.errors["0001"]
    assert answers.documents == {"0002": {"a": 1}}
    assert answers.ended


@each_row(
    ("document", "kept", "reason"),
    [
        ('{"a": NaN}', {"a": None}, "a: NaN, which JSON cannot hold, left out"),
        (
            '{"a": {"b": [1, -Infinity]}}',
            {"a": {"b": [1, None]}},
            "a.b: -Infinity, which JSON cannot hold, left out",
        ),
        ('{"a": 1e999}', {"a": None}, "a: Infinity, which JSON cannot hold, left out"),
        ('{"a": 18446744073709551616}', {"a": None}, "a: a number beyond 64 bits, left out"),
        ('{"a": -9223372036854775809}', {"a": None}, "a: a number beyond 64 bits, left out"),
        ('{"a": ' + "9" * 5000 + "}", {"a": None}, "a: Infinity, which JSON cannot hold, left out"),
        (r'{"a": "x\ud800"}', {"a": "x\ufffd"}, "a: half a surrogate pair in the text"),
        (r'{"\udfff": 1}', {"\ufffd": 1}, "\ufffd: half a surrogate pair in the key"),
        ('{"a": NaN, "partial": "cut"}', {"a": None}, "a: NaN, which JSON cannot hold, left out"),
    ],
)
def test_an_odd_value_costs_itself_only(document: str, kept: dict[str, object], reason: str) -> None:
    """A value that JSON or the index cannot hold is left out and named; the rest of the document is taken."""
    answers = Answers(["1"], 10_000)
    answers.line(f'{{"id": "1", "document": {document}}}'.encode(), whole=True)

    assert answers.errors == {}
    found = dict(answers.documents["1"])
    assert str(found.pop("partial")).removeprefix("cut; ") == reason
    assert found == kept
    assert single_document(document.encode(), True, 10_000) == answers.documents["1"]


def test_too_many_values_fail_the_document() -> None:
    """A document of more values than an index should hold is refused as a whole."""
    with pytest.raises(AnswerRefused, match="more than 100000 values"):
        checked({"a": [1] * 100_000})


def test_numbers_of_64_bits_are_kept_exactly() -> None:
    """Whole numbers with and without a sign are taken to their last digit."""
    document = {"a": [-(1 << 63), (1 << 64) - 1, 9_007_199_254_740_993]}
    assert checked(document) == document


def test_what_is_nested_too_deep_is_left_out() -> None:
    """A part that is nested deeper than the bound is left out and named; what stands beside it is taken."""
    deep: object = 1
    for _ in range(MAX_DEPTH + 10):
        deep = [deep]

    found = checked({"deep": deep, "a": 1})

    assert (found["a"], found["partial"]) == (1, "deep: nested too deep, left out")


ODD_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 127), 1 << 128) | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=3), ODD_VALUES, max_size=4))
def test_whatever_a_document_holds_the_index_can_take_what_is_left(document: dict[str, object]) -> None:
    """Any values become a document of strict JSON in UTF-8, in which nothing more is to be left out."""
    found = checked(document)

    json.dumps(found, allow_nan=False, ensure_ascii=False).encode()
    assert checked(found) is found
    assert found is document or found["partial"]


def test_nesting_that_breaks_the_parser_fails_alone() -> None:
    """Nesting deeper than Python's parser goes is an error of that file."""
    answers = Answers(["0001"], 1_000_000)
    answers.line(b'{"id": "0001", "document": {"a": ' + b"[" * 200_000, whole=True)

    assert "0001" in answers.errors


def test_first_answer_counts() -> None:
    """A second answer for the same file is left aside and remarked."""
    answers = said(GOOD, b'{"id": "0002", "document": {"a": 2}}', b'{"id": "0002", "error": "x"}')

    assert answers.documents == {"0002": {"a": 1}}
    assert not answers.errors
    assert answers.remarks == ["a second answer for the id 0002"] * 2


def test_unknown_ids_and_noise_are_remarked() -> None:
    """Lines that belong to no file change nothing but the remarks."""
    answers = said(b'{"id": "0009", "document": {}}', b'{"id": 2, "document": {}}', b"warning: x", b"[]", b"")

    assert not answers.documents
    assert not answers.errors
    assert len(answers.remarks) == 4


def test_long_line_fails_its_file() -> None:
    """Of a line that is too long only the head arrives, and its file fails."""
    answers = Answers(["0001"], LIMIT)
    answers.line(b'{"id": "0001", "document": {"a": "xxx', whole=False)

    assert answers.errors == {"0001": "its document is longer than 1000 bytes"}


def test_error_text_is_made_printable() -> None:
    """An error may hold anything: it becomes one short line."""
    answers = said(json.dumps({"id": "0001", "error": "a\n\0\ud800b" + "x" * 900}).encode())

    error = answers.errors["0001"]
    assert error.startswith("a ?b")
    assert len(error) == 500


@given(st.binary(max_size=300))
def test_any_line_is_survived(line: bytes) -> None:
    """Whatever a program prints, it raises nothing and at most its own file has an answer."""
    answers = said(line, GOOD)

    assert "0001" not in answers.documents or "0001" not in answers.errors
    assert answers.documents.keys() | answers.errors.keys() >= {"0002"}


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=4), JSON_VALUES, max_size=4))
def test_ordinary_documents_pass_unchanged(document: dict[str, object]) -> None:
    """Every JSON object of ordinary depth and numbers is taken as it is."""
    assert checked(document) is document


def test_single_document_must_be_one_object() -> None:
    """A single program prints one JSON object, and nothing else."""
    assert single_document(b'{\n"a": 1}\n', True, LIMIT) == {"a": 1}
    for bad in (b"", b"{}{}", b"[]", b'{"a": "' + b"x" * LIMIT + b'"}', b"[" * 200_000):
        with pytest.raises(AnswerRefused):
            single_document(bad, True, LIMIT)


@each_row(
    ("ended", "marked", "reason"),
    [
        (Ended(-9, "killed at its deadline of 3 s", ""), False, "the extractor was killed at its deadline of 3 s"),
        (Ended(139, "", ""), False, "ended with signal 11"),
        (Ended(3, "", ""), False, "ended with exit code 3"),
        (Ended(0, "", ""), False, "without its end marker"),
        (Ended(0, "", ""), True, "left this file out"),
    ],
)
def test_missing_answer_says_why(ended: Ended, marked: bool, reason: str) -> None:
    """A file without an answer gets the reason in words."""
    assert reason in no_answer(ended, marked)


@each_row(
    ("answer", "final"),
    [
        (b'"error": "torn", "final": true', True),
        (b'"error": "ValueError: no table"', True),
        (b'"error": "ValueError: the server is away", "final": false', False),
        (b'"error": "OSError: [Errno 5] Input/output error"', False),
        (b'"error": "torn", "final": "yes"', False),
        (b'"error": "it took longer than 30 s"', False),
    ],
)
def test_a_program_says_what_is_final(answer: bytes, final: bool) -> None:
    """A failure is final where the program says so, or where extractor_batch tells of a ValueError."""
    answers = said(b'{"id": "0001", ' + answer + b"}", GOOD, b'{"end": 2}')

    assert "0001" in answers.errors
    assert answers.final == ({"0001"} if final else set())
