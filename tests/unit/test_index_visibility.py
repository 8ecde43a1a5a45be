"""Visibility: what facts allow, and that no query tells what its viewer may not know."""

from __future__ import annotations

import pwd
import sqlite3
import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID
from lustre_events.domain import acl
from lustre_events.errors import ConfigError
from lustre_events.index.visibility import AccessFacts, DirectoryAccess, Viewer, permits
from tests.support.index.tables import add_file, add_link, add_object, make_index, node, searching
from tests.support.profiles import examples
from tests.support.records.builders import fid_of
from tests.support.rows import each_row

ANN = Viewer(1, frozenset({10}))
OPEN = {"uid": 5, "gid": 5, "mode": 0o755}


def access_list(*entries: tuple[int, int, int]) -> bytes:
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


@dataclass(frozen=True)
class Case:
    """Whether ANN (uid 1, gid 10) may read."""

    uid: int | None
    gid: int | None
    mode: int | None
    access: bytes | None
    allowed: bool


NAMED = access_list((1, 6, 0), (2, 4, 1), (4, 0, 0), (16, 4, 0), (32, 0, 0))


@each_row(
    "case",
    [
        Case(1, 5, 0o400, None, allowed=True),
        Case(1, 10, 0o077, None, allowed=False),  # the owner is judged by the owner's bits alone
        Case(5, 10, 0o040, None, allowed=True),
        Case(5, 10, 0o704, None, allowed=False),  # and a member of the group by the group's
        Case(5, 5, 0o704, None, allowed=True),
        Case(5, 5, 0o640, NAMED, allowed=True),
        Case(5, 5, 0o600, NAMED, allowed=False),  # an empty mask: the kernel does not look at the list
        Case(5, 5, 0o604, access_list((1, 6, 0), (2, 0, 1), (4, 7, 0), (16, 7, 0), (32, 4, 0)), allowed=True),
        Case(5, 5, 0o674, access_list((1, 6, 0), (2, 0, 1), (4, 7, 0), (16, 7, 0), (32, 4, 0)), allowed=False),
        Case(5, 10, 0o670, access_list((1, 6, 0), (4, 0, 0), (8, 7, 10), (16, 7, 0), (32, 0, 0)), allowed=True),
        Case(5, 5, 0o674, access_list((1, 6, 0), (4, 7, 0), (8, 0, 10), (16, 7, 0), (32, 4, 0)), allowed=False),
        Case(5, 5, 0o624, access_list((1, 6, 0), (2, 7, 1), (4, 7, 0), (16, 2, 0), (32, 4, 0)), allowed=False),
        Case(5, 5, 0o644, b"", allowed=False),  # there is a list, but it could not be read
        Case(1, 5, 0o600, b"", allowed=True),  # which does not matter for the owner
        Case(5, 5, 0o644, NAMED[:-1], allowed=False),
        Case(5, 5, 0o644, b"\3" + NAMED[1:], allowed=False),
        Case(None, 5, 0o644, None, allowed=False),
        Case(5, None, 0o644, None, allowed=False),
        Case(5, 5, None, None, allowed=False),
    ],
)
def test_permissions(case: Case) -> None:
    """Owner, group, mode and access list are judged as the kernel judges them; what is not known denies."""
    assert permits(ANN, case.uid, case.gid, case.mode, case.access, acl.READ) is case.allowed
    assert permits(Viewer(0), case.uid, case.gid, case.mode, case.access, acl.READ)


@given(st.binary(max_size=40), st.integers(0, 0o7777))
def test_damaged_access_lists_never_break(access: bytes, mode: int) -> None:
    """Whatever stands in an access list, the answer is yes or no."""
    assert permits(ANN, 5, 5, mode, access, acl.READ) in {True, False}


