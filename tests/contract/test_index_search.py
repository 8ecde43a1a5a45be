"""The search on both databases: it finds exactly what a naive filter finds."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import QueryError
from lustre_events.index.backend import Counts
from lustre_events.index.query.parser import parse
from tests.support.index.contents import Contents
from tests.support.index.paths import Links, all_paths, expression, links, patterns
from tests.support.index.places import BACKENDS, EmptyPlace, IndexPlace
from tests.support.index.queries import NOW, File, files, matches, queries
from tests.support.index.tables import node
from tests.support.profiles import examples
from tests.support.records.builders import fid_of

both = pytest.mark.parametrize("backend", BACKENDS)


@both
@examples(60)
@given(files, st.lists(queries, min_size=5, max_size=5), st.sampled_from([0, 3, 20_000]))
def test_search_finds_what_a_naive_filter_finds(
    empty_place: EmptyPlace, backend: str, files: list[File], queries: list[str], few: int
) -> None:
    """Every query over every set of files finds exactly the files that a filter in Python finds."""
    with Contents(empty_place(backend)) as index:
        for file in files:
            object_id = index.file(file.number, file.path, file.documents, **file.facts)
            for extractor in file.failed:
                index.failure(object_id, extractor, (2, 1), {"error": "bad"})
        got = {query: set(index.found(f"({query}) type:f", few=few, now_ns=NOW)) for query in queries}
        counted = {query: index.search(few).count(f"({query}) type:f", now_ns=NOW) for query in queries}

    for query in queries:
        tree = parse(query, now_ns=NOW)
        assert got[query] == {file.number for file in files if matches(tree, file)}, query
        assert counted[query] == len(got[query])


@both
@examples(60)
@given(links, patterns)
@example({(0, b"b"): 1, (1, b"a"): 1}, "/b/*")
def test_patterns_find_what_the_naive_model_finds(
    empty_place: EmptyPlace, backend: str, links: Links, pattern: str
) -> None:
    """* and ? stay in one component, ** crosses them; NOT finds all others, also where links close a cycle."""
    escaped = pattern.replace("[[]", r"\[").replace("[*]", r"\*").replace("\udcff", "\\\udcff")
    with Contents(empty_place(backend)) as index:
        for number in range(1, 10):
            index.object(number)
        for (parent, name), fid in links.items():
            index.link(parent, name, fid)
        everything = index.found("*")
        inside, outside = index.found(f"path:{escaped}"), index.found(f"NOT path:{escaped}")
        paths = index.search().paths([node(number) for number in range(10)])

    assert sorted(inside + outside) == sorted(everything)
    assert paths == {node(number): found for number, found in all_paths(links).items()}
    if all(fid is None or fid > parent for (parent, _), fid in links.items()):
        wanted = {
            number
            for number, found in all_paths(links).items()
            if number and any(expression(pattern).match(path + b"/") for path in found)
        }
        assert set(inside) == wanted


@both
@examples(150)
@given(
    st.text(max_size=20),
    st.sampled_from(["", "k:", "name:", "path:", "ext:", "jobid:", "x.k:>", "extractor:", "mime:", "failed:"]),
)
def test_any_query_that_parses_can_be_run(empty_place: EmptyPlace, backend: str, text: str, prefix: str) -> None:
    """No text reaches the database in a form that it refuses."""
    with Contents(empty_place(backend)) as index:
        index.file(1, b"d/a.csv", {"x": {"k": "red"}}, jobid=b"cp", mime="text/csv")
        try:
            hits = index.search().search(prefix + text, now_ns=NOW)
        except QueryError:
            hits = []

    assert all(isinstance(hit.fid, FID) and json.dumps(hit.documents) for hit in hits)


def test_the_main_job(index_place: IndexPlace) -> None:
    """Files are found by a column that a table has and by their size."""
    table = {"columns": ["time", "temperature"], "rows": 3}
    with Contents(index_place) as index:
        index.file(1, b"proj/run7/a.csv", {"tabular": table}, size=2000)
        index.file(2, b"proj/run7/b.csv", {"tabular": table}, size=500)
        index.file(3, b"proj/c.csv", {"tabular": {"columns": ["x"]}}, size=5000)

        hits = index.search().search("columns:temperature AND size:>1k")

        assert [(hit.fid, hit.paths, hit.size, hit.documents) for hit in hits] == [
            (fid_of(1), (b"proj/run7/a.csv",), 2000, {"tabular": table})
        ]
        assert index.found("path:/proj/run7/** rows:3") == [1, 2]
        assert index.found("tabular.columns:(x OR time) -size:<1k") == [1, 3]


def test_only_live_objects_are_hits(index_place: IndexPlace) -> None:
    """An object without a name is not found, whatever documents it has."""
    with Contents(index_place) as index:
        index.file(1, b"a.csv", {"tabular": {"columns": ["x"]}})
        index.link(0, b"a.csv", None)

        assert index.found("*") == index.found("columns:x") == index.found("NOT columns:y") == []


def test_words_of_two_documents(index_place: IndexPlace) -> None:
    """Words may stand in several documents of a file, which is one hit; a phrase stands in one value."""
    with Contents(index_place) as index:
        index.file(1, b"a", {"x": {"t": ["silicon carbide", "graphene"]}, "y": {"t": "ARPES"}})

        assert index.found("graphene arpes") == [1]
        assert index.found('"Silicon Carbide"') == [1]
        assert index.found('"carbide graphene"') == []
        assert index.found("graph*") == [1]


@pytest.mark.parametrize(
    ("text", "query", "hit"),
    [
        ("a.b/c-d_e", "b", True),
        ("10.5e3", "5e3", True),
        ("www.example.org", '"www example"', True),
        ("mañana Öl", "manana", True),
        ("mañana Öl", "OL", True),
        ("n\u0303ame", "name", True),
        ("strasse", "straße", False),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ", True),
        ("銀河 探査", "銀河", True),
        ("x\uf8ffy", "x", False),
        ("don't", "don", True),
        ("a " * 20_000 + "b c", '"a b c"', True),
    ],
)
def test_words_are_the_same_on_both(index_place: IndexPlace, text: str, query: str, hit: bool) -> None:
    """A word is a run of letters and digits, without case and without the accents of Latin letters."""
    with Contents(index_place) as index:
        index.file(1, b"a", {"x": {"t": text}})

        assert index.found(query) == ([1] if hit else [])


def test_names_that_are_not_utf8(index_place: IndexPlace) -> None:
    """Names of any bytes are found by globs, exactly by surrogate escapes, and given back as they are."""
    with Contents(index_place) as index:
        index.file(1, b"x\xff\n.CSV")
        index.file(2, b"%_x.csv")
        index.file(3, "grün\\.tar.gz".encode())

        assert index.found("name:x\udcff\\\n.CSV") == index.found("name:x*") == index.found("name:x??.CSV") == [1]
        assert index.found("ext:csv") == [1, 2]
        assert index.found("name:gr?n*") == index.found("ext:tar.gz") == index.found("name:*\\\\.*") == [3]
        assert index.found("name:gr??n*") == []
        assert index.search().search("ext:csv")[0].paths == (b"x\xff\n.CSV",)


@pytest.mark.parametrize("few", [0, 2, 20_000])
@pytest.mark.parametrize("sort", [None, "size", "-size", "mtime", "atime", "-atime"])
def test_pages_are_the_whole(index_place: IndexPlace, few: int, sort: str | None) -> None:
    """Page by page gives every hit once, in the order of one large page; unknown facts come last."""
    with Contents(index_place) as index:
        for number, size in enumerate([5, None, 7, 6, 6, None, 9], start=1):
            index.file(number, b"%d" % number, size=size, mtime_ns=size, atime_ns=size)
        search = index.search(few)
        whole = [hit.fid.oid for hit in search.search("type:f size:*" if few == 2 else "type:f", sort=sort)]
        pages, cursor = [], None
        while True:
            page = search.page("type:f size:*" if few == 2 else "type:f", limit=2, sort=sort, cursor=cursor)
            pages += [hit.fid.oid for hit in page.hits]
            cursor = page.cursor
            if cursor is None:
                break

    expected = [1, 3, 4, 5, 7] if few == 2 else [1, 2, 3, 4, 5, 6, 7]
    if sort is not None:
        known = sorted([(5, 1), (7, 3), (6, 4), (6, 5), (9, 7)], reverse=sort.startswith("-"))
        unknown = [] if few == 2 else sorted([2, 6], reverse=sort.startswith("-"))
        expected = [number for _, number in known] + unknown
    assert pages == whole == expected


def test_facets(index_place: IndexPlace) -> None:
    """Values with the number of files and their bytes, the most frequent first."""
    with Contents(index_place) as index:
        index.file(1, b"a.CSV", {"x": {"k": ["Red", "red"], "n": 2}}, uid=4_000_001, size=10, mime="text/csv")
        index.file(2, b"b.csv", {"x": {"k": "green", "n": 2.0}, "y": {}}, uid=4_000_001, size=5)
        index.file(3, b".hidden", None, uid=4_000_002)
        index.file(4, b"a.\xff\xfe", None, size=1)
        index.file(5, b"a.\\\xfd", None, size=1)
        facets = index.search().facets(
            "type:f", ["owner", "ext", "extractor", "mime", "k", "n", "none", "released"]
        )
        limited = index.search().facets("type:f", ["ext"], limit=1)
        below = index.search().du(b"/", "type")

    values = {name: [(each.value, each.files, each.bytes) for each in found] for name, found in facets.items()}
    assert values["owner"] == [(None, 2, 2), ("4000001", 2, 15), ("4000002", 1, 0)]
    assert values["ext"] == [("csv", 2, 15), (None, 1, 0), ("\\\ufffd", 1, 1), ("\ufffd\ufffd", 1, 1)]
    assert values["extractor"] == [(None, 3, 2), ("x", 2, 15), ("y", 1, 5)]
    assert values["mime"] == [(None, 4, 7), ("text/csv", 1, 10)]
    assert values["k"] == [("green", 1, 5), ("red", 1, 10)]
    assert values["n"] == [(2.0, 2, 15)]
    assert values["none"] == []
    assert values["released"] == [(None, 5, 17)]
    assert [each.value for each in limited["ext"]] == ["csv"]
    assert [(each.value, each.files) for each in below] == [("f", 5)]


def test_show_gives_all_that_is_known(index_place: IndexPlace) -> None:
    """Facts, all paths, documents with provenance, the last failure and pending work of one object; sums of all."""
    with Contents(index_place) as index:
        one = index.file(1, b"d/a", {"x": {"odd": "\udc80\0"}}, size=5, jobid=b"cp\xff", acl=b"\0", released=1)
        index.link(0, b"\xff\n", 1)
        index.link(0, b"gone", None)
        index.document(one, "h5", (2, 3), {"a": 1}, {"host": "n1"})
        index.failure(one, "h5", (4, 3), {"error": "bad"}, {"host": "n2"})
        index.execute(
            "INSERT INTO pending (fid, extractor, generation, due_ns, changed_ns, reason, queue)"
            " VALUES (?, 'h5', 5, 0, 0, 'write', 'q')",
            fid_of(1).pack(),
        )
        index.execute("INSERT INTO counter VALUES ('records', 7)")
        index.execute("INSERT INTO cursor (mdt, epoch, position, eff_time) VALUES ('fs-MDT0000', 1, 42, 0)")
        view, unknown, root = index.search().show_many([fid_of(1), fid_of(9), ROOT_FID])
        stats = index.search().stats()
        there = [index.search().fid_of_path(path) for path in (b"/d/a/", b"", b"gone", b"d/none", b"none/a")]

    assert view.paths == (b"d/a", b"\xff\n")
    assert view.facts is not None
    assert (view.facts.size, view.facts.jobid) == (5, b"cp\xff")
    assert [(each.extractor, each.body, each.provenance) for each in view.documents] == [
        ("h5", {"a": 1}, {"host": "n1"}), ("x", {"odd": "\udc80\0"}, {}),
    ]  # fmt: skip
    assert [(each.extractor, each.generation, each.failure) for each in view.failures] == [
        ("h5", 4, {"error": "bad", "provenance": {"host": "n2"}})
    ]
    assert [(row.extractor, row.reason, row.queue) for row in view.pending] == [("h5", "write", "q")]
    assert (unknown.paths, unknown.facts, root.paths) == ((), None, (b"/",))
    assert stats.counts == Counts(2, 3, 1, documents={"h5": 1, "x": 1}, failures={"h5": 1})
    assert stats.pending == {"write": 1}
    assert (stats.counters, stats.cursors) == ({"records": 7}, (("fs-MDT0000", 1, 42),))
    assert there == [fid_of(1), ROOT_FID, None, None, None]
