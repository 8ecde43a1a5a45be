"""TOML of strangers: what is read, and what is one sentence instead."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.config.toml_text import MOST_BYTES, MOST_DEPTH, read_toml, sentence
from lustre_events.errors import ConfigError
from tests.support.profiles import examples
from tests.support.rows import each_row

LONG = 200_000
TOKENS = (
    "a",
    "[",
    "]",
    "[[",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\n",
    '"',
    '"' * 3,
    "'",
    "'" * 3,
    "\\",
    "\\u0000",
    "#",
    "1",
    "-",
)
WORDS = ("0x", "1e9999", "nan", "1979-05-27T07:32:00Z", "true", "\r", "\0", "\ud800", "\U0001f600", "\u2028")
TEXTS = st.lists(st.sampled_from(TOKENS + WORDS) | st.text(max_size=3), max_size=40).map("".join)


@each_row(
    "text",
    [
        "a = " + "[" * LONG,
        "a = " + "{b=" * LONG,
        "a = " + "[" * (MOST_DEPTH + 1) + "]" * (MOST_DEPTH + 1),
        "a" + ".a" * LONG + " = 1",
        "[" + "a." * LONG + "a]",
        "a" + ' . "b"' * LONG + " = 1",
        ".".join(["a" * (MOST_DEPTH - 1)] * 3) + "".join(f".b{n}" for n in range(MOST_DEPTH)) + " = 1",
        "a = " + "1" * 5_000,
        "a = 0x" + "f" * 5_000,
        "a = 9223372036854775808",
        'a = "\\u0000"',
        '"\\u0000" = 1',
        '"""' + "\\" * 4 + '"""\\' * LONG,
        '"' * LONG,
        "'" * LONG,
        "'''\n" * 40_000,
        "a" * LONG,
        "a = 1979-99-99",
        b"\xff",
        "#" * (MOST_BYTES + 1),
    ],
)  # fmt: skip
def test_whatever_it_holds_is_one_sentence(text: str | bytes) -> None:
    """No text ends the program, or costs it more than a moment; the sentence says which file it is."""
    began = time.process_time()

    with pytest.raises(ConfigError, match=r"\Aada\.toml: "):
        read_toml(text, "ada.toml")

    assert time.process_time() - began < 5


@examples(150)
@given(TEXTS | st.binary(max_size=40))
def test_any_text_is_a_table_or_one_sentence(text: str | bytes) -> None:
    """Whatever tokens follow each other, they are a table, or one printable sentence with the file's name."""
    said = ""
    try:
        assert isinstance(read_toml(text, "ada.toml"), dict)
    except ConfigError as exc:
        said = str(exc)
    assert not said or said.startswith("ada.toml: ")
    assert said.isprintable()


def test_brackets_and_dots_within_texts_and_comments_count_for_nothing() -> None:
    """Only nesting is bounded, not what a text or a comment says."""
    many = "[{." * 100
    text = f"""
# {many} "
a = "{many} \\" {many}"  # '''
b = '{many}'
c = \"\"\"{many}
" "" \\\"\"\" {many}\"\"\"
d = '''{many} ' {many}'''
e = [[1.5, 2.5], {{f.g = 3}}]
"{many}" = 1
"""

    table = read_toml(text, "ada.toml")

    assert table["a"] == f'{many} " {many}'
    assert table["d"] == f"{many} ' {many}"
    assert table["e"] == [[1.5, 2.5], {"f": {"g": 3}}]
    assert table[many] == 1


def test_a_sentence_can_be_shown_and_stored() -> None:
    """Bytes that are no text, control characters and length of a stranger's name go no further."""
    assert sentence("a\udcff\x1b[2J\nb") == "a\\udcff [2J b"
    assert len(sentence("a" * LONG)) < 2_000
