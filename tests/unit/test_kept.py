"""What tests find in files is found anew when a file changes, and only then."""

from __future__ import annotations

from pathlib import Path

from tests.support.kept import by_file

LOOKED_AT: list[str] = []


def words(text: str) -> list[str]:
    """Return the words of a text, and take note that somebody asked."""
    LOOKED_AT.append(text)
    return text.split()


def test_a_file_is_read_again_only_when_it_changes(tmp_path: Path) -> None:
    """The second look finds what the first one kept; of a changed file it finds what is new."""
    LOOKED_AT.clear()
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("one two")
    second.write_text("three")

    before = by_file(words, list[str], [first, second], tmp_path / "kept")
    again = by_file(words, list[str], [first, second], tmp_path / "kept")
    second.write_text("four")
    after = by_file(words, list[str], [first, second], tmp_path / "kept")

    assert before == again == {first: ["one", "two"], second: ["three"]}
    assert after == {first: ["one", "two"], second: ["four"]}
    assert LOOKED_AT == ["one two", "three", "four"]


def test_what_is_kept_may_be_damaged_or_missing(tmp_path: Path) -> None:
    """A damaged cache, and one that cannot be written, cost only time."""
    (tmp_path / "a").write_text("one")
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / f"{words.__module__}.words.json").write_text('{"torn')

    assert by_file(words, list[str], [tmp_path / "a"], tmp_path / "kept") == {tmp_path / "a": ["one"]}
    assert by_file(words, list[str], [tmp_path / "a"], tmp_path / "a" / "kept") == {tmp_path / "a": ["one"]}
