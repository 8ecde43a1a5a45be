"""Why a search finds nothing, on both databases: what is told is true, and nothing hidden is told."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lustre_events.errors import QueryError
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer, group_name, user_name
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.rows import each_row

STRANGER = Viewer(7)
NEWEST_NS = 10**18 + 7
HIDDEN = ("secretive", "instrumnt", "xps", "password", "tempest", "cvsx")
"""What only the secret documents and the secret name say, in lower case."""


@pytest.fixture(params=BACKENDS, scope="module")
def contents(request: pytest.FixtureRequest, empty_place: EmptyPlace) -> Iterator[Contents]:
    """Two files for all with keys of both types, and two secret ones, one of them with a name that all see."""
    with Contents(empty_place(request.param)) as index:
        index.object(0, type="d", uid=0, gid=0, mode=0o755)
        table = {"columns": ["temperature", "time"], "rows": 3, "EXPTIME": 30, "sample": {"colour": "red"},
                 "taken": "2026:03:01 12:00:00"}  # fmt: skip
        index.file(
            1, b"readings.csv", {"tabular": table}, type="f", uid=1, gid=1, mode=0o644, size=9, mtime_ns=NEWEST_NS
        )
        index.file(2, b"b.h5", {"hdf5": {"instrument": "ARPES"}}, type="f", uid=1, gid=1, mode=0o644, size=5)
        secret = {"instrumnt": "XPS", "password": "tempest"}
        index.file(3, b"private/c.cvsx", {"secretive": secret}, type="f", uid=1, gid=1, mode=0o600, size=5)
        index.file(4, b"d.txt", {"secretive": secret}, type="f", uid=1, gid=1, mode=0o600, size=5)
        yield index


@pytest.fixture(scope="module")
def search(contents: Contents) -> Search:
    return contents.search()


@each_row(
    ("query", "said", "better"),
    [
        ("colunms:time", "no file has the key colunms; did you mean columns (1 file)?", "columns:time"),
        ("tabular.colunms:time", "did you mean tabular.columns (1 file)", "tabular.columns:time"),
        ("exptime:30", "did you mean EXPTIME (1 file)?", "EXPTIME:30"),
        ("colour:red", "did you mean sample.colour (1 file)?", "sample.colour:red"),
        ("siz:9", "did you mean size (", "size:9"),
        ("rows:many", "1 file has the key rows, but with numbers, not text", "rows:*"),
        ("columns:>3", "1 file has the key columns, but with text, not numbers", "columns:*"),
        ("columns:temp", "but 1 file with words that begin like it", "columns:temp*"),
        ("rows:4", "1 file has the key rows, but none matches rows:4; some values are 3", "rows:*"),
        ("columns:tmie", "none matches columns:tmie; some values are", "columns:time"),
        ("taken:03.2026", "a date is written as 2026, 2026-03, 2026-03-01", "taken:2026-03"),
        ("taken:March 2026", "a date is written as 2026, 2026-03, 2026-03-01", "taken:2026-03"),
        ("taken:May 2026", "a date is written as 2026, 2026-03, 2026-03-01", None),
        ("taken:>2027", "1 file has the key taken, but none matches taken:>2027; some values are 2026", "taken:*"),
        ("columns:>2026-03", "1 file has the key columns, but none of its values is a time", "columns:*"),
        ("temp", "but 3 files with words that begin like it", "temp*"),
        ("eadings", "but 1 file with it in the name", "name:*eadings*"),
        (
            "extractor:tabluar",
            "; did you mean tabular (1 file)?",
            "extractor:tabular",
        ),
        (
            "extractor:nosuch",
            "no extractor nosuch has looked at a file; there are hdf5 (1 file), secretive (2 files)",
            "extractor:hdf5",
        ),
        ("failed:tabular", "the extractor tabular has failed on no file", None),
        ("ext:h4", "no file has the extension h4; did you mean h5 (1 file)?", "ext:h5"),
        ("mime:text/plain", "no file has the MIME type text/plain", None),
        ("name:readings", "no file has exactly the name readings, but 1 file with it", "name:*readings*"),
        ("ext:zzz", "no file has the extension zzz; there are csv (1 file)", "ext:csv"),
        ("path:/proj/a", "there is no proj in /", None),
        ("path:/privat/**", "there is no privat in /; did you mean private (1 file)?", "path:/private/**"),
        ("path:/private/c.cvs", "there is no c.cvs in /private; did you mean c.cvsx", "path:/private/c.cvsx"),
        ("type:f AND path:/readnigs.*", "nothing below / matches /readnigs.*", None),
        ("owner:99", f"no file is owned by 99; there are {user_name(1)} (4 files)", f"owner:{user_name(1)}"),
        ("gid:99", f"no file belongs to the group 99; there are {group_name(1)} (4 files)", f"gid:{group_name(1)}"),
        ("size:>1G", "no file matches size:>1G; the largest file has 9 bytes", "size:>=9"),
        ("ext:h5 AND size:<2", "no file matches size:<2; the smallest file has 5 bytes", "ext:h5 AND size:<=5"),
        (
            "mtime:>now-7d",
            "no file matches mtime:>now-7d; the newest change is of 2001-09-09 01:46:40",
            "mtime:>=2001-09-09T01:46:40",
        ),
        ("rows:3 or rows:4", "write AND, OR, NOT in capitals", "rows:3 OR rows:4"),
        ("size=9", "joined by a colon", "size:9"),
        ("rows:3 ext:h5", "without rows:3, 1 file would match", "ext:h5"),
        ("rows:3 AND (colunms:x OR columns:time) AND ext:csv NOT size:9", "without NOT size:9, 1 file", None),
        ("rows:* NOT columns:*", "everything that matches rows:* is excluded by NOT columns:*", None),
        ("rows:* NOT columns:*", "without NOT columns:*, 1 file would match", "rows:*"),
        ("zzzz", "no document and no name has the word zzzz", None),
        ("ARPSE", "has the word ARPSE; did you mean arpes (1 file)?", "arpes"),
        ("raedings", "has the word raedings; did you mean readings (1 file)?", "readings"),
        ("rows:3 AND tmeperature", "did you mean temperature (1 file)?", "rows:3 AND temperature"),
    ],
)
def test_why_nothing_is_found(search: Search, query: str, said: str, better: str | None) -> None:
    """One of the sentences says what is there instead, and a repaired query finds as many files as it says."""
    hints = search.hints(query)
    assert search.count(query) == 0
    hint = next((each for each in hints if said in each.text), None)
    assert hint is not None, hints
    assert better is None or hint.query == better
    assert [search.count(each.query) for each in hints if each.query] == [
        each.files for each in hints if each.query
    ]  # fmt: skip


def test_fields_without_values(search: Search) -> None:
    """Facets of a key that no file has, or none of those found, and of a fact that is not counted are explained."""
    texts = [hint.text for hint in search.hints("*", fields=["colunms", "mtime"])]
    assert "did you mean columns" in texts[0]
    assert "the values of mtime are not counted" in texts[1]
    assert "none of those that the query finds" in search.hints("ext:h5", fields=["columns"])[0].text


def test_nothing_is_said_where_something_is_found(search: Search) -> None:
    """A search with hits has no hints."""
    assert search.hints("columns:time") == ()


def test_the_reasons_after_an_empty_page_are_the_same(search: Search) -> None:
    """Who has just found nothing is told the same without another search for the whole query."""
    for query in ("colunms:own", "rows:3 ext:h5", "path:/nowhere/** AND rows:3"):
        assert search.hints(query, found_nothing=True) == search.hints(query)


@each_row(
    "query",
    [
        "instrument:XPS", "passwort:x", "password:tempest", "tempes", "tempest", "extractor:secretiv", "ext:cvs",
        "cvsx", "tempets", "cvssx",
        "extractor:secretive", "mime:x/y", "passwort:x or y", "password=tempest", "name:c", "path:/private/c", "c",
        "path:/privat/c.cvsx", "owner:99", "size:>1G", "ext:zzz",
    ],
)  # fmt: skip
def test_hints_betray_nothing_hidden(contents: Contents, query: str) -> None:
    """A viewer is told the same of an index with a secret document and name as of one without them."""
    before = contents.search().hints(query, visible_to=STRANGER)
    facets = contents.search().hints("*", fields=["passwort", "password"], visible_to=STRANGER)
    contents.execute("SAVEPOINT whole")
    for table in ("number", "word", "part", "document", "key"):
        named = "SELECT id FROM key WHERE extractor = 'secretive'"
        test = "extractor = 'secretive'" if table in {"document", "key"} else f"key IN ({named})"
        contents.execute(f"DELETE FROM {table} WHERE {test}")  # noqa: S608 - constants
    contents.execute("DELETE FROM link WHERE name = ?", b"c.cvsx")

    without = contents.search().hints(query, visible_to=STRANGER)
    facets_without = contents.search().hints("*", fields=["passwort", "password"], visible_to=STRANGER)
    contents.execute("ROLLBACK TO whole")

    assert before == without
    assert facets == facets_without
    assert before
    for asked, hints in ((query, before), ("passwort password", facets)):
        told = " ".join(each.text for each in hints).lower()
        assert [word for word in HIDDEN if word in told and word not in asked.lower()] == []
        assert [word for word in HIDDEN if f"{word} (" in told] == []


@each_row(("query", "kind"), [("owner:nosuch-user", "user"), ("ext:h5 AND group:nosuch", "group")])
def test_who_is_unknown_here_is_answered_with_who_is_known(search: Search, query: str, kind: str) -> None:
    """A user or group that this machine does not know is a mistake, and the hint says whose files there are."""
    name = user_name(1) if kind == "user" else group_name(1)
    with pytest.raises(QueryError, match=f"this machine knows no {kind} of that name"):
        search.count(query)
    (hint,) = search.hints(query)
    assert f"there are {name} (4 files)" in hint.text
    assert hint.query == query.replace("nosuch-user", name).replace("nosuch", name)
    assert hint.files == search.count(hint.query)
    with pytest.raises(QueryError, match="write a size"):
        search.hints("size:large")
