"""Wrong input to the command gives one clear sentence and an exit code by kind, never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lustre_events.node.redis_server import RedisServer
from tests.support.need import need
from tests.support.records import captures
from tests.support.service.command import lustre_events


def said(*arguments: str | Path, code: int, environment: dict[str, str] | None = None) -> str:
    """Run the command, check its exit code and that it said one sentence, and return that."""
    done = lustre_events(*arguments, environment=environment)
    text = done.stderr.decode()
    assert done.returncode == code, (done.returncode, text)
    assert "Traceback" not in text
    return text.strip().splitlines()[-1]


def settings(folder: Path, text: str = "") -> Path:
    """Write a settings file for a watched directory and return its path."""
    (folder / "files").mkdir()
    path = folder / "settings.toml"
    path.write_text(
        f"""
        [filesystem]
        source = "directory"
        mount = "{folder}/files"
        state = "{folder}/state"
        [index]
        url = "sqlite:///{folder}/index.db"
        {text}
        """
    )
    return path


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[reder]\nuser = 'cl1'\n", ["[reder]", "did you mean reader"]),
        ("[reader]\nblok_bytes = 1\n", ["blok_bytes", "did you mean block_bytes"]),
        ("[reader]\nblock_bytes = 'much'\n", ["block_bytes", "whole number"]),
        ("[reader]\nclear_after = 'never'\n", ["clear_after", "stored, committed"]),
        ("not toml", ["not a TOML file"]),
        ("[dispatcher]\nrules = 'no/such/rules.toml'\n", ["no/such/rules.toml", "[dispatcher] rules"]),
    ],
)
def test_a_wrong_setting_names_the_key_and_the_nearest(text: str, words: list[str], tmp_path: Path) -> None:
    """A typo in the settings names file, key and the nearest valid one, exit code 2."""
    path = tmp_path / "settings.toml"
    path.write_text(text)

    sentence = said("config", "check", path, code=2)

    for word in [*words, "settings.toml" if "rules" not in text else ""]:
        assert word in sentence


def test_an_unknown_extractor_in_a_rule_names_the_nearest(tmp_path: Path) -> None:
    """A rule for an extractor that is not installed is refused before anything runs."""
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nextensions = ["csv"]\nextractor = "tabluar"\n')

    sentence = said("config", "check", settings(tmp_path, f'[dispatcher]\nrules = "{rules}"'), code=2)

    assert "tabluar" in sentence
    assert "tabular" in sentence


def test_an_extractor_without_a_place_is_told_what_to_write(tmp_path: Path) -> None:
    """Without a folder to add extractors to, the sentence has the line for the settings, with both folders."""
    assert lustre_events("extractor", "init", tmp_path / "mine").returncode == 0
    path = settings(tmp_path)

    sentence = said("extractor", "add", "--no-validate", "--config", path, tmp_path / "mine", code=2)

    assert 'extractors = ["/etc/lustre-events/extractors", "' in sentence


def test_an_unknown_command_names_the_nearest() -> None:
    """A mistyped command is told with the nearest one."""
    assert "did you mean search" in said("serach", "x", code=2)


def test_without_the_library_the_reader_says_where_it_looked(tmp_path: Path) -> None:
    """No liblustreapi: the sentence says what to install or set, exit code 4."""
    path = tmp_path / "settings.toml"
    with RedisServer(tmp_path / "redis", program=need("redis-server")) as redis:
        path.write_text(f"[redis]\nurl = '{redis.url}'\n[filesystem]\nlibrary = '{tmp_path}/none.so'\n")

        sentence = said("reader", "--mdt", "lustre-MDT0000", "--config", path, code=4)

    assert "liblustreapi" in sentence
    assert "none.so" in sentence


def test_redis_that_is_down_gives_one_sentence(tmp_path: Path) -> None:
    """Nobody listens: the place is named, exit code 5."""
    sentence = said(
        "dispatcher", "--config", settings(tmp_path, f'[redis]\nurl = "unix://{tmp_path}/nobody.sock"'), code=5
    )

    assert "nobody.sock" in sentence


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--appendonly", "no"), "appendonly"), (("--maxmemory-policy", "allkeys-lru"), "noeviction")],
)
def test_a_redis_that_can_lose_records_is_refused(options: tuple[str, ...], word: str, tmp_path: Path) -> None:
    """Without AOF, or with eviction, nothing starts; the sentence has the command that fixes it."""
    with RedisServer(tmp_path / "redis", program=need("redis-server"), options=options) as redis:
        path = settings(tmp_path, f'[redis]\nurl = "{redis.url}"')

        for command in (["reader", "--mdt", "local-MDT0000"], ["dispatcher"], ["run"]):
            sentence = said(*command, "--config", path, code=5)

            assert word in sentence


def test_no_index_yet_says_what_to_start(tmp_path: Path) -> None:
    """Searching an index that is not there names it and what makes one, exit code 6."""
    sentence = said("search", "x", "--index", f"sqlite:///{tmp_path}/none.db", code=6)

    assert "none.db" in sentence


def test_an_index_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """An index URL of another scheme names the ones that work."""
    assert "sqlite:///" in said("search", "x", "--index", "mysql://somewhere", code=2)


@pytest.fixture(scope="module")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give the URL of a small index, for tests that only read it."""
    need("redis-server")
    url = f"sqlite:///{tmp_path_factory.mktemp('replayed')}/index.db"
    done = lustre_events("replay", captures.CAPTURES / "01-basic-defmask", "--index", url)
    assert done.returncode == 0, done.stderr.decode()
    return url


@pytest.mark.parametrize("query", ["size:>many", "(unclosed", "mtime:>yesteryear", '"open'])
def test_a_wrong_query_shows_the_place(query: str, replayed: str) -> None:
    """A query that cannot be understood is shown with a caret under the place, exit code 6."""
    done = lustre_events("search", query, "--index", replayed)

    assert done.returncode == 6
    assert b"^" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_unknown_path_is_said(replayed: str) -> None:
    """`show` of a path that the index does not know names it."""
    assert "/no/such/file" in said("show", "/no/such/file", "--index", replayed, code=2)


@pytest.mark.parametrize(
    "damage",
    [lambda raw: raw[:-10], lambda raw: raw + b"\xff" * 100],
    ids=["torn", "trailing rubbish"],
)
def test_a_torn_recording_loses_nothing_before_the_tear(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Everything before a tear reaches the index; the tear is named with its file and offset."""
    need("redis-server")
    raw = captures.read("02-deeprename-defmask", "lustre-MDT0000.raw")
    (tmp_path / "lustre-MDT0000.raw").write_bytes(damage(raw))
    url = f"sqlite:///{tmp_path}/index.db"

    sentence = said("replay", tmp_path, "--index", url, code=3)

    shown = lustre_events("show", "[0x200000402:0x54:0x0]", "--json", "--index", url)
    assert "lustre-MDT0000.raw" in sentence
    assert b"02-deeprename-defmask" in shown.stdout


def test_replay_of_an_empty_folder_says_what_it_needs(tmp_path: Path) -> None:
    """A folder without recordings, and no folder at all, are refused with the way to name them."""
    index = f"sqlite:///{tmp_path}/x.db"

    assert "lustre-MDT0000.raw" in said("replay", tmp_path, "--index", index, code=2)
    assert "--mdt lustre-MDT0000=FILE" in said("replay", "--index", index, code=2)
