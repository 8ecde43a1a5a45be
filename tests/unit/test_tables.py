"""Tables of TOML become values of dataclasses, or one error that says where and what."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.catalog import manifest
from lustre_events.config.tables import Location, key, read, values
from lustre_events.domain.rules import rule_file
from lustre_events.domain.rules.conditions import KEYS
from lustre_events.errors import ConfigError, LustreEventsError, ManifestError, StreamDamaged
from tests.support.rows import each_row

PLACE = Location("x.toml")


@dataclass(frozen=True, slots=True)
class Inner:
    """A section."""

    least: int = key(1, least=1)
    share: float = key(0.5, least=0, most=1)


@dataclass(frozen=True, slots=True)
class Outer:
    """A file."""

    name: str = key(needed="write a name", longest=8)
    words: tuple[str, ...] = key((), fits=str.isalpha, expected="letters only")
    kind: str = key("one", choices=("one", "two"))
    flag: bool = False
    maybe: float | None = None
    inner: Inner = Inner()
    hidden: int = key(3, internal=True)


def outer(error: type[LustreEventsError] = ConfigError, **table: Any) -> Outer:
    """Return what a table with a name says."""
    return read(Outer, {"name": "x"} | table, Location("x.toml", error=error))


def test_a_table_becomes_a_value() -> None:
    """Every type is read, whole numbers stand for others, and what is missing is the default."""
    table: dict[str, Any] = {"words": ["a"], "kind": "two", "flag": True, "maybe": 3, "inner": {"least": 7}}

    assert outer(**table) == Outer("x", ("a",), "two", flag=True, maybe=3.0, inner=Inner(7, 0.5))
    assert isinstance(outer(**table).maybe, float)
    assert outer() == Outer("x")


@each_row(
    ("table", "message"),
    [
        ({"nam": "y"}, "x.toml: unknown key nam; did you mean name?"),
        ({"iner": {}}, "x.toml: unknown section [iner]; did you mean inner?"),
        ({"inner": {"lest": 1}}, "x.toml: unknown key lest in [inner]; did you mean least?"),
        ({"inner": {"inner": {}}}, "x.toml: unknown key inner in [inner]; known are: least, share"),
        ({"inner": 3}, "x.toml: inner must be a section: write [inner]"),
        ({"inner": {"least": 0}}, "x.toml: [inner] least must be at least 1, not 0"),
        ({"inner": {"least": "1"}}, "x.toml: [inner] least must be a whole number, not '1'"),
        ({"inner": {"share": 1.5}}, "x.toml: [inner] share must lie between 0 and 1, not 1.5"),
        ({"name": ""}, "x.toml: name is empty; write a name"),
        ({"name": "long enough"}, "x.toml: name has more than 8 characters; make it shorter"),
        ({"words": ["a", "1"]}, "x.toml: words has '1'; letters only"),
        ({"words": "a"}, 'x.toml: words must be a list of strings, e.g. ["a", "b"]'),
        ({"kind": "on"}, "x.toml: kind is 'on'; it must be one of: one, two"),
        ({"flag": 1}, "x.toml: flag must be true or false, not 1"),
        ({"maybe": True}, "x.toml: maybe must be a finite number, not True"),
        ({"hidden": 4}, "x.toml: unknown key hidden"),
    ],
)
def test_a_mistake_is_told_with_its_place(table: dict[str, Any], message: str) -> None:
    """One sentence, of the caller's error, names the file, the section, the key, and what would be right."""
    for error in (ConfigError, StreamDamaged):
        with pytest.raises(error) as caught:
            outer(error, **table)
        assert str(caught.value).startswith(message)


def test_what_is_needed_and_what_is_gone() -> None:
    """A key that must be there is named, and one of an earlier version has a sentence of its own."""
    with pytest.raises(ConfigError, match=r"\Ax\.toml: name is missing; write a name\Z"):
        read(Outer, {}, PLACE)
    with pytest.raises(ConfigError, match=r"\Ax\.toml: old is now name\Z"):
        values(Outer, {"old": 1}, PLACE, gone={"old": "is now name"})
    assert values(Outer, {"name": "x", "other": []}, PLACE, others=("other",)) == {"name": "x"}


WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5)
TOML = st.recursive(
    st.booleans() | st.integers() | st.floats() | WORDS | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=4,
)


def tables(*known: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return tables of known and other keys with any value."""
    return st.dictionaries(st.sampled_from(known) | WORDS, TOML, max_size=4)


def toml(value: Any) -> str:
    """Return a value as it is written in TOML."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{toml(key)} = {toml(each)}' for key, each in value.items())}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str | bool) else str(value)


def document(table: dict[str, Any]) -> str:
    """Return a file that says `table`."""
    return "".join(f"{toml(key)} = {toml(value)}\n" for key, value in table.items())


def outcome(do: Callable[[], Any], error: type[LustreEventsError]) -> tuple[Any, str]:
    """Return what comes of it, or the sentence with which it is refused."""
    try:
        return do(), ""
    except error as exc:
        return None, str(exc)


@given(tables("name", "words", "kind", "flag", "maybe", "inner", "other"), tables("least", "share"))
def test_any_table_is_a_value_or_one_error(table: dict[str, Any], inner: dict[str, Any]) -> None:
    """No table gives another exception, and what is read has the types that it should have."""
    found, refused = outcome(lambda: read(Outer, table | {"inner": inner}, PLACE), ConfigError)

    assert refused.startswith("x.toml: ") or (type(found.name), type(found.inner.share)) == (str, float)


@given(tables("name", "queue", "priority", "settle_seconds", "min_age_seconds", "last", *KEYS))
def test_any_rule_is_a_rule_or_one_error(table: dict[str, Any]) -> None:
    """Whatever a [[rule]] says, the file is rules or one ConfigError that begins with the file's name."""
    text = document({"rule": [{"extractor": "stat"} | table]})
    found, refused = outcome(lambda: rule_file.parse(text, "rules.toml", ()), ConfigError)

    assert refused.startswith("rules.toml: ") or found.extractors == {"stat"}


GOOD = {"name": "ours", "version": "1", "command": ["true"], "contract": "batch", "description": "x"}


@given(
    tables("name", "version", "limits", "accepts", "image", "command", "trusted").map(lambda t: document(GOOD | t))
)
def test_any_manifest_is_a_manifest_or_one_error(text: str) -> None:
    """Whatever stands in a manifest, loading it is a manifest or one ManifestError that begins with its path."""
    with tempfile.TemporaryDirectory() as location:
        folder = Path(location, "ours")
        folder.mkdir()
        (folder / manifest.FILE_NAME).write_text(text)
        found, refused = outcome(lambda: manifest.load(folder), ManifestError)

    assert refused.startswith(f"{folder / manifest.FILE_NAME}: ") or found.name == "ours"
