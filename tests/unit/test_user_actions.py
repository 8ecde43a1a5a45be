"""Users' own rules of actions: whose files, with whose view, within which quotas. The index is real, on both."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from lustre_events.actions.delivery import Delivery
from lustre_events.actions.kinds import slurm
from lustre_events.actions.kinds.orders import read
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, REFUSED, STARTED
from lustre_events.catalog.catalog import Found
from lustre_events.changelog.fid import ROOT_FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.dispatcher.run_settling import ReadIndex
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import SENT
from lustre_events.domain.rules.action_rules import USERS, ActionRules
from lustre_events.domain.rules.containers import STAGING, staging_name
from lustre_events.domain.rules.grants import OWN, Author
from lustre_events.domain.rules.job_grants import JobGrant
from lustre_events.domain.rules.rules import Rules
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError, QueryError
from lustre_events.index.interface import Facts, ObjectRow
from lustre_events.index.visibility import Viewer
from tests.support.index.places import IndexPlace
from tests.support.model.actions import (
    ALICE,
    BOB,
    ENDPOINTS,
    ActionRig,
    action_rig,
    own_rules_of,
    rules_of,
    viewer_of,
)
from tests.support.model.dispatcher import FACTS
from tests.support.records import builders as b
from tests.support.rows import each_row

RULE = """
[[rule]]
name = "tell"
on = [{on}]
action = "webhook"
endpoint = "beamline"
body = {{ path = "{{path}}", old = "{{old_path}}", mime = "{{mime}}", jobid = "{{jobid}}" }}
{more}
"""
ROOT: dict[str, Any] = {**FACTS, "type": "d", "uid": 0, "gid": 0, "mode": 0o755}
MINE, HIS = {**FACTS, "mime": "text/csv"}, {**FACTS, "uid": 1001}
CLOSED: dict[str, Any] = {**ROOT, "mode": 0o700}
DIR = 7
World = Mapping[int, Mapping[str, Any]]
MakeRig = Callable[..., ActionRig]


def own(*on: str, more: str = "") -> str:
    return RULE.format(on=", ".join(f'"{each}"' for each in on), more=more)


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    made: list[ActionRig] = []

    def build(*rules: Rules) -> ActionRig:
        users = {uid: found for each in rules for uid, found in each.actions.users.items()}
        site = tuple(rule for each in rules for rule in each.actions.rules)
        both = Rules((), actions=ActionRules(site, users))
        made.append(rig := action_rig(index_place, both))
        with rig.writer.transaction() as transaction:
            transaction.add_objects([(ObjectRow(fid=ROOT_FID, generation=1, type="d"), Facts(**ROOT))])
        return rig

    yield build
    for rig in made:
        rig.close()


def happen(rig: ActionRig, world: World, *records: ChangelogRecord) -> None:
    """Let records come, `stat` see the world as it is, and everything settle within 24 s."""
    facts = {b.fid_of(number): dict(each) for number, each in world.items()} | {ROOT_FID: dict(ROOT)}
    jobs = rig.play(*records)
    for seconds in (1, 1, 1, 1, 1, 2, 3, 4, 10):
        for job in jobs:
            for item in job.items:
                rig.answer([structs.replace(job, items=(item,))], "ok", document=facts.get(item.fid, FACTS))
        rig.pass_seconds(seconds)
        rig.settle()
        jobs = rig.queue.take()


def test_a_users_rule_is_about_that_users_files_only(make: MakeRig) -> None:
    """Of two users' files each one's rule tells its own; what somebody else writes makes no run of it."""
    rig = make(own_rules_of(own("content")), own_rules_of(own("content"), BOB))
    happen(rig, {1: MINE, 2: HIS, 3: {**FACTS, "uid": 5}}, *(b.create(fid=n, name=b"f%d" % n) for n in (1, 2, 3)))
    assert {(run.rule, run.uid) for run in rig.runs()} == {("alice/tell", 1000), ("bob/tell", 1001)}
    assert sorted(each["path"] for each in rig.sent()) == ["/f1", "/f2"]


def test_until_the_owner_is_known_one_row_stands_for_all_users(make: MakeRig) -> None:
    """However many users have rules for a name, a file that nobody has looked at is one row."""
    rig = make(own_rules_of(own("content")), own_rules_of(own("content"), BOB))
    rig.play(b.create(fid=1, name=b"a"))
    assert [run.rule for run in rig.runs()] == [USERS]


@pytest.mark.parametrize(
    ("trigger", "records", "told"),
    [
        ("created", [b.create(fid=1, name=b"a")], ["/a"]),
        ("renamed", [b.create(fid=1, name=b"a"), b.rename(fid=1, name=b"a", to=b"b")], ["/b"]),
        ("content", [b.create(fid=1, name=b"a"), b.rename(fid=1, name=b"a", to=b"b")], ["/a"]),
        ("removed", [b.create(fid=1, name=b"a"), b.unlink(fid=1, name=b"a")], ["/a"]),
        ("attributes", [b.create(fid=1, name=b"a"), b.sattr(fid=1)], ["/a"]),
    ],
)
def test_each_trigger_fires_for_users_too(
    make: MakeRig, trigger: str, records: list[ChangelogRecord], told: list[str]
) -> None:
    """A user's rule fires for what a site's rule fires for; for a new name only where it did not hold before."""
    rig = make(own_rules_of(own(trigger, more='globs = ["[ab]"]')))
    for record in records:
        happen(rig, {1: MINE}, record)
    assert [each["path"] for each in rig.sent()] == told


def test_a_new_name_is_new_content_where_the_users_rule_begins_to_hold(make: MakeRig) -> None:
    """A file that gets a name for which the user's rule holds now is content, once."""
    rig = make(own_rules_of(own("content", more='extensions = ["h5"]')))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a.tmp"))
    assert rig.sent() == []
    happen(rig, {1: MINE}, b.rename(fid=1, name=b"a.tmp", to=b"a.h5"))
    happen(rig, {1: MINE}, b.rename(fid=1, name=b"a.h5", to=b"b.h5"))
    assert [each["path"] for each in rig.sent()] == ["/a.h5"]


