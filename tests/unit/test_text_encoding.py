"""The encoding of a text is the one that it was written in, where its bytes or what it declares can tell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.service.images import EXTRACTORS

LATIN = st.text("abcdefghij klmnop\n", min_size=8, max_size=200)
KOREAN = "측정 데이터의 온도 값\n"


@pytest.fixture(scope="module")
def encoding() -> Iterator[ModuleType]:
    """The module that tells encodings."""
    sys.path.insert(0, str(EXTRACTORS / "text"))
    import text_encoding

    yield text_encoding
    sys.path.remove(str(EXTRACTORS / "text"))


@given(text=LATIN, name=st.sampled_from(["utf-16-le", "utf-16-be"]))
def test_utf16_needs_no_mark(encoding: ModuleType, text: str, name: str) -> None:
    """A text in UTF-16 is one, with a byte order mark or without."""
    assert encoding.encoding_of(text.encode(name)) == name
    assert encoding.encoding_of(text.encode("utf-16")) == "utf-16"


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1))
def test_utf8_is_told(encoding: ModuleType, text: str) -> None:
    """What is UTF-8 is UTF-8, and ASCII where no more is needed."""
    assert encoding.encoding_of(text.encode()) in (("ascii",) if text.isascii() else ("utf-8", "utf-32", "utf-16"))


@pytest.mark.parametrize(
    ("head", "name", "found"),
    [
        ('<?xml version="1.0" encoding="EUC-KR"?>\n', "euc-kr", "euc_kr"),
        ('<html><meta charset="euc-kr">', "euc-kr", "euc_kr"),
        ('<meta http-equiv="Content-Type" content="text/html; charset=euc-kr">', "euc-kr", "euc_kr"),
        ("# -*- coding: euc-kr -*-\n", "euc-kr", "euc_kr"),
        ("#!/bin/sh\n# vim: set fileencoding=euc-kr :\n", "euc-kr", "euc_kr"),
    ],
)
def test_a_declared_encoding_counts_where_it_reads_the_text(
    encoding: ModuleType, head: str, name: str, found: str
) -> None:
    """What a text declares is taken, also where few bytes are wrong, but not against UTF-8."""
    text = (head + KOREAN * 20).encode(name)

    assert encoding.encoding_of(text) == found
    assert encoding.encoding_of(text + b"\xc7\x80") == found
    assert encoding.encoding_of((head + KOREAN * 20).encode()) == "utf-8"


def test_few_damaged_bytes_leave_utf8(encoding: ModuleType) -> None:
    """A text in UTF-8 with a wrong byte is one with a wrong byte, not another encoding."""
    assert encoding.encoding_of((KOREAN * 50).encode() + b"\xff\n") == "utf-8"


def test_declarations_of_nonsense_are_left(encoding: ModuleType) -> None:
    """A codec that is unknown, or makes no text, is no encoding."""
    assert encoding.declared(b"# coding: no-such-codec") == ""
    assert not encoding.fits(b"616263", "hex")


@pytest.mark.parametrize("content", [b"a\0b", bytes(range(32)) * 4, b"\x7fELF\0\0"])
def test_binary_files_are_no_texts(encoding: ModuleType, content: bytes) -> None:
    """Zeros and control characters make a file binary."""
    with pytest.raises(ValueError, match="binary"):
        encoding.encoding_of(content)
