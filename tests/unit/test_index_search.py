"""Search: the SQL finds exactly what a naive filter finds, and only live objects."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import translate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.errors import QueryError
from lustre_events.index.query import tree as q
from lustre_events.index.query.parser import parse
from lustre_events.index.search.hits import Hit
from lustre_events.index.sqlite.documents import put_document, put_failure, remove_documents
from lustre_events.index.values import VALUE_GAP, flatten
from tests.support.index.tables import add_file, add_link, add_object, make_index, searching
from tests.support.profiles import examples
from tests.support.records.builders import fid_of
from tests.unit.test_index_paths import Links, expression, links, patterns

NOW = 1_800_000_000_000_000_000


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    connection = make_index()
    yield connection
    connection.close()


def search(index: sqlite3.Connection, query: str, few: int = 20_000, **options: Any) -> list[Hit]:
    return searching(index, few).search(query, **options)


def found(index: sqlite3.Connection, query: str, **options: Any) -> list[int]:
    return [hit.fid.oid for hit in search(index, query, now_ns=NOW, **options)]


def test_the_main_job(index: sqlite3.Connection) -> None:
    """Files are found by a column that a table has and by their size."""
    table = {"columns": ["time", "temperature"], "rows": 3}
    add_file(index, 1, b"proj/run7/a.csv", {"tabular": table}, size=2000)
    add_file(index, 2, b"proj/run7/b.csv", {"tabular": table}, size=500)
    add_file(index, 3, b"proj/c.csv", {"tabular": {"columns": ["x"]}}, size=5000)

    hits = search(index, "columns:temperature AND size:>1k", now_ns=NOW)

    assert [(hit.fid, hit.paths, hit.size, hit.documents) for hit in hits] == [
        (fid_of(1), (b"proj/run7/a.csv",), 2000, {"tabular": table})
    ]
    assert found(index, "path:/proj/run7/** rows:3") == [1, 2]
    assert found(index, "tabular.columns:(x OR time) -size:<1k") == [1, 3]


def test_only_live_objects_are_hits(index: sqlite3.Connection) -> None:
    """An object without a name is not found, whatever documents it has."""
    add_file(index, 1, b"a.csv", {"tabular": {"columns": ["x"]}})
    add_link(index, 0, b"a.csv", None)

    assert found(index, "*") == found(index, "columns:x") == found(index, "NOT columns:y") == []


def test_words_of_two_documents(index: sqlite3.Connection) -> None:
    """Words may stand in several documents of a file, which is one hit; a phrase stands in one value."""
    add_file(index, 1, b"a", {"x": {"t": ["silicon carbide", "graphene"]}, "y": {"t": "ARPES"}})

    assert found(index, "graphene arpes") == [1]
    assert found(index, '"Silicon Carbide"') == [1]
    assert found(index, '"carbide graphene"') == []
    assert found(index, "graph*") == [1]


def test_a_rewritten_document_is_found_by_its_new_words_only(index: sqlite3.Connection) -> None:
    """Search follows the documents."""
    one = add_file(index, 1, b"a", {"x": {"title": "old words", "n": 1}})
    put_document(index, one, "x", 2, 1, {"title": "new words", "n": 2}, {})

    assert found(index, "old") == found(index, "title:old") == found(index, "n:1") == []
    assert found(index, "new") == found(index, "title:new") == found(index, "n:2") == [1]

    remove_documents(index, [one])
    assert found(index, "new OR title:new OR n:2 OR extractor:x") == []


def test_a_range_of_words_compares_whole_values(index: sqlite3.Connection) -> None:
    """Parts of a value never fall into a range: 22 in an old date is not after 2026-06."""
    add_file(index, 1, b"a", {"x": {"date": "2026-01-22T10:00"}})
    add_file(index, 2, b"b", {"x": {"date": "2026-07-01T10:00"}})

    assert found(index, "date:>2026-06") == [2]
    assert found(index, "date:[2026-01-01 TO 2026-02-01]") == [1]


def test_names_that_are_not_utf8(index: sqlite3.Connection) -> None:
    """Names of any bytes are found by globs, exactly by surrogate escapes, and given back as they are."""
    add_file(index, 1, b"x\xff\n.CSV")
    add_file(index, 2, b"%_x.csv")

    assert found(index, "name:x\udcff\\\n.CSV") == [1]
    assert found(index, "name:x*") == [1]
    assert found(index, "ext:csv") == [1, 2]
    assert search(index, "ext:csv", now_ns=NOW)[0].paths == (b"x\xff\n.CSV",)


def test_order(index: sqlite3.Connection) -> None:
    """The option sort orders the hits, unknown facts last in both directions."""
    for number, size in enumerate([5, None, 7, 6], start=1):
        add_file(index, number, b"%d" % number, size=size)

    assert found(index, "type:f", limit=2) == [1, 2]
    assert found(index, "type:f", sort="size") == [1, 4, 3, 2]
    assert found(index, "type:f", sort="-size") == [3, 4, 1, 2]
    assert searching(index).count("type:f") == 4
    with pytest.raises(QueryError, match="cannot sort by 'colour'"):
        search(index, "*", sort="colour")


@pytest.mark.parametrize(
    "query", ['"""', "-", "...", "'", 'a"b', "NEAR", "a^2", "{a}", "body:x", "%", "\\", "ÄÖ*", "path:/**/**/**"]
)
def test_text_that_means_something_to_the_database(index: sqlite3.Connection, query: str) -> None:
    """Nothing that is typed reaches the database as its own language."""
    add_file(index, 1, b"a", {"x": {"t": "a b"}})

    try:
        hits = search(index, query, now_ns=NOW)
    except QueryError:
        hits = []
    assert len(hits) <= 1