@pytest.fixture
def index() -> Iterator[sqlite3.Connection]:
    """An open and a hidden directory; a file in both, one that cannot be read, one only in the hidden one."""
    connection = make_index()
    add_object(connection, 0, type="d", **OPEN)
    for number, name, mode in ((100, b"open", 0o755), (101, b"hidden", 0o700), (102, b"passage", 0o711)):
        add_link(connection, 0, name, number)
        add_object(connection, number, type="d", uid=5, gid=5, mode=mode)
    for number, path, mode in (
        (1, b"open/shared.h5", 0o644),
        (2, b"open/secret.h5", 0o600),
        (3, b"hidden/deep.h5", 0o644),
    ):
        add_file(connection, number, path, {"x": {"k": f"word{number}", "n": number}}, size=number, uid=5, gid=5,
                 mode=mode, mime="text/plain")  # fmt: skip
    for number in (1, 2):
        connection.execute("UPDATE object SET jobid = ? WHERE fid = ?", (b"job.2", node(number).pack()))
        connection.execute(
            "INSERT INTO pending (fid, extractor, generation, due_ns, changed_ns, reason, queue)"
            " VALUES (?, 'x', 1, 1, 1, 'write', 'default')", (node(number).pack(),)
        )  # fmt: skip
    add_link(connection, 101, b"shared-elsewhere.csv", 1)
    add_link(connection, 102, b"below", 103)
    add_object(connection, 103, type="d", **OPEN)
    add_file(connection, 4, b"passage/below/found", {"x": {"k": "word4"}}, mime="text/plain", **OPEN)
    yield connection
    connection.close()


@each_row("few", [0, 1000])
@each_row(
    ("query", "everything", "seen"),
    [
        ("type:f", [1, 2, 3, 4], [1, 2, 4]),
        ("k:*", [1, 2, 3, 4], [1, 4]),
        ("k:word2", [2], []),
        ("x.n:>0", [1, 2, 3], [1]),
        ("n:2", [2], []),
        ("word2", [2], []),
        ("word*", [1, 2, 3, 4], [1, 4]),
        ("extractor:x", [1, 2, 3, 4], [1, 4]),
        ("failed:x", [], []),
        ("mime:text/plain", [1, 2, 3, 4], [1, 4]),
        ("type:f NOT extractor:x", [], [2]),  # as one without a document
        ("name:shared-elsewhere.csv", [1], []),
        ("ext:csv", [1], []),
        ("path:/hidden/**", [1, 3], []),
        ("path:/hidden/shared*", [1], []),
        ("path:**/deep.h5", [3], []),
        ("type:f NOT path:/hidden/**", [2, 4], [1, 2, 4]),
        ("path:/passage/**", [4, 103], [4]),
        ("path:/passage/below/*", [4], [4]),
        ("size:3", [3], []),
        ("jobid:job.*", [1, 2], [1]),
        ("fid:[0x200000401:0x3:0x0]", [3], []),
        ("path:/**", [1, 2, 3, 4, 100, 101, 102, 103], [1, 2, 4, 100, 101, 102]),
    ],
)
def test_queries_tell_nothing_hidden(
    index: sqlite3.Connection, query: str, everything: list[int], seen: list[int], few: int
) -> None:
    """A query finds by documents only what can be read, and by names only what can be listed; counts too."""
    search = searching(index, few)

    assert sorted(hit.fid.oid for hit in search.search(query)) == everything
    assert sorted(hit.fid.oid for hit in search.search(query, visible_to=ANN)) == seen
    assert search.count(query, visible_to=ANN) == len(seen)
    assert sorted(hit.fid.oid for hit in search.search(query, visible_to=Viewer(0))) == everything


def test_hits_show_nothing_hidden(index: sqlite3.Connection) -> None:
    """A hit has the names that are seen, its facts, and documents where the file can be read."""
    search = searching(index)
    secret, shared = search.search("path:/open/*", visible_to=ANN)

    assert shared.paths == (b"open/shared.h5",)
    assert shared.documents == {"x": {"k": "word1", "n": 1}}
    assert (secret.size, secret.mime, secret.documents) == (2, None, {})
    assert [facet.files for facet in search.facets("type:f", ["mime"], visible_to=ANN)["mime"]] == [2]


