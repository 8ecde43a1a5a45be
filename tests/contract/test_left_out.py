"""What the site leaves out of its index is found by nobody, on both databases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lustre_events.domain.rules.rule_file import parse
from lustre_events.errors import ConfigError
from lustre_events.index.visibility import Viewer
from tests.support.index.contents import Contents
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.index.tables import node
from tests.support.model.dispatcher import CSV_RULES, Rig

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


def test_everything_can_be_left_out(contents: Contents) -> None:
    """A glob of the whole tree leaves nothing to be found, and is no error."""
    contents.execute("INSERT INTO left_out (glob) VALUES (?)", "/")
    assert contents.found("*") == []


def test_who_asks_for_it_is_told(contents: Contents) -> None:
    """A search that only finds what is left out says so, with the globs; sums of it are refused with the reason."""
    search = contents.search()
    hint = search.hints("name:b.h5")[0]
    assert "left out by the site ([filesystem] exclude = /**/*.tmp, /**/.cache, /scratch)" in hint.text
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
