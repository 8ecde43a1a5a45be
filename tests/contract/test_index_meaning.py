"""Values as people mean them, on both databases: times, numbers, letters and names however they are written."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.errors import QueryError
from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.rows import each_row

NOW = 1_772_668_800 * 10**9  # 2026-03-05 in UTC


@pytest.fixture(params=BACKENDS)
def contents(request: pytest.FixtureRequest, empty_place: EmptyPlace) -> Iterator[Contents]:
    with Contents(empty_place(request.param)) as index:
        index.object(0, type="d")
        yield index


@pytest.fixture
def dated(contents: Contents) -> Contents:
    """Files with times, each written in another way."""
    dates = ["2026-03-01", "2026:03:04 10:00:00", "2019-05-05", "unknown", "2026-03-01T08:15:00+02:00"]
    for number, date in enumerate(dates, start=1):
        contents.file(number, b"f%d" % number, {"x": {"date": date}})
    contents.file(6, b"f6", {"x": {"common": {"start": "2026-03-02 00:00"}}})
    return contents


@each_row(
    ("query", "expected"),
    [
        ("date:2026-03", {1, 2, 5}),
        ("date:2026", {1, 2, 5}),
        ("date:>2025", {1, 2, 5}),
        ("date:[2026 TO 2027]", {1, 2, 5}),
        ("date:2026-03-01", {1, 5}),
        ("date:<2020", {3}),
        ("date:>now-7d", {1, 2, 5}),
        ("date:>now-2d", {2}),
        ("date:[2026-03-01T06:00 TO 2026-03-01T06:30}", {5}),
        ("*.start:2026-03", {6}),
        ('date:"2026-03"', set()),
    ],
)
def test_times_in_documents_are_times(dated: Contents, query: str, expected: set[int]) -> None:
    """Years, months, days, ranges and now-7d find times however a document writes them, and no other text."""
    assert set(dated.found(query, now_ns=NOW)) == expected


@pytest.fixture
def exposed(contents: Contents) -> Contents:
    """Files with one number, each written in another way."""
    for number, value in enumerate((30.0, "30.0", [30], "007"), start=1):
        contents.file(number, b"f%d" % number, {"x": {"exptime": value}})
    return contents


@each_row(
    ("query", "expected"),
    [
        ("exptime:[10 TO 60]", {1, 2, 3}),
        ("exptime:30", {1, 2, 3}),
        ("exptime:>1000", set()),
        ('exptime:"30.0"', {2}),
        ("exptime:7", set()),
        ("exptime:007", {4}),
    ],
)
def test_numbers_that_are_text_are_numbers(exposed: Contents, query: str, expected: set[int]) -> None:
    """A range and a value find a number that another program wrote as text; quotes find only the text."""
    assert set(exposed.found(query, now_ns=NOW)) == expected


def test_integers_are_exact(contents: Contents) -> None:
    """Integers that differ by one are told apart, in values, ranges and facets, beyond what a float can hold."""
    ids = (2**53 + 1, 2**53, 2**63 - 1, 2**63 - 2, 2**64 - 1, -(2**53) - 1)
    for number, value in enumerate(ids, start=1):
        contents.file(number, b"f%d" % number, {"x": {"id": value}})

    for number, value in enumerate(ids, start=1):
        assert contents.found(f"id:{value}", now_ns=NOW) == [number]
    assert set(contents.found(f"id:[{2**53 + 1} TO {2**63 - 2}]", now_ns=NOW)) == {1, 4}
    facets = contents.search().facets("id:*", ("id",), now_ns=NOW)["id"]
    assert {2**53 + 1, 2**53, 2**63 - 1} <= {int(each.value) for each in facets if each.value is not None}


def test_equal_files_are_found_by_their_checksum(contents: Contents) -> None:
    """A checksum finds all files with that content; the most frequent checksums are those that are there twice."""
    sums = ["a" * 64, "b" * 64, "a" * 64]
    for number, value in enumerate(sums, start=1):
        contents.file(number, b"f%d" % number, {"checksum": {"sha256": value}})

    assert set(contents.found(f"checksum.sha256:{'a' * 64}", now_ns=NOW)) == {1, 3}
    first, second = contents.search().facets("checksum.sha256:*", ("checksum.sha256",), now_ns=NOW)[
        "checksum.sha256"
    ]
    assert [(first.value, first.files), (second.value, second.files)] == [("a" * 64, 2), ("b" * 64, 1)]


@pytest.fixture
def without_spaces(contents: Contents) -> Contents:
    """Two files with texts of scripts without spaces."""
    contents.file(1, b"a", {"x": {"title": "超伝導転移温度の測定", "memo": "대한민국", "th": "วัดอุณหภูมิ"}})
    contents.file(2, b"b", {"x": {"title": "測る定", "memo": "국민"}})
    return contents


@each_row("query", ["測定", "title:測定", "title:超伝導転移温度の測定", "민국", "memo:민국", "อุณห", "測*"])
def test_words_of_scripts_without_spaces_are_found_inside(without_spaces: Contents, query: str) -> None:
    """Chinese, Japanese, Korean and Thai words are found inside of a longer text, under a key and in all of it."""
    found = without_spaces.found(query, now_ns=NOW)
    assert found[:1] == [1]
    assert found == [1] or query == "測*"


@pytest.fixture
def of_mueller(contents: Contents) -> Contents:
    """A file with a word that has an accent."""
    contents.file(1, b"a", {"x": {"who": "Dr. Müller"}})
    return contents


@each_row("query", ["who:muller", "who:MÜLLER", "who:Mu\u0308ller", "muller", "Mu\u0308ller", "who:mül*"])
def test_words_are_found_without_case_and_accents(of_mueller: Contents, query: str) -> None:
    """A word is found with or without its accents, in any case, composed or decomposed."""
    assert of_mueller.found(query, now_ns=NOW) == [1]


@pytest.fixture(params=["M\u00fcller.txt", "Mu\u0308ller.txt"], ids=["composed", "decomposed"])
def accented(contents: Contents, request: pytest.FixtureRequest) -> Contents:
    """A file whose name has an accent, encoded in one of two ways, and names that look like it."""
    contents.file(1, b"d/" + request.param.encode(), {})
    contents.file(2, b"d/Muller.csv", {})
    contents.file(4, b"d/m\xc3\xbcller.csv", {})
    contents.file(3, b"d/Mv\xcc\x88ller.csv", {})
    return contents


@each_row(
    "query",
    [
        "name:{}",
        "name.exact:{}",
        "name.exact:M{u}*",
        "name.exact:*M{u}ll*",
        "path:/d/{}",
        "path:/d/M{u}*",
        "path:**/{}",
        "ext:txt",
    ],
)
@each_row("u", ["\u00fc", "u\u0308"])
def test_names_are_found_however_their_accents_are_encoded(accented: Contents, query: str, u: str) -> None:
    """A name that one system writes composed and another one decomposed is found by both, and no other name is."""
    assert accented.found(query.format(f"M{u}ller.txt", u=u), now_ns=NOW) == [1]


@pytest.fixture
def named(contents: Contents) -> Contents:
    """Files whose names differ in case and accents."""
    for number, name in enumerate(
        (b"README.txt", b"readme.txt", "Müller".encode(), b"muller", "Straße-š[1]".encode()),
        start=1,
    ):
        contents.file(number, b"d/" + name)
    return contents


@each_row(
    ("query", "expected"),
    [
        ("name:readme.TXT", {1, 2}),
        ("name:Readme*", {1, 2}),
        ("name:*EADM?.txt", {1, 2}),
        ("name.exact:README.txt", {1}),
        ("name.exact:README*", {1}),
        ("name.exact:*eadme*", {2}),
        ("name:MULLER*", {3, 4}),
        ("name:straße-\N{LATIN CAPITAL LETTER S WITH CARON}*", {5}),
        (r"name:STRASSE-s\[1\]", {5}),
        ("path:/d/README.txt", {1}),
        ("path:**/readme.txt", {2}),
        ("path:**/README.*", {1}),
    ],
)
def test_names_are_found_without_case_and_accents(named: Contents, query: str, expected: set[int]) -> None:
    """name: finds a name in whatever case and with or without accents; name.exact: and path: as it is written."""
    assert set(named.found(query, now_ns=NOW)) == expected


@pytest.fixture
def worded(contents: Contents) -> Contents:
    """Files with words in their names, their documents or both."""
    contents.file(1, b"d/Graphene_run7.h5")
    contents.file(2, b"d/b.csv", {"x": {"title": "Graphene"}})
    contents.file(3, "d/Mu\N{COMBINING DIAERESIS}ller-1.txt".encode())
    contents.file(4, "d/超伝導の測定.dat".encode(), {"x": {"n": 1}})
    contents.file(5, b"d/graphene.dat", {"x": {"title": "graphene"}})
    return contents


@each_row("few", [0, 50_000])
@each_row(
    ("query", "expected"),
    [
        ("graphene", {1, 2, 5}),
        ("GRAPHENE", {1, 2, 5}),
        ("graph*", {1, 2, 5}),
        ("run7", {1}),
        ('"graphene run7"', {1}),
        ('"run7 graphene"', set()),
        ("müller", {3}),
        ("Muller", {3}),
        ("測定", {4}),
        ("raphene", set()),
        ("graphene NOT run7", {2, 5}),
        ("graphene AND ext:csv", {2}),
        ("graphene OR 測定", {1, 2, 4, 5}),
    ],
)
def test_bare_words_are_found_in_names_and_in_documents(
    worded: Contents, query: str, expected: set[int], few: int
) -> None:
    """A word, a phrase and the beginning of a word are found in a document and in a file's name alike."""
    found = worded.found(query, now_ns=NOW, few=few)

    assert (set(found), len(found)) == (expected, len(expected))
    assert worded.search(few).count(query, now_ns=NOW) == len(expected)