def test_what_the_author_may_not_see_is_not_told(make: MakeRig) -> None:
    """The user's own file in a directory that the user cannot list is told to nobody, under no name of it."""
    rig = make(own_rules_of(own("content", "renamed", "removed", "attributes")))
    world = {DIR: CLOSED, 1: MINE}
    happen(rig, world, b.mkdir(fid=DIR, name=b"secret"), b.create(fid=1, parent=DIR, name=b"a"))
    happen(rig, world, b.rename(fid=1, parent=DIR, name=b"a", to_parent=DIR, to=b"b"))
    happen(rig, world, b.sattr(fid=1))
    happen(rig, world, b.unlink(fid=1, parent=DIR, name=b"b"))
    assert (rig.sent(), rig.states()) == ([], {})


def test_an_old_name_that_the_author_did_not_see_is_left_out(make: MakeRig) -> None:
    """A file that comes out of a closed directory is told with its new name; where it was is not said."""
    rig = make(own_rules_of(own("renamed")))
    world = {DIR: CLOSED, 1: MINE}
    happen(rig, world, b.mkdir(fid=DIR, name=b"secret"), b.create(fid=1, parent=DIR, name=b"a"))
    happen(rig, world, b.rename(fid=1, parent=DIR, name=b"a", to_parent=ROOT_FID, to=b"b"))
    assert [(each["path"], each["old"]) for each in rig.sent()] == [("/b", None)]
    happen(rig, world, b.rename(fid=1, name=b"b", to=b"c"))
    assert [(each["path"], each["old"]) for each in rig.sent()] == [("/c", "/b")]


def test_what_cannot_be_read_has_no_type_and_no_job(make: MakeRig) -> None:
    """Type by content and job id are told to who may read the file, as in a search."""
    rig = make(own_rules_of(own("content")))
    world = {1: MINE, 2: {**MINE, "mode": 0o200}}
    happen(rig, world, *(b.create(fid=n, name=b"f%d" % n, jobid=b"cp.5") for n in (1, 2)))
    told = {each["path"]: (each["mime"], each["jobid"]) for each in rig.sent()}
    assert told == {"/f1": ("text/csv", "cp.5"), "/f2": (None, None)}


@pytest.mark.parametrize("lost", ["directory", "owner"])
def test_what_is_lost_before_it_goes_out_is_cancelled(make: MakeRig, lost: str) -> None:
    """A run that waits is cancelled if its author may not see the file any more, or the file is somebody else's."""
    rig = make(own_rules_of(own("content")))
    rig.ask("hold_action", name="beamline")
    world: dict[int, Mapping[str, Any]] = {DIR: ROOT, 1: MINE}
    happen(rig, world, b.mkdir(fid=DIR, name=b"d"), b.create(fid=1, parent=DIR, name=b"a"))
    assert rig.states() == {"waiting": 1}
    world |= {DIR: CLOSED} if lost == "directory" else {1: HIS}
    happen(rig, world, b.sattr(fid=DIR if lost == "directory" else 1))
    rig.ask("release_action", name="beamline")
    rig.settle()
    assert (rig.take(), rig.states()) == ([], {"cancelled": 1})


