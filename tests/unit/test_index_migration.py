"""An index of the first version is brought to the present one, with all that it holds."""

from __future__ import annotations

import json
import sqlite3
from importlib import resources
from pathlib import Path

from lustre_events.index import open_search
from lustre_events.index.sqlite.database import APPLICATION_ID, open_database
from lustre_events.index.sqlite.documents import put_document, remove_documents
from lustre_events.index.values import flatten
from tests.support.index.tables import add_object, node, search_rows


def first_version(path: Path) -> None:
    """Make an index as the first version did: two files, three documents and a failure."""
    writer = sqlite3.connect(path, isolation_level=None)
    folder = resources.files("lustre_events.index.sqlite") / "schema"
    writer.executescript((folder / "0001.sql").read_text())
    writer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    writer.execute("PRAGMA user_version = 1")
    for number in (1, 2):
        writer.execute(
            "INSERT INTO link (parent, name, fid, stamp) VALUES (?, ?, ?, x'00')",
            (node(0).pack(), b"File%d" % number, node(number).pack()),
        )
        add_object(writer, number, type="f", size=number)
    documents = [(1, 2, "tab", {"k": "red"}), (2, 1, "tab", {"k": "blue one"}), (3, 2, "hdf5", {"k": "red two"})]
    for document_id, object_id, extractor, body in documents:
        writer.execute(
            "INSERT INTO document (id, object, extractor, generation, serial, body, provenance)"
            " VALUES (?, ?, ?, 1, 1, ?, ?)",
            (document_id, object_id, extractor, json.dumps(body), '{"host": "n1", "record": 7}'),
        )
        flat = flatten(body)
        key = writer.execute(
            "INSERT INTO key (extractor, name) VALUES (?, 'k') ON CONFLICT DO UPDATE SET name = 'k' RETURNING id",
            (extractor,),
        ).fetchone()[0]
        for table, pairs in (("word", flat.words), ("part", flat.parts)):
            statement = f"INSERT INTO {table} VALUES (?, ?, ?)"  # noqa: S608 - names from the line above
            writer.executemany(statement, [(key, word, object_id) for _, word in pairs])
        writer.execute("INSERT INTO fulltext (rowid, body) VALUES (?, ?)", (document_id, flat.text))
    writer.execute(
        "INSERT INTO document (id, object, extractor, failure, failure_generation, failure_serial)"
        " VALUES (9, 1, 'image', '{}', 1, 1)"
    )
    writer.close()


def test_all_is_found_as_before(tmp_path: Path) -> None:
    """Names, documents with their provenance, failures and the full text come along."""
    first_version(tmp_path / "index.db")
    open_database(tmp_path / "index.db").close()

    with open_search(f"sqlite:///{tmp_path}/index.db") as index:
        found = {query: [hit.fid.oid for hit in index.search(query)] for query in
                 ("red", '"blue one"', "two", "k:red", "hdf5.k:two", "failed:image", "extractor:tab",
                  "name:FILE1", "name.exact:File1", "file2")}  # fmt: skip
        (one,) = [index.show(hit.fid) for hit in index.search("blue")]

    assert found == {
        "red": [2], '"blue one"': [1], "two": [2], "k:red": [2], "hdf5.k:two": [2], "failed:image": [1],
        "extractor:tab": [1, 2], "name:FILE1": [1], "name.exact:File1": [1], "file2": [2],
    }  # fmt: skip
    assert one.documents[0].provenance == {"host": "n1", "record": 7}


def test_what_came_along_can_be_replaced_and_removed(tmp_path: Path) -> None:
    """Documents of the first version are written anew and removed without leaving anything behind."""
    first_version(tmp_path / "index.db")
    writer = open_database(tmp_path / "index.db")

    put_document(writer, 2, "tab", 2, 1, {"k": "green"}, {"host": "n2", "record": 8})
    put_document(writer, 2, "image", 2, 1, {"k": "other"}, {"host": "n2", "record": 8})
    remove_documents(writer, [1, 2])

    assert all(rows == set() for rows in search_rows(writer).values())
    assert writer.execute("SELECT count(*) FROM document").fetchone() == (0,)
    assert writer.execute("SELECT count(*) FROM origin").fetchone() == (0,)
    writer.close()


def test_what_documents_share_is_stored_once(tmp_path: Path) -> None:
    """The provenance of all files of a job stands there once, and goes with the last of their documents."""
    writer = open_database(tmp_path / "index.db")
    ids = [add_object(writer, number) for number in range(1, 5)]
    for number, object_id in enumerate(ids):
        put_document(writer, object_id, "x", 1, 1, {}, {"job": "a", "record": number})
    put_document(writer, ids[3], "x", 2, 1, {}, {"job": "b", "record": 9})

    counts = writer.execute("SELECT documents FROM origin ORDER BY id").fetchall()
    remove_documents(writer, ids[:3])
    left = writer.execute("SELECT body FROM origin").fetchall()
    writer.close()

    assert counts == [(3,), (1,)]
    assert left == [('{"job":"b"}',)]
