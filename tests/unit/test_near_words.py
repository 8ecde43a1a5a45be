"""Words of files that are like one that stands nowhere: how many are compared is bounded."""

from __future__ import annotations

import pytest

from lustre_events.index.search.hints.known import knowing
from lustre_events.index.search.hints.near_words import MOST_WORDS, words_near
from tests.support.index.tables import MemoryBackend, add_file, make_index


def words_found(text: str, word: str, most: int = MOST_WORDS) -> list[str]:
    """Return the near words in an index of one document with a text."""
    connection = make_index(":memory:")
    add_file(connection, 1, b"a.txt", {"text": {"words": text}})
    with knowing(MemoryBackend(connection), None, 0, 60.0) as known:
        return [each for each, _ in words_near(known, word, most)]


@pytest.mark.parametrize(("most", "found"), [(2, []), (3, ["temperature"])])
def test_words_beyond_the_bound_are_not_compared(most: int, found: list[str]) -> None:
    """Of a sample the first words are compared, whatever its files hold behind them."""
    assert words_found("first second temperature", "tmeperature", most) == found


@pytest.mark.long
def test_there_is_a_bound_by_default() -> None:
    """A document of very many words, which is up to its owner, is compared as far as the bound."""
    many = [f"x{number}" for number in range(MOST_WORDS)]
    assert words_found(" ".join(["temperature", *many]), "tmeperature") == ["temperature"]
    assert words_found(" ".join([*many, "temperature"]), "tmeperature") == []
