"""What a file worker does with a run of an action: only the dispatcher's, in time, as the owner of the file."""

from __future__ import annotations

import base64
import json
import os
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from lustre_events.actions.delivery import Answer, Delivery, Parcel, decode_answers, encode_answers, encode_delivery
from lustre_events.actions.delivery_links import WorkersLink
from lustre_events.actions.seal import ANSWER, COURIER, WORKER, Seal
from lustre_events.domain.rules.containers import endpoint_name
from lustre_events.errors import ConfigError
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from workers import approvals
from workers.action_jobs import ActionExecutor
from workers.files import Files
from workers.leftovers import Leftovers
from workers.privileges import Account, account_of
from workers.process_runtime import ProcessRuntime
from workers.rights import Rights

KEY = b"k" * 32
NOW_NS = 10**18
FAR_NS = NOW_NS + 3_600 * 10**9
MANIFEST = """
name = "copy"
version = "1"
description = "copies a file"
command = ["python3", "/extractor/copy.py"]
contract = "action"
trusted = true
"""
SCHEMA = {
    "type": "object",
    "properties": {"code": {"type": "integer", "default": 0}},
    "additionalProperties": False,
}
PROGRAM = """
import json, os, pathlib, sys
source, outputs, settings = sys.argv[1:]
made = pathlib.Path(outputs) / "copy.txt"
made.write_text(pathlib.Path(source).read_text() + f" as {os.getuid()}")
print("a word that nobody reads")
if json.loads(settings)["code"]:
    print("it is broken", file=sys.stderr)
sys.exit(json.loads(settings)["code"])
"""
OWNER = account_of(65534) if os.geteuid() == 0 else account_of(os.geteuid())
"""Whose files they are: one that a worker which is root must become."""


class Answers:
    """What was answered."""

    def __init__(self) -> None:
        self.found: list[Answer] = []

    def answer(self, data: bytes) -> None:
        """Take answers."""
        self.found += decode_answers(Seal(KEY, ANSWER).opened(data))


class Node:
    """A worker for actions, and a tree with one file."""

    def __init__(self, folder: Path) -> None:
        action = folder / "actions" / "copy"
        action.mkdir(parents=True)
        (action / "manifest.toml").write_text(MANIFEST)
        (action / "with.schema.json").write_text(json.dumps(SCHEMA))
        (action / "copy.py").write_text(PROGRAM)
        self.tree = folder / "tree"
        self.tree.mkdir()
        self.file = self.tree / "a.txt"
        self.file.write_text("words")
        for path in (self.tree, self.file):
            os.chown(path, OWNER.uid, OWNER.gid)
        self.answers = Answers()
        files = Files(os.fsencode(self.tree), fid_of_fd)
        self.executor = ActionExecutor(
            Seal(KEY, WORKER), (folder / "actions",), files, ProcessRuntime(None), Rights(None, approved=dict),
            self.answers, Leftovers(folder / "attempts", files.mount, Rights(None), lambda: NOW_NS),
            clock=lambda: NOW_NS,
        )  # fmt: skip
        self.approve()

    def approve(self) -> None:
        """Let the action run as the owner of each file, as it is now."""
        found = self.executor._action("copy").manifest
        approved = {approvals.key_of(found): approvals.digest(found, "")}
        self.executor = replace(self.executor, rights=Rights(None, approved=lambda: approved))

    def sealed(
        self, seal: Seal | None = None, expires_ns: int = FAR_NS, action: str = "copy", **order: object
    ) -> str:
        """Return a run as it comes through Redis."""
        fid = fid_of_path(os.fsencode(self.file)) if self.file.exists() else "0x1:0x1:0x0"
        body = {
            "fid": str(fid).strip("[]"),
            "path": "a.txt",
            "settings": {},
            "outputs": "out",
            "rule": "r",
            "key": "k",
        }
        events = (Parcel(uuid.uuid4().hex, "key", json.dumps(body | order).encode()),)
        delivery = Delivery("attempt", endpoint_name(action), expires_ns, events)
        return base64.b64encode((seal or Seal(KEY, WORKER)).sealed(encode_delivery(delivery))).decode()

    def run(self, **order: object) -> tuple[str, str]:
        """Run, and return how it went."""
        self.executor.run(self.sealed(**order))  # type: ignore[arg-type]
        return self.answers.found[-1].outcome, self.answers.found[-1].error


@pytest.fixture
def node(open_folder: Path) -> Node:
    return Node(open_folder)


def test_a_run_is_the_owners_and_is_published(node: Node) -> None:
    """The program runs as the owner of the file, and what it made is in the target, with the marker."""
    assert node.run() == ("ok", "")
    out = node.tree / "out"
    assert (out / "copy.txt").read_text() == f"words as {OWNER.uid}"
    assert sorted(each.name for each in out.iterdir()) == [".a.txt.copy.done", "copy.txt"]
    assert {each.stat().st_uid for each in (out, *out.iterdir())} == {OWNER.uid}


def changed(text: str) -> str:
    """Return a text with another first letter."""
    return ("B" if text[0] == "A" else "A") + text[1:]


@pytest.mark.parametrize(
    "make",
    [
        lambda node: node.sealed(Seal(b"x" * 32, WORKER)),
        lambda node: node.sealed(Seal(KEY, COURIER)),
        lambda node: changed(node.sealed()),
        lambda node: "no base64",
        lambda node: node.sealed(expires_ns=NOW_NS),
    ],
)
def test_what_the_dispatcher_has_not_sent_now(node: Node, make: Callable[[Node], str]) -> None:
    """A run without the seal for workers, with another key's, with a byte changed, or too late does nothing."""
    with pytest.raises(ConfigError):
        node.executor.run(make(node))
    assert (node.answers.found, [each.name for each in node.tree.iterdir()]) == ([], ["a.txt"])


