"""What becomes of runs: sent, answered, tried again, held, ended. The index is real; the courier is the test."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.actions import run_transitions
from lustre_events.actions.courier import LATE
from lustre_events.actions.delivery import Answer
from lustre_events.actions.figures import RuleFigures
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, OUTCOMES, REFUSED, STARTED, UNTRIED, Attempt
from lustre_events.changelog.fid import FID
from lustre_events.changelog.record import ChangelogRecord
from lustre_events.cli.actions import rehearsal_lines, rule_line
from lustre_events.dispatcher.action_facts import ActionFacts
from lustre_events.dispatcher.action_sweep import RunSweeper
from lustre_events.dispatcher.run_settling import ReadIndex, pause_of
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.action_run import ENDS, OPEN, Hold, Run, key_of
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.retries import run_delay
from lustre_events.domain.times import SECOND_NS
from lustre_events.errors import ConfigError
from lustre_events.inspect.status import Status, lines
from lustre_events.inspect.status.parts import ActionsStatus
from tests.support.index.places import IndexPlace, open_writer
from tests.support.model.actions import ActionRig, action_rig, rules_of
from tests.support.profiles import examples
from tests.support.records import builders as b
from tests.support.records.builders import fid_of

HOUR = 3_600
RULE = """
[[rule]]
name = "tell"
action = "webhook"
endpoint = "beamline"
{more}
"""
MakeRig = Callable[..., ActionRig]


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    made: list[ActionRig] = []

    def build(more: str = "", rules: str = RULE) -> ActionRig:
        made.append(action_rig(index_place, rules.format(more=more)))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


@pytest.fixture
def rig(make: MakeRig) -> ActionRig:
    return make()


def files(count: int, first: int = 1) -> list[ChangelogRecord]:
    return [b.create(fid=each, name=b"f%d" % each) for each in range(first, first + count)]


def pass_and_settle(rig: ActionRig, seconds: float) -> None:
    rig.pass_seconds(seconds)
    rig.settle()


def test_a_run_is_done_when_the_endpoint_has_taken_it(rig: ActionRig) -> None:
    """What was taken is done, and nothing goes out again."""
    rig.tell(*files(1))
    deliveries = rig.take()
    assert [each.endpoint for each in deliveries] == ["beamline"]
    rig.reply(deliveries)
    pass_and_settle(rig, HOUR)
    assert (rig.states(), rig.take()) == ({"done": 1}, [])


@pytest.mark.long
def test_all_tries_have_one_key_and_one_body(rig: ActionRig) -> None:
    """A run that fails is tried later and later, with the same key and bytes, for a day; then it is dead."""
    rig.tell(*files(1))
    seen: set[tuple[str, bytes]] = set()
    waited: list[float] = []
    while deliveries := rig.take():
        ((event,),) = [each.events for each in deliveries]
        seen.add((event.key, event.body))
        rig.reply(deliveries, AGAIN, error="the server is busy")
        before = rig.now_ns
        while not rig.link.deliveries and rig.states() == {"waiting": 1}:
            pass_and_settle(rig, 120 if waited and waited[-1] > 1_000 else 30)
        waited.append((rig.now_ns - before) / SECOND_NS)
    assert len(seen) == 1
    assert rig.states() == {"dead": 1}
    assert waited[0] < 60 < waited[6] <= HOUR * 1.3
    assert 24 * HOUR <= sum(waited) <= 27 * HOUR


def test_an_answer_counts_for_its_own_attempt_only(rig: ActionRig) -> None:
    """An answer that comes twice, to an attempt whose lease has ended, or to no run at all changes nothing."""
    rig.tell(*files(1))
    first = rig.take()
    pass_and_settle(rig, 100)  # the lease ends
    pass_and_settle(rig, 20)
    second = rig.take()
    assert [each.events for each in second] == [each.events for each in first]
    rig.reply(first, REFUSED)
    assert rig.states() == {"sent": 1}
    rig.reply(second)
    rig.reply(second, REFUSED)
    assert rig.states() == {"done": 1}
    assert rig.writer.counters()["answers_dropped"] == 2


def test_a_refused_batch_is_tried_event_by_event(make: MakeRig) -> None:
    """A batch that an endpoint refuses is sent again one by one: only the event that is refused alone is dead."""
    rig = make("batch = 3")
    rig.tell(*files(3))
    (together,) = rig.take()
    assert len(together.events) == 3
    rig.reply([together], REFUSED, status=400, error="no")
    alone = rig.take()
    assert [len(each.events) for each in alone] == [1, 1, 1]
    rig.reply(alone[:2])
    rig.reply(alone[2:], REFUSED, status=400, error="no")
    assert rig.states() == {"done": 2, "dead": 1}


def test_a_wrong_endpoint_is_held_and_costs_no_run_anything(make: MakeRig) -> None:
    """An endpoint that says it is the wrong one is held; its runs go on when it is released, all others at once."""
    rig = make(rules=RULE + RULE.replace("tell", "too").replace("beamline", "other"))
    rig.tell(*files(3))
    mine = [each for each in rig.take() if each.endpoint == "beamline"]
    rig.reply(mine, ENDPOINT, status=404, error="nothing answers at its URL")
    pass_and_settle(rig, HOUR)
    pass_and_settle(rig, 60)
    assert {each.endpoint for each in rig.take()} == {"other"}
    found = rig.ask("actions")
    assert [each["held"] for each in found["endpoints"] if each["endpoint"] == "beamline"] == [
        "nothing answers at its URL"
    ]
    assert rig.ask("release_action", name="beamline") == {"kind": "endpoint", "released": True}
    rig.settle()
    again = [each for each in rig.take() if each.endpoint == "beamline"]
    rig.reply(again)
    assert [run.attempts for run in rig.runs() if run.endpoint == "beamline"] == [1, 1, 1]


def test_newer_content_supersedes_what_was_not_delivered(rig: ActionRig) -> None:
    """A run that waits or fails while newer content comes ends superseded; the newer one is delivered."""
    rig.tell(*files(1))
    rig.reply(rig.take(), AGAIN)
    rig.tell(b.close(fid=1, time_ns=rig.now_ns))
    assert rig.states()["superseded"] == 1
    pass_and_settle(rig, 10)
    newer = rig.take()
    rig.tell(b.close(fid=1, time_ns=rig.now_ns))
    rig.reply(newer, AGAIN)
    pass_and_settle(rig, 10)
    rig.reply(rig.take())
    assert rig.states() == {"done": 1, "superseded": 2}


def test_newer_content_supersedes_what_a_guard_held(make: MakeRig) -> None:
    """Of content that the loop guard holds only the newest stays; a release tells it, not all that came before."""
    rig = make()
    for _ in range(23):
        rig.tell(b.create(fid=1) if not rig.runs() else b.close(time_ns=rig.now_ns))
        pass_and_settle(rig, 5)
        rig.sent()
    assert rig.states() == {"done": 20, "held": 1, "superseded": 2}
    (held,) = [run for run in rig.runs() if run.state == "held"]
    assert held.stamp == max(run.stamp for run in rig.runs())
    assert rig.ask("release_runs", rule="tell") == {"runs": 1}


def test_what_was_delivered_meanwhile_supersedes_what_failed(rig: ActionRig) -> None:
    """A run whose attempt fails after newer content was delivered is not tried again."""
    rig.tell(*files(1))
    older = rig.take()
    rig.tell(b.close(fid=1, time_ns=rig.now_ns))
    rig.reply(rig.take())
    rig.reply(older, AGAIN)
    assert rig.states() == {"done": 1, "superseded": 1}


def test_old_content_that_is_dead_is_not_tried_again_behind_newer(rig: ActionRig) -> None:
    """Who has all dead runs tried again tells no endpoint of content that is older than what it has."""
    rig.tell(*files(2))
    rig.reply(rig.take(), REFUSED, together=0)
    rig.tell(b.close(fid=1, time_ns=rig.now_ns))
    rig.reply(rig.take())
    assert rig.ask("retry_runs", rule="tell") == {"runs": 1}
    assert rig.states() == {"sent": 1, "done": 1, "superseded": 1}
    assert [body["path"] for body in rig.sent()] == ["/f2"]


def test_names_that_failed_are_all_told(make: MakeRig) -> None:
    """A rename is an event of its own: a newer one does not end one that failed."""
    rig = make('on = "renamed"')
    rig.tell(b.create(fid=1, name=b"a"), b.rename(fid=1, name=b"a", to=b"b", time_ns=rig.now_ns))
    older = rig.take()
    rig.tell(b.rename(fid=1, name=b"b", to=b"c", time_ns=rig.now_ns))
    rig.reply(older, AGAIN)
    assert rig.states() == {"waiting": 1, "sent": 1}


def test_what_turns_out_to_be_no_content_ends_no_run(rig: ActionRig) -> None:
    """A run that failed, and waits, outlives an archive of its file, whose CLOSE has changed nothing."""
    rig.tell(*files(1))
    rig.reply(rig.take(), AGAIN)
    rig.tell(b.hsm(fid=1, time_ns=rig.now_ns), b.close(fid=1, time_ns=rig.now_ns))
    assert len(rig.sent()) == 1
    assert rig.states() == {"done": 1}


def test_a_rule_that_was_edited_is_asked_again_about_what_nobody_tried(rig: ActionRig) -> None:
    """Runs that nobody tried follow the edited rule, a tried one keeps its own, and those of a gone rule end."""
    rig.tell(*files(1))
    rig.reply(rig.take(), AGAIN)
    rig.ask("hold_action", name="tell")
    rig.tell(*files(2, first=2))
    rig.dispatcher._actions.follow(rules_of(RULE.format(more='extensions = ["no"]')), rig.endpoints)
    rig.ask("release_action", name="tell")
    pass_and_settle(rig, 30)
    assert [len(each.events) for each in rig.take()] == [1]
    assert rig.states() == {"sent": 1}
    rig.dispatcher._actions.follow(rules_of(""), rig.endpoints)
    pass_and_settle(rig, 120)
    pass_and_settle(rig, 120)
    assert rig.states() == {"cancelled": 1}


def test_a_run_that_was_tried_goes_where_it_was_tried(rig: ActionRig) -> None:
    """A rule gets another endpoint: what was tried goes to the old one while that is there and is not held."""
    rig.tell(*files(2))
    rig.reply(rig.take(), AGAIN)
    follow = rig.dispatcher._actions.follow
    edited = rules_of(RULE.format(more="").replace("beamline", "other"))
    follow(edited, rig.endpoints)
    rig.tell(*files(1, first=3))
    (new,) = rig.take()
    rig.reply([new])
    pass_and_settle(rig, 20)
    tried = rig.take()
    assert [each.endpoint for each in (new, *tried)] == ["other", "beamline", "beamline"]
    rig.reply(tried[:1], AGAIN)
    rig.reply(tried[1:], ENDPOINT, error="it answered 404")
    pass_and_settle(rig, 120)
    assert rig.take() == []  # both wait for the endpoint that is held
    keys = {run.key for run in rig.runs() if run.state == "waiting"}
    follow(edited, {name: each for name, each in rig.endpoints.items() if name != "beamline"})
    pass_and_settle(rig, 20)
    pass_and_settle(rig, 20)
    moved = rig.take()
    assert [each.endpoint for each in moved] == ["other"] * 2
    assert {event.key for each in moved for event in each.events} == keys


def test_what_was_made_for_another_kind_of_endpoint_is_made_anew(rig: ActionRig) -> None:
    """A rule that mails now sends no event made for a webhook to the mail server, and keeps the key."""
    rig.tell(*files(1))
    ((event,),) = [each.events for each in rig.take()]
    rig.dispatcher._actions.follow(
        rules_of(RULE.format(more="").replace("webhook", "mail").replace("beamline", "managers")),
        {name: each for name, each in rig.endpoints.items() if name != "beamline"},
    )
    pass_and_settle(rig, 100)
    pass_and_settle(rig, 20)
    (mail,) = rig.take()
    assert (mail.endpoint, mail.events[0].key) == ("managers", event.key)
    assert json.loads(mail.events[0].body).keys() == {"subject", "text", "time_ns", "user"}


def test_a_courier_whose_clock_is_wrong_is_told_and_not_asked_without_end(rig: ActionRig) -> None:
    """What a courier gets too late, by its own clock, comes again after a while, and the rule says why it waits."""
    rig.tell(*files(1))
    rig.reply(rig.take(), UNTRIED, error=LATE, retry_after_ns=10 * SECOND_NS)
    rig.settle()
    assert (rig.take(), rig.states()) == ([], {"waiting": 1})
    (rule,) = rig.ask("actions")["rules"]
    assert "compare the clocks" in rule["last_error"]
    pass_and_settle(rig, 11)
    assert [run.attempts for run in rig.runs()] == [1]
    assert len(rig.sent()) == 1


def test_the_courier_says_nothing_of_jobs_and_files(rig: ActionRig) -> None:
    """An answer of the courier that names a job or files, which only workers have, does not count."""
    rig.tell(*files(1))
    deliveries = rig.take()
    rig.reply(deliveries, STARTED, handle="7")
    rig.reply(deliveries, OK, handle="7")
    rig.reply(deliveries, outputs=(b"etc/passwd",), made=1)
    rig.reply(deliveries, AGAIN, arrived=1)
    assert (rig.states(), rig.writer.counters()["answers_dropped"]) == ({"sent": 1}, 4)
    rig.reply(deliveries)
    assert rig.states() == {"done": 1}


@pytest.mark.parametrize("hours", [1, 24 * 5])
def test_a_clock_that_is_set_back_stops_nothing(make: MakeRig, hours: int) -> None:
    """Rates, probes, leases, retries and floors of a time that was never reached hold nothing up."""
    rig = make("per_minute = 8\nrunning = 4")
    true_ns = rig.now_ns
    pass_and_settle(rig, hours * HOUR)
    rig.tell(*files(8))
    for _ in range(3):
        rig.reply(rig.take(), AGAIN)
        pass_and_settle(rig, 61)
    rig.dispatcher._actions.follow(rules_of(RULE.format(more="").replace("tell", "new") + RULE.format(more="")),
                                   rig.endpoints)  # fmt: skip
    rig.settle()
    rig.now_ns = true_ns + 100 * SECOND_NS
    rig.settle()
    rig.tell(b.create(fid=20, name=b"f20", time_ns=rig.now_ns))
    for _ in range(60):
        rig.reply(rig.take())
        pass_and_settle(rig, 120)
    states = [run.state for run in rig.runs() if run.rule == "tell"]
    assert states == ["done"] * 9
    assert [run.state for run in rig.runs() if run.rule == "new"] == ["done"]


LONG_COPY = """
[[rule]]
name = "ship"
action = "transfer"
endpoint = "archive"
"""


def test_a_copy_with_a_long_lease_is_out_once(make: MakeRig) -> None:
    """A run whose endpoint has a day for an attempt stays out until its lease ends, and no second copy begins."""
    rig = make(rules=LONG_COPY)
    slow = replace(rig.endpoints["transfer:archive"], timeout_seconds=24 * HOUR)
    rig.dispatcher._actions.follow(rules_of(LONG_COPY), {**rig.endpoints, "transfer:archive": slow})
    rig.tell(*files(1))
    deliveries = rig.take()
    for _ in range(3):
        pass_and_settle(rig, 61)
    assert (rig.states(), rig.take()) == ({"sent": 1}, [])
    rig.dispatcher._actions.follow(rules_of(LONG_COPY), rig.endpoints)  # edited, to less
    pass_and_settle(rig, 61)
    assert (rig.states(), rig.take()) == ({"sent": 1}, [])
    rig.reply(deliveries)
    assert rig.states() == {"done": 1}


def test_an_answer_that_is_dropped_frees_its_room_at_the_endpoint(rig: ActionRig) -> None:
    """Whoever answers has ended, even if nobody waits for that answer: others go out instead."""
    rig.tell(*files(9))
    out = rig.take()
    assert len(out) == 8
    rig.link.put_answers([Answer("forgotten", each.attempt, OK) for each in out])
    rig.settle()
    assert rig.writer.counters()["answers_dropped"] == 8
    assert len(rig.take()) == 1


def test_counting_runs_takes_no_lock(rig: ActionRig, index_place: IndexPlace) -> None:
    """Who asks how many runs there are is answered while somebody else writes, from what is committed."""
    rig.tell(*files(3))
    with contextlib.closing(open_writer(index_place)) as other, rig.writer.transaction() as transaction:
        transaction.put_hold(Hold("rule", "tell", "why", 1))
        assert other.count_runs(("sent", "dead"), 10) == {"tell": {"sent": 3}}
        assert other.count_runs(("sent", "dead"), 2) == {"tell": {"sent": 2}}
    (rule,) = rig.ask("actions")["rules"]
    assert rule["runs"] == {"settling": 0, "waiting": 0, "sent": 3, "held": 0, "dead": 0}


def test_runs_are_counted_of_the_rules_that_are_asked_for(make: MakeRig) -> None:
    """A rule tells its own runs, however many others have, and of rules that nobody asks about none is counted."""
    rig = make(rules="".join(RULE.format(more="").replace('"tell"', f'"{name}"') for name in "abc"))
    rig.tell(*files(2))
    assert rig.writer.count_runs(("sent",), 1, ["b", "c"]) == {"b": {"sent": 1}, "c": {"sent": 1}}
    assert rig.writer.count_runs(("sent",), 9, ["c", "none"]) == {"c": {"sent": 2}}


def test_a_count_is_told_again_for_two_seconds() -> None:
    """Who asks about rules costs a count of these alone, and none within two seconds, whatever the clock does."""
    counted: list[list[str]] = []

    def count(states: Collection[str], most: int, rules: Collection[str] | None) -> dict[str, dict[str, int]]:
        if rules is not None:
            counted.append([*rules])
        return {name: {"dead": len(counted)} for name in rules or ()}

    facts = ActionFacts(count)
    told = []
    for second, asked in ((10, ["a", "b"]), (11, ["b"]), (11, []), (11.9, ["b", "c"]), (12, ["b"]), (5, ["b"])):
        facts.look(int(second * SECOND_NS), asked)
        told.append(facts.told("b")["dead"])
    assert counted == [["a", "b"], ["c"], ["b"], ["b"]]
    assert told == [1, 1, 1, 1, 3, 4]


def test_metrics_name_few_rules() -> None:
    """However many rules there are, metrics have the site's first 200, the others and those of users together."""
    figures = RuleFigures()
    names = [*(f"rule{number:03}" for number in range(250)), "alice/a secret project", "bob/other"]
    for number, name in enumerate(names):
        done = msgspec.structs.replace(RUN, rule=name, state="done", ready_ns=0, ended_ns=number * SECOND_NS)
        figures.note([done, msgspec.structs.replace(RUN, rule=name, state="waiting", error="a secret")], number)
    told = figures.published()
    assert (len(told), "secret" in str(told)) == (202, False)
    assert told["rule007"] == {"done": 1, "p99_seconds": 7.0, "last_error_ns": 7}
    assert told["(others)"] == {"done": 50, "p99_seconds": 249.0, "last_error_ns": 249}
    assert told["(users)"] == {"done": 2, "p99_seconds": 251.0, "last_error_ns": 251}