def test_what_may_have_become_private_is_not_told_before_somebody_has_looked(make: MakeRig) -> None:
    """Behind the record of a chmod nothing goes out by what was open before; what `stat` finds then decides."""
    rig = make(own_rules_of(own("content")))
    rig.ask("hold_action", name="beamline")
    happen(rig, {DIR: ROOT, 1: MINE}, b.mkdir(fid=DIR, name=b"d"), b.create(fid=1, parent=DIR, name=b"a"))
    jobs = rig.play(b.sattr(fid=DIR))
    rig.ask("release_action", name="beamline")
    rig.settle()
    assert (rig.take(), rig.states()) == ([], {"waiting": 1})
    rig.answer(jobs, "ok", document=CLOSED)
    rig.pass_seconds(10)
    rig.settle()
    assert (rig.take(), rig.states()) == ([], {"cancelled": 1})


def test_a_users_query_is_asked_as_that_user(make: MakeRig) -> None:
    """The query of a user's rule finds what that user may find; one that cannot be asked holds that rule alone."""
    rig = make(own_rules_of(own("document", more='query = "rows:>1"')))
    asked: list[Viewer | None] = []

    def matching(query: str, fids: object, viewer: Viewer | None) -> tuple[()]:
        asked.append(viewer)
        raise QueryError("it takes too long")

    settling = rig.dispatcher._actions.settling
    settling._reading = ReadIndex(lambda _fids: {}, matching, viewer_of)
    settling._questions = {"alice/tell": {("x", 0): b.fid_of(1)}}
    settling.ask_queries()
    rig.settle()
    assert asked == [viewer_of("1000")]
    assert [each["held"] for each in rig.ask("actions")["rules"]] == [
        "its query cannot be asked: it takes too long"
    ]
    with pytest.raises(ConfigError, match="took too long just now; correct it, and release the rule in 300 s"):
        rig.ask("release_own_rule", user="alice", uid=1000, name="alice/tell")
    rig.pass_seconds(300)
    assert rig.ask("release_own_rule", user="alice", uid=1000, name="alice/tell")["released"] is True


def test_quotas_bound_what_a_user_makes_and_sends(make: MakeRig) -> None:
    """No more of a user's runs than are granted wait or go out in a minute; all go in the end."""
    author = replace(ALICE, allowance=replace(ALICE.allowance, runs=5, per_minute=3))
    rig = make(own_rules_of(own("content"), author))
    happen(rig, {}, *(b.create(fid=n, name=b"f%d" % n) for n in range(1, 5)))
    assert len(rig.take()) == 2  # of an endpoint's four users have two at once
    rig.pass_seconds(20)
    happen(rig, {}, *(b.create(fid=n, name=b"f%d" % n) for n in range(10, 20)))
    states = rig.states()
    assert states["waiting"] + states["sent"] == 5
    assert states["settling"] > 0
    for _ in range(40):
        rig.reply(rig.take())
        rig.pass_seconds(20)
        rig.settle()
    assert rig.states() == {"done": 14}


def test_a_user_has_own_runs_tried_again_within_the_quota(make: MakeRig) -> None:
    """A user's request is for runs of own rules; dead ones come as the grant has room; what is held stays held."""
    narrow = replace(ALICE, allowance=replace(ALICE.allowance, runs=2))
    rig = make(own_rules_of(own("content"), narrow), own_rules_of(own("content"), BOB))
    world = {1: MINE, 2: MINE, 3: HIS}
    happen(rig, world, *(b.create(fid=n, name=b"f%d" % n) for n in world))
    rig.reply(rig.take(), REFUSED)
    alice: dict[str, Any] = {"user": "alice", "uid": 1000}
    keys = [run.key for run in rig.runs()]
    assert rig.ask("drop_runs", rule="bob/tell", **alice) == {"runs": 0}
    assert rig.ask("retry_runs", keys=keys, **alice, states=["dead"], rule="bob/tell") == {"runs": 2}
    rig.settle()
    rig.reply(rig.take(), REFUSED)
    assert rig.ask("release_runs", keys=keys, **alice) == {"runs": 0}
    assert rig.ask("retry_runs", keys=keys, user="alice", uid=1001) == {"runs": 0}
    rig.ask("hold_action", name="alice/tell", why="the site says so")
    happen(rig, world | {4: MINE}, b.create(fid=4, name=b"f4"))
    assert rig.ask("retry_runs", keys=keys, **alice) == {"runs": 2}
    rig.settle()
    assert rig.take() == []
    assert rig.ask("retry_runs", keys=keys, **alice) == {"runs": 0}
    assert rig.ask("actions")["rules"][0]["held"] == "the site says so"


