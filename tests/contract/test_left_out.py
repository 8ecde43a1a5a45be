"""What the site leaves out of its index is found by nobody, on both databases."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.markers import EACH
from lustre_events.domain.rules.conditions import MARKER
from lustre_events.domain.rules.rule_file import parse
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Facts
from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.index.tables import node
from tests.support.model.dispatcher import CSV_RULES, MDT0, Rig, number
from tests.support.records import builders as b

ALL = {"uid": 1000, "gid": 1000, "mode": 0o755}


@pytest.fixture(params=BACKENDS)
def contents(request: pytest.FixtureRequest, empty_place: EmptyPlace) -> Iterator[Contents]:
    with Contents(empty_place(request.param)) as index:
        index.object(0, type="d", **ALL)
        for number, path in enumerate((b"proj/a.csv", b"scratch/a.csv", b"scratch/deep/b.h5",
                                       b"proj/.cache/c.csv", b"proj/x.tmp"), start=1):  # fmt: skip
            index.file(number, path, {"tabular": {"run": number, f"only{number}": 1}}, size=number, **ALL)
        index.execute("UPDATE object SET uid = 1000, gid = 1000, mode = 493 WHERE type = 'd'")
        for glob in ("/scratch", "/**/.cache", "/**/*.tmp"):
            index.execute("INSERT INTO left_out (glob) VALUES (?)", glob)
        yield index


@pytest.mark.parametrize("viewer", [None, Viewer(1000)], ids=("root", "user"))
def test_nobody_finds_what_is_left_out(contents: Contents, viewer: Viewer | None) -> None:
    """By name, key, path or nothing at all: neither as hits, nor counted, summed, completed or told as keys."""
    search = contents.search()
    for query in ("type:f", "run:>0", "path:/** AND type:f", "run:*", "type:f OR name:b*", "NOT type:d"):
        assert contents.found(query, visible_to=viewer) == [1], query
        assert contents.found(query, few=0, visible_to=viewer) == [1], query
        assert search.count(query, visible_to=viewer) == 1
    for query in ("name:b.h5", "path:/scratch/**", "path:/scratch", "path:/proj/.cache/*", "run:3"):
        assert contents.found(query, visible_to=viewer) == [], query

    (facet,) = search.facets("type:f", ["ext"], visible_to=viewer)["ext"]
    assert (facet.value, facet.files, facet.bytes) == ("csv", 1, 1)
    assert sum(each.bytes for each in search.du(b"/", "ext", visible_to=viewer)) == 1
    assert [each.name for each in search.fields("only", visible_to=viewer)] == ["only1"]
    assert search.complete("run:", visible_to=viewer) == ("run:1",)
    assert search.matching("type:f", [node(number) for number in range(1, 6)], visible_to=viewer) == {node(1)}


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("/proj/*", [2, 3]), ("/**/deep", [1, 2, 4, 5]), ("/s*h/deep", [1, 2, 4, 5]), ("/**/a.csv", [3, 4, 5]),
        ("/scratch/**/b.*", [1, 2, 4, 5]), ("/proj/.cache", [1, 2, 3, 5]), ("/**/*", []),
        ("/none", [1, 2, 3, 4, 5]),
    ],
)  # fmt: skip
def test_any_glob_leaves_out_what_it_matches_and_all_below(contents: Contents, glob: str, found: list[int]) -> None:
    """Names anywhere, paths, and paths with wildcards."""
    contents.execute("DELETE FROM left_out")
    contents.execute("INSERT INTO left_out (glob) VALUES (?)", glob)
    assert contents.found("type:f") == found
    assert contents.found("type:f", few=0, visible_to=Viewer(1000)) == found


def test_a_view_tells_what_leaves_its_object_out(contents: Contents) -> None:
    """Each object is shown with the globs that match it, and with no others."""
    contents.execute("INSERT INTO left_out (glob) VALUES (?)", "/scratch/deep")
    views = contents.search().show_many([node(number) for number in range(1, 6)], visible_to=Viewer(1000))
    assert [view.left_out for view in views] == [
        (), ("/scratch",), ("/scratch", "/scratch/deep"), ("/**/.cache",), ("/**/*.tmp",),
    ]  # fmt: skip


def test_everything_can_be_left_out(contents: Contents) -> None:
    """A glob of the whole tree leaves nothing to be found, and is no error."""
    contents.execute("INSERT INTO left_out (glob) VALUES (?)", "/")
    assert contents.found("*") == []


def test_who_asks_for_it_is_told(contents: Contents) -> None:
    """A search that only finds what is left out says so, with the globs; sums of it are refused with the reason."""
    search = contents.search()
    hint = search.hints("name:b.h5")[0]
    assert "left out (/**/*.tmp, /**/.cache, /scratch), by [filesystem] exclude" in hint.text
    assert "left out" not in str(search.hints("name:none"))
    with pytest.raises(ConfigError, match=r"/scratch: .*left out"):
        search.du(b"scratch", "ext")
    assert search.show(node(3)).paths == (b"scratch/deep/b.h5",)


def test_the_dispatcher_says_what_is_left_out(empty_place: EmptyPlace) -> None:
    """It writes the globs when it starts; after a restart with others these hold, and none where there are none."""
    rules = parse(CSV_RULES, "rules", ("tabular", "hdf5"))
    for kind in BACKENDS:
        rig = Rig(empty_place(kind), rules=rules.leaving_out(["scratch/**", "**/*.tmp"]))
        assert set(rig.select("SELECT glob FROM left_out")) == {"/scratch", "/**/*.tmp"}
        rig.rules = rules.leaving_out(["/other"])
        rig.restart()
        assert rig.select("SELECT glob FROM left_out") == ["/other"]
        rig.rules = rules
        rig.restart()
        assert rig.select("SELECT glob FROM left_out") == []
        rig.close()


DIRECTORY, FILE, MARK = 50, 1, 2


def owned(rig: Rig, **uids: int) -> None:
    """Say who owns the directory and the marker, and let the dispatcher look."""
    own(rig, {b.fid_of({"directory": DIRECTORY, "marker": MARK}[name]): uid for name, uid in uids.items()})
    rig.pass_seconds(3)
    rig.settle()


def own(rig: Rig, owners: Mapping[FID, int]) -> None:
    """Say who owns what."""
    plain: dict[str, Any] = {
        "size": 1,
        "mtime_ns": 2,
        "ctime_ns": 3,
        "atime_ns": 4,
        "gid": 6,
        "mode": 7,
        "nlink": 1,
    }
    with rig.writer.transaction() as transaction:
        rows = transaction.objects(owners)
        transaction.put_facts(
            (row, row.generation, Facts(type="f", uid=owners[fid], **plain)) for fid, row in rows.items()
        )


def extracted(rig: Rig) -> bool:
    """Whether a file in the directory that is written is extracted."""
    worked(rig)
    rig.feed(*number([b.close(fid=FILE)], rig.store.tail(MDT0).last_index))
    return "tabular" in worked(rig)


def worked(rig: Rig) -> set[str]:
    """Let workers do what there is, and return which extractors they were asked for."""
    found: set[str] = set()
    for _ in range(3):
        rig.pass_seconds(60)
        jobs = rig.play()
        found |= {job.extractor for job in jobs}
        rig.answer(job for job in jobs if job.extractor == "tabular")
    return found


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_file_in_a_directory_leaves_it_out(empty_place: EmptyPlace, kind: str) -> None:
    """A directory with it is not searched, nor read by extractors, also after a restart; without it, it is."""
    rig = Rig(empty_place(kind), rules=parse(CSV_RULES, "rules", ("tabular", "hdf5")))
    rig.play(b.mkdir(fid=DIRECTORY, name=b"a*"), b.create(fid=MARK, parent=DIRECTORY, name=MARKER))
    owned(rig, directory=5, marker=5)
    rig.play(b.create(fid=FILE, parent=DIRECTORY, name=b"a.csv"))
    assert rig.select("SELECT glob FROM left_out") == ["/a[*]"]
    assert not extracted(rig)
    rig.restart()
    assert rig.select("SELECT glob FROM left_out") == ["/a[*]"]
    assert not extracted(rig)

    rig.play(b.rename(fid=DIRECTORY, name=b"a*", to=b"c"))
    rig.pass_seconds(3)
    rig.settle()
    assert rig.select("SELECT glob FROM left_out") == ["/c"]
    rig.play(b.unlink(fid=MARK, parent=DIRECTORY, name=MARKER))
    rig.pass_seconds(3)
    rig.settle()
    assert rig.select("SELECT glob FROM left_out") == []
    assert extracted(rig)
    rig.close()


@pytest.mark.parametrize("kind", BACKENDS)
def test_no_owner_takes_the_room_of_others(empty_place: EmptyPlace, kind: str) -> None:
    """Of one owner only some directories count, whoever comes first."""
    rig = Rig(empty_place(kind), rules=parse(CSV_RULES, "rules", ("tabular", "hdf5")))
    for place in range(2 * EACH):
        name = b"%02d" % place
        rig.play(b.mkdir(fid=100 + place, name=name), b.create(fid=200 + place, parent=100 + place, name=MARKER))
    rig.play(b.mkdir(fid=300, name=b"last"), b.create(fid=301, parent=300, name=MARKER))
    own(rig, {b.fid_of(fid): 5 for place in range(2 * EACH) for fid in (100 + place, 200 + place)})
    own(rig, {b.fid_of(fid): 6 for fid in (300, 301)})
    with rig.writer.transaction() as transaction:
        assert len(transaction.marked(MARKER, EACH, 1_000)) == EACH + 1
        assert b.fid_of(300) in transaction.marked(MARKER, EACH, 1_000)
    rig.close()


@pytest.mark.parametrize(("marker", "counts"), [(0, True), (5, True), (7, False)])
def test_a_stranger_hides_nothing(empty_place: EmptyPlace, marker: int, counts: bool) -> None:
    """The file counts if root or the owner of the directory owns it, not by who may only write there."""
    rig = Rig(empty_place("sqlite"), rules=parse(CSV_RULES, "rules", ("tabular", "hdf5")))
    rig.play(b.mkdir(fid=DIRECTORY, name=b"tmp"), b.create(fid=MARK, parent=DIRECTORY, name=MARKER))
    owned(rig, directory=5, marker=marker)
    assert rig.select("SELECT glob FROM left_out") == (["/tmp"] if counts else [])
    rig.close()