def test_figures_sort_times_only_when_there_are_new_ones() -> None:
    """What is published each second costs no sorting while nothing new was done; what was done then counts."""
    compared = 0

    class Time(int):
        def __sub__(self, other: int) -> Time:
            return Time(int(self) - other)

        def __lt__(self, other: int) -> bool:
            nonlocal compared
            compared += 1
            return int(self) < int(other)

    def done(seconds: int) -> Run:
        return msgspec.structs.replace(RUN, state="done", ready_ns=0, ended_ns=Time(seconds * SECOND_NS))

    figures = RuleFigures()
    figures.note([done(seconds) for seconds in (3, 1, 2)], 1)
    assert figures.published()[RUN.rule]["p99_seconds"] == 3
    before = compared
    assert figures.published()[RUN.rule]["p99_seconds"] == 3
    assert figures.told(RUN.rule, 1, own=False)["p99_seconds"] == 3
    assert (before > 0, compared) == (True, before)
    figures.note([done(4)], 2)
    assert figures.published()[RUN.rule]["p99_seconds"] == 4
    assert compared > before


def test_each_rule_tells_how_it_does(rig: ActionRig) -> None:
    """A rule tells what was done in the last minute, how soon, and its last error, also of before a restart."""
    rig.tell(*files(2))
    rig.pass_seconds(3)
    rig.reply(rig.take())
    (rule,) = rig.ask("actions")["rules"]
    assert (rule["per_minute"], rule["last_error"]) == (2, "")
    assert 3 <= rule["p99_seconds"] < 60
    rig.pass_seconds(61)
    rig.tell(*files(1, first=3))
    rig.reply(rig.take(), REFUSED, status=418, error="it answered 418", together=0)
    (rule,) = rig.ask("actions")["rules"]
    assert (rule["per_minute"], rule["last_error"]) == (0, "it answered 418")
    assert "; 0 done in the last minute, 99 % within " in rule_line(rule)
    assert rule_line(rule).endswith(": it answered 418")
    rig.restart()
    rig.settle()
    (again,) = rig.ask("actions")["rules"]
    assert (again["last_error"], again["p99_seconds"]) == ("it answered 418", None)
    assert again["last_error_ns"] == rule["last_error_ns"]


