"""Previews in the console: pictures, tables, lines, trees and texts, as the viewer may see them."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from flask.testing import FlaskClient

from tests.support.index.tables import add_file, node
from tests.support.service.pictures import png, with_picture
from tests.support.service.web import OTHER, READER, Console, enter, make_console

EVIL = "<script>alert(1)</script>"
FACTS: dict[str, Any] = {"mtime_ns": 10**18, "ctime_ns": 10**18, "gid": 0, "uid": 0, "size": 5}


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = make_console(tmp_path)
    picture = {"image": {"width": 20} | with_picture(png(20, 10), EVIL)}
    preview = {
        "table": {"columns": ["time", EVIL], "rows": [[1, EVIL], [2.5, True]]},
        "lines": [{"name": "time", "count": 2, "low": [1, 2], "unit": EVIL}, {"name": EVIL, "low": [1]},
                  {"name": "counts", "low": [3, 4]}],
        "tree": [{"path": "entry", "about": EVIL}, {"path": f"entry/{EVIL.replace('/', '')}"}],
        "excerpt": f"Liquid helium {EVIL} was used.",
    }  # fmt: skip
    markup = {"image": {"width": 1} | with_picture(EVIL.encode(), "text/html")}
    with contextlib.closing(sqlite3.connect(made.index, isolation_level=None)) as connection:
        add_file(connection, 20, b"open.png", picture, mode=0o644, **FACTS)
        add_file(connection, 21, b"secret.png", picture, mode=0o600, **FACTS)
        add_file(connection, 22, b"scan.h5", {"hdf5": {"note": "helium", "preview": preview}}, mode=0o644, **FACTS)
        add_file(connection, 23, b"markup.png", markup, mode=0o644, **FACTS)
    return made


@pytest.fixture
def reader(console: Console) -> FlaskClient:
    return enter(console.app(), READER)


def test_pictures_are_for_those_who_may_read_the_file(console: Console, reader: FlaskClient) -> None:
    """A thumbnail comes from a page of its own, as its bytes' type and with no rights; others get nothing."""
    other = enter(console.app(), OTHER)
    answer = other.get(f"/file/{node(20)}/image/thumbnail")
    assert (answer.status_code, answer.data, answer.mimetype) == (200, png(20, 10), "image/png")
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert reader.get(f"/file/{node(21)}/image/thumbnail").data == png(20, 10)
    assert other.get(f"/file/{node(21)}/image/thumbnail").status_code == 404
    assert console.app().test_client().get(f"/file/{node(20)}/image/thumbnail").status_code == 302


def test_hits_show_their_pictures(reader: FlaskClient) -> None:
    """A hit with a picture has it beside its name; one whose picture is something else has none."""
    page = reader.get("/?q=ext:png").text
    sources = [unquote(unescape(each)) for each in re.findall(r'<img src="([^"]+)"', page)]
    assert sources == [f"/file/{node(number)}/image/thumbnail" for number in (20, 21)]
    for source in sources:
        assert reader.get(source).status_code == 200
    assert reader.get(f"/file/{node(23)}/image/thumbnail").status_code == 404
    assert "<img" not in reader.get(f"/file/{node(23)}").text


def test_a_file_page_draws_its_preview(reader: FlaskClient) -> None:
    """The table has its lines, other lines stand below, the tree and the text follow, and the words are marked."""
    page = reader.get(f"/file/{node(22)}?q=helium").text
    assert re.search(r'<th>time\s*<svg class="spark".*?points="0\.0,24\.0 100\.0,0\.0"', page, re.DOTALL)
    assert '<ul class="lines"><li><span>counts</span>' in page
    assert '<li class="d0"><code>entry</code>' in page
    assert "Liquid <mark>helium</mark>" in page
    assert 'class="why"' in page
    assert "preview.lines" not in page
    assert '<details class="keys" open' in page
    assert "<summary>Where this document comes from</summary>" in page


def test_hostile_previews_are_text(reader: FlaskClient) -> None:
    """Markup in cells, columns, units, trees and texts of a preview never becomes markup."""
    for path in (f"/file/{node(22)}?q={EVIL}", f"/file/{node(20)}", f"/?q=ext:h5+{EVIL}", "/?q=helium"):
        page = reader.get(path).text
        assert "<script>" not in page
        assert not re.search(r"<[^>]*\s(style|on\w+)=", page)
    assert page.count("scan.h5") == 1
    assert unescape(reader.get(f"/file/{node(22)}").text).count(EVIL) >= 5
