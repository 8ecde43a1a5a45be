"""The settings: each written once, checked wherever it comes from, and every mistake told in one sentence."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.config.former import FORMER
from lustre_events.config.settings import ENVIRONMENT_PREFIX, Settings, described, example, load, toml_value
from lustre_events.config.settings import parse as parse_settings
from lustre_events.config.tables import Key, keys
from lustre_events.errors import ConfigError
from tests.support.rows import each_row

SECTIONS = get_type_hints(Settings)
SETTINGS = [
    (section, name, key, keys(kind)[name][0])
    for section, kind in SECTIONS.items()
    for name, _, key in described(kind)
]
IDS = [f"{section}.{name}" for section, name, _, _ in SETTINGS]
TEXTS = {str: ("x", "x"), int: ("7", 7), float: ("7.5", 7.5), bool: ("false", False)}


def parse(environment: Mapping[str, str] | None = None, **tables: Any) -> Settings:
    """Return the settings of `tables`, as if they stood in node.toml."""
    return parse_settings(tables, environment or {}, "node.toml")


def refusal(environment: Mapping[str, str] | None = None, **tables: Any) -> str:
    """Return the message with which `tables` are refused."""
    with pytest.raises(ConfigError) as caught:
        parse(environment, **tables)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_every_setting_is_documented() -> None:
    """Each setting has one line about it, a type that the check knows, and a default among its choices."""
    assert len(SETTINGS) > 50
    assert [setting[:2] for setting in SETTINGS if not is_documented(*setting)] == []


def is_documented(section: str, name: str, key: Key, hint: Any) -> bool:
    """Whether a setting has what the test above asks for."""
    default = getattr(getattr(Settings(), section), name)
    return (
        bool(key.doc)
        and "\n" not in key.doc
        and hint in (str, int, float, bool, tuple[str, ...])
        and isinstance(default, tuple if hint == tuple[str, ...] else hint)
        and (not key.choices or default in key.choices)
    )


@each_row("section", SECTIONS)
def test_every_section_is_documented(section: str) -> None:
    """Each section says what it is about, in one line."""
    doc = SECTIONS[section].__doc__ or ""

    assert doc.strip()
    assert "\n" not in doc.strip()


def test_the_example_is_the_defaults() -> None:
    """The example file names every setting, and what it says is what holds without it."""
    tables = tomllib.loads(example())

    assert [f"{name}.{key}" for name, table in tables.items() for key in table] == IDS
    assert parse(**tables) == Settings()


def test_the_example_explains_every_setting() -> None:
    """The line above each setting in the example is its explanation, with the choices where there are some."""
    lines = example().splitlines()
    for section, name, key, _ in SETTINGS:
        start = lines.index(f"[{section}]")
        at = next(n for n in range(start, len(lines)) if lines[n].startswith(f"{name} = "))

        assert key.doc in lines[at - 1]
        assert all(choice in lines[at - 1] for choice in key.choices)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_any_text_is_written_as_toml(text: str) -> None:
    """A default with quotes or backslashes in it still makes a valid example."""
    assert tomllib.loads(f"x = {toml_value(text)}") == {"x": text}


def test_the_environment_wins_over_the_file_over_the_default() -> None:
    """LUSTRE_EVENTS_<SECTION>_<KEY> counts more than the file, and the file more than the default."""
    settings = parse({"LUSTRE_EVENTS_READER_USER": "cl2", "PATH": "/bin"}, reader={"user": "cl1", "linger_ms": 7})

    assert (settings.reader.user, settings.reader.linger_ms) == ("cl2", 7)
    assert settings.reader.block_bytes == Settings().reader.block_bytes


def test_every_setting_has_an_environment_variable() -> None:
    """Any setting can come from the environment, and has its type then."""
    given: dict[str, Any] = {}
    expected: dict[str, Any] = {}
    for name, (section, own, key, hint) in zip(IDS, SETTINGS, strict=True):
        text, expected[name] = TEXTS.get(hint, ("a,b", ("a", "b")))
        if key.choices:
            text = expected[name] = key.choices[-1]
        variable = f"{ENVIRONMENT_PREFIX}{section}_{own}".upper()
        given[name] = getattr(getattr(parse({variable: text}), section), own)

    assert given == expected
    assert [type(value) for value in given.values()] == [type(value) for value in expected.values()]


def test_a_list_may_be_empty_in_the_environment() -> None:
    """An empty variable is an empty list, not a list with an empty name."""
    assert parse({"LUSTRE_EVENTS_FILESYSTEM_MDTS": ""}).filesystem.mdts == ()


def test_a_whole_number_may_stand_for_a_number() -> None:
    """Nobody must write 5.0 seconds; the value is a float all the same."""
    seconds = parse(reader={"lease_seconds": 5}).reader.lease_seconds

    assert (seconds, type(seconds)) == (5.0, float)


@each_row(
    ("tables", "message"),
    [
        ({"raeder": {}}, "node.toml: unknown section [raeder]; did you mean reader?"),
        ({"reader": {"usr": "cl1"}}, "node.toml: unknown key usr in [reader]; did you mean user?"),
        ({"reader": {"clear_afte": "x"}}, "unknown key clear_afte in [reader]; did you mean clear_after?"),
        ({"redis": {"xyz": 1}}, "node.toml: unknown key xyz in [redis]; known are: timeout_seconds, url"),
        ({"index": "sqlite:///x"}, "node.toml: index must be a section: write [index]"),
        ({"reader": [{}]}, "node.toml: reader must be a section: write [reader]"),
        ({"reader": {"user": 1}}, "node.toml: [reader] user must be a string, not 1"),
        ({"reader": {"block_bytes": "1M"}}, "node.toml: [reader] block_bytes must be a whole number, not '1M'"),
        ({"reader": {"block_bytes": 1.5}}, "node.toml: [reader] block_bytes must be a whole number, not 1.5"),
        ({"reader": {"block_bytes": True}}, "node.toml: [reader] block_bytes must be a whole number, not True"),
        ({"reader": {"block_bytes": -1}}, "node.toml: [reader] block_bytes must not be negative"),
        ({"reader": {"lease_seconds": True}}, "[reader] lease_seconds must be a finite number, not True"),
        ({"reader": {"lease_seconds": -0.5}}, "node.toml: [reader] lease_seconds must not be negative"),
        ({"reader": {"lease_seconds": float("inf")}}, "[reader] lease_seconds must be a finite number, not inf"),
        ({"reader": {"lease_seconds": float("nan")}}, "[reader] lease_seconds must be a finite number, not nan"),
        ({"reader": {"lease_seconds": 10**400}}, "[reader] lease_seconds must be a finite number, not 1000"),
        ({"worker": {"mime": 1}}, "node.toml: [worker] mime must be true or false, not 1"),
        ({"web": {"login": "ldap"}}, "node.toml: [web] login is 'ldap'; it must be one of: file, pam, proxy"),
        ({"filesystem": {"mdts": "x-MDT0000"}}, '[filesystem] mdts must be a list of strings, e.g. ["a", "b"]'),
        ({"filesystem": {"mdts": [1]}}, '[filesystem] mdts must be a list of strings, e.g. ["a", "b"]'),
    ],
)  # fmt: skip
def test_a_mistake_in_the_file_is_named(tables: dict[str, Any], message: str) -> None:
    """The message names the file, the key, and the nearest valid one or what it must be."""
    assert message in refusal(**tables)


@each_row(
    ("name", "value", "message"),
    [
        ("READER_BLOCK_BYTES", "1M", "READER_BLOCK_BYTES must be a whole number, not '1M'"),
        ("READER_BLOCK_BYTES", "True", "READER_BLOCK_BYTES must be a whole number, not 'True'"),
        ("READER_BLOCK_BYTES", "-1", "READER_BLOCK_BYTES must not be negative"),
        ("READER_LEASE_SECONDS", "ten", "READER_LEASE_SECONDS must be a finite number, not 'ten'"),
        ("READER_LEASE_SECONDS", "1e999", "READER_LEASE_SECONDS must be a finite number, not inf"),
        ("READER_LEASE_SECONDS", "nan", "READER_LEASE_SECONDS must be a finite number, not nan"),
        ("WEB_LOGIN", "ldap", "WEB_LOGIN is 'ldap'; it must be one of: file, pam, proxy"),
        ("READER_USR", "cl1", "READER_USR; did you mean LUSTRE_EVENTS_READER_USER?"),
    ],
)
def test_a_mistake_in_the_environment_is_named(name: str, value: str, message: str) -> None:
    """The message names the variable, not the file, since that is where the mistake is."""
    text = refusal({f"LUSTRE_EVENTS_{name}": value})

    assert f"environment variable LUSTRE_EVENTS_{message}" in text
    assert "node.toml" not in text


def test_variables_of_other_kinds_are_left_alone() -> None:
    """LUSTRE_EVENTS_CONFIG names the file itself, and others' variables are nobody's business."""
    assert parse({"LUSTRE_EVENTS_CONFIG": "/etc/x.toml", "READER_USER": "cl9", "REDIS_URL": "x"}) == Settings()


@each_row(("section", "key"), [(section, key) for section, gone in FORMER.items() for key in gone])
def test_a_setting_of_an_earlier_version_is_refused_with_what_to_do(section: str, key: str) -> None:
    """What is gone is no unknown key: one sentence says why, and what to do, wherever it stands."""
    words = FORMER[section][key]
    variable = f"LUSTRE_EVENTS_{section}_{key}".upper()

    assert refusal(None, **{section: {key: 1}}) == f"node.toml: [{section}] {key} {words}"
    assert refusal({variable: "1"}) == f"the environment variable {variable} {words}"
    assert words.startswith("is gone: ")


@pytest.mark.parametrize(
    ("key", "value", "instead"),
    [("run_as", "owner", "run_as_owner = true"), ("image_cache", "none", "unpack_images = false")],
)
def test_a_value_that_was_a_magic_word_names_its_setting(key: str, value: str, instead: str) -> None:
    """A word with a meaning of its own in earlier versions is refused with the setting that says it now."""
    sentence = f"is '{value}'; write {instead} instead"

    assert refusal(worker={key: value}) == f"node.toml: [worker] {key} {sentence}"
    assert sentence in refusal({f"LUSTRE_EVENTS_WORKER_{key}".upper(): value})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.dictionaries(
        st.sampled_from(list(SECTIONS)),
        st.dictionaries(st.sampled_from([name for _, name, _, _ in SETTINGS]), json_values, max_size=2)
        | json_values,
        max_size=3,
    )
)
def test_whatever_stands_in_the_file_is_settings_or_a_config_error(tables: dict[str, Any]) -> None:
    """No content of a file gives any other exception, and no value of a wrong type gets through."""
    try:
        settings = parse(**tables)
    except ConfigError:
        return

    for section, name, _, hint in SETTINGS:
        value = getattr(getattr(settings, section), name)
        assert type(value) is (tuple if hint == tuple[str, ...] else hint)


def test_a_file_is_loaded(tmp_path: Path) -> None:
    """A TOML file gives its values, and no file gives the defaults."""
    path = tmp_path / "node.toml"
    path.write_text('[filesystem]\nmdts = ["lustre-MDT0000"]\n')

    assert load(path, {}).filesystem.mdts == ("lustre-MDT0000",)
    assert load(None, {}) == Settings()


def test_a_file_that_cannot_be_read_says_how_to_make_one(tmp_path: Path) -> None:
    """A missing file, or a folder, is a ConfigError with the path, the reason and the command that helps."""
    for path, reason in ((tmp_path / "none.toml", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(ConfigError) as caught:
            load(path, {})

        assert str(path) in str(caught.value)
        assert reason in str(caught.value)
        assert "lustre-events config example" in str(caught.value)


@each_row("content", [b"[reader\n", b"user = cl1\n", b'[reader]\nuser = "\xff"\n', b"x = " + b"9" * 5000, b"\x00"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, content: bytes) -> None:
    """Syntax errors, bytes that are not UTF-8 and absurd numbers are a ConfigError with the path."""
    path = tmp_path / "node.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path, {})

    assert f"{path}: not a TOML file" in str(caught.value)
