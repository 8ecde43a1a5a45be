"""What a text says: a time, a number, words without spaces between them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.index.typed_values import number_of, segmented, time_of, unaccented
from tests.support.profiles import examples
from tests.support.rows import each_row

DAY = 86_400 * 10**9
FIRST_OF_MARCH = 1_772_323_200 * 10**9

offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
naive = st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - as many a program writes times
moments = naive | st.builds(lambda moment, zone: moment.replace(tzinfo=zone), naive, offsets)


@each_row(
    ("text", "expected"),
    [
        ("2026-03", FIRST_OF_MARCH),
        ("2026-03-01", FIRST_OF_MARCH),
        ("2026-3-1 0:00", FIRST_OF_MARCH),
        ("2026/03/01", FIRST_OF_MARCH),
        ("2026:03:02 00:00:00", FIRST_OF_MARCH + DAY),
        ("2026-03-01T01:00:00.5+01:00", FIRST_OF_MARCH + 500_000_000),
        ("2026-03-01T00:00:00Z", FIRST_OF_MARCH),
        ("20260301T000000Z", FIRST_OF_MARCH),
        ("9999-01-01", 2**63 - 1),
        *((text, None) for text in ("2026", "20260301", "2026-13-01", "0000:00:00 00:00:00", "2026-03-01 morning",
                                    "1.2026-03-01", "26-03-01", "v2026-03-01", "2026-03-01T25:00",
                                    "\u0662\u0660\u0662\u0666-03")),
    ],
)  # fmt: skip
def test_a_text_is_a_time_only_where_it_certainly_is(text: str, expected: int | None) -> None:
    """ISO, EXIF and NetCDF write times, in UTC; a number, a part of a text and a wrong date are none."""
    assert time_of(text) == expected


@examples(300)
@given(moments, st.sampled_from(["T", " "]))
def test_times_are_those_that_python_reads(moment: datetime, between: str) -> None:
    """Every ISO time is the moment that Python's own reader makes of it."""
    text = moment.isoformat(between)
    own = datetime.fromisoformat(text)
    own = own.replace(tzinfo=own.tzinfo or UTC)

    assert time_of(text) == (own - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@examples(300)
@given(st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(-1e300, 1e300))
def test_a_number_as_text_is_that_number(number: float) -> None:
    """What Python prints of an integer of 64 bits or a float is exactly that number again."""
    assert number_of(str(number)) == number
    assert type(number_of(str(number))) is type(number)


@each_row("text", ["", "007", "+5", "1_000", "nan", "inf", "-inf", "0x10", "1,5", "1.", "1e999", "1.2.3", "\u0663"])
def test_what_may_be_a_name_is_no_number(text: str) -> None:
    """A text that is no plain decimal number is not taken for one."""
    assert number_of(text) is None


def test_accents_do_not_count_but_other_marks_do() -> None:
    """Composed and decomposed letters are the same without accents; the marks of kana stay, they are letters."""
    assert unaccented("Mu\u0308ller") == unaccented("M\u00fcller") == "Muller"
    assert unaccented("\u304b\u3099") == "\u304c"


def test_characters_without_spaces_are_words() -> None:
    """Each character of such a script is a word, so a run of them is found inside of a longer one."""
    assert segmented("a\u6e2c\u5b9a b").split() == ["a", "\u6e2c", "\u5b9a", "b"]
    assert segmented("plain text") == "plain text"