def test_what_is_too_old_is_listed_and_not_sent(make: MakeRig) -> None:
    """After a long hold what has expired is counted as that, and not sent."""
    rig = make("expires_seconds = 3600")
    rig.ask("hold_action", name="tell")
    rig.tell(*files(2))
    rig.pass_seconds(2 * HOUR)
    rig.ask("release_action", name="tell")
    rig.settle()
    assert (rig.take(), rig.states()) == ([], {"expired": 2})


def test_a_burst_holds_the_rule_and_loses_nothing(make: MakeRig) -> None:
    """More runs in a minute than `burst` hold the rule; all of them wait, and go out when it is released."""
    rig = make("burst = 5\nbatch = 500")
    rig.tell(*files(8))
    assert rig.take() == []
    (rule,) = rig.ask("actions")["rules"]
    assert "8 runs within a minute" in rule["held"]
    assert rule["runs"]["waiting"] == 8
    rig.ask("release_action", name="tell")
    rig.settle()
    assert sum(len(each.events) for each in rig.take()) == 8


@pytest.mark.long
def test_an_action_that_wakes_itself_is_held(rig: ActionRig) -> None:
    """More than 20 runs within an hour for one path are held: most likely the action changes the file."""
    for _ in range(22):
        rig.tell(b.create(fid=1) if not rig.runs() else b.close(time_ns=rig.now_ns))
        pass_and_settle(rig, 5)
        rig.sent()
    assert rig.states() == {"done": 20, "held": 1, "superseded": 1}
    assert rig.ask("drop_runs", rule="tell") == {"runs": 1}


