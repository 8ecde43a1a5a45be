"""Rules of `transfer` and their endpoints: what they may say, what a worker is told, what an exit code means."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.actions.kinds.transfer import read
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, Attempt, taken
from lustre_events.actions.transfer_commands import verdict
from lustre_events.domain.action_run import Run
from lustre_events.domain.rules import endpoints
from lustre_events.domain.rules.file_workers import work_of
from lustre_events.domain.rules.grants import OWN
from lustre_events.domain.rules.rule_file import HERE, parse
from lustre_events.errors import ConfigError
from tests.support.index.places import IndexPlace
from tests.support.model.actions import ALICE, KNOWN, ActionRig, action_rig, own_rules_of, rules_of
from tests.support.records import builders as b
from tests.support.rows import each_row
from workers.many_copies import CopyItem, portions


def rule(more: str = "", given: str = "") -> str:
    return f'[[rule]]\nname = "ship"\naction = "transfer"\nendpoint = "archive"\nwith = {{ {given} }}\n{more}'


def endpoint(more: str, url: str = "rsync://a.example.org/in") -> str:
    return f'[endpoint.archive]\nkind = "transfer"\nurl = "{url}"\n{more}'


COMPLETE = 'on = "directory"\ndirectories = ["/runs/*"]\ncomplete = { marker = "*.done" }\n'
MAKE = '[[rule]]\nname = "make"\naction = "calibrate"\noutputs = "../out"\n'
REDUCE = f'[[rule]]\nname = "reduce"\naction = "slurm"\nwith = {{ script = "reduce.sh" }}\n{COMPLETE}'


@pytest.fixture
def rig(index_place: IndexPlace) -> Iterator[ActionRig]:
    found = action_rig(index_place, rule("batch = 10\n", 'strip = "/proj/"'))
    yield found
    found.close()


def test_what_a_file_worker_is_told(rig: ActionRig) -> None:
    """Files go out together, each with its FID and its bytes as a hint; those that fail together go alone."""
    rig.tell(b.create(1, name=b"a \xff.h5"), b.create(2, name=b"b.h5"))
    (delivery,) = rig.take()
    orders = [read(event.body) for event in delivery.events]
    assert (delivery.endpoint, work_of(delivery.endpoint)) == ("transfer:archive", "archive")
    assert {(each.path, each.fid, each.strip) for each in orders} == {
        ("/a%20%FF.h5", str(b.fid_of(1)), "proj"), ("/b.h5", str(b.fid_of(2)), "proj"),
    }  # fmt: skip
    rig.reply([delivery], REFUSED, error="rsync ended with 23", together=1)
    assert [len(each.events) for each in rig.take()] == [1, 1]


def test_a_user_copies_own_files_to_what_the_site_grants() -> None:
    """A user's rule names a granted endpoint and no other."""
    granted = replace(ALICE, allowance=replace(ALICE.allowance, endpoints={"archive": ()}))
    (found,) = own_rules_of(rule(), granted).actions.by_name.values()
    assert (found.endpoint, found.author) == ("transfer:archive", granted)
    with pytest.raises(ConfigError, match="does not grant"):
        own_rules_of(rule())


@each_row(
    ("text", "words"),
    [
        (rule().replace('"archive"', '"archvie"'), "did you mean archive"),
        (rule().replace('"archive"', '"beamline"'), "one for webhook; transfer needs its own kind"),
        (rule().replace('"transfer"', '"mail"'), "one for transfer; mail needs its own kind"),
        (rule('outputs = "."\n'), "is not for transfer"),
        (rule('body = "x"\n'), "is not for transfer"),
        (rule('on = "removed"\n'), "copies what is there"),
        (rule('types = ["f", "d"]\n'), "copies files, or all below a directory"),
        (rule(given='strip = "proj"'), "not a directory"),
        (rule(given='strip = "/a/../b"'), "with . or .. in it"),
        (rule(given='stripe = "/a"'), "did you mean strip"),
        (rule(given='files = "{path}"'), "made"),
        (rule(f"batch = 2\n{COMPLETE}"), "batch is for rules that copy one file each"),
        (
            MAKE + rule('after = "make"\nbatch = 2\n', 'files = "{outputs}"'),
            "batch is for rules that copy one file",
        ),
        (REDUCE + rule('after = "reduce"\nbatch = 2\n'), "batch is for rules that copy one file each"),
        (rule(given='files = "{outputs}"'), "only a rule that says `after` knows"),
    ],
)
def test_a_wrong_rule_of_transfer(text: str, words: str) -> None:
    """What a rule of transfer cannot say is refused in one sentence."""
    with pytest.raises(ConfigError, match=words):
        rules_of(text)