def test_more_dead_runs_than_the_grant_has_room_for_wait_for_it(make: MakeRig) -> None:
    """What does not fit stays dead, and where nothing fits the user is told why."""
    narrow = replace(ALICE, allowance=replace(ALICE.allowance, runs=2))
    rig = make(own_rules_of(own("content"), narrow))
    for number in (1, 2, 3):
        happen(rig, {number: MINE}, b.create(fid=number, name=b"f%d" % number))
        rig.reply(rig.take(), REFUSED)
        rig.pass_seconds(60)
    rig.ask("hold_action", name="alice/tell")
    asked: dict[str, Any] = {"rule": "alice/tell", "user": "alice", "uid": 1000}
    assert rig.ask("retry_runs", **asked) == {"runs": 2}
    assert rig.states() == {"waiting": 2, "dead": 1}
    with pytest.raises(ConfigError, match="2 of your runs wait, the most that the site grants"):
        rig.ask("retry_runs", **asked)


def test_dead_runs_of_a_users_rule_do_not_pile_up(make: MakeRig) -> None:
    """A rule that can never send anything leaves as many dead runs as ten times the grant, the newest."""
    narrow = replace(ALICE, allowance=replace(ALICE.allowance, runs=1))
    rig = make(own_rules_of(own("content").replace("{path}", "x" * 600), narrow))
    for number in range(1, 15):
        happen(rig, {number: MINE}, b.create(fid=number, name=b"f%d" % number))
        rig.pass_seconds(60)
    assert rig.states() == {"dead": 10, "dropped": 4}
    assert {run.fid for run in rig.runs() if run.state == "dropped"} == {b.fid_of(n) for n in (1, 2, 3, 4)}


def test_a_user_who_holds_an_endpoint_holds_the_own_rule(make: MakeRig) -> None:
    """An endpoint that calls itself wrong for a user's event holds that rule; others go on."""
    rig = make(own_rules_of(own("content")), rules_of(own("content")))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    deliveries = rig.take()
    users = {run.id for run in rig.runs() if run.rule == "alice/tell"}
    mine = [each for each in deliveries if each.events[0].run in users]
    rig.reply([each for each in deliveries if each not in mine])
    rig.reply(mine, ENDPOINT, status=404, error="nothing is there")
    found = rig.ask("actions")
    assert {each["rule"]: each["held"] for each in found["rules"]} == {"alice/tell": "nothing is there", "tell": ""}
    assert [each["held"] for each in found["endpoints"] if each["endpoint"] == "beamline"] == [""]
    happen(rig, {2: HIS}, b.create(fid=2, name=b"b"))
    assert [each["path"] for each in rig.sent()] == ["/b"]


def test_failures_of_a_users_rule_trip_no_breaker_of_others(make: MakeRig) -> None:
    """Failures in a row of a user's rule count against that rule, not against the endpoint that others use."""
    rig = make(own_rules_of(own("content")))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    for _ in range(6):
        rig.reply(rig.take(), AGAIN)
        rig.pass_seconds(3_700)
        rig.settle()
    assert rig.dispatcher._actions.runs.guards.tripped_endpoints() == ["alice/tell"]


def test_while_a_users_file_is_wrong_what_waits_goes_on_waiting(make: MakeRig) -> None:
    """A user's file that is broken for a while cancels nothing; one that is removed cancels what was not sent."""
    rules = own_rules_of(own("content"))
    rig = make(rules)
    rig.ask("hold_action", name="beamline")
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    follow = rig.dispatcher._actions.follow
    follow(Rules(actions=ActionRules((), {}, frozenset({"alice"}))), ENDPOINTS)
    rig.pass_seconds(100)
    rig.settle()
    assert rig.states() == {"waiting": 1}
    follow(rules, ENDPOINTS)
    rig.ask("release_action", name="beamline")
    rig.settle()
    rig.reply(rig.take(), AGAIN)
    follow(Rules(actions=ActionRules((), {}, frozenset({"bob"}))), ENDPOINTS)
    rig.pass_seconds(100)
    rig.settle()
    assert rig.states() == {"cancelled": 1}