def test_without_a_courier_nothing_more_goes_out_and_status_says_so(make: MakeRig) -> None:
    """While nobody takes deliveries no more are made, however many leases end; all go out when one is back."""
    rig = make("batch = 1")
    rig.tell(*files(30))
    first = len(rig.link.deliveries)
    for _ in range(20):
        pass_and_settle(rig, 60)
    assert len(rig.link.deliveries) <= 2 * first
    told = msgspec.json.decode(rig.store.dispatcher_state["actions"], type=ActionsStatus)
    assert told.courier_silent_seconds > 600
    assert told.deliveries_waiting == len(rig.link.deliveries)
    assert sum(told.runs["tell"].values()) == 30
    (sentence,) = (line for line in lines(Status(time_ns=1, actions=told)) if line.startswith("problem"))
    assert "start one: systemctl start lustre-events-courier" in sentence
    for _ in range(60):
        rig.reply(rig.take())
        pass_and_settle(rig, 2)
    assert rig.states() == {"done": 30}
    told = msgspec.json.decode(rig.store.dispatcher_state["actions"], type=ActionsStatus)
    assert (told.courier_silent_seconds, told.deliveries_waiting) == (0, 0)


def test_rates_and_bounds_make_runs_wait(make: MakeRig) -> None:
    """No more go out in a minute than `per_minute`, and no more are out than `running`."""
    rig = make("per_minute = 3")
    rig.tell(*files(5))
    first = rig.take()
    rig.reply(first)
    assert (len(first), rig.take()) == (3, [])
    pass_and_settle(rig, 61)
    assert len(rig.take()) == 2


