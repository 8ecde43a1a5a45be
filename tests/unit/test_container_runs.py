"""Runs of containers in the dispatcher: what they are told, and that their own work does not wake them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from lustre_events.actions.kinds.orders import read
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.domain.action_run import Maker
from lustre_events.domain.rules.containers import MOST_DEPTH, STAGING, STAGING_GLOB, staging_name
from lustre_events.errors import ConfigError
from lustre_events.index.opening import open_search
from lustre_events.index.search.hits import view_json, view_text
from lustre_events.index.visibility import Viewer
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ActionRig, action_rig, rules_of
from tests.support.records import builders as b
from tests.support.rows import each_row

RULE = '[[rule]]\nname = "{name}"\naction = "calibrate"\noutputs = "{outputs}"\n'
TELL = '[[rule]]\nname = "tell"\non = ["content", "created"]\naction = "webhook"\nendpoint = "beamline"\n'
SEEN = '[[rule]]\nname = "seen"\non = ["renamed"]\naction = "webhook"\nendpoint = "other"\n'
STAGED, RUNS = 100, 101
MakeRig = Callable[..., ActionRig]


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    made: list[ActionRig] = []

    def build(rules: str) -> ActionRig:
        made.append(action_rig(index_place, rules_of(rules).leaving_out([STAGING_GLOB])))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


def rule(more: str = "", name: str = "calibrate", outputs: str = "out") -> str:
    return RULE.format(name=name, outputs=outputs) + more


def published(rig: ActionRig, fid: int, run: str, name: bytes = b"out.h5") -> list[ChangelogRecord]:
    """Return the records of an output that a run has published, in a directory of its own beside it."""
    folder = staging_name(run, rig.now_ns)
    return [
        b.mkdir(1000 + fid, ROOT_FID, STAGING), b.mkdir(2000 + fid, 1000 + fid, folder),
        b.create(fid, 2000 + fid, name), b.close(fid),
        b.rename(fid, 2000 + fid, name, to=name, to_parent=ROOT_FID),
        b.rmdir(2000 + fid, 1000 + fid, folder), b.rmdir(1000 + fid, ROOT_FID, STAGING),
    ]  # fmt: skip


def out(rig: ActionRig) -> list[str]:
    """Take what went out, say that it is done, and return the ids of the runs of containers."""
    found = rig.take()
    rig.reply(found)
    return [event.run for each in found if each.endpoint.startswith("container:") for event in each.events]


def test_a_file_worker_is_told_the_file_and_the_settings(make: MakeRig) -> None:
    """What goes out names object, path, settings with what is known filled in, and where outputs go."""
    rig = make(rule('with = { gain = 2, of = "{name}" }\n'))
    rig.tell(b.create(1, name=b"a \xff.h5"))
    (delivery,) = rig.take()
    order = read(delivery.events[0].body)
    assert delivery.endpoint == "container:calibrate"
    assert (order.path, order.outputs) == ("/a%20%FF.h5", "out")
    assert (order.settings["gain"], order.fid) == (2, str(b.fid_of(1)))


@pytest.mark.parametrize("apart", [False, True])
def test_own_work_fires_nothing(make: MakeRig, *, apart: bool) -> None:
    """What a run has published fires neither its own rule nor another, in whatever portions its records come."""
    rig = make(rule() + TELL)
    rig.tell(b.create(1, name=b"a.h5"))
    (run,) = out(rig)
    records = published(rig, 2, run)
    for portion in [[each] for each in records] if apart else [records]:
        rig.tell(*portion)
    assert rig.take() == []
    rig.tell(b.close(2))  # somebody else writes it
    assert len(rig.take()) == 2


def test_a_file_knows_the_run_that_made_it(make: MakeRig, index_place: IndexPlace) -> None:
    """What a run has published tells its key and rule, also under a new FID and behind a restart."""
    rig = make(rule())
    rig.tell(b.create(1, name=b"a.h5"))
    (run,) = rig.runs()
    rig.reply(rig.take())
    rig.tell(*published(rig, 2, run.id))
    rig.tell(b.close(2))  # it is written later
    rig.tell(b.migrate(fid=2, new_fid=3, name=b"out.h5"))
    rig.restart()
    with open_search(index_place if isinstance(index_place, str) else f"sqlite:///{index_place}") as search:
        made, other = search.show_many([b.fid_of(3), b.fid_of(1)])
        assert (made.made_by, other.made_by) == (Maker(run.key, "calibrate", 1), None)
        assert f"rule 'calibrate', run {run.key}" in view_text(made)
        made_for = [search.show(b.fid_of(3), visible_to=Viewer(uid, frozenset())).made_by for uid in (0, 12345)]
        assert made_for == [made.made_by, None]  # who may not read a file is not told what is done with it
        assert view_json(made)["made_by"] == {"key": run.key, "rule": "calibrate", "generation": 1}
        rig.tell(b.unlink(3, name=b"out.h5"))
        assert search.show(b.fid_of(3)).made_by is None


def told(rig: ActionRig) -> list[str]:
    """Take what went out, say that it is done, and return where it went."""
    found = rig.take()
    rig.reply(found)
    return sorted(each.endpoint for each in found for _ in each.events)


@pytest.mark.parametrize(
    ("deeds", "fires"),
    [
        (lambda: [b.rename(2, name=b"out.h5", to=b"new.h5")], ["other"]),
        (lambda: [b.link(2, name=b"more.h5")], []),
        (lambda: [b.create(3, name=b"copy.h5"), b.close(3)], ["beamline", "beamline", "container:calibrate"]),
        (lambda: [b.rename(2, name=b"out.h5", to=b"new.h5"), b.link(2, name=b"x.h5"), b.sattr(2)], ["other"]),
    ],
)
def test_what_a_person_does_with_an_output(
    make: MakeRig, deeds: Callable[[], list[ChangelogRecord]], fires: list[str]
) -> None:
    """A new name or link of an output is no new content, whoever makes it; a copy is a file of who copied it."""
    rig = make(rule() + TELL + SEEN)
    rig.tell(b.create(1, name=b"a.h5"))
    (run,) = out(rig)
    rig.tell(*published(rig, 2, run))
    told(rig)
    rig.tell(*deeds())
    assert told(rig) == fires


def test_a_stranger_is_no_run(make: MakeRig) -> None:
    """Who names a directory as a run's own hides nothing: the ledger knows no such run, or none of a container."""
    rig = make(rule() + TELL)
    rig.tell(*published(rig, 2, "0" * 32))
    assert len(out(rig)) == 1
    told = next(run.id for run in rig.runs() if run.endpoint == "beamline")
    rig.tell(*published(rig, 3, told, b"3.h5"))
    assert len(out(rig)) == 1