# The naive model


@dataclass(frozen=True)
class File:
    """What the naive filter sees."""

    number: int
    path: bytes
    facts: dict[str, int | bytes | str]
    documents: dict[str, dict[str, Any]] = field(hash=False)
    failed: frozenset[str] = frozenset()


def glob_matches(glob: str, text: str) -> bool:
    return re.match(translate(glob), text) is not None


def matches(node: q.Node, file: File) -> bool:  # noqa: C901, PLR0911, PLR0912 - one arm for each node
    """Whether a file matches: the meaning of each node, read off its docstring."""
    name = file.path.rsplit(b"/", 1)[-1].decode("utf-8", "surrogateescape")
    match node:
        case q.All():
            return True
        case q.And(nodes):
            return all(matches(item, file) for item in nodes)
        case q.Or(nodes):
            return any(matches(item, file) for item in nodes)
        case q.Not(item):
            return not matches(item, file)
        case q.Fact(column, low, high):
            value = file.facts.get(column)
            return isinstance(value, int) and (low is None or value >= low) and (high is None or value < high)
        case q.Type(letter):
            return letter == "f"
        case q.Identity(fid):
            return fid == fid_of(file.number)
        case q.JobId(glob):
            jobid = file.facts.get("jobid")
            return isinstance(jobid, bytes) and glob_matches(glob, jobid.decode())
        case q.Name(glob):
            return glob_matches(glob, name)
        case q.Extension(text):
            return len(name) > len(text) + 1 and name.lower().endswith("." + text.lower())
        case q.Path(glob):
            return expression(glob).match(file.path + b"/") is not None
        case q.HasDocument(glob):
            return any(glob_matches(glob, extractor) for extractor in file.documents)
        case q.Failed(glob):
            return any(glob_matches(glob, extractor) for extractor in file.failed)
        case q.Mime(glob):
            mime = file.facts.get("mime")
            return isinstance(mime, str) and glob_matches(glob.lower(), mime)
        case q.Released(value):
            return bool(file.facts.get("released")) is value
        case q.Readable():
            return True
        case q.Text(words, prefix):
            return any(has_words(body, words, prefix=prefix) for body in file.documents.values())
        case q.KeyEquals(key, word, number):
            numbers, words, parts = values_of(file, key)
            if " " in word:
                return any(f" {word} " in f" {value} " for value in words)
            return number in numbers or word in words | parts
        case q.KeyRange(key, low_, high_, include_low, include_high):
            numbers, words, _ = values_of(file, key)
            typed: set[Any] = words if isinstance(low_, str) or isinstance(high_, str) else numbers
            return any(
                (low_ is None or value > low_ or (include_low and value == low_))
                and (high_ is None or value < high_ or (include_high and value == high_))
                for value in typed
            )
        case q.KeyGlob(key, glob):
            _, words, parts = values_of(file, key)
            return any(glob_matches(glob, word) for word in words | parts)
        case q.KeyExists(key):
            numbers, words, _ = values_of(file, key)
            return bool(numbers or words)


def has_words(body: dict[str, Any], words: str, *, prefix: bool) -> bool:
    wanted = re.findall("[a-z0-9]+", words.lower())
    for value in flatten(body).text.split(VALUE_GAP):
        tokens = re.findall("[a-z0-9]+", value.lower())
        for start in range(len(tokens) - len(wanted) + 1):
            here = tokens[start : start + len(wanted)]
            if not wanted or here[:-1] != wanted[:-1]:
                continue
            if here[-1] == wanted[-1] or (prefix and here[-1].startswith(wanted[-1])):
                return True
    return False


def values_of(file: File, field_name: str) -> tuple[set[float], set[str], set[str]]:
    numbers: set[float] = set()
    words: set[str] = set()
    parts: set[str] = set()
    for extractor, body in file.documents.items():
        flat = flatten(body)
        for key in {field_name, field_name.removeprefix(f"{extractor}.")}:
            numbers |= {value for name, value in flat.numbers if name == key}
            words |= {value for name, value in flat.words if name == key}
            parts |= {value for name, value in flat.parts if name == key}
    return numbers, words, parts