def test_a_failing_endpoint_is_probed_once_a_minute(make: MakeRig) -> None:
    """After five failures in a row one run a minute tries the endpoint, until it works; then all go on."""
    rig = make()
    rig.tell(*files(20))
    for _ in range(4):
        rig.reply(rig.take(), AGAIN)
    tried = 0
    for _ in range(10):
        pass_and_settle(rig, 61)
        probes = rig.take()
        tried += len(probes)
        rig.reply(probes, AGAIN)
    assert 9 <= tried <= 11
    pass_and_settle(rig, 61)
    rig.reply(rig.take())
    assert len(rig.take()) > 1


def test_one_endpoint_that_hangs_slows_no_other(make: MakeRig) -> None:
    """What is out to an endpoint is bounded, and others get theirs meanwhile."""
    rig = make(rules=RULE + RULE.replace("tell", "too").replace("beamline", "other"))
    rig.tell(*files(30))
    done = 0
    for _ in range(20):
        deliveries = rig.take()
        done += len([each for each in deliveries if each.endpoint == "other"])
        rig.reply([each for each in deliveries if each.endpoint == "other"])
    assert done == 30
    assert rig.states() == {"done": 30, "sent": 8, "waiting": 22}


def test_a_body_that_is_too_large_is_dead_with_a_sentence(make: MakeRig) -> None:
    """A body beyond 64 KiB is never sent; its run says why."""
    rig = make('body = { a = "' + "x" * 70_000 + '" }')
    rig.tell(*files(1))
    (run,) = rig.ask("runs")["runs"]
    assert (run["state"], "64 KiB" in run["error"], rig.take()) == ("dead", True, [])


