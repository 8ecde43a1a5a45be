"""What a user may see by the index is what the kernel lets that user see."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.index.sqlite.documents import put_document
from lustre_events.index.visibility import Viewer
from tests.support.index.tables import add_link, add_object, make_index, searching
from tests.support.need import missing
from tests.support.profiles import examples

USERS = (Viewer(61_001, frozenset({62_001})), Viewer(61_002, frozenset({62_001, 62_002})), Viewer(61_003))
"""Somebody who owns some of the files, somebody of two groups, and somebody who is only one of the others."""

ids = st.sampled_from([0, 61_001, 61_002])
groups = st.sampled_from([0, 62_001, 62_002])
# Mostly open, or hardly anything below the root could be seen.
permissions = st.sampled_from([0, 1, 4, 5, 5, 5, 6, 7, 7])
modes = st.tuples(permissions, permissions, permissions).map(lambda bits: bits[0] << 6 | bits[1] << 3 | bits[2])


@dataclass(frozen=True)
class Access:
    """Owner, group and mode of a file, and the further entries of its access list: (user?, id) -> permissions."""

    uid: int
    gid: int
    mode: int
    more: dict[tuple[bool, int], int]
    mask: int

    def acl(self) -> bytes:
        """Return the list as the kernel takes it: entries by tag, then by id."""
        entries = [(0x01, self.mode >> 6 & 7, 0xFFFFFFFF), (0x04, self.mode >> 3 & 7, 0xFFFFFFFF),
                   (0x10, self.mask, 0xFFFFFFFF), (0x20, self.mode & 7, 0xFFFFFFFF)]  # fmt: skip
        entries += [(0x02 if user else 0x08, bits, id_) for (user, id_), bits in self.more.items()]
        ordered = sorted(entries, key=lambda entry: (entry[0], entry[2]))
        return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in ordered)


more = st.dictionaries(
    st.tuples(st.just(True), st.sampled_from([61_001, 61_002]))
    | st.tuples(st.just(False), st.sampled_from([62_001, 62_002])),
    permissions, max_size=2,
)  # fmt: skip
accesses = st.builds(Access, uid=ids, gid=groups, mode=modes, more=more, mask=permissions)
paths = st.sampled_from(["a", "a/b", "a/b/c", "d"]).flatmap(
    lambda directory: st.sampled_from(["", "x", "y"]).map(lambda name: f"{directory}/{name}".rstrip("/"))
)
trees = st.dictionaries(paths, accesses, min_size=1, max_size=8)
links = st.sets(st.sampled_from(["a/link", "a/b/link", "d/link"]))


@contextmanager
def made(tree: dict[str, Access], root_access: Access, links: set[str], *, with_acl: bool) -> Iterator[Path]:
    """Make files (x, y) in directories (all others), and hard links of the first file."""
    root = Path(tempfile.mkdtemp(prefix="visible-"))
    try:
        wanted = {part for path in tree for part in itertools.accumulate(path.split("/"), "{}/{}".format)}
        for path in sorted(wanted):
            (root / path).write_text("x") if path[-1] in "xy" else (root / path).mkdir()
        first = next((root / path for path in sorted(wanted) if path[-1] in "xy"), None)
        for link in sorted(links):
            if first is not None and (root / link).parent.is_dir():
                (root / link).hardlink_to(first)
        for path, access in [*tree.items(), ("", root_access)]:
            os.chown(root / path, access.uid, access.gid)
            (root / path).chmod(access.mode)
            if with_acl and access.more:
                os.setxattr(root / path, "system.posix_acl_access", access.acl())
        yield root
    finally:
        shutil.rmtree(root)


def indexed(root: Path) -> sqlite3.Connection:
    """Return an index of what is there, as `stat` would tell it, with a document for each file."""
    index = make_index()
    numbers: dict[int, int] = {root.stat().st_ino: 0}
    for path in [root, *sorted(root.rglob("*"))]:
        found = path.stat()
        known = found.st_ino in numbers and path != root
        number = numbers.setdefault(found.st_ino, len(numbers))
        if path != root:
            add_link(index, numbers[path.parent.stat().st_ino], path.name.encode(), number)
        if known:
            continue
        try:
            acl = os.getxattr(path, "system.posix_acl_access")
        except OSError:
            acl = None
        facts = {"uid": found.st_uid, "gid": found.st_gid, "mode": found.st_mode & 0o7777, "acl": acl, "size": 1}
        object_id = add_object(index, number, type="d" if path.is_dir() else "f", **facts)
        if path.is_file():
            put_document(index, object_id, "x", 1, 1, {"k": "found"}, {})
    return index


def kernels_answer(root: Path, viewer: Viewer) -> tuple[set[str], set[str]]:
    """Return the names that a process of this user can list and look up, and the files that it can open."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - in the child
        try:
            names = [str(path.relative_to(root)) for path in root.rglob("*")]
            files = {name for name in names if (root / name).is_file()}
            os.chdir(root)  # as root: directories above the mount do not count
            os.setgroups(sorted(viewer.gids))
            os.setresgid(63_000, 63_000, 63_000)
            os.setresuid(viewer.uid, viewer.uid, viewer.uid)
            seen = [name for name in names if _seen(name)]
            os.write(writing, json.dumps([seen, [name for name in files if _opens(name)]]).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        seen, readable = json.loads(pipe.read())
    os.waitpid(child, 0)
    return set(seen), set(readable)


def _seen(name: str) -> bool:
    try:
        os.lstat(name)
        return os.path.basename(name) in os.listdir(os.path.dirname(name) or ".")  # noqa: PTH119, PTH120, PTH208
    except OSError:
        return False


def _opens(name: str) -> bool:
    try:
        os.close(os.open(name, os.O_RDONLY))
    except OSError:
        return False
    return True


def takes_acl() -> bool:
    """Return whether the folder of temporary files keeps access lists."""
    with tempfile.NamedTemporaryFile() as file:
        try:
            os.setxattr(file.name, "system.posix_acl_access", Access(0, 0, 0o600, {(True, 1): 4}, 4).acl())
        except OSError:
            return False
    return True


@given(tree=trees, root=accesses, links=links)
@examples(60)
def test_the_index_shows_what_the_kernel_shows(tree: dict[str, Access], root: Access, links: set[str]) -> None:
    """For every user: the same names, and documents (also by search, count and facets) of the files it can open."""
    if os.geteuid() != 0:
        missing("only root can become other users")
    with made(tree, root, links, with_acl=takes_acl()) as folder:
        index = indexed(folder)
        answers = {viewer: kernels_answer(folder, viewer) for viewer in USERS}
    search = searching(index, few=len(tree) % 2 * 1000)

    for viewer, (seen, readable) in answers.items():
        hits = search.search("*", visible_to=viewer)
        shown = {path.decode() for hit in hits for path in hit.paths}
        walked = {path.decode() for hit in search.search("path:/**", visible_to=viewer) for path in hit.paths}
        content = {path.decode() for hit in search.search("k:found", visible_to=viewer) for path in hit.paths}
        with_document = {path.decode() for hit in hits if hit.documents for path in hit.paths}
        by_name = {path.decode() for hit in search.search("name:link", visible_to=viewer) for path in hit.paths}
        files = [hit for hit in hits if hit.documents]

        assert shown == walked == seen
        assert content == with_document == seen & readable
        assert bool(by_name) is any(path.endswith("link") for path in seen)
        assert search.count("*", visible_to=viewer) == len(hits)
        assert search.count("found", visible_to=viewer) == len(files)
        facets = search.facets("*", ["k", "type"], visible_to=viewer)
        assert sum(facet.files for facet in facets["k"]) == len(files)
        assert sum(facet.files for facet in facets["type"]) == len(hits)
    assert search.count("*", visible_to=Viewer(0)) == search.count("*")
    index.close()