def test_a_run_that_has_not_gone_out_has_made_nothing(make: MakeRig) -> None:
    """What comes out of the directory of a run that waits is somebody else's."""
    rig = make(rule())
    rig.tell(b.create(1, name=b"a.h5"))
    rig.take()
    rig.tell(b.close(1))
    rig.settle()
    (waits,) = [run.id for run in rig.runs() if run.state == "waiting"]
    rig.tell(*published(rig, 2, waits))
    assert {run.fid for run in rig.runs()} == {b.fid_of(1), b.fid_of(2)}


def test_a_new_dispatcher_knows_own_work(make: MakeRig) -> None:
    """Own work is known behind a restart between the making of a run's directory and the rename out of it."""
    rig = make(rule())
    rig.tell(b.create(1, name=b"a.h5"))
    (run,) = out(rig)
    records = published(rig, 2, run)
    rig.tell(*records[:4])
    rig.restart()
    rig.tell(*records[4:])
    assert out(rig) == []


def test_a_rule_that_wants_own_work_is_held_at_a_depth(make: MakeRig) -> None:
    """A rule with `own` runs on what it has made, until more than MOST_DEPTH runs in a row have led to a run."""
    rig = make(rule('own = true\nextensions = ["h5"]\n'))
    rig.tell(b.create(1, name=b"a.h5"))
    runs = 0
    for fid in range(2, 20):
        found = out(rig)
        if not found:
            break
        runs += 1
        rig.tell(*published(rig, fid, found[0], b"%d.h5" % fid))
    assert runs == MOST_DEPTH + 1
    assert rig.states() == {"held": 1, "done": runs}


def test_a_chain_that_wakes_itself_is_held_at_a_depth(make: MakeRig) -> None:
    """Rules of which one follows the other, and whose outputs wake the first, are held at the same depth."""
    rig = make(rule('globs = ["*.h5"]\nown = true\n', "first") + rule('after = "first"\n', "then"))
    rig.tell(b.create(1, name=b"a.h5"))
    for fid in range(2, 2 + MOST_DEPTH):
        out(rig)
        for run in out(rig):
            rig.tell(*published(rig, fid, run, b"%d.h5" % fid))
    (held,) = [run for run in rig.runs() if run.state == "held"]
    assert (held.depth, "in a row" in held.error) == (MOST_DEPTH + 1, True)
    assert max(run.depth for run in rig.runs()) == held.depth