def test_a_person_retries_drops_and_cancels(rig: ActionRig) -> None:
    """Dead runs are tried again or dropped, by key or rule; what waits is cancelled; a wrong key is a sentence."""
    rig.tell(*files(2))
    rig.reply(rig.take(), REFUSED)
    first, second = rig.ask("runs", states=["dead"])["runs"]
    assert rig.ask("retry_runs", key=first["key"]) == {"runs": 1}
    rig.settle()
    (again,) = rig.take()
    assert again.events[0].key == first["key"]
    assert rig.ask("drop_runs", rule="tell") == {"runs": 1}
    rig.reply([again], AGAIN)
    assert rig.ask("cancel_runs", rule="tell") == {"runs": 1}
    assert rig.states() == {"cancelled": 1, "dropped": 1}
    with pytest.raises(ConfigError, match="no run 'abc' is dead or held"):
        rig.ask("retry_runs", key="abc")
    with pytest.raises(ConfigError, match="no run is named"):
        rig.ask("drop_runs")
    assert rig.ask("drop_runs", keys=[second["key"], "none", ""]) == {"runs": 0}
    assert second["key"] != first["key"]


def test_ended_runs_are_forgotten_after_a_month_and_dead_ones_are_not(rig: ActionRig) -> None:
    """The ledger forgets what ended 30 days ago, except the dead; what has fired is not forgotten."""
    rig.tell(*files(2))
    one, other = rig.take()
    rig.reply([one])
    rig.reply([other], REFUSED)
    pass_and_settle(rig, 31 * 24 * HOUR)
    assert rig.states() == {"dead": 1}
    assert len(rig.select("SELECT rule FROM fired")) == 2