def test_single_objects_show_nothing_hidden(index: sqlite3.Connection) -> None:
    """`show`, paths and sums follow the same rules: a hidden object is one that nobody knows."""
    search = searching(index)

    hidden = search.show(fid_of(3), visible_to=ANN)
    assert (hidden.paths, hidden.facts, hidden.documents) == ((), None, ())
    secret, shared = search.show_many([fid_of(2), fid_of(1)], visible_to=ANN)
    assert (secret.documents, secret.pending) == ((), ()) != (shared.documents, shared.pending)
    assert (secret.facts.jobid, shared.facts.jobid) == (None, b"job.2")
    assert search.fid_of_path(b"hidden/deep.h5", visible_to=ANN) is None
    assert search.fid_of_path(b"hidden", visible_to=ANN) == fid_of(101)
    assert search.paths([fid_of(1)], visible_to=ANN) == {fid_of(1): [b"open/shared.h5"]}
    assert sum(facet.bytes for facet in search.du(b"/", "type", visible_to=ANN)) == 1 + 2
    assert [facet.value for facet in search.facets("type:f", ["k"], visible_to=ANN)["k"]] == ["word1", "word4"]
    assert {facet.value: facet.files for facet in search.facets("type:f", ["ext"], visible_to=ANN)["ext"]} == {
        "h5": 2, None: 1,
    }  # fmt: skip
    with pytest.raises(ConfigError, match="no such path"):
        search.du(b"hidden/deep.h5", "owner", visible_to=ANN)


def test_users_of_this_machine() -> None:
    """A viewer is a user with all groups, by name or number; one with unknown groups is refused."""
    name = pwd.getpwuid(0).pw_name

    assert Viewer.of_user(name) == Viewer.of_user("0")
    assert Viewer.of_user(name).sees_all
    for unknown in ("no-such-user", "4294967290", "99999999999999999999", "1" * 5_000, "a\0b"):
        with pytest.raises(ConfigError, match="no such user"):
            Viewer.of_user(unknown)
    assert Viewer.of_login(name).sees_all
    for unknown in ("no-such-user", "0", "a\0b"):
        with pytest.raises(ConfigError, match="no such user"):
            Viewer.of_login(unknown)


class Tree:
    """Directories 0 (the root) to 5 with any parents, as an index may have them for a while."""

    def __init__(self, parents: dict[int, set[int]], open_: set[int]) -> None:
        self._parents = {number: parents.get(number, set()) for number in range(6)}
        self._open = open_

    def access(self) -> DirectoryAccess:
        """Return what ANN, who may search some of them, can reach."""
        return DirectoryAccess(ANN, self._above, self._owned)

    def _above(self, fids: Collection[FID]) -> list[tuple[FID, FID]]:
        return [(fid, node(parent)) for fid in fids for parent in self._parents[NUMBERS[fid]]]

    def _owned(self, fids: Collection[FID]) -> dict[FID, AccessFacts]:
        return {fid: AccessFacts(5, 5, 0o711 if NUMBERS[fid] in self._open else 0o700, None, True) for fid in fids}

    def reached(self) -> set[int]:
        """Return by trying every way from the root what can be searched."""
        found, before = {0} & self._open, None
        while found != before:
            before = set(found)
            found |= {each for each in self._open if self._parents[each] & before}
        return found


NUMBERS = {node(number): number for number in range(6)}


@examples(300)
@given(
    st.dictionaries(st.integers(1, 5), st.sets(st.integers(0, 5))),
    st.sets(st.integers(0, 5)),
    st.permutations(range(6)),
    st.lists(st.sets(st.integers(0, 5)), max_size=2),
)
def test_directories_are_reached_in_whatever_order_they_are_asked_about(
    parents: dict[int, set[int]], open_: set[int], order: list[int], together: list[set[int]]
) -> None:
    """A directory can be searched where a way from the root can, with circles and several parents."""
    tree = Tree(parents, open_)
    access = tree.access()
    for some in together:
        access.decide(map(node, some))
    assert {number for number in order if access.searchable(node(number))} == tree.reached()
