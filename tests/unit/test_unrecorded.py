"""Differences that a scan finds while records are missing: held runs. Index (both databases) and files are real."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lustre_events.actions.run_transitions import AGAIN
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.run_settling import ReadIndex
from lustre_events.domain.rules.rules import Rules
from lustre_events.index.visibility import Viewer
from lustre_events.streams.interface import Loss
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ALICE, ENDPOINTS, ActionRig, MemoryLink, own_rules_of, rules_of
from tests.support.model.dispatcher import MDT0
from tests.support.model.tree_workers import TreeWorkers
from tests.support.records import builders as b

RULE = """
[[rule]]
name = "tell"
on = [{on}]
types = {types}
action = "webhook"
endpoint = "beamline"
burst = 3
body = {{ path = "{{path}}", old = "{{old_path}}", what = "{{trigger}}" }}
{more}
"""
TABLES = '[[rule]]\nname = "tables"\nextensions = ["csv"]\nextractor = "tabular"\n'
DAY_NS = 86_400 * 10**9
ME = replace(ALICE, uid=os.geteuid())
Make = Callable[..., "Tree"]


class Tree:
    """A dispatcher, workers, and a real tree that has been scanned once."""

    def __init__(self, place: IndexPlace, top: Path, rules: Rules, began_ns: int) -> None:
        for name in ("kept", "written.csv", "removed", "old", "mode"):
            (top / name).write_text("1,2\n")
        self.top = top
        self.rig = ActionRig(
            place, rules=rules, settings=DispatcherSettings(settle_seconds=0, skew_seconds=0), now_ns=began_ns,
            link=MemoryLink(), endpoints=ENDPOINTS,
            reading=ReadIndex(lambda _fids: {}, lambda _query, fids, _viewer: fids, lambda name: Viewer(int(name))),
        )  # fmt: skip
        self.rig.begin()
        self.rig.now_ns = time.time_ns() + 60 * 10**9
        self.workers = TreeWorkers(self.rig, top)
        self.scan()
        self.rig.answer(self.rig.queue.take())

    def change(self) -> None:
        """Do what no record will tell."""
        (self.top / "written.csv").write_text("1,2,3\n")
        (self.top / "removed").unlink()
        (self.top / "old").rename(self.top / "renamed")
        (self.top / "mode").chmod(0o600)
        (self.top / "new").mkdir()
        (self.top / "new" / "file").write_text("1\n")

    def lose(self) -> None:
        """Let records be missing."""
        self.rig.feed(b.mark(index=9))
        self.rig.streams.lose(Loss(MDT0, 1, 1, 2, self.rig.now_ns, "a test lost them"))

    def scan(self) -> None:
        """Scan it all, and let everything rest."""
        self.rig.pass_seconds(60)
        self.workers.scan()
        for _ in range(4):
            self.workers.settle()
            self.rig.pass_seconds(2)

    def catch_up(self) -> None:
        """Let the reader have read all that there is."""
        tail = self.rig.store.tail(MDT0)
        state = {"epoch": tail.epoch, "index": tail.last_index, "time_ns": self.rig.now_ns}
        self.rig.store.reader_states[MDT0] = {f"caught_up_{name}": str(value) for name, value in state.items()}
        for _ in range(3):
            self.rig.pass_seconds(2)
            self.rig.settle()

    def extract(self) -> None:
        """Answer the jobs of extractors, and let everything rest."""
        for _ in range(3):
            self.rig.pass_seconds(2)
            self.workers.settle()
            self.rig.answer(self.rig.queue.take(extractor="tabular"))

    def held(self) -> set[tuple[str, bytes]]:
        """Return what is held, by trigger and path."""
        runs = [run for run in self.rig.runs() if run.state == "held"]
        with self.rig.writer.transaction() as transaction:
            paths = transaction.paths({run.fid for run in runs})
        known = {run: paths[run.fid] or (run.before.paths if run.before is not None else ()) for run in runs}
        return {(run.trigger, found[0].lstrip(b"/")) for run, found in known.items()}

    def sent(self) -> list[dict[str, Any]]:
        """Return what goes out until nothing does."""
        found: list[dict[str, Any]] = []
        while more := self.rig.sent():
            found += more
            self.rig.pass_seconds(1)
            self.rig.settle()
        return found


@pytest.fixture
def make(index_place: IndexPlace, tmp_path: Path) -> Iterator[Make]:
    made: list[Tree] = []

    def build(
        *on: str, more: str = "", types: str = '["f", "d"]', site: str = "", user: bool = False, began_ns: int = 0
    ) -> Tree:
        text = RULE.format(on=", ".join(f'"{each}"' for each in on), more=more, types=types)
        rules = own_rules_of(text, ME) if user else rules_of(site + text)
        (top := tmp_path / "top").mkdir()
        made.append(Tree(index_place, top, rules, began_ns or time.time_ns() - DAY_NS))
        return made[-1]

    yield build
    for tree in made:
        tree.rig.close()


EVERYTHING = ("created", "content", "removed", "renamed", "attributes")
CHANGED = {
    ("content", b"written.csv"), ("removed", b"removed"), ("renamed", b"renamed"), ("attributes", b"mode"),
    ("created", b"new"), ("created", b"new/file"), ("content", b"new/file"),
}  # fmt: skip


@pytest.mark.parametrize("user", [False, True])
def test_what_a_scan_finds_after_a_loss_is_held_until_a_person_releases_it(make: Make, user: bool) -> None:
    """Each difference is one held run that says why; nothing goes out, no burst; released, each goes out once."""
    tree = make(*EVERYTHING, user=user)
    assert (tree.rig.take(), tree.rig.states()) == ([], {})
    tree.lose()
    tree.change()
    tree.scan()
    tree.scan()
    assert (tree.held(), tree.rig.take(), tree.rig.states()) == (CHANGED, [], {"held": len(CHANGED)})
    assert {run.error for run in tree.rig.runs()} == {
        "found without a record while records are missing; a person releases or drops it"
    }
    (rule,) = tree.rig.ask("actions")["rules"]
    assert (rule["runs"]["held"], rule["held"]) == (len(CHANGED), "")
    assert tree.rig.ask("release_runs", rule=rule["rule"]) == {"runs": len(CHANGED)}
    tree.rig.settle()
    events = tree.sent()
    assert {(each["what"], each["path"].lstrip("/").encode()) for each in events} == CHANGED
    assert [each["old"] for each in events if each["what"] == "renamed"] == ["/old"]
    assert tree.rig.states() == {"done": len(CHANGED)}


@pytest.mark.parametrize("user", [False, True])
def test_what_was_found_has_the_same_key_whenever_it_is_found(tmp_path: Path, user: bool) -> None:
    """An index that was restored finds the same again, later: an endpoint that has it knows its key."""
    saved, top = tmp_path / "saved", tmp_path / "top"
    top.mkdir()
    text = RULE.format(on=", ".join(f'"{each}"' for each in EVERYTHING), more="", types='["f", "d"]')
    rules = own_rules_of(text, ME) if user else rules_of(text)
    tree = Tree(tmp_path / "index.db", top, rules, time.time_ns() - DAY_NS)
    tree.lose()
    with closing(sqlite3.connect(tmp_path / "index.db")) as index, closing(sqlite3.connect(saved)) as copy:
        index.backup(copy)
    tree.change()
    tree.scan()
    first = {(run.trigger, run.fid): run.key for run in tree.rig.runs()}
    with closing(sqlite3.connect(tmp_path / "index.db")) as index, closing(sqlite3.connect(saved)) as copy:
        copy.backup(index)
    tree.rig.pass_seconds(100)
    tree.rig.restart()
    tree.scan()
    found = {(run.trigger, run.fid): run.key for run in tree.rig.runs()}
    tree.rig.close()
    assert found == first
    assert len(set(first.values())) == len(CHANGED)


COMPLETE = """
[[rule]]
name = "ready"
on = "directory"
directories = ["/new"]
complete = { min_files = 1 }
action = "webhook"
endpoint = "beamline"
"""


def test_a_directory_that_became_complete_unseen_is_held(make: Make) -> None:
    """The records of its files are lost: its run is held, goes out once when it is released, and never again."""
    tree = make("removed", site=COMPLETE)
    tree.lose()
    tree.change()
    tree.scan()
    tree.scan()
    tree.catch_up()
    assert ("directory", b"new") in tree.held()
    assert tree.rig.take() == []
    assert tree.rig.ask("release_runs", rule="ready") == {"runs": 1}
    tree.rig.settle()
    assert len(tree.sent()) == 1
    tree.scan()
    tree.catch_up()
    assert (tree.sent(), ("directory", b"new") in tree.held()) == ([], False)


def test_what_was_found_and_is_dropped_goes_out_never(make: Make) -> None:
    """Dropped runs end, and a rename of such a file does not bring them back."""
    tree = make("content", "removed", more='globs = ["*.csv", "removed"]')
    tree.lose()
    tree.change()
    tree.scan()
    assert tree.rig.ask("drop_runs", rule="tell") == {"runs": 2}
    tree.scan()
    assert (tree.sent(), tree.rig.states()) == ([], {"dropped": 2})


def test_without_a_loss_a_scan_makes_no_run(make: Make) -> None:
    """A scan while nothing is missing, or after the loss was accepted, finds the same and fires nothing."""
    tree = make(*EVERYTHING)
    tree.lose()
    tree.rig.streams.accept(MDT0)
    tree.change()
    tree.scan()
    tree.scan()
    assert tree.rig.runs() == []


@pytest.mark.parametrize("lost", [False, True])
def test_documents_that_a_scan_makes_new_fire_nothing_by_themselves(make: Make, lost: bool) -> None:
    """What a scan finds rewritten is extracted, and no rule fires for its document; after a loss that is held."""
    tree = make("document", more='query = "rows:>1"\nextensions = ["csv"]', types='["f"]', site=TABLES)
    fid = tree.workers.fid("written.csv")
    tree.rig.feed(b.close(fid=fid, index=1, time_ns=tree.rig.now_ns))
    tree.extract()
    assert [each["path"] for each in tree.sent()] == ["/written.csv"]
    if lost:
        tree.lose()
    tree.change()
    tree.scan()
    assert tree.held() == set()
    tree.extract()
    assert (tree.sent(), tree.held()) == ([], {("document", b"written.csv")} if lost else set())
    if lost:
        tree.rig.ask("release_runs", rule="tell")
        tree.rig.settle()
        assert [each["path"] for each in tree.sent()] == ["/written.csv"]


def test_a_rule_is_not_asked_about_what_was_before_it(make: Make) -> None:
    """A scan into a new index whose records are lost makes no run: all was there before the rule."""
    tree = make("created", "content", began_ns=time.time_ns() + DAY_NS)
    tree.rig.now_ns = time.time_ns() + 2 * DAY_NS
    tree.lose()
    tree.change()
    tree.scan()
    assert tree.rig.runs() == []


def test_a_record_that_comes_after_all_ends_what_was_held(make: Make) -> None:
    """What a scan has found before its record was read is told by that record, at once, and only once."""
    tree = make("created", more='directories = ["/new"]')
    tree.lose()
    tree.change()
    tree.scan()
    assert tree.held() == {("created", b"new/file")}
    new, file = tree.workers.fid("new"), tree.workers.fid("new/file")
    tree.rig.feed(b.create(fid=file, parent=new, name=b"file", index=10, time_ns=tree.rig.now_ns))
    tree.workers.settle()
    assert [each["path"] for each in tree.sent()] == ["/new/file"]
    assert tree.rig.states() == {"done": 1, "superseded": 1}


def test_what_is_only_held_ends_no_run_that_is_being_tried(make: Make) -> None:
    """While newer content that a scan has found waits for a person, an older run that failed is tried again."""
    tree = make("content")
    file = tree.workers.fid("written.csv")
    tree.rig.feed(b.close(fid=file, index=8, time_ns=tree.rig.now_ns))
    tree.workers.settle()
    assert tree.rig.states() == {"sent": 1}
    assert len(tree.rig.take()) == 1
    tree.lose()
    (tree.top / "written.csv").write_text("1,2,3\n")
    tree.scan()
    assert tree.held() == {("content", b"written.csv")}
    tree.rig.reply(tree.rig.take()[-1:], AGAIN)  # behind the one that was lost, since a scan takes a minute
    assert tree.rig.states() == {"waiting": 1, "held": 1}