def test_what_was_tried_at_an_endpoint_that_is_not_granted_any_more_goes_there_no_more(make: MakeRig) -> None:
    """A user's rule that had to take another endpoint sends nothing to the old one, not even what was tried."""
    rig = make(own_rules_of(own("content")))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    rig.reply(rig.take(), AGAIN)
    granted = replace(ALICE, allowance=replace(ALICE.allowance, endpoints={"other": ()}))
    rules = own_rules_of(own("content").replace("beamline", "other"), granted)
    rig.dispatcher._actions.follow(Rules(actions=ActionRules((), rules.actions.users)), ENDPOINTS)
    for _ in range(3):
        rig.pass_seconds(60)
        rig.settle()
    assert {each.endpoint for each in rig.take()} == {"other"}


def narrowed(author: Author, **allowance: Any) -> Author:
    """Return a user whose grant says something else by now."""
    return replace(author, allowance=replace(author.allowance, **allowance))


def test_what_was_tried_where_nothing_is_granted_any_more_is_tried_no_more(make: MakeRig) -> None:
    """A grant that is for some directories by now counts for what was tried, too; what it covers goes on."""
    rig = make(own_rules_of(own("content")))
    happen(rig, {1: MINE, 5: ROOT, 2: MINE}, b.create(fid=1, name=b"a"), b.mkdir(5, name=b"home"),
           b.create(fid=2, parent=5, name=b"mine"))  # fmt: skip
    out = rig.take()
    assert sorted(event["path"] for event in bodies_of(out)) == ["/a", "/home/mine"]
    rig.reply(out, AGAIN)
    granted = own_rules_of(own("content"), narrowed(ALICE, endpoints={"beamline": ("/home/**",)}))
    rig.dispatcher._actions.follow(granted, ENDPOINTS)
    again = []
    for _ in range(3):
        rig.pass_seconds(60)
        rig.settle()
        again += rig.take()
    assert {event["path"] for event in bodies_of(again)} == {"/home/mine"}
    assert {event.key for each in again for event in each.events} < {
        event.key for each in out for event in each.events
    }


def test_what_was_tried_is_not_larger_than_the_present_grant(make: MakeRig) -> None:
    """An event that was made while the grant had more bytes for one is made anew, and refused in a sentence."""
    rig = make(own_rules_of(own("content")))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    rig.reply(rig.take(), AGAIN)
    rig.dispatcher._actions.follow(own_rules_of(own("content"), narrowed(ALICE, body_bytes=256)), ENDPOINTS)
    for _ in range(3):
        rig.pass_seconds(60)
        rig.settle()
    assert (rig.take(), rig.states()) == ([], {"dead": 1})
    assert "are the most" in rig.runs()[0].error


def bodies_of(deliveries: Sequence[Delivery]) -> list[dict[str, Any]]:
    """Return the data of the events of deliveries."""
    return [json.loads(event.body)["data"] for each in deliveries for event in each.events]


def test_a_user_releases_an_own_rule_that_a_guard_holds(make: MakeRig) -> None:
    """After a burst the author alone, with the same uid, lets the rule go on; none of its runs is lost."""
    rig = make(own_rules_of(own("content", more="burst = 3")), own_rules_of(own("content"), BOB))
    happen(rig, dict.fromkeys(range(1, 6), MINE), *(b.create(fid=n, name=b"f%d" % n) for n in range(1, 6)))
    rig.reply(rig.take())
    (rule,) = rig.ask("own_rules", user="alice", uid=1000)["rules"]
    assert (rule["rule"], rule["may_release"]) == ("alice/tell", True)
    assert "`burst` of the rule is 3" in rule["held"]
    for user, uid in (("bob", 1001), ("alice", 1001), ("", 1000)):
        with pytest.raises(ConfigError, match="no rule of an action that is named 'alice/tell'"):
            rig.ask("release_own_rule", user=user, uid=uid, name="alice/tell")
    rig.settle()
    assert rig.take() == []
    assert rig.ask("release_own_rule", user="alice", uid=1000, name="alice/tell")["released"] is True
    for _ in range(9):
        rig.settle()
        rig.reply(rig.take())
    assert rig.states() == {"done": 5}


def test_a_user_does_not_release_what_the_site_holds(make: MakeRig) -> None:
    """What a person of the site holds stays held, also where a guard held it before; so do endpoints."""
    rig = make(own_rules_of(own("content", more="burst = 1")))
    happen(rig, {1: MINE, 2: MINE}, b.create(fid=1, name=b"a"), b.create(fid=2, name=b"b"))
    rig.ask("hold_action", name="alice/tell", why="a secret of the site")
    (rule,) = rig.ask("own_rules", user="alice", uid=1000)["rules"]
    assert (rule["held"], rule["may_release"]) == ("the site holds it", False)
    with pytest.raises(ConfigError, match="the site holds rule 'alice/tell'; ask its admins"):
        rig.ask("release_own_rule", user="alice", uid=1000, name="alice/tell")
    with pytest.raises(ConfigError, match="no rule of an action that is named 'beamline'"):
        rig.ask("release_own_rule", user="alice", uid=1000, name="beamline")
    assert rig.ask("release_action", name="alice/tell")["released"] is True