def test_words_of_names_follow_the_names(contents: Contents) -> None:
    """What is renamed, linked, removed or replaced is found by the names that it has now, and by no other."""
    contents.file(1, b"alpha.dat")
    contents.link(0, b"beta.dat", 1)
    assert contents.found("alpha", now_ns=NOW) == contents.found("beta", now_ns=NOW) == [1]

    contents.link(0, b"alpha.dat", None)
    contents.link(0, b"gamma.dat", 1)
    assert [contents.found(word, now_ns=NOW) for word in ("alpha", "beta", "gamma")] == [[], [1], [1]]

    contents.file(2, b"gamma.dat")
    assert [contents.found(word, now_ns=NOW) for word in ("beta", "gamma")] == [[1], [2]]

    contents.remove(1)
    assert contents.found("beta", now_ns=NOW) == []


@pytest.mark.parametrize("few", [0, 50_000])
def test_words_of_hidden_names_are_not_found(contents: Contents, few: int) -> None:
    """Of two names of a file the one that a viewer may not list is not found, nor what may not be read."""
    contents.object(10, type="d", uid=0, gid=0, mode=0o755)
    contents.object(11, type="d", uid=0, gid=0, mode=0o700)
    contents.execute("UPDATE object SET uid = 0, gid = 0, mode = 493 WHERE fid = ?", ROOT_FID.pack())
    contents.link(0, b"open", 10)
    contents.link(0, b"closed", 11)
    for number, mode in ((1, 0o644), (2, 0o600)):
        object_id = contents.object(number, type="f", uid=0, gid=0, mode=mode)
        contents.link(10, b"plain%d.txt" % number, number)
        contents.link(11, b"secret%d.txt" % number, number)
        contents.document(object_id, "x", (1, 1), {"title": "inside"})

    def found(query: str) -> list[int]:
        return sorted(contents.found(query, now_ns=NOW, few=few, visible_to=Viewer(7)))

    assert [found(query) for query in ("plain*", "txt", "secret1", "secret*", "inside", "open", "closed")] == [
        [1, 2], [1, 2], [], [], [1], [10], [11],
    ]  # fmt: skip
    assert sorted(contents.found("secret*", now_ns=NOW, few=few)) == [1, 2]


def test_a_field_with_a_star_is_any_such_key(contents: Contents) -> None:
    """A key is found whatever the entry is called above it; too many keys are refused with a sentence."""
    contents.file(1, b"a", {"hdf5": {"entry1": {"definition": "NXmx", "n": 3}}})
    contents.file(2, b"b", {"hdf5": {"raw_data": {"definition": "NXsas", "n": 5}}})
    contents.file(3, b"c", {"x": {"k": "v"}})

    assert contents.found("*.definition:NXmx", now_ns=NOW) == [1]
    assert set(contents.found("hdf5.*.n:>2", now_ns=NOW)) == {1, 2}
    assert contents.found("*.definition:* NOT *.n:5", now_ns=NOW) == [1]
    assert contents.found("NOT *definition:* type:f", now_ns=NOW) == [3]
    contents.file(4, b"d", {"y": {f"k{number}": 1 for number in range(501)}})
    with pytest.raises(QueryError, match="more than 500 keys match"):
        contents.found("k*:1", now_ns=NOW)
