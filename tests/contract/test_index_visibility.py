"""What PostgreSQL and SQLite decide that a viewer sees is what visibility.py says."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.domain import acl
from lustre_events.index.postgresql.database import Connection, Database
from lustre_events.index.postgresql.visibility import readable
from lustre_events.index.sqlite.dialect import readable_by
from lustre_events.index.visibility import Viewer, permits
from tests.support.index.contents import Contents
from tests.support.index.paths import Links, all_paths, links
from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.index.tables import node
from tests.support.profiles import examples
from tests.support.records.strategies import TWO_OF_ONE_KIND, access_lists

few_ids = st.integers(0, 3)
acls = (
    st.none()
    | access_lists()
    | st.sampled_from([b"", b"\2\0\0", b"\1\0\0\0", b"\2\0\0\0"])
    | st.binary(max_size=30)
)
modes = st.sampled_from([0, 0o755, 0o700, 0o711, 0o055, 0o070, 0o007, 0o744, 0o750, 0o100640])
viewers = st.builds(Viewer, st.integers(1, 3), st.frozensets(few_ids, max_size=3))


@pytest.fixture(scope="module")
def connection(empty_place: EmptyPlace) -> Iterator[Connection]:
    url = empty_place("postgresql")
    assert isinstance(url, str)
    database = Database(url, statement_seconds=60)
    yield database.connection
    database.close()


@examples(400)
@given(viewers, st.none() | few_ids, st.none() | few_ids, st.none() | modes, acls, st.sampled_from([1, 4, 5]))
@example(Viewer(1), 0, 0, 0o055, TWO_OF_ONE_KIND, 1)
@example(Viewer(1), 0, 0, 0o005, TWO_OF_ONE_KIND, 1)
def test_permissions_are_decided_alike(  # noqa: PLR0917 - drawn by hypothesis
    connection: Connection,
    viewer: Viewer,
    uid: int | None,
    gid: int | None,
    mode: int | None,
    acl: bytes | None,
    wanted: int,
) -> None:
    """For every owner, mode and access list the function of the schema says what `permits` says."""
    asked = connection.execute(
        "SELECT permits(%s, %b::bigint[], %s, %s, %s, %s, %s)",
        (viewer.uid, sorted(viewer.gids), uid, gid, mode, acl, wanted),
    ).fetchone()

    assert asked == (permits(viewer, uid, gid, mode, acl, wanted),)


@examples(400)
@given(viewers, st.none() | few_ids, st.none() | few_ids, st.none() | modes, acls, st.booleans())
def test_sqlite_decides_what_is_readable_alike(  # noqa: PLR0917 - drawn by hypothesis
    viewer: Viewer, uid: int | None, gid: int | None, mode: int | None, access: bytes | None, old: bool
) -> None:
    """SQLite's condition lets a viewer read what `permits` does; facts older than a change of rights deny."""
    with contextlib.closing(sqlite3.connect(":memory:")) as memory:
        memory.create_function(
            "le_readable", 4, lambda uid, gid, mode, access: permits(viewer, uid, gid, mode, access, acl.READ)
        )
        (told,) = memory.execute(
            f"SELECT {readable_by(viewer).sql} FROM (SELECT ? AS uid, ? AS gid, ? AS mode, ? AS acl, ? AS rights,"  # noqa: S608
            " 1 AS facts_generation) AS o",
            (uid, gid, mode, access, 2 if old else 1),
        ).fetchone()

    assert told == permits(viewer, uid, gid, None if old else mode, access, acl.READ)


@examples(400)
@given(
    viewers, st.none() | few_ids, st.none() | few_ids, st.none() | modes, acls, st.booleans(),
    st.sampled_from([acl.SEARCH, acl.READ]),
)  # fmt: skip
@example(Viewer(1), 0, 0, 0o055, TWO_OF_ONE_KIND, False, acl.READ)
def test_postgresql_decides_alike_what_is_permitted(  # noqa: PLR0917 - drawn by hypothesis
    connection: Connection,
    viewer: Viewer,
    uid: int | None,
    gid: int | None,
    mode: int | None,
    access: bytes | None,
    old: bool,
    wanted: int,
) -> None:
    """PostgreSQL's condition permits what `permits` does; facts older than a change of rights deny."""
    condition = readable(viewer, wanted)
    asked = connection.execute(
        f"SELECT {condition.sql} FROM (SELECT %s::bigint AS uid, %s::bigint AS gid, %s::bigint AS mode,"  # noqa: S608
        " %s::bytea AS acl, %s::bigint AS rights, 1 AS facts_generation) AS o",
        (*condition.parameters, uid, gid, mode, access, 2 if old else 1),
    ).fetchone()

    assert asked == (permits(viewer, uid, gid, None if old else mode, access, wanted),)


owned: st.SearchStrategy[dict[str, int]] = st.fixed_dictionaries(
    {"uid": few_ids, "gid": few_ids, "mode": modes}
) | st.just({})


@pytest.mark.parametrize("backend", BACKENDS)
@examples(60)
@given(links, st.lists(owned, min_size=10, max_size=10), viewers)
def test_only_what_can_be_seen_is_found(
    empty_place: EmptyPlace, backend: str, links: Links, facts: list[dict[str, int]], viewer: Viewer
) -> None:
    """A search finds the objects of which the viewer sees a name; their documents only where they can be read."""
    with Contents(empty_place(backend)) as index:
        for number in range(10):
            above = number == 0 or any(parent == number for parent, _ in links)
            object_id = index.object(number, type="d" if above else "f", **facts[number])
            index.document(object_id, "x", (1, 1), {"k": "red"})
        for (parent, name), fid in links.items():
            index.link(parent, name, fid)
        search = index.search()
        seen = {hit.fid: hit.documents for hit in search.search("*", visible_to=viewer)}
        red = {hit.fid for hit in search.search("red OR k:red", visible_to=viewer)}
        count = search.count("*", visible_to=viewer)

    def may(number: int, wanted: int) -> bool:
        known = facts[number]
        return permits(viewer, known.get("uid"), known.get("gid"), known.get("mode"), None, wanted)

    def is_seen(number: int, path: bytes) -> bool:
        above, here = [0], 0
        for name in path.split(b"/"):
            here = links[here, name] or 0
            above.append(here)
        return all(may(each, 1) for each in above[:-1]) and may(above[-2], 4)

    wanted = {
        node(number)
        for number, paths in all_paths(links).items()
        if number and any(is_seen(number, path) for path in paths)
    }
    readable = {node(number) for number in range(10) if may(number, 4)}
    # Where links close a circle, a way through it can be known that is no path.
    if all(fid is None or fid > parent for (parent, _), fid in links.items()):
        assert seen.keys() == wanted
        assert count == len(wanted)
    assert red == {fid for fid in seen if fid in readable}
    assert all(bool(documents) == (fid in readable) for fid, documents in seen.items())
    assert ROOT_FID not in seen
