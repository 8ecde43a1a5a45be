"""The FID: its text, its packed form, its order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID, NO_FID, ROOT_FID, texts_of
from lustre_events.errors import ConfigError
from tests.support.records.strategies import fids
from tests.support.rows import each_row


@given(fids)
def test_text_and_back(fid: FID) -> None:
    """Parsing what str() prints gives the same FID, with and without the brackets."""
    assert FID.parse(str(fid)) == fid
    assert FID.parse(str(fid)[1:-1]) == fid


@given(st.lists(fids | st.just(NO_FID)))
def test_many_become_text_as_one_does(many: list[FID]) -> None:
    """Packed FIDs become the text of each."""
    assert texts_of(fid.pack() for fid in many) == [*map(str, many)]


@given(fids, fids)
def test_pack_and_back(one: FID, other: FID) -> None:
    """A packed FID has 16 bytes, unpacks to the same, and packed FIDs sort as FIDs do."""
    assert len(one.pack()) == 16
    assert FID.unpack(one.pack()) == one
    assert (one < other) == (one.pack() < other.pack())


@each_row(
    ("fid", "text"),
    [
        (FID(0x200000401, 1, 0), "[0x200000401:0x1:0x0]"),
        (FID(0x240000402, 0x3F, 2), "[0x240000402:0x3f:0x2]"),
        (ROOT_FID, "[0x200000007:0x1:0x0]"),
        (NO_FID, "[0:0x0:0x0]"),
    ],
)
def test_text_is_that_of_lustre(fid: FID, text: str) -> None:
    """A FID prints as Lustre prints it: a zero sequence is a bare 0."""
    assert str(fid) == text


def test_only_the_zero_fid_is_false() -> None:
    """The zero FID stands for no object; every other one is true, whichever part is set."""
    assert not NO_FID
    assert all((FID(1, 0, 0), FID(0, 1, 0), FID(0, 0, 1), ROOT_FID))


def test_parse_takes_what_people_paste() -> None:
    """Blanks around a FID and upper-case digits do not matter."""
    assert FID.parse("  [0x200000401:0xAB:0x0]\n") == FID(0x200000401, 0xAB, 0)


@each_row(
    "text",
    [
        "",
        "[]",
        "0x1:0x2",
        "[0x1:0x2:0x3:0x4]",
        "[1:2:3]",
        "[0x1:0x2:-0x3]",
        "[0x1:0x2:0xg]",
        "[0x1: 0x2:0x3]",
        "[0x10000000000000000:0x1:0x0]",
        "[0x1:0x100000000:0x0]",
        "[0x1:0x1:0x100000000]",
        "/proj/run7/a.h5",
    ],
)
def test_parse_refuses_what_is_no_fid(text: str) -> None:
    """Anything that is not three hexadecimal parts of the right size is a ConfigError that shows the text."""
    with pytest.raises(ConfigError) as caught:
        FID.parse(text)

    assert repr(text) in str(caught.value)


@given(st.text(max_size=40))
def test_parse_never_raises_anything_else(text: str) -> None:
    """Whatever the text, parse returns a FID that fits 16 bytes, or raises ConfigError."""
    try:
        fid = FID.parse(text)
    except ConfigError:
        return

    assert FID.unpack(fid.pack()) == fid


@pytest.mark.parametrize("text", ["[0x1:0x2:0x3", "0x1:0x2:0x3]"])
def test_parse_wants_both_brackets_or_none(text: str) -> None:
    """Half a pair of brackets is half a FID: it was cut off somewhere."""
    with pytest.raises(ConfigError):
        FID.parse(text)
