"""Rules that come after another one: when their runs are made, what they know, and which chains are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import structs

from lustre_events.actions.delivery import MOST_NAMED_BYTES, Answer, decode_answers, encode_answers
from lustre_events.actions.kinds import slurm
from lustre_events.actions.run_transitions import AGAIN, REFUSED
from lustre_events.domain.rules.containers import MOST_DEPTH
from lustre_events.errors import ConfigError
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ActionRig, action_rig, rules_of
from tests.support.records import builders as b
from tests.support.rows import each_row

CALIBRATE = '[[rule]]\nname = "calibrate"\naction = "calibrate"\noutputs = "out"\n'
WEBHOOK = '[[rule]]\nname = "{name}"\n{when}\naction = "webhook"\nendpoint = "{to}"\nbody = {body}\n{more}\n'
PATH = '{ path = "{path}" }'
BODY = '{ path = "{path}", outputs = "{outputs}", key = "{key}", why = "{trigger}" }'
MakeRig = Callable[[str], ActionRig]


def webhook(name: str, when: str = "", body: str = PATH, more: str = "", to: str = "beamline") -> str:
    return WEBHOOK.format(name=name, when=when, to=to, body=body, more=more)


SHIP = webhook("ship", 'after = "calibrate"', BODY)


@pytest.fixture
def make(index_place: IndexPlace) -> Iterator[MakeRig]:
    made: list[ActionRig] = []

    def build(rules: str) -> ActionRig:
        made.append(action_rig(index_place, rules))
        return made[-1]

    yield build
    for rig in made:
        rig.close()


def test_a_rule_follows_the_success_of_another(make: MakeRig) -> None:
    """A run is made when the one before it has succeeded, not before, with the paths of what that one has made."""
    rig = make(CALIBRATE + SHIP)
    rig.tell(b.create(1, name=b"a.h5"))
    first = rig.take()
    assert [each.endpoint for each in first] == ["container:calibrate"]
    rig.reply(first, AGAIN, error="not now")
    rig.pass_seconds(100)
    rig.settle()
    assert rig.states() == {"sent": 1}
    rig.reply(rig.take(), outputs=(b"out/a \xff.h5", b"out/b.h5"), made=2)
    rig.restart()
    rig.settle()
    (told,) = rig.sent()
    assert (told["path"], told["why"]) == ("/a.h5", "after")
    assert told["outputs"] == ["/out/a%20%FF.h5", "/out/b.h5"]
    parent, child = rig.runs()
    assert (child.parent, child.because, child.depth) == (parent.key, "content", 1)
    assert (child.key, rig.states()) == (told["key"], {"done": 2})
    counted = rig.writer.counters()
    assert (counted["runs_made"], counted["runs_done"]) == (2, 2)


def test_nothing_follows_what_has_not_succeeded(make: MakeRig) -> None:
    """A run that is dead or dropped starts nothing; one that a person tries again, and that succeeds then, does."""
    rig = make(webhook("first") + webhook("then", 'after = "first"'))
    rig.tell(b.create(1), b.create(2, name=b"g"))
    rig.reply(rig.take(), REFUSED, error="no")
    assert rig.states() == {"dead": 2}
    one, other = rig.runs()
    rig.ask("drop_runs", key=other.key)
    rig.ask("retry_runs", key=one.key)
    rig.settle()
    assert len(rig.sent()) == 1
    assert len(rig.sent()) == 1
    assert (rig.sent(), rig.states()) == ([], {"done": 2, "dropped": 1})


def test_each_rule_of_a_chain_has_its_own_conditions(make: MakeRig) -> None:
    """A rule that follows is asked about the same object; where it does not hold the chain ends."""
    rules = webhook("a") + webhook("b", 'after = "a"', more='extensions = ["h5"]') + webhook("c", 'after = "b"')
    rig = make(rules)
    rig.tell(b.create(1, name=b"x.h5"), b.create(2, name=b"x.txt"))
    told = [[each["path"] for each in rig.sent()] for _ in range(3)]
    assert sorted(told[0]) == ["/x.h5", "/x.txt"]
    assert told[1:] == [["/x.h5"], ["/x.h5"]]
    assert [run.because for run in rig.runs()].count("content") == 2


def test_outputs_are_those_of_the_last_container(make: MakeRig) -> None:
    """What a container has made is known along the chain, also behind a rule that makes nothing."""
    rig = make(CALIBRATE + webhook("tell", 'after = "calibrate"') + webhook("ship", 'after = "tell"', BODY))
    rig.tell(b.create(1, name=b"a.h5"))
    rig.reply(rig.take(), outputs=(b"out/a.h5",), made=1)
    assert rig.sent() == [{"path": "/a.h5"}]
    assert [each["outputs"] for each in rig.sent()] == [["/out/a.h5"]]


@pytest.mark.parametrize(
    ("said", "words"),
    [({}, "no run before it has said what it made"), ({"outputs": (b"x",), "made": 9}, "has made 9 files")],
)
def test_outputs_that_are_not_known_are_said(make: MakeRig, said: dict[str, Any], words: str) -> None:
    """A run that names outputs which nobody has told, or not all of them, is dead, and says why."""
    rig = make(CALIBRATE + SHIP)
    rig.tell(b.create(1, name=b"a.h5"))
    rig.reply(rig.take(), **said)
    rig.settle()
    assert rig.states() == {"done": 1, "dead": 1}
    assert words in rig.runs()[1].error


def test_a_job_gets_the_outputs_as_arguments(make: MakeRig) -> None:
    """A job that follows a container has one argument for each output, with all bytes of its name."""
    given = 'with = { script = "reduce.sh", arguments = ["-v", "{outputs}"] }\n'
    rig = make(CALIBRATE + f'[[rule]]\nname = "job"\nafter = "calibrate"\naction = "slurm"\n{given}')
    rig.tell(b.create(1, name=b"a.h5"))
    rig.reply(rig.take(), outputs=(b"out/ \xff", b"out/b"), made=2)
    rig.settle()
    (delivery,) = rig.take()
    order = slurm.read(delivery.events[0].body)
    assert (order.path, order.arguments) == ("/a.h5", ["-v", ["out/%20%FF", "out/b"]])


def test_the_newest_content_counts(make: MakeRig) -> None:
    """What waits for an endpoint ends when newer content has come through the rule before it."""
    rig = make(webhook("first") + webhook("then", 'after = "first"', to="other"))
    rig.ask("hold_action", name="other", kind="endpoint")
    for _ in range(2):
        rig.tell(b.close(1) if rig.runs() else b.create(1))
        rig.sent()
    assert rig.states() == {"waiting": 1, "done": 2, "superseded": 1}
    rig.ask("release_action", name="other", kind="endpoint")
    rig.settle()
    assert (len(rig.sent()), rig.states()) == (1, {"done": 3, "superseded": 1})


def test_old_content_of_a_chain_is_not_tried_again_behind_newer(make: MakeRig) -> None:
    """A run after another one that is dead, or fails, is not sent behind newer content that was delivered."""
    rig = make(webhook("first") + webhook("then", 'after = "first"', to="other"))
    rig.tell(b.create(1))
    rig.reply(rig.take())
    rig.settle()
    rig.reply(rig.take(), REFUSED)
    rig.tell(b.close(1, time_ns=rig.now_ns))
    rig.reply(rig.take())
    rig.settle()
    slow = rig.take()
    rig.tell(b.close(1, time_ns=rig.now_ns))
    rig.sent()
    rig.settle()
    assert len(rig.sent()) == 1
    rig.reply(slow, AGAIN)
    assert rig.ask("retry_runs", rule="then") == {"runs": 0}
    assert rig.states() == {"done": 4, "superseded": 2}


def test_an_object_that_is_gone_ends_its_chain(make: MakeRig) -> None:
    """Where a file is removed while the run before is out, what would follow is cancelled, and says so."""
    rig = make(webhook("first") + webhook("then", 'after = "first"'))
    rig.tell(b.create(1))
    out = rig.take()
    rig.play(b.unlink())
    rig.reply(out)
    rig.settle()
    assert (rig.take(), rig.states()) == ([], {"done": 1, "cancelled": 1})
    assert rig.runs()[1].error == "the file is not there any more"


LONG = "".join(webhook(f"r{number + 1}", f'after = "r{number}"') for number in range(MOST_DEPTH + 1))
DIRECTORY = webhook("first", 'on = "directory"\ncomplete = { marker = "x" }', more='directories = ["/d"]')


@each_row(
    ("text", "words"),
    [
        (webhook("a", 'after = "frist"') + webhook("first"), "not a rule of an action in this file.*first"),
        (webhook("a", 'after = "b"') + webhook("b", 'after = "a"'), "goes in a circle .'a' -> 'b' -> 'a'."),
        (webhook("a", 'after = "a"'), "goes in a circle"),
        (webhook("r0") + LONG, f"more than {MOST_DEPTH} steps"),
        (webhook("first") + webhook("a", 'after = "first"\non = "content"'), "is given by the rule"),
        (webhook("first", 'on = ["content", "removed"]') + webhook("a", 'after = "first"'), "nothing would be"),
        (webhook("first") + webhook("a", 'after = "first"', BODY), "leads to no rule of a container"),
        (webhook("a", body=BODY), "only a rule that says `after` knows"),
        (CALIBRATE + webhook("a", 'after = "calibrate"', '"x {outputs}"'), "give it a text of its own"),
        (CALIBRATE + SHIP + 'audience = ["root"]', "nothing checks whether `audience` may see them"),
        (DIRECTORY + CALIBRATE + 'after = "first"', "calibrate works on files only"),
        (DIRECTORY + webhook("a", 'after = "first"', more='extensions = ["h5"]'), "asks about a file"),
        (CALIBRATE.replace('out"\n', '."\nown = true\n'), "start each other"),
        (
            webhook("first", more="own = true") + CALIBRATE.replace('"out"', '"."') + 'after = "first"',
            "start each other",
        ),
    ],
)  # fmt: skip
def test_a_wrong_chain_is_one_sentence(text: str, words: str) -> None:
    """A chain that never begins, cannot do its work, or would surely go on for ever is refused in one sentence."""
    with pytest.raises(ConfigError, match=words):
        rules_of(text)


def test_a_chain_of_the_greatest_length_is_accepted() -> None:
    """A chain may have as many steps as the guard lets through."""
    rules = rules_of(CALIBRATE.replace('"calibrate"\na', '"r0"\na') + LONG.rpartition("[[rule]]")[0]).actions
    assert len(rules.rules) == MOST_DEPTH + 1
    assert [rule.name for rule in rules.following["r0"]] == ["r1"]


def test_an_answer_names_a_bounded_number_of_outputs() -> None:
    """An answer keeps the bytes of its outputs' names; one with too many of them is none of ours."""
    answer = Answer("run", "attempt", "ok", outputs=(b"out/\xff", b""), made=2)
    assert decode_answers(encode_answers([answer])) == [answer]
    with pytest.raises(ConfigError, match="too many outputs"):
        decode_answers(encode_answers([structs.replace(answer, outputs=(b"x" * (MOST_NAMED_BYTES + 1),))]))


@each_row("count", ["made", "arrived"])
@each_row("value", [-1, 1 << 31])
def test_counts_of_an_answer_are_those_that_the_ledger_can_hold(count: str, value: int) -> None:
    """An answer that counts below nothing or beyond 31 bits is none of ours; the largest count is one."""
    answer = structs.replace(Answer("run", "attempt", "ok"), **{count: (1 << 31) - 1})
    assert decode_answers(encode_answers([answer])) == [answer]
    with pytest.raises(ConfigError, match="too many outputs"):
        decode_answers(encode_answers([structs.replace(answer, **{count: value})]))