def test_what_an_endpoint_answered_is_not_told_to_users(make: MakeRig) -> None:
    """A user's rule that its endpoint refuses is the user's to release; the endpoint's words are the site's."""
    rig = make(own_rules_of(own("content")))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    rig.reply(rig.take(), ENDPOINT, error="it answered 403: internal words")
    (rule,) = rig.ask("own_rules", user="alice", uid=1000)["rules"]
    assert (rule["held"], rule["may_release"]) == ("its endpoint refuses what it sends", True)
    assert rule["last_error"] == "its endpoint did not take what was sent"
    (rule,) = rig.ask("actions")["rules"]
    assert (rule["held"], rule["last_error"]) == ("it answered 403: internal words",) * 2


def test_an_audience_must_be_allowed_to_see_what_is_sent(make: MakeRig) -> None:
    """A site's rule with an audience sends only what each of them may see; while one is not known it waits."""
    text = own("content").replace('"tell"\n', '"tell"\naudience = ["root"]\n')
    rules = rules_of(text)
    (rule,) = rules.actions.rules
    rig = make(Rules(actions=ActionRules((replace(rule, audience=("carol",)),))))
    world = {DIR: CLOSED, 1: MINE, 2: {**MINE, "mode": 0o640}}
    happen(
        rig, world, b.mkdir(fid=DIR, name=b"s"), b.create(fid=1, parent=DIR, name=b"a"), b.create(fid=2, name=b"b")
    )
    assert [(each["path"], each["mime"]) for each in rig.sent()] == [("/b", None)]
    unknown = Rules(actions=ActionRules((replace(rule, audience=("dave",)),)))
    rig.dispatcher._actions.follow(unknown, ENDPOINTS)
    rig.settle()
    happen(rig, {3: MINE}, b.create(fid=3, name=b"c", time_ns=rig.now_ns))
    assert (rig.take(), rig.states()) == ([], {"done": 1, "settling": 1})


CONTAINER = '[[rule]]\nname = "run"\naction = "{action}"\noutputs = "out"\n{more}'
TELL = '[[rule]]\nname = "tell"\naction = "webhook"\nendpoint = "beamline"\n'
GRANTED = replace(ALICE, allowance=replace(ALICE.allowance, actions={OWN: ()}, containers=2))


@each_row(
    ("author", "action", "more", "words"),
    [
        (ALICE, "mine", "", "your own, which the site does not grant; ask for `own_actions`"),
        (ALICE, "calibrate", "", "which the site does not grant to alice; granted are: none"),
        (GRANTED, "calibrate", "", "which the site does not grant to alice"),
        (
            GRANTED,
            "his",
            "",
            "unknown action 'his' in [[rule]] 'run'; known are: calibrate, kafka, mail, mine, nats",
        ),
        (GRANTED, "bob/his", "", "unknown action 'bob/his'"),
        (GRANTED, "mine", "own = true", "own is for the site's rules"),
    ],
)
def test_a_container_that_is_not_granted(author: Author, action: str, more: str, words: str) -> None:
    """A user's rule names own actions, or ones of the site, as far as these are granted, and nobody else's."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        own_rules_of(CONTAINER.format(action=action, more=more), author)


def test_the_own_action_runs_on_own_files_within_the_grant(make: MakeRig) -> None:
    """Containers of a user's rule are given the user's files alone, no more at the same time than are granted."""
    rig = make(own_rules_of(CONTAINER.format(action="mine", more=""), GRANTED))
    mine = dict.fromkeys(range(1, 6), MINE)
    happen(rig, {**mine, 6: HIS}, *(b.create(fid=n, name=b"f%d" % n) for n in range(1, 7)))
    first = rig.take()
    assert [each.endpoint for each in first] == ["container:alice/mine"] * len(first)
    assert 1 <= len(first) <= 2
    orders = []
    while first:
        orders += [read(event.body) for each in first for event in each.events]
        rig.reply(first)
        first = rig.take()
    assert sorted(order.path for order in orders) == [f"/f{number}" for number in range(1, 6)]
    assert {order.author for order in orders} == {1000}


def test_the_words_of_the_own_program_are_told(make: MakeRig) -> None:
    """Why a user's own container failed is told to that user, in the words of that program."""
    rig = make(own_rules_of(CONTAINER.format(action="mine", more=""), GRANTED))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    rig.reply(rig.take(), AGAIN, error="no column 3")
    (rule,) = rig.ask("own_rules", user="alice", uid=1000)["rules"]
    assert rule["last_error"] == "no column 3"