def test_one_run_of_a_rule_works_on_a_file(make: MakeRig) -> None:
    """While a run is out, the next one of its rule for the same file waits: both would publish."""
    rig = make(rule())
    rig.tell(b.create(1, name=b"a.h5"))
    first = rig.take()
    rig.tell(b.close(1))
    assert (len(first), rig.take()) == (1, [])
    rig.reply(first)
    rig.pass_seconds(2)
    rig.settle()
    assert len(out(rig)) == 1


def test_containers_do_not_wait_for_a_courier(make: MakeRig) -> None:
    """While no courier takes deliveries, runs of containers go out and end; what is the courier's waits."""
    rig = make(rule() + TELL)
    rig.tell(b.create(1, name=b"a.h5"))
    for fid in (2, 3, 4):
        rig.pass_seconds(60)
        rig.settle()
        rig.tell(b.create(fid, name=b"%d.h5" % fid))
        containers = [each for each in rig.link.deliveries if each.endpoint.startswith("container:")]
        rig.link.deliveries = [each for each in rig.link.deliveries if each not in containers]
        rig.reply(containers)
    done = [run.endpoint for run in rig.runs() if run.state == "done"]
    assert done == ["container:calibrate"] * 4
    assert len(rig.link.deliveries) < 4


def test_a_file_that_is_gone_cancels_its_run(make: MakeRig) -> None:
    """A file worker that does not find the file ends the run: nothing is tried again."""
    rig = make(rule())
    rig.tell(b.create(1, name=b"a.h5"))
    rig.reply(rig.take(), "gone", error="the file is not there any more")
    assert rig.states() == {"cancelled": 1}


@each_row(
    ("text", "words"),
    [
        (rule('endpoint = "beamline"\n'), "is for actions that send something"),
        (rule('on = "removed"\n'), "a container runs on a file that is there"),
        (rule('types = ["f", "d"]\n'), "a container runs on files only"),
        (rule(outputs="/out"), "must be where outputs go"),
        (rule(outputs=".lustre-events/x"), "must be where outputs go"),
        ('[[rule]]\naction = "calibrate"\n', "must be where outputs go"),
        ('[[rule]]\nextractor = "tabular"\nqueue = "actions"\n', "which is for actions only"),
    ],
)
def test_a_wrong_rule_of_a_container(text: str, words: str) -> None:
    """What a rule of a container cannot say is refused in one sentence."""
    with pytest.raises(ConfigError, match=words):
        rules_of(text)


@each_row(
    "text",
    [
        rule("own = true\n", outputs="."),
        rule('own = true\ndirectories = ["/raw/**"]\n'),
        rule('own = true\ndirectories = ["/p/*/a"]\n', outputs="../b")
        + rule('own = true\ndirectories = ["/p/*/b"]\n', "back", "../a"),
    ],
)
def test_a_loop_that_can_be_proven(text: str) -> None:
    """Rules of which any output surely wakes the next one, and the first again, are refused."""
    with pytest.raises(ConfigError, match="start each other endlessly"):
        rules_of(text)


@each_row(
    "text",
    [
        rule(outputs="."),
        rule('own = true\nextensions = ["h5"]\n', outputs="."),
        rule('own = true\ndirectories = ["/p/*/a"]\n', outputs="../b"),
        rule('own = true\ndirectories = ["/p/*/a"]\n', outputs="../b")
        + rule('directories = ["/p/*/b"]\n', "back", "../a"),
    ],
)
def test_a_loop_that_cannot_be_proven(text: str) -> None:
    """Rules that do not surely wake each other are taken."""
    assert rules_of(text).actions.rules


def test_the_order_is_json_without_the_body_of_others(make: MakeRig) -> None:
    """A file worker is told nothing that the rule does not say: no document, no owner, no jobid."""
    rig = make(rule())
    rig.tell(b.create(1, name=b"a.h5"))
    (delivery,) = rig.take()
    assert set(json.loads(delivery.events[0].body)) == {"fid", "path", "settings", "outputs", "rule", "key"}
