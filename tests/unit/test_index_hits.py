"""What a search gives, as JSON and on a terminal, and the index opened for reading."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.errors import ConfigError, IndexTooNew, IndexUnavailable
from lustre_events.index import open_search
from lustre_events.index.search.hits import hit_json, name_text, printable, printable_line, view_json, view_text
from lustre_events.index.sqlite.database import open_database
from lustre_events.index.sqlite.documents import put_document, put_failure
from tests.support.index.tables import add_file, add_link
from tests.support.records.builders import fid_of
from tests.support.rows import each_row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An index with one file of two names, one of them not UTF-8."""
    path = tmp_path / "index #1?.db"
    writer = open_database(path)
    one = add_file(
        writer, 1, b"d/a.csv", {"tabular": {"columns": ["x"], "odd": "\udc80"}}, size=5, mtime_ns=0, mode=0o100644,
        jobid=b"cp\xff",
    )  # fmt: skip
    add_link(writer, 0, b"\xff\n", 1)
    add_link(writer, 0, b"gone", None)
    put_document(writer, one, "hdf5", 2, 3, {"a": 1}, {"host": "n1"})
    put_failure(writer, one, "hdf5", 4, 3, {"error": "bad"}, {"host": "n2"})
    writer.execute(
        "INSERT INTO pending (fid, extractor, generation, due_ns, changed_ns, reason, queue)"
        " VALUES (?, 'hdf5', 5, 0, 0, 'write', 'q')",
        (fid_of(1).pack(),),
    )
    writer.execute("INSERT INTO counter VALUES ('records', 7)")
    writer.execute("INSERT INTO cursor (mdt, epoch, position, eff_time) VALUES ('fs-MDT0000', 1, 42, 0)")
    writer.close()
    return path


def test_hits_as_json(path: Path) -> None:
    """A hit survives JSON: names that are not UTF-8 and lone surrogates as escapes."""
    with open_search(f"sqlite:///{path}") as index:
        (hit,) = index.search("columns:x")

    loaded = json.loads(json.dumps(hit_json(hit)))

    assert loaded["fid"] == "[0x200000401:0x1:0x0]"
    assert [text.encode("utf-8", "surrogateescape") for text in loaded["paths"]] == [b"/d/a.csv", b"/\xff\n"]
    assert loaded["documents"]["tabular"] == {"columns": ["x"], "odd": "\udc80"}
    assert json.dumps(hit_json(hit)).isascii()


def test_show_gives_all_that_is_known(path: Path) -> None:
    """Facts, all paths, documents with provenance, the last failure and pending work of one object."""
    with open_search(f"sqlite:///{path}") as index:
        view = index.show(fid_of(1))
    loaded = json.loads(json.dumps(view_json(view)))

    assert list(loaded)[:2] == ["fid", "paths"]
    assert loaded["facts"]["size"] == 5
    assert loaded["facts"]["jobid"] == "cp\udcff"
    assert loaded["documents"]["hdf5"] == {
        "generation": 2, "serial": 3, "body": {"a": 1}, "provenance": {"host": "n1"},
    }  # fmt: skip
    assert loaded["failures"]["hdf5"] == {
        "generation": 4, "serial": 3, "failure": {"error": "bad", "provenance": {"host": "n2"}},
    }  # fmt: skip
    assert loaded["pending"]["hdf5"]["reason"] == "write"


def test_show_for_a_person(path: Path) -> None:
    """The text has one line per path, escaped, and says what failed and what is due."""
    with open_search(f"sqlite:///{path}") as index:
        text = view_text(index.show(fid_of(1)))

    assert text.startswith("[0x200000401:0x1:0x0]\n  /d/a.csv\n  /\\xff\\n\n")
    assert "mode              100644" in text
    assert "mtime             1970-01-01T00:00:00.000000Z" in text
    assert "hdf5 failed (serial 3, generation 4)" in text
    assert "hdf5 pending (write, attempt 1, due 1970-01-01T00:00:00.000000Z)" in text


def test_show_of_what_nobody_knows(path: Path) -> None:
    """An unknown object has no paths and no facts; the root's path is /; the order is the one asked for."""
    with open_search(f"sqlite:///{path}") as index:
        views = index.show_many([fid_of(99), ROOT_FID, fid_of(1), fid_of(99)])

    assert [view.paths for view in views] == [(), (b"/",), (b"d/a.csv", b"\xff\n"), ()]
    assert view_json(views[0]) == {
        "fid": "[0x200000401:0x63:0x0]", "paths": [], "facts": None, "documents": {}, "failures": {}, "pending": {},
        "left_out": [], "made_by": None,
    }  # fmt: skip
    assert "(no path)" in view_text(views[0])