def test_the_oldest_of_too_many_ended_runs_are_forgotten(rig: ActionRig) -> None:
    """Of more ended runs than are kept the oldest are forgotten, and never dead ones; the counters say how many."""
    rig.dispatcher._actions.sweeper = RunSweeper(most=4)
    rig.tell(*files(1))
    rig.reply(rig.take(), REFUSED)
    for each in range(6):
        rig.tell(*files(1, first=10 + each))
        rig.reply(rig.take())
    pass_and_settle(rig, 61)
    assert rig.states() == {"done": 3, "dead": 1}
    counters = rig.writer.counters()
    assert counters["runs_swept"] == 3
    assert run_transitions.kept(counters) == 4
    assert (
        min(run.made_ns for run in rig.runs() if run.state == "done")
        == sorted(run.made_ns for run in rig.runs())[1]
    )


def test_an_event_says_what_the_standard_wants(make: MakeRig) -> None:
    """A body is a CloudEvent: its id is the key, and what cannot be UTF-8 is percent-encoded, and said to be."""
    rig = make()
    rig.tell(b.create(name=b"caf\xe9 {path}\n"))
    ((event,),) = [each.events for each in rig.take()]
    body = json.loads(event.body)
    assert (body["specversion"], body["id"], body["type"]) == ("1.0", event.key, "io.lustre-events.file.content")
    assert body["subject"] == "/caf%E9%20%7Bpath%7D%0A"
    assert (body["data"]["path"], body["data"]["encoding"], body["data"]["size"]) == (
        body["subject"],
        "percent",
        10,
    )
    rig.tell(b.create(2, name=b"{fid} {{rule}}"))
    ((event,),) = [each.events for each in rig.take()]
    assert json.loads(event.body)["data"]["path"] == "/{fid} {{rule}}"  # a name is no template


def test_documents_fill_bodies(index_place: IndexPlace) -> None:
    """A body may name keys of documents; what no document has is null."""
    more = 'body = { a = "{doc.tabular.rows}", b = "{doc.tabular.x.y}", c = "n={doc.tabular.rows}" }'
    rig = action_rig(index_place, RULE.format(more=more))
    rows = {"tabular": {"rows": 3}}
    rig.dispatcher._actions.settling._reading = ReadIndex(
        lambda fids: dict.fromkeys(fids, rows), lambda _query, _fids, _viewer: ()
    )
    rig.tell(*files(1))
    assert rig.sent() == [{"a": 3, "b": None, "c": "n=3"}]
    rig.close()


def test_documents_of_few_files_are_read_together(index_place: IndexPlace) -> None:
    """However many files a rule that names their documents is asked about, it holds few of these in memory."""
    rig = action_rig(index_place, RULE.format(more='body = { a = "{doc.tabular.rows}" }'))
    read: list[int] = []

    def documents(fids: Collection[FID]) -> Mapping[FID, Mapping[str, Any]]:
        read.append(len(fids))
        return {fid: {"tabular": {"rows": 3}} for fid in fids}

    rig.dispatcher._actions.settling._reading = ReadIndex(documents, lambda _query, _fids, _viewer: ())
    rig.tell(*files(60))
    rig.pass_seconds(1)
    rig.settle()
    assert max(read) == 25
    assert rig.states().get("settling", 0) == 0
    assert len(rig.runs()) == 60
    rig.close()


# The ledger alone

RUN = Run(id="1", key="k", rule="r", digest="d", trigger="content", endpoint="e", action="webhook", fid=b.fid_of(1))


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, Attempt | None]]:
    steps = ["ready", "out", "answer", "lost", "superseded", "cancelled", "expired", "held", "released", "dropped"]
    attempts = st.builds(
        Attempt, st.sampled_from(OUTCOMES), together=st.integers(0, 2), retry_after_ns=st.integers(0, 10**15)
    )
    return draw(st.lists(st.tuples(st.sampled_from(steps), attempts), max_size=30))


