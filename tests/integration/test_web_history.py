"""The console's history: who did what, for each as far as he may know it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.history import keep
from tests.support.index.tables import node
from tests.support.records import builders as b
from tests.support.service.web import OTHER, READER, SCRIPT, Console, enter, make_console

HIDDEN = b.fid_of(50)
LOG = [
    b.create(node(2), name=SCRIPT, index=1, time_ns=10**18),
    b.mkdir(HIDDEN, name=b"hidden", index=2, time_ns=10**18 + 1),
    b.create(51, HIDDEN, b"plans.txt", index=3, time_ns=10**18 + 2, uid=0, gid=0, extra_flags=1),
    b.unlink(51, HIDDEN, b"plans.txt", index=4, time_ns=10**18 + 3, last=True, uid=0, gid=0, extra_flags=1),
    b.create(60, name=b"gone.csv", index=5, time_ns=10**18 + 4),
    b.unlink(60, name=b"gone.csv", index=6, time_ns=10**18 + 10**9, last=True, jobid=b"rm.7", uid=4, gid=4,
             extra_flags=1),
]  # fmt: skip


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """A console with a history, one directory of which the index does not know any more."""
    console = make_console(tmp_path)
    keep(tmp_path / "history", {"lustre-MDT0000": LOG}, random.Random(1))
    console.past = tmp_path / "history"
    return console


def test_a_file_that_is_gone_is_told(console: Console) -> None:
    """The page says who removed a file and when, and narrows it by type and user."""
    client = enter(console.app(), OTHER)
    page = client.get("/history?path=/mnt/lustre/gone.csv").text
    assert "2001-09-09 01:46:41 UTC" in page
    assert "removed: /gone.csv" in page
    assert "job rm.7" in page
    assert "created: /gone.csv" not in client.get("/history?path=gone.csv&types=UNLNK&user=4").text


def test_what_stood_in_a_directory_is_listed(console: Console) -> None:
    """As of a time the page lists the names of then, to who could list it, with a way to their history."""
    client = enter(console.app(), OTHER)
    page = client.get("/history?path=/&as_of=2001-09-09T01:46:40").text
    assert "gone.csv" in page
    assert str(b.fid_of(60)) in page
    assert "gone.csv" not in client.get("/history?path=/&as_of=2001-09-09T01:46:41").text


def test_the_page_of_a_file_says_who_made_it_and_leads_to_the_rest(console: Console) -> None:
    """A file's page has its last deeds, escaped, and a link to all of them."""
    page = enter(console.app(), READER).get(f"/file/{node(2)}").text
    assert "Who did what" in page
    assert "/history?path=" in page
    assert SCRIPT.decode() not in page


def test_a_directory_that_is_gone_tells_nobody_its_names(console: Console) -> None:
    """What was removed with a directory is hidden from all but root, by path, by FID and in the tree."""
    client = enter(console.app(), OTHER)

    def page(target: str) -> str:
        found: str = client.get("/history", query_string={"path": target}).text
        return found.replace(target, "TARGET").replace(target.removeprefix("/"), "TARGET")

    assert page("/hidden/plans.txt") == page("/hidden/never.txt")
    assert page(str(b.fid_of(51))) == page(str(b.fid_of(999)))
    assert "plans.txt" not in page("/**")
    assert all("left out, if there are any" in page(target) for target in ("/**", str(b.fid_of(51))))


def test_a_wrong_time_or_path_is_said(console: Console) -> None:
    """A mistake is a sentence on the page, not a fault."""
    client = enter(console.app(), OTHER)
    assert "write a time as" in client.get("/history?path=/gone.csv&since=tomorrow").text
    assert "neither in the index nor in the history" in client.get("/history?path=/never").text


def test_without_a_history_there_is_no_link(console: Console) -> None:
    """Where no history is kept the console does not offer one, and says so to who asks."""
    console.past = None
    client = enter(console.app(), OTHER)
    assert "/history" not in client.get("/").text
    assert "no history is kept" in client.get("/history?path=/gone.csv").text