def test_stats(path: Path) -> None:
    """The sums of an index: names, tombstones, pending work, documents, failures, counters, cursors."""
    with open_search(f"sqlite:///{path}") as index:
        stats = index.stats()

    assert (stats.counts.objects, stats.counts.links, stats.counts.tombstones) == (2, 3, 1)
    assert stats.pending == {"write": 1}
    assert stats.counts.documents == {"hdf5": 1, "tabular": 1}
    assert stats.counts.failures == {"hdf5": 1}
    assert stats.counters == {"records": 7}
    assert stats.cursors == (("fs-MDT0000", 1, 42),)


def test_reading_while_the_writer_writes(path: Path) -> None:
    """A reader sees what is committed, at once, and never waits for an open transaction."""
    writer = open_database(path)
    with open_search(f"sqlite:///{path}") as index:
        writer.execute("BEGIN IMMEDIATE")
        add_link(writer, 0, b"new", 1)
        before = index.paths([fid_of(1)])[fid_of(1)]
        writer.execute("COMMIT")
        after = index.paths([fid_of(1)])[fid_of(1)]
        there = index.fid_of_path(b"/new")
    writer.close()

    assert (b"new" in before, b"new" in after, there) == (False, True, fid_of(1))


def test_the_read_side_cannot_write(path: Path) -> None:
    """An index opened for reading refuses every change."""
    with (
        open_search(f"sqlite:///{path}") as index,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        cast("Any", index._backend)._connection.execute("DELETE FROM link")


def test_a_missing_index(tmp_path: Path) -> None:
    """No file, or an empty one, is answered with what to do, and nothing is made."""
    (tmp_path / "empty.db").touch()

    for name in ("none.db", "empty.db"):
        with pytest.raises(IndexUnavailable, match="no index here yet; start a dispatcher"):
            open_search(f"sqlite:///{tmp_path}/{name}")
    with pytest.raises(ConfigError, match="sqlite:///"):
        open_search("mysql://host/db")

    assert not (tmp_path / "none.db").exists()


def test_files_that_are_no_index_of_ours(tmp_path: Path, path: Path) -> None:
    """Something else than SQLite, another program's database and a later version's index are told apart."""
    (tmp_path / "text.db").write_text("not a database " * 1000)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE x (y)")
    other.close()
    writer = sqlite3.connect(path)
    writer.execute("PRAGMA user_version = 999")
    writer.close()

    with pytest.raises(IndexUnavailable, match="not a SQLite database"):
        open_search(f"sqlite:///{tmp_path}/text.db")
    with pytest.raises(IndexUnavailable, match="another program"):
        open_search(f"sqlite:///{tmp_path}/other.db")
    with pytest.raises(IndexTooNew, match="upgrade"):
        open_search(f"sqlite:///{path}")


@each_row(
    ("name", "text"),
    [
        (b"a b.csv", "a b.csv"),
        ("Größe-測定".encode(), "Größe-測定"),
        (b"a\nb\tc\rd", r"a\nb\tc\rd"),
        (b"\x1b[31m\x07", r"\x1b[31m\x07"),
        (b"\xff\xfe", r"\xff\xfe"),
        (b"a\\n", r"a\\n"),
        ("\u202e\u00a0\u2028".encode(), r"\u202e\u00a0\u2028"),
        ("\U000e0001".encode(), r"\U000e0001"),
    ],
)
def test_names_on_a_terminal(name: bytes, text: str) -> None:
    """Ordinary names stay as they are; whatever could fool a person or a terminal is escaped."""
    assert printable(name) == text


@given(st.binary(), st.binary())
def test_names_on_a_terminal_are_safe_and_exact(one: bytes, other: bytes) -> None:
    """Every name prints in one line of printable characters, and different names differently."""
    assert all(char.isprintable() for char in printable(one))
    assert (printable(one) == printable(other)) is (one == other)
    assert name_text(one).encode("utf-8", "surrogateescape") == one


@pytest.mark.parametrize(("text", "line"), [(r"/caf\xe9.txt", r"/caf\xe9.txt"), ("/a\nb\x1b[2J", r"/a\nb\x1b[2J")])
def test_what_a_service_has_escaped_is_not_escaped_again(text: str, line: str) -> None:
    """Backslashes of a text that a service wrote stay as they are; what could move a terminal is escaped."""
    assert printable_line(text) == line
