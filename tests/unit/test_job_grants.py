"""Users' own rules that submit jobs of Slurm: which scripts and options the site grants. Pure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.domain.rules.grants import Author, allowance_of, grants_of
from lustre_events.domain.rules.job_grants import bytes_of, seconds_of
from lustre_events.errors import ConfigError
from tests.support.model.actions import ALICE, own_rules_of
from tests.support.rows import each_row

GRANT = """
[grant.all]
users = ["*"]
directories = ["/home/**"]
[grant.all.slurm]
scripts = ["reduce.sh"]
partitions = ["short", "long"]
accounts = ["physics"]
time = "01:00:00"
cpus = 4
memory = "8G"
"""
BARE = '[grant.all]\nusers = ["*"]\n[grant.all.slurm]\nscripts = ["reduce.sh"]\n'


def author_of(*grants: str) -> Author:
    """Return a user who may do what these grants say."""
    found = [each for text in grants for each in grants_of(tomllib.loads(text), "endpoints.toml", {})]
    return replace(ALICE, allowance=allowance_of(found, "alice", ()))


def rule(given: str = "", script: str = "reduce.sh") -> str:
    return f'[[rule]]\nname = "mine"\naction = "slurm"\nwith = {{ script = "{script}"{given} }}\n'


@each_row(
    ("given", "options"),
    [
        ("", {}),
        (', partition = "long", account = "physics"', {"partition": "long", "account": "physics"}),
        (
            ', time = "00:59:59", cpus = 4, memory = "8192"',
            {"time": "00:59:59", "cpus-per-task": "4", "mem": "8192"},
        ),
        (', time = 60, output = "/home/alice/%j"', {"time": "60", "output": "/home/alice/%j"}),
    ],
)
def test_what_the_grant_allows_a_rule_may_ask(given: str, options: Mapping[str, str]) -> None:
    """A user's rule names a granted script with granted options, and holds where the grant says."""
    (found,) = own_rules_of(rule(given), author_of(GRANT)).actions.users[1000]
    assert (found.endpoint, found.settings["options"]) == ("slurm:reduce.sh", options)
    assert [each.could_hold_in(b"/home/alice") for each in [found]] == [True]
    assert not found.could_hold_in(b"/proj")


@each_row(
    ("given", "words"),
    [
        (', partition = "gpu"', "has 'gpu' as --partition, which the site does not grant"),
        (', partition = "short,gpu"', "has 'short,gpu' as --partition"),
        (', account = "root"', "has 'root' as --account, which the site does not grant; known are: physics"),
        (', qos = "high"', "has 'high' as --qos, which the site does not grant; leave it out"),
        (', constraint = "gpu"', "has 'gpu' as --constraint"),
        (', time = "01:00:01"', "has '01:00:01' as --time, and the site grants 01:00:00"),
        (', time = "1-0"', "has '1-0' as --time"),
        (', time = "UNLIMITED"', "which is not an amount; the site grants 01:00:00"),
        (', time = "00:00:00"', "has '00:00:00' as --time, which is not an amount"),
        (", cpus = 5", "has '5' as --cpus-per-task, and the site grants 4"),
        (', cpus = "1-99"', "has '1-99' as --cpus-per-task, which is not an amount"),
        (', memory = "8193"', "has '8193' as --mem, and the site grants 8G"),
        (', memory = "0"', "has '0' as --mem, which is not an amount"),
        (', uid = "root"', "unknown key uid"),
        (', array = "1-1000"', "unknown key array"),
        (', partition = "{name}"', "cannot take as --partition"),
        (', output = "x.out"', "not an absolute path"),
    ],
)
def test_what_the_grant_does_not_allow_is_refused(given: str, words: str) -> None:
    """Whatever a rule asks beyond its grant is refused in one sentence, that says what is granted."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        own_rules_of(rule(given), author_of(GRANT))


@each_row("given", ['partition = "main"', 'account = "a"', 'time = "1"', "cpus = 1", 'memory = "1G"'])
def test_what_the_grant_does_not_name_a_rule_cannot_set(given: str) -> None:
    """A grant that names scripts alone leaves all options to these and to Slurm."""
    assert own_rules_of(rule(), author_of(BARE)).actions.users
    with pytest.raises(ConfigError, match="which the site does not grant"):
        own_rules_of(rule(f", {given}"), author_of(BARE))


@each_row("script", ["other.sh", "--uid=0", "/home/alice/own.sh", "../own.sh"])
def test_a_script_that_is_not_granted_is_refused(script: str) -> None:
    """A user's rule names a script of the site that is granted, and nothing else: no path, no option."""
    with pytest.raises(ConfigError, match=r"does not grant to alice; granted are: reduce.sh|needs `script`"):
        own_rules_of(rule(script=script), author_of(GRANT))
    with pytest.raises(ConfigError, match="does not grant to alice; granted are: none"):
        own_rules_of(rule())


def test_grants_of_jobs_add_up() -> None:
    """Of several grants all that one of them allows is allowed, and of bounds the largest."""
    wide = BARE.replace("all", "more") + 'partitions = ["gpu"]\ntime = "2-0"\nmemory = "9000M"\njobs = 3\n'
    jobs = author_of(GRANT, wide).allowance.jobs
    assert (jobs.partitions, jobs.time, jobs.memory, jobs.cpus, jobs.jobs) == (
        ("short", "long", "gpu"), "2-0", "9000M", 4, 10,
    )  # fmt: skip
    assert author_of(GRANT, wide).allowance.scripts == {"reduce.sh": ()}
    assert author_of('[grant.a]\nusers = ["bob"]\nown_actions = true\n').allowance.scripts == {}


@each_row(
    ("section", "words"),
    [
        ('scripts = ["a"]\ntime = "for ever"', "time is 'for ever'; write it as"),
        ('scripts = ["a"]\nmemory = "0"', "memory is '0'; write it as"),
        ('scripts = ["a"]\njobs = 0', "jobs must lie between"),
        ('scripts = ["a"]\npartition = ["x"]', "unknown key partition"),
        ("", "endpoints is missing"),
    ],
)
def test_a_wrong_grant_of_jobs_is_one_sentence(section: str, words: str) -> None:
    """What is wrong with the section is refused with its key."""
    with pytest.raises(ConfigError, match=re.escape(words)):
        grants_of(tomllib.loads(f'[grant.all]\nusers = ["*"]\n[grant.all.slurm]\n{section}\n'), "e.toml", {})


@each_row(
    ("text", "seconds"),
    [
        ("1", 60), ("1:30", 90), ("1:00:00", 3600), ("1-0", 86_400), ("1-2:3", 93_780), ("1-2:3:4", 93_784),
        ("0", None), ("INFINITE", None), ("-1", None), ("1-", None), ("1:2:3:4", None), ("", None), ("1.5", None),
    ],
)  # fmt: skip
def test_times_are_read_as_sbatch_reads_them(text: str, seconds: int | None) -> None:
    """The forms are those of sbatch(1); what is no limit is none."""
    assert seconds_of(text) == seconds


@given(st.integers(1, 10**8), st.sampled_from("KMGT"))
def test_memory_is_read_as_sbatch_reads_it(number: int, unit: str) -> None:
    """A number alone is of megabytes; a unit is a power of 1024, in either case."""
    assert (
        bytes_of(f"{number}{unit}")
        == bytes_of(f"{number}{unit.lower()}")
        == number << 10 * ("KMGT".index(unit) + 1)
    )
    assert bytes_of(str(number)) == number << 20