def test_what_a_container_has_made_is_copied(index_place: IndexPlace) -> None:
    """After a container its outputs are named, whatever bytes they have; without `files` the raw file is."""
    then = rule('after = "make"\n', 'files = "{outputs}"')
    raw = rule('after = "make"\n').replace('"ship"', '"raw"')
    rig = action_rig(index_place, MAKE + then + raw)
    rig.tell(b.create(1, name=b"a.h5"))
    rig.reply(rig.take(), outputs=(b"out/x \xff", b"out/y"), made=2)
    orders = [read(event.body) for delivery in rig.take() for event in delivery.events]
    assert sorted((each.path, each.outputs or []) for each in orders) == [
        ("/a.h5", []), ("/a.h5", ["out/x%20%FF", "out/y"]),
    ]  # fmt: skip
    rig.close()


def test_copies_that_a_rule_made_before_it_was_edited_go_alone(index_place: IndexPlace) -> None:
    """What was tried for a rule that copied many files, and is tried again, never shares the time of an attempt."""
    rig = action_rig(index_place, MAKE + rule('after = "make"\n', 'files = "{outputs}"'))
    rig.tell(b.create(1, name=b"a.h5"), b.create(2, name=b"b.h5"))
    rig.reply(rig.take(), outputs=(b"out/x", b"out/y"), made=2)
    out = rig.take()
    rig.dispatcher._actions.follow(rules_of(MAKE + rule('after = "make"\nbatch = 10\n')), rig.endpoints)
    rig.reply(out, AGAIN)
    rig.pass_seconds(30)
    rig.settle()
    assert [len(each.events) for each in rig.take()] == [1, 1]
    rig.close()


def test_a_chain_that_begins_with_a_directory_copies_it() -> None:
    """After a job about a complete directory the directory is copied."""
    found = rules_of(REDUCE + rule('after = "reduce"\n')).actions.by_name["ship"]
    assert (found.of_directories, found.endpoint) == (True, "transfer:archive")


def test_a_grant_for_directories_does_not_cover_outputs() -> None:
    """A grant is asked about the raw file, and outputs may lie elsewhere: only a grant for all lets them go."""
    text = MAKE.replace("calibrate", "mine") + rule('after = "make"\n', 'files = "{outputs}"')
    for directories in ((), ("/home/**",)):
        allowance = replace(ALICE.allowance, endpoints={"archive": directories}, actions={OWN: ()})
        author = replace(ALICE, allowance=allowance)
        if not directories:
            assert len(own_rules_of(text, author).actions.by_name) == 2
            continue
        with pytest.raises(ConfigError, match="for some directories only"):
            own_rules_of(text, author)


def test_an_endpoint_may_be_named_as_messages_name_it() -> None:
    """Who copies the name of an endpoint from a message, `transfer:archive`, names the same one."""
    (found,) = rules_of(rule().replace('"archive"', '"transfer:archive"')).actions.by_name.values()
    assert found.endpoint == "transfer:archive"


def test_without_the_setting_no_rule_copies() -> None:
    """Where transfers are off the sentence says how they are turned on."""
    off = replace(KNOWN, endpoints={})
    with pytest.raises(ConfigError, match=r"\[actions\] transfers = true"):
        parse(rule(), "rules", (), HERE, "", off)


@each_row(
    ("text", "words"),
    [
        (endpoint("", "rsync://a.example.org/"), "rsync://HOST/MODULE"),
        (endpoint("", "rsync://a.example.org/m/../x"), "has . or .. in its path"),
        (endpoint("", "rsync://u:p@a.example.org/m"), "has a user or password"),
        (endpoint("", "file://archive/in"), "three slashes"),
        (endpoint("", "file:///"), "three slashes"),
        (endpoint("", "ssh://a.example.org/in"), "must begin with"),
        (endpoint("", "rclone://store/x"), "must name a file of rclone with .store."),
        (endpoint('config = "/c"\n', "rclone://store/x"), "private must be true"),
        (endpoint('config = "/c"\nprivate = true\n', "rclone://-x/x"), "in REMOTE use"),
        (endpoint('secret = "/s"\n', "file:///a"), "is for rsync:// only"),
        (endpoint('program = "rsync"\n'), "absolute path"),
        (endpoint('bandwidth = "--rsh=x"\n'), "bytes a second"),
        (endpoint('topic = "x"\n'), "is for kafka only"),
        ('[endpoint.a]\nkind = "webhook"\nurl = "https://a.example.org/"\ntimeout_seconds = 301\n', "at most 300"),
    ],
)
def test_a_wrong_endpoint(text: str, words: str) -> None:
    """What no endpoint for transfers can be is refused in one sentence that names the key."""
    with pytest.raises(ConfigError, match=words):
        endpoints.parse(text, "endpoints.toml")