def test_two_own_actions_share_what_is_granted(make: MakeRig) -> None:
    """However many rules run containers, a user has no more of them at the same time than are granted."""
    text = "".join(
        CONTAINER.format(action="mine", more="").replace('"run"', f'"run{number}"') for number in range(3)
    )
    rig = make(own_rules_of(text, GRANTED))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"f1"))
    assert sum(len(each.events) for each in rig.take()) <= 2


@pytest.mark.parametrize(("more", "others"), [("", [TELL]), ('on = "created"', [])])
def test_own_work_of_a_users_container_fires_nothing(make: MakeRig, more: str, others: list[str]) -> None:
    """What a user's container has put into the file system fires no rule of anybody's, whatever else is watched."""
    rig = make(own_rules_of(CONTAINER.format(action="mine", more=more), GRANTED), *map(rules_of, others))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"f1"))
    out = rig.take()
    (run,) = [event.run for each in out if each.endpoint.startswith("container:") for event in each.events]
    rig.reply(out)
    folder = staging_name(run, rig.now_ns)
    records = [
        b.mkdir(100, ROOT_FID, STAGING), b.mkdir(101, 100, folder), b.create(2, 101, b"o"), b.close(2),
        b.rename(2, 101, b"o", to=b"o", to_parent=ROOT_FID),
    ]  # fmt: skip
    happen(rig, {1: MINE, 2: MINE, 100: ROOT, 101: ROOT}, *records)
    assert rig.take() == []


JOB = '[[rule]]\nname = "{name}"\naction = "slurm"\nwith = {{ script = "reduce.sh" }}\n'
MAY_SUBMIT = replace(ALICE, allowance=replace(ALICE.allowance, scripts={"reduce.sh": ()}, jobs=JobGrant(jobs=2)))


def started(rig: ActionRig) -> int:
    """Let every submission that is out have become a job, and return how many those were."""
    found = [each for each in rig.take() if each.endpoint == "slurm:reduce.sh" and not each.events[0].handle]
    rig.reply(found, STARTED, handle="7 1000 released 0", retry_after_ns=3_600 * SECOND_NS)
    return len(found)


def test_a_user_has_no_more_jobs_than_are_granted(make: MakeRig) -> None:
    """Jobs of all rules of a user count together until they end, also those of a rule that is gone or renamed."""
    one, two = JOB.format(name="one"), JOB.format(name="two")
    rig = make(own_rules_of(one + two, MAY_SUBMIT))
    happen(rig, dict.fromkeys(range(1, 6), MINE), *(b.create(fid=n, name=b"f%d" % n) for n in range(1, 6)))
    assert sum(started(rig) for _ in range(5)) == 2
    for text in (JOB.format(name="three"), TELL.replace('"tell"', '"one"') + JOB.format(name="four")):
        rig.dispatcher._actions.follow(own_rules_of(text, MAY_SUBMIT), ENDPOINTS)
        rig.pass_seconds(60)
        happen(rig, {9: MINE}, b.create(fid=9, name=b"f9", time_ns=rig.now_ns))
        assert started(rig) == 0
    assert [run.rule for run in rig.runs() if run.state == SENT and run.handle] == ["alice/one"] * 2


class _Asked:
    """A transaction that counts how often each of its methods is called."""

    def __init__(self, transaction: Any) -> None:
        self._transaction = transaction
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._transaction, name)


def test_jobs_are_counted_once_for_each_user(make: MakeRig) -> None:
    """However many users' rules wait for a job to end, one write asks once whose jobs go on, and how many."""
    text = "".join(JOB.format(name=f"job{number}") for number in range(4))
    may = replace(MAY_SUBMIT, allowance=replace(MAY_SUBMIT.allowance, rules=4))
    rig = make(own_rules_of(text, may), own_rules_of(text, replace(may, name="bob", uid=1001)))
    happen(rig, {1: MINE, 2: HIS}, b.create(fid=1, name=b"a"), b.create(fid=2, name=b"b"))
    assert sum(started(rig) for _ in range(5)) == 2 * 2
    assert rig.states() == {"sent": 4, "waiting": 4}
    with rig.writer.transaction() as transaction:
        asked: Any = _Asked(transaction)
        rig.dispatcher._actions.runs.hand_out(Turn(asked, Counter(), rig.now_ns), courier=True)
    assert asked.calls["rules_with_runs"] == len(["waiting", "sent"])
    assert asked.calls["count_runs"] == 4
    assert asked.calls["find_runs"] == 0