words = st.sampled_from(["red", "green", "Red", "blue green", "green, red_blue", "red-1", "", "2026-01-05", "1"])
bodies = st.fixed_dictionaries(
    {},
    optional={
        "k": words | st.lists(words, max_size=3),
        "n": st.integers(-3, 3) | st.lists(st.floats(-3, 3), max_size=2) | st.booleans(),
        "x": st.fixed_dictionaries({"k": words | st.integers(0, 2)}),
    },
)
files = st.lists(
    st.builds(
        File,
        number=st.integers(1, 100),
        path=st.sampled_from([b"a.csv", b"b.CSV", b"d/a.csv", b"d/e/a.h5", b"f/b", b"d/[x]*"]),
        facts=st.fixed_dictionaries({}, optional={
            "size": st.integers(0, 4000), "uid": st.integers(0, 3), "gid": st.integers(0, 3),
            "mtime_ns": st.integers(0, 3).map(lambda days: NOW - days * 86_400 * 10**9),
            "jobid": st.sampled_from([b"cp.0", b"tar.1"]), "released": st.integers(0, 1),
            "mime": st.sampled_from(["text/csv", "image/png"]),
        }),
        documents=st.dictionaries(st.sampled_from(["x", "tab"]), bodies, max_size=2),
        failed=st.frozensets(st.sampled_from(["x", "h5"])),
    ),
    max_size=8, unique_by=(lambda file: file.number, lambda file: file.path),
)  # fmt: skip
terms = st.sampled_from([
    "*", "red", "gre*", '"blue green"', '"red blue"', "k:red", "k:green", 'k:"blue green"', "k:re*", "k:*", 'k:""',
    "k:1", "x.k:red", "x.k:1", "x.x.k:1", "tab.k:red", "tab.n:*", "n:1", "n:>0", "n:[-1 TO 1}", "n:true", "n:*",
    "k:>=2026-01-01", "k:{g TO red]", "k:[* TO green]", "size:>1k", "size:<=2k", "size:[1k TO 2k]", "size:*",
    "mtime:>now-1d", "mtime:now-1d", "owner:0", "uid:>=2", "gid:1", "name:a.csv", "name:*.csv", r"name:\[x\]\*",
    "name:?.?5", "ext:csv", "ext:h5", "path:/d/**", "path:/d/*", "path:/**", "path:/d/e/a.h5", "path:/f/*",
    "path:e/**", "path:**/e/*", "path:*.csv", "path:/none/**", "path:/d/*/a.h5", "path:/d/**/a*",
    "type:f", "type:d", "jobid:cp.*", "jobid:tar.1", "extractor:x", "extractor:t*", "extractor:none", "nokey:1",
    "fid:[0x200000401:0x1:0x0]", "failed:x", "failed:*", "mime:text/csv", "mime:IMAGE/*",
    "mime:*/png", "released:true", "released:no", 'k:"blue  Green"', "x.x.k:>1", "n:{-1 TO 2]", "k:b*e", "x.k:*",
])  # fmt: skip
queries = st.recursive(
    terms,
    lambda inner: (
        st.tuples(inner, inner).map(lambda pair: f"({pair[0]} {pair[1]})")
        | st.tuples(inner, inner).map(lambda pair: f"({pair[0]} OR {pair[1]})")
        | inner.map(lambda text: f"NOT {text}")
    ),
    max_leaves=5,
)


@given(files, st.lists(queries, min_size=5, max_size=5))
@examples(150)
def test_search_finds_what_a_naive_filter_finds(files: list[File], queries: list[str]) -> None:
    """Every query over every set of files finds exactly the files that a filter in Python finds."""
    index = make_index()
    for file in files:
        object_id = add_file(index, file.number, file.path, file.documents, **file.facts)
        for extractor in file.failed:
            put_failure(index, object_id, extractor, 2, 1, {"error": "bad"}, {})

    few = len(files) % 3 * 1000  # both ways to search must find the same
    got = {query: set(found(index, f"({query}) type:f", few=few)) for query in queries}
    counted = {query: searching(index, few).count(f"({query}) type:f", now_ns=NOW) for query in queries}
    index.close()

    for query in queries:
        tree = parse(query, now_ns=NOW)
        assert got[query] == {file.number for file in files if matches(tree, file)}, query
        assert counted[query] == len(got[query])


@given(links, patterns)
@examples(200)
def test_not_is_the_complement(links: Links, pattern: str) -> None:
    """Whatever the links are, cycles included, each object matches a path pattern or NOT the same pattern."""
    index = make_index()
    for number in range(1, 10):
        add_object(index, number)
    for (parent, name), fid in links.items():
        add_link(index, parent, name, fid)
    escaped = pattern.replace("[[]", r"\[").replace("[*]", r"\*")

    everything = found(index, "*")
    inside, outside = found(index, f"path:{escaped}"), found(index, f"NOT path:{escaped}")
    index.close()

    assert sorted(inside + outside) == everything


@given(st.text(max_size=20), st.sampled_from(["", "k:", "name:", "path:", "ext:", "jobid:", "x.k:>", "extractor:"]))
@examples(300)
def test_any_query_that_parses_can_be_run(text: str, prefix: str) -> None:
    """No text reaches SQLite in a form that it refuses."""
    index = make_index()
    add_file(index, 1, b"d/a.csv", {"x": {"k": "red"}})
    try:
        hits = search(index, prefix + text, now_ns=NOW)
    except QueryError:
        hits = []
    finally:
        index.close()

    assert all(isinstance(hit.fid, FID) and json.dumps(hit.documents) for hit in hits)