def moved(run: Run, step: str, attempt: Attempt, now_ns: int) -> Run:
    """Do a step where the run's state allows it, as the dispatcher would."""
    if run.state == "settling" and step == "ready":
        return run_transitions.ready(run, b"{}", b"p", 1, now_ns)
    if run.state == "waiting" and step in {"out", "superseded", "cancelled", "expired", "held"}:
        return {
            "out": lambda: run_transitions.handed_out(run, "a", now_ns, 10),
            "superseded": lambda: run_transitions.superseded(run, now_ns),
            "cancelled": lambda: run_transitions.cancelled(run, now_ns, "why"),
            "expired": lambda: run_transitions.expired(run, now_ns),
            "held": lambda: run_transitions.held(run, "why"),
        }[step]()
    if run.state == "sent" and step in {"answer", "lost"}:
        return (
            run_transitions.taken(run, attempt, now_ns) if step == "answer" else run_transitions.lost(run, now_ns)
        )
    if run.state in {"dead", "held"} and step in {"released", "dropped"}:
        return run_transitions.released(run, now_ns) if step == "released" else run_transitions.dropped(run, now_ns)
    return run


@examples(200)
@given(lives())
def test_whatever_happens_counters_add_up_and_the_key_stays(life: list[tuple[str, Attempt]]) -> None:
    """Of any life of a run the key and what is sent stay the same, an end has a time, and the counters add up."""
    run, counters = RUN, run_transitions.counted(None, RUN.state)
    for now_ns, (step, attempt) in enumerate(life, start=1):
        after = moved(run, step, attempt, now_ns * 3_600 * SECOND_NS)
        counters.update(run_transitions.counted(run.state, after.state))
        assert after.key == run.key
        assert run.body in {b"", after.body}
        assert (after.state in ENDS) == bool(after.ended_ns)
        run = after
    ends = sum(counters[f"runs_{state}"] for state in ENDS)
    assert counters["runs_made"] + counters["runs_reopened"] == ends + (run.state in OPEN)


@examples(100)
@given(st.integers(1, 40))
def test_waits_grow_up_to_an_hour(attempts: int) -> None:
    """The wait before a try doubles from about 10 s up to about an hour, and differs from run to run."""
    one = run_delay(Run(**{**{f: getattr(RUN, f) for f in RUN.__struct_fields__}, "attempts": attempts}))
    assert 8 * SECOND_NS <= one <= 3_600 * 1.2 * SECOND_NS
    assert one >= 0.8 * SECOND_NS * min(10 * 2 ** (attempts - 1), 3_600)


def test_a_key_is_of_the_record_and_not_of_the_epoch() -> None:
    """A record read again under another epoch has the same key; another record, rule or trigger has another one."""
    stamp, again, following = (OrderKey(7, 1, *each).pack() for each in ((2, 5), (3, 5), (2, 6)))
    assert key_of("r", "content", stamp) == key_of("r", "content", again)
    assert len({key_of("r", "content", stamp), key_of("r", "content", following), key_of("s", "content", stamp),
                key_of("r", "removed", stamp), key_of("r", "content", stamp, "2")}) == 5  # fmt: skip


def test_a_backfill_acts_once_more_and_a_rehearsal_writes_nothing(make: MakeRig) -> None:
    """A backfill sends files again under new keys, once however often it is asked; a rehearsal only tells."""
    rig = make()
    rig.tell(*files(2))
    (first,) = {event.key for delivery in rig.take() for event in delivery.events if b"f1" in event.body}
    fid = str(fid_of(1))
    rehearsed = rig.ask("rehearse_action", rule="tell", fids=[fid])
    assert json.loads(rehearsed["files"][0]["body"])["data"]["path"] == "/f1"
    assert rehearsed["files"][0]["path"] == "/f1"
    assert next(rehearsal_lines(rehearsed)).startswith("/f1: webhook to ")
    del rehearsed["files"][0]["path"]  # as a dispatcher of the version before tells it
    assert next(rehearsal_lines(rehearsed)).startswith(f"{fid}: webhook to ")
    assert rehearsed["where"] == "https://beamline.example.org"
    assert len(rig.runs()) == 2
    pass_and_settle(rig, 1)
    for _ in range(2):
        assert rig.ask("backfill", rule="tell", fids=[fid], once="t") == {"runs": 1}
    rig.settle()
    ((event,),) = [each.events for each in rig.take()]
    assert event.key != first
    assert json.loads(event.body)["data"]["path"] == "/f1"
    with pytest.raises(ConfigError, match="did you mean tell"):
        rig.ask("backfill", rule="tel", fids=[fid], once="t")


@examples(50)
@given(st.integers(0, 366 * 24 * HOUR))
def test_no_pause_is_longer_than_other_waits(age: int) -> None:
    """However old a run is, it is looked at again within hours: what is due later comes from a wrong clock."""
    turn = cast("Turn", SimpleNamespace(now_ns=age * SECOND_NS))
    assert 0 < pause_of(turn, RUN) <= 24 * HOUR * SECOND_NS
