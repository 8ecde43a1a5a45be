"""What is done with all hits in the console: narrowed, downloaded, extracted again."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import pwd
import re
import sqlite3
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.support.index.tables import add_file, node
from tests.support.service.web import OTHER, READER, Console, enter, make_console, token_in

DAY_NS = 86_400 * 10**9
RUNS = 60


@pytest.fixture
def console(tmp_path: Path) -> Console:
    made = make_console(tmp_path)
    made.answers = {"reprocess": {"taken": 1_000, "rows": 2, "pending": 2, "waits": ""}}
    owners = (os.geteuid(), pwd.getpwnam(OTHER).pw_uid)
    with contextlib.closing(sqlite3.connect(made.index, isolation_level=None)) as connection:
        for number in range(RUNS):
            documents = {"hdf5": {"common": {"instrument": [("ARPES", "XRD")[number % 2]]}}}
            facts: dict[str, Any] = {"uid": owners[number % 2], "gid": 0, "ctime_ns": 10**18}
            facts |= {"mode": 0o644, "size": 10 ** (number % 6), "mtime_ns": 10**18 + number * DAY_NS // 2}
            add_file(connection, 100 + number, b"runs/=%03d,\xff.h5" % number, documents, **facts)
        connection.execute("UPDATE object SET mode = 493, uid = 0, gid = 0 WHERE type = 'd'")
    return made


@pytest.fixture
def reader(console: Console) -> FlaskClient:
    return enter(console.app(), READER)


def links(page: str, part: str) -> list[str]:
    return [unescape(each) for each in re.findall(rf'<a href="([^"]+)" aria-label="[^"]*{part}', page)]


def found(page: str) -> int:
    return int(re.search(r'class="sum">\s*(\d+) file', page)[1])  # type: ignore[index]


def test_facets_and_histograms_lead_to_what_they_count(reader: FlaskClient) -> None:
    """Common keys stand under their short name, each bar and value finds as many files as it says."""
    page = reader.get("/?q=ext:h5+AND+type:f").text
    assert "<h2>instrument</h2>" in page
    for label, target in re.findall(r'<a href="[^"]+" aria-label="([^"]+): (\d+) file', page):
        (link,) = links(page, re.escape(label))
        assert found(reader.get(link).text) == int(target), label
    assert len(links(page, r": \d+ files?")) > 30
    narrowed = unescape(re.findall(r'href="([^"]+)">arpes</a>', page)[0])
    assert found(reader.get(narrowed).text) == RUNS // 2


def test_every_page_has_the_same_beside_it(reader: FlaskClient) -> None:
    """The second page of hits shows facets, bars, chips and the sum of the first one."""
    first = reader.get("/?q=extractor:hdf5+AND+size:%3E0").text
    second = reader.get(unescape(re.findall(r'class="more" href="([^"]+)"', first)[0])).text
    for begin, end in (("<aside>", "</aside>"), ('class="sum">', "</p>"), ('class="chips"', "</ul>")):
        parts = [page[page.index(begin) : page.index(end, page.index(begin))] for page in (first, second)]
        assert parts[0] == parts[1]


def test_hits_are_downloaded_as_the_viewer_sees_them(console: Console, reader: FlaskClient) -> None:
    """CSV has a line per path that no spreadsheet runs, JSON lines a hit per line; hidden files are not there."""
    answer = reader.get("/download?q=ext:h5+AND+extractor:hdf5&format=csv")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="hits.csv"'
    assert answer.mimetype == "text/csv"
    rows = list(csv.DictReader(io.StringIO(answer.data.decode("utf-8", "surrogateescape"))))
    assert len(rows) == RUNS
    assert rows[0]["path"] == "/mnt/lustre/runs/=000,\udcff.h5"
    lines = [json.loads(line) for line in reader.get("/download?q=type:f&format=jsonl").data.splitlines()]
    assert "/mnt/lustre/private.csv" in {line["paths"][0] for line in lines}
    hidden = enter(console.app(), OTHER).get("/download?q=columns:temperature&format=jsonl").data
    assert (len(hidden.splitlines()), b"private.csv" in hidden) == (1, False)
    assert reader.get("/download?q=size:[1+TO").status_code == 400
    assert console.app().test_client().get("/download?q=type:f").status_code == 302


def test_ones_own_hits_are_extracted_again(console: Console) -> None:
    """The dispatcher is asked for the viewer's own files only, and the page says for how many it will be done."""
    other = enter(console.app(), OTHER)
    form = {"csrf": token_in(other.get("/?q=ext:h5").text), "q": "ext:h5", "extractor": "hdf5"}
    page = other.post("/again", data=form).text
    ((action, asked),) = console.asked
    assert (action, asked["name"]) == ("reprocess", "hdf5")
    assert set(asked["fids"]) == {str(node(100 + number)) for number in range(1, RUNS, 2)}
    assert "hdf5 will read 2 files of yours again" in page
    assert "Go on" not in page
    assert other.post("/again", data={**form, "csrf": "guessed"}).status_code == 400
    assert other.post("/again", data={**form, "q": ""}).status_code == 400


def test_what_the_dispatcher_does_not_take_can_go_on(console: Console) -> None:
    """Where there is no room for all, the page has a button that goes on behind the last file that was taken."""
    console.answers = {"reprocess": {"taken": 5, "rows": 5, "pending": 5, "waits": "it is <b>disabled</b>"}}
    other = enter(console.app(), OTHER)
    form = {"csrf": token_in(other.get("/?q=ext:h5").text), "q": "ext:h5 AND extractor:hdf5", "extractor": "hdf5"}
    page = other.post("/again", data=form).text
    assert "it is &lt;b&gt;disabled&lt;/b&gt;" in page
    cursor = unescape(re.findall(r'name="cursor" value="([^"]+)"', page)[0])
    other.post("/again", data={**form, "cursor": cursor})
    first, second = (asked["fids"] for _, asked in console.asked)
    assert second == first[5:] != []