def test_an_endpoint_has_an_hour_unless_it_says_otherwise() -> None:
    """A large file takes its time; who sends messages has seconds as before."""
    found = endpoints.parse(endpoint("") + '[endpoint.b]\nkind = "webhook"\nurl = "https://b.example.org/"\n', "e")
    assert (found["archive"].timeout_seconds, found["b"].timeout_seconds) == (3600, 10)
    assert endpoints.parse(endpoint("timeout_seconds = 7200\n"), "e")["archive"].timeout_seconds == 7200


@each_row(
    ("scheme", "code", "said", "outcome", "of_file"),
    [
        ("rsync", 0, "", OK, False), ("rsync", 1, "", ENDPOINT, False), ("file", 2, "", ENDPOINT, False),
        ("rsync", 5, "@ERROR: auth failed on module m", ENDPOINT, False),
        ("rsync", 5, "@ERROR: max connections (4) reached -- try again later", AGAIN, False),
        ("rsync", 10, "Connection refused (111)", AGAIN, False), ("rsync", 30, "", AGAIN, False),
        ("file", 11, "No space left on device (28)", AGAIN, True), ("rsync", 24, "vanished", AGAIN, True),
        ("rsync", 23, "send_files failed to open: Permission denied (13)", REFUSED, True),
        ("rsync", 23, "File name too long (36)", REFUSED, True), ("rsync", 23, "read errors mapping", AGAIN, True),
        ("rsync", -15, "", AGAIN, False), ("rsync", 99, "", AGAIN, False),
        ("rclone", 1, "didn't find section in config file", ENDPOINT, True), ("rclone", 5, "", AGAIN, False),
        ("rclone", 1, "permission denied", REFUSED, True), ("rclone", 6, "an error", AGAIN, True),
        ("rclone", 7, "account suspended", ENDPOINT, False), ("rclone", 8, "", AGAIN, False),
    ],
)  # fmt: skip
def test_how_a_program_ends_is_that_of_its_run(
    scheme: str, code: int, said: str, outcome: str, of_file: bool
) -> None:
    """Each exit code is what the guide says; words count only where a code means several things."""
    found = verdict(scheme, "rsync", code, said)
    assert (found.outcome, found.of_file and outcome != ENDPOINT) == (outcome, of_file and outcome != ENDPOINT)
    assert outcome == OK or "ended" in found.error


def test_a_copy_that_comes_on_has_not_failed(index_place: IndexPlace) -> None:
    """A directory that needs days is copied on while each attempt brings more files there; the endpoint is well."""
    rig = action_rig(index_place, MAKE + rule('after = "make"\nexpires_seconds = 864000\n', 'files = "{outputs}"'))
    rig.tell(b.create(1, name=b"a.h5"))
    rig.reply(rig.take(), outputs=(b"out/x",), made=1)
    deliveries = rig.take()
    for number in range(1, 9):
        rig.pass_seconds(170)
        rig.reply(deliveries, AGAIN, error=f"{number} of 9 files are there", arrived=number)
        assert (rig.dispatcher._actions.runs.guards.tripped_endpoints(), rig.states()["waiting"]) == ([], 1)
        rig.pass_seconds(30 if number < 8 else 20)
        rig.settle()
        deliveries = rig.take()
    rig.reply(deliveries, OK, error="9 of 9 files are there; 2 links are not copied")
    assert [run.error for run in rig.runs() if run.rule == "ship"] == [
        "9 of 9 files are there; 2 links are not copied"
    ]
    rig.close()


COPY = Run(id="1", key="k", rule="r", digest="d", trigger="after", endpoint="transfer:archive", action="transfer",
           fid=b.fid_of(1), state="sent", attempts=1)  # fmt: skip


def test_only_what_brings_more_files_is_not_a_failure() -> None:
    """A run has a day from when it stopped to come on: the same files again are none that arrived."""
    hour = 3_600 * 10**9
    run = taken(COPY, Attempt(AGAIN, arrived=0), hour)
    assert run.failed_ns == hour
    run = taken(run, Attempt(AGAIN, arrived=5), 30 * hour)
    assert (run.state, run.failed_ns, run.arrived) == ("waiting", 0, 5)
    run = taken(run, Attempt(AGAIN, arrived=5), 31 * hour)
    assert (run.state, run.failed_ns, run.arrived) == ("waiting", 31 * hour, 5)
    assert taken(run, Attempt(AGAIN, arrived=4), 56 * hour).state == "dead"


@given(st.lists(st.integers(0, 50), max_size=40), st.integers(1, 8), st.integers(1, 60))
def test_portions_hold_all_files_in_order_and_no_more_than_they_may(sizes: list[int], most: int, size: int) -> None:
    """Whatever sizes files have, each is in one portion, in order; only a file alone may be too large for it."""
    files = [CopyItem(b"%d" % number, int, each) for number, each in enumerate(sizes)]
    found = list(portions(files, most, size))
    assert [each for part in found for each in part] == files
    assert all(0 < len(part) <= most for part in found)
    assert all(len(part) == 1 or sum(each.size for each in part) <= size for part in found)