@pytest.mark.parametrize(
    ("order", "outcome", "words"),
    [
        ({"settings": {"code": 1}}, "again", "it ended with exit code 1; it said it is broken"),
        ({"settings": {"code": 65}}, "refused", "it said it is broken"),
        ({"settings": {"cod": 1}}, "refused", "with must not contain"),
        ({"outputs": "../.."}, "refused", "leads out of the file system"),
        ({"path": "b.txt"}, "gone", "not there any more"),
        ({"action": "other"}, "endpoint", "no action 'other' is installed here"),
        ({"action": "../copy"}, "endpoint", "no action '../copy' is installed here"),
        ({"expires_ns": NOW_NS + 60 * 10**9}, "untried", "too late to end within its lease"),
    ],
)
def test_how_a_run_can_end(node: Node, order: dict[str, object], outcome: str, words: str) -> None:
    """Each end is told with a sentence, and nothing of it is left in the tree."""
    found, error = node.run(**order)
    assert (found, words in error) == (outcome, True), error
    assert [each.name for each in node.tree.rglob("*") if each.name not in {"a.txt", "out"}] == []


@pytest.mark.parametrize("endpoint", ["slurm:own.sh", "transfer:archive"])
def test_what_a_node_is_not_set_up_for_is_left_to_others(node: Node, endpoint: str) -> None:
    """A node without job scripts, or without transfers, holds nothing: it has not tried, and says what to set."""
    delivery = Delivery("attempt", endpoint, FAR_NS, (Parcel("run", "key", b"{}"),))
    node.executor.run(base64.b64encode(Seal(KEY, WORKER).sealed(encode_delivery(delivery))).decode())
    (found,) = node.answers.found
    assert (found.outcome, found.retry_after_ns > 0, "set [actions]" in found.error) == ("untried", True, True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only a worker that is root becomes somebody else")
def test_an_action_that_was_changed_is_not_approved(node: Node) -> None:
    """A worker that is root runs an action as others only as the site has approved it."""
    with (node.executor.folders[0] / "copy" / "copy.py").open("a") as program:
        program.write("# changed\n")
    outcome, error = node.run()
    assert (outcome, "is not approved" in error) == ("endpoint", True)


def test_the_target_must_be_the_owners(node: Node) -> None:
    """A directory for outputs that is another user's is refused."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory to others")
    (node.tree / "out").mkdir()
    outcome, error = node.run()
    assert (outcome, "belongs to uid 0" in error) == ("refused", True)


def test_a_worker_of_a_user_runs_on_own_files_only(node: Node) -> None:
    """A worker that is not root refuses another user's file, and holds nothing for that."""
    node.executor = replace(node.executor, rights=replace(node.executor.rights, own_uid=OWNER.uid + 1))
    outcome, error = node.run()
    assert (outcome, "this worker is uid" in error) == ("refused", True)


def test_the_account_is_no_name_of_the_order(node: Node) -> None:
    """Who runs is the owner of what was opened, whoever the order names."""
    assert isinstance(OWNER, Account)
    assert node.run(owner=0, uid=0) == ("ok", "")
    assert (node.tree / "out" / "copy.txt").stat().st_uid == OWNER.uid


def test_a_users_own_action_runs_on_that_users_files_alone(node: Node, open_folder: Path) -> None:
    """A user's own action and rule are refused a file of anybody else's, also if it has changed hands since."""
    place = open_folder / "own" / OWNER.name / "mine"
    place.mkdir(parents=True)
    (place / "manifest.toml").write_text(MANIFEST.replace('"copy"', '"mine"'))
    (place / "copy.py").write_text(PROGRAM)
    for path in (place.parent, place, *place.iterdir()):
        os.chown(path, OWNER.uid, OWNER.gid)
    node.executor = replace(node.executor, user_actions=open_folder / "own")
    order = {"action": f"{OWNER.name}/mine", "settings": {"code": 0}}
    assert node.run(**order)[0] == "endpoint"  # as far as the runtime: no user's own runs without a container
    assert node.run(author=OWNER.uid) == ("ok", "")
    outcome, error = node.run(author=OWNER.uid + 1)
    assert (outcome, f"its action to uid {OWNER.uid + 1}" in error) == ("refused", True)
    if os.geteuid() == 0:
        os.chown(node.file, OWNER.uid - 1, -1)
        outcome, error = node.run(**order)
        assert (outcome, f"its action to uid {OWNER.uid}" in error) == ("refused", True)


class Entries:
    """Answers that stand in Redis, whoever wrote them."""

    def __init__(self, *entries: bytes) -> None:
        self._entries = entries

    def answers(self) -> list[tuple[str, bytes]]:
        """Return them with ids."""
        return [(str(number), data) for number, data in enumerate(self._entries)]


def test_an_answer_counts_only_with_the_seal_of_a_worker() -> None:
    """Who may write answers into Redis, and has no key, says of no run that it is done, nor what it has made."""
    seal, said = Seal(KEY, WORKER), encode_answers([Answer("r", "a", "ok", outputs=(b"out/a",))])
    outside = [encode_answers([Answer("r", "a", "ok", outputs=(path,))]) for path in (b"/etc/x", b"out/../../x")]
    entries = (
        said,
        seal.sealed(said),
        *(seal.of(ANSWER).sealed(each) for each in outside),
        seal.of(ANSWER).sealed(said),
    )
    link = WorkersLink(cast("Any", None), cast("Any", Entries(*entries)), seal, lambda: NOW_NS)
    assert [len(found) for _, found in link.answers()] == [0, 0, 0, 0, 1]
