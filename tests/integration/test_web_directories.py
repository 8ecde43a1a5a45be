"""The pages of directories: sums as du has them, of what the viewer may see."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest

from lustre_events.web.pages import directory
from tests.support.index.tables import add_file, node
from tests.support.service.web import OTHER, READER, Console, enter, make_console

ROW = re.compile(
    r'href="(/directory/[^"]+)">([^<]+)/</a></td>\s*<td>(no|[\d,]+) files?</td><td>([^<]+)</td>', re.DOTALL
)  # fmt: skip


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = make_console(tmp_path)
    with contextlib.closing(sqlite3.connect(made.index, isolation_level=None)) as connection:
        sizes = {
            b"open/a*b\xff/x": 2048,
            b"open/a*b\xff/y": 1024,
            b"open/z": 1,
            b"<b>/deep/er/v": 5120,
            b"closed/w": 9,
        }
        for number, (path, size) in enumerate(sizes.items()):
            add_file(connection, 200 + number, path, mode=0o644, uid=0, gid=0, size=size)
        connection.execute("UPDATE object SET mode = 493, uid = 0, gid = 0 WHERE type = 'd'")
        connection.execute(
            "UPDATE object SET mode = 448 WHERE fid = (SELECT fid FROM link WHERE name = CAST('closed' AS BLOB))"
        )
    return made


def rows(page: str) -> list[tuple[str, str, str]]:
    return [(unescape(name), files, size) for _, name, files, size in ROW.findall(page)]


def test_sums_lead_down_the_tree(console: Console) -> None:
    """Each directory has the files and bytes of all below it, the largest first; names of any bytes lead on."""
    reader = enter(console.app(), READER)
    page = reader.get("/directory").text
    assert rows(page) == [("<b>", "1", "5.0 KiB"), ("open", "3", "3.0 KiB"), ("closed", "1", "9 bytes")]
    assert "<b>" not in page
    assert "8 files, 8.1 KiB that you may see" in page
    links = {unescape(name): unquote(link) for link, name, _, _ in ROW.findall(page)}
    below = reader.get(links["open"]).text
    assert rows(below) == [("a*b\\xff", "2", "3.0 KiB")]
    files = unescape(re.findall(r'href="([^"]+)">files in this directory', below)[0])
    assert "1 file\n" in reader.get(files).text
    everything = unescape(re.findall(r'href="([^"]+)">everything below it', below)[0])
    assert "4 files\n" in reader.get(everything).text


def test_sums_are_of_what_the_viewer_may_see(console: Console) -> None:
    """What lies in a directory that the viewer may not search is neither listed nor counted, nor opened."""
    other = enter(console.app(), OTHER)
    page = other.get("/directory").text
    assert ("closed", "no", "0 bytes") in rows(page)
    assert "7 files" in page
    inner = next(unquote(link) for link, name, _, _ in ROW.findall(page) if name == "closed")
    assert "It contains no directory" in other.get(inner).text
    assert other.get("/directory/[0x200000401:0x999:0x0]").status_code == 404
    assert other.get("/directory/nonsense").status_code == 404
    assert console.app().test_client().get("/directory").status_code == 302


def test_a_file_tells_the_directories_above_it(console: Console) -> None:
    """The page of a file leads to each directory on the way to it."""
    reader = enter(console.app(), READER)
    page = reader.get("/?q=name:v").text
    file = reader.get(unescape(re.findall(r'class="path" href="([^"]+)"', page)[0])).text
    crumbs = re.findall(r'<a href="(/directory/[^"]+)">([^<]+)</a><span>/</span>', file)
    assert [unescape(name) for _, name in crumbs] == ["top", "<b>", "deep", "er"]
    assert rows(reader.get(unquote(crumbs[1][0])).text) == [("deep", "1", "5.0 KiB")]


def test_what_takes_too_long_is_left_out(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind the deadline directories are listed without sums, and so behind those that have them."""
    monkeypatch.setattr(directory, "SECONDS", -1.0)
    page = enter(console.app(), READER).get("/directory").text
    assert rows(page) == []
    assert page.count("not summed up in time") == 3


def test_a_file_that_is_left_out_says_so(console: Console) -> None:
    """A file's page names what keeps searches from finding it; other pages do not."""
    with contextlib.closing(sqlite3.connect(console.index, isolation_level=None)) as connection:
        connection.execute("INSERT INTO left_out (glob) VALUES ('/open/z')")
    reader = enter(console.app(), READER)
    said = "Left out (/open/z): no search finds it."
    assert [said in reader.get(f"/file/{node(number)}").text for number in (202, 203)] == [True, False]