def test_a_job_is_submitted_when_another_one_has_ended(make: MakeRig) -> None:
    """What the grant has no room for waits, and is submitted when there is room; none is lost."""
    rig = make(own_rules_of(JOB.format(name="one"), MAY_SUBMIT))
    happen(rig, dict.fromkeys(range(1, 6), MINE), *(b.create(fid=n, name=b"f%d" % n) for n in range(1, 6)))
    most = 0
    while rig.states() != {"done": 5}:
        started(rig)
        most = max(most, rig.states().get("sent", 0))
        rig.pass_seconds(3_600)
        rig.settle()
        looks = [each for each in rig.take() if each.events[0].handle]
        rig.reply(looks)
    assert most == 2


def test_a_users_job_is_for_the_users_own_file(make: MakeRig) -> None:
    """A worker is told whose rule it is, so that it submits nothing for a file that is somebody else's by then."""
    rig = make(own_rules_of(JOB.format(name="one"), MAY_SUBMIT))
    happen(rig, {1: MINE, 2: HIS}, b.create(fid=1, name=b"a"), b.create(fid=2, name=b"b"))
    (order,) = [slurm.read(event.body) for each in rig.take() for event in each.events]
    assert (order.path, order.author) == ("/a", 1000)


def test_a_user_asks_for_no_more_than_the_present_rule_does(make: MakeRig) -> None:
    """A submission that failed is made again as the rule stands, since its former words may be granted no more."""
    may = replace(ALICE, allowance=replace(MAY_SUBMIT.allowance, jobs=JobGrant(jobs=2, time="24:00:00")))
    texts = [JOB.format(name="one").replace(" }", f', time = "{time}" }}') for time in ("24:00:00", "01:00:00")]
    rig = make(own_rules_of(texts[0], may))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    rig.reply(rig.take(), AGAIN, error="the limit of submissions is reached")
    rig.dispatcher._actions.follow(own_rules_of(texts[1], may), ENDPOINTS)
    for _ in range(3):
        rig.pass_seconds(30)
        rig.settle()
    (event,) = [event for each in rig.take() for event in each.events]
    assert (slurm.read(event.body).options["time"], event.again) == ("01:00:00", 1)


@pytest.mark.parametrize("outcome", [REFUSED, ENDPOINT])
def test_what_slurm_says_of_the_users_job_is_told(make: MakeRig, outcome: str) -> None:
    """What Slurm refuses holds that user's rule alone, and the user is told in its words."""
    rig = make(own_rules_of(JOB.format(name="one"), MAY_SUBMIT), rules_of(JOB.format(name="one")))
    happen(rig, {1: MINE}, b.create(fid=1, name=b"a"))
    users = {run.id for run in rig.runs() if run.rule == "alice/one"}
    out = [each for each in rig.take() if each.events[0].run in users]
    rig.reply(out, outcome, error="sbatch ended with 1: Invalid account")
    (rule,) = rig.ask("own_rules", user="alice", uid=1000)["rules"]
    assert rule["last_error"] == "sbatch ended with 1: Invalid account"
    assert bool(rule["held"]) == (outcome == ENDPOINT)
    assert [each["held"] for each in rig.ask("actions")["rules"] if each["rule"] == "one"] == [""]


def test_found_is_what_the_dispatcher_follows() -> None:
    """What a catalog finds carries users' actions to the dispatcher with whose files are wrong."""
    rules = ActionRules((), own_rules_of(own("content")).actions.users, frozenset({"bob"}))
    found = Found(Rules(actions=rules))
    assert found.rules.actions.is_paused("bob/x")
    assert not found.rules.actions.is_paused("alice/tell")


def test_a_chain_goes_on_when_the_users_file_is_right_again(make: MakeRig) -> None:
    """What a user's own rule has done while the user's file was wrong is followed when the file is right again."""
    then = '[[rule]]\nname = "then"\nafter = "tell"\naction = "webhook"\nendpoint = "beamline"\n'
    rig = make(own_rules_of(own("content") + then))
    whole = rig.rules
    happen(rig, {1: MINE}, b.create(1))
    out = rig.take()
    rig.rules = Rules((), actions=ActionRules(paused=frozenset({"alice"})))
    rig.restart()
    rig.reply(out)
    assert rig.states() == {"settling": 1, "done": 1}
    rig.rules = whole
    rig.restart()
    happen(rig, {1: MINE})
    assert [each["path"] for each in rig.sent()] == ["/a"]
    assert [(run.rule, run.state) for run in rig.runs()] == [("alice/tell", "done"), ("alice/then", "done")]
