"""The page of a directory: what is in it, with the sums of all below each, as far as the viewer may see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate

import flask

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.errors import ConfigError
from lustre_events.index.query.slips import literal
from lustre_events.index.search.hits import Facet, Hit, name_text
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from lustre_events.web import signin

pages = flask.Blueprint("directory", __name__)

MOST = 200
"""Directories of one page."""
SECONDS = 5.0
"""How long one page may sum up directories; those that are left have no sums on it."""
DEEPEST = 40
"""Directories above one that are links."""


@dataclass(frozen=True, slots=True)
class Sums:
    """What is at a place: its name, and files and bytes of all below it; None: not summed up."""

    fid: FID
    path: bytes
    files: int | None
    size: int

    @property
    def name(self) -> bytes:
        """The last part of its path."""
        return self.path.rpartition(b"/")[2]


@pages.get("/directory")
@pages.get("/directory/<fid>")
def directory(fid: str = "") -> str:
    """Show the directories in a directory, the largest first, and where it is."""
    try:
        asked = FID.parse(fid) if fid else ROOT_FID
    except ConfigError as exc:
        flask.abort(404, str(exc))
    viewer = signin.person().viewer
    with flask.current_app.extensions["site"].search() as index:
        view = index.show(asked, visible_to=viewer)
        paths = (b"",) if view.fid == ROOT_FID else view.paths
        if not paths:
            flask.abort(404, "There is no such directory, or you may not see it.")
        path = paths[0].strip(b"/")
        hits = index.page(inside(path, "type:d"), limit=MOST + 1, visible_to=viewer, excerpts=False).hits
        whole = summed(view.fid, path, index.du(path, "type", visible_to=viewer))
        found = [*_sums(index, _named(hits[:MOST], path), viewer, time.monotonic)]
        above = crumbs(index, path, viewer)
    found.sort(key=lambda each: (each.files is None, -each.size, each.path))
    return flask.render_template(
        "directory.html",
        here=whole,
        path=path,
        found=found,
        above=above,
        more=len(hits) > MOST,
        files=inside(path, "type:f"),
        below=f"path:/{_written(path)}**",
    )


def inside(path: bytes, condition: str) -> str:
    """Return the query for what lies in a directory itself and meets a condition."""
    return f"path:/{_written(path)}* AND {condition}"


def _written(path: bytes) -> str:
    return f"{literal(name_text(path))}/" if path else ""


def summed(fid: FID, path: bytes, sums: Iterable[Facet]) -> Sums:
    """Return the sums of a place from those of its types: directories are no files."""
    files = [each for each in sums if each.value != "d"]
    return Sums(fid, path, sum(each.files for each in files), sum(each.bytes for each in files))


def crumbs(index: Search, path: bytes, viewer: Viewer | None) -> list[tuple[FID, bytes]]:
    """Return the directories above a path and their names, the root first, as far as the viewer may see them."""
    parts = path.strip(b"/").split(b"/")[:-1][:DEEPEST]
    found: list[tuple[FID, bytes]] = [(ROOT_FID, b"")]
    for above in accumulate(parts, lambda first, second: first + b"/" + second):
        fid = index.fid_of_path(above, visible_to=viewer)
        if fid is not None:
            found.append((fid, above.rpartition(b"/")[2]))
    return found


def _named(hits: Iterable[Hit], path: bytes) -> Iterator[tuple[FID, bytes]]:
    """Yield each directory with the path that it has here: links out of order can give it another one."""
    for hit in hits:
        for each in hit.paths:
            if each.strip(b"/").rpartition(b"/")[0] == path:
                yield hit.fid, each.strip(b"/")


def _sums(
    index: Search, places: Iterable[tuple[FID, bytes]], viewer: Viewer | None, clock: Callable[[], float]
) -> Iterator[Sums]:
    deadline = clock() + SECONDS
    for fid, path in places:
        if clock() > deadline:
            yield Sums(fid, path, None, 0)
        else:
            yield summed(fid, path, index.du(path, "type", visible_to=viewer))
