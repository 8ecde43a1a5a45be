"""Rules: which extractor runs on which files, and what a mistake in the file says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.rules.conditions import Accounts
from lustre_events.domain.rules.review import explain
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import File, Rules
from lustre_events.errors import ConfigError
from tests.support.records.strategies import paths
from tests.support.rows import each_row

EXTRACTORS = ("tabular", "hdf5", "alice/tables", "bob/tables")
ACCOUNTS = Accounts({"alice": 1000}.__getitem__, {"physics": 50}.__getitem__)


def rules(text: str, user: str = "") -> Rules:
    return parse(text, "rules.toml", EXTRACTORS, ACCOUNTS, user)


def one(conditions: str) -> Rules:
    return rules(f'[[rule]]\nextractor = "tabular"\n{conditions}')


def holds(conditions: str, path: bytes = b"a", owner: int | None = None, **known: Any) -> bool:
    return bool(one(conditions).match(File(path, uid=owner, **known)))


def test_without_rules_nothing_is_extracted() -> None:
    """An empty file is a valid rule set that asks for nothing."""
    assert rules("").match(File(b"a.csv")) == ()
    assert rules("") == Rules()


@each_row(
    ("path", "expected"),
    [
        (b"a.csv", True),
        (b"dir/B.CSV", True),
        (b"a.tar.gz", True),
        (b"a.gz", False),
        (b"csv", False),
        (b"a.csvx", False),
    ],
)
def test_extensions(path: bytes, expected: bool) -> None:
    """An extension is the end of the name behind a dot, whatever its case; it may hold a dot itself."""
    assert holds('extensions = ["csv", ".tar.gz"]', path) is expected


@each_row(
    ("glob", "name", "expected"),
    [
        ("*.csv", b"a.csv", True),
        ("run-?", b"run-\xff", True),
        ("run-?", b"run-12", False),
        ("[a-c]*", b"beta", True),
        ("[!a-c]*", b"beta", False),
        ("[]x]", b"]", True),
        ("a[", b"a[", True),
        ("*", b"new\nline", True),
        ("a.b", b"axb", False),
        ("[[~&|^]", b"&", True),
        ("\u00e4*", "\u00e4b".encode(), True),
    ],
)
def test_globs(glob: str, name: bytes, expected: bool) -> None:
    """A glob is held against the whole file name, as bytes."""
    assert holds(f'globs = ["{glob}"]', b"dir/" + name) is expected


@each_row(
    ("glob", "path", "expected"),
    [
        ("/proj/**", b"proj/a", True),
        ("proj/**", b"proj/x/y/a", True),
        ("/proj/**/", b"projects/a", False),
        ("/proj", b"proj/a", True),
        ("/proj", b"proj/x/a", False),
        ("/proj/*/raw/**", b"proj/run7/raw/a", True),
        ("/proj/*/raw/**", b"proj/x/y/raw/a", False),
        ("**/raw", b"raw/a", True),
        ("**/raw", b"x/y/raw/a", True),
        ("**/raw", b"x/draw/a", False),
        ("a/**/b", b"a/b/f", True),
        ("a/**/b", b"a/x/y/b/f", True),
        ("**", b"a", True),
        ("/", b"a", True),
        ("/", b"x/a", False),
    ],
)
def test_directories(glob: str, path: bytes, expected: bool) -> None:
    """A directory glob is held against the file's directory; ** is any number of levels, also none."""
    assert holds(f'directories = ["{glob}"]', path) is expected


def test_a_path_that_is_not_whole_meets_no_directory() -> None:
    """Where only the name is known, conditions on the name still hold and those on the directory do not."""
    assert holds('extensions = ["csv"]', b"a.csv", whole=False)
    assert not holds('directories = ["**"]', b"a.csv", whole=False)


def test_owners() -> None:
    """Owners are user names or uids; an owner that is not known meets no such rule, and the rules say so."""
    assert holds('owners = ["alice", 7]', b"a", owner=1000)
    assert holds('owners = ["alice", 7]', b"a", owner=7)
    assert not holds('owners = ["alice", 7]', b"a", owner=0)
    assert not holds('owners = ["alice", 7]', b"a", owner=None)
    assert one('owners = ["alice"]').needs_owner
    assert not one('globs = ["*"]').needs_owner


@each_row(
    ("left_out", "path", "file", "expected"),
    [
        ('globs = ["*.tmp", "~*"]', b"a.csv", {}, True),
        ('globs = ["*.tmp", "~*"]', b"a.tmp", {}, False),
        ('extensions = ["TMP"]', b"a.tmp", {}, False),
        ('directories = ["/scratch/**"]', b"proj/a", {}, True),
        ('directories = ["/scratch/**"]', b"scratch/x/a", {}, False),
        ('directories = ["/scratch/**"]', b"a", {"whole": False}, False),  # perhaps it is there
        ("owners = [0, 'alice']", b"a", {"uid": 7}, True),
        ("owners = [0, 'alice']", b"a", {"uid": 1000}, False),
        ("owners = [0]", b"a", {"uid": None}, False),
        ("groups = [5]", b"a", {"gid": 6}, True),
        ("groups = [5]", b"a", {"gid": None}, False),
        ('mimes = ["image/*"]', b"a", {"mime": "text/plain"}, True),
        ('mimes = ["image/*"]', b"a", {"mime": "image/png"}, False),
        ('globs = ["x"], directories = ["/scratch"]', b"scratch/a", {}, False),  # one of them is enough
    ],
)
def test_what_a_rule_leaves_out(left_out: str, path: bytes, file: dict[str, Any], expected: bool) -> None:
    """A rule does not hold for what meets a condition of its `not`, nor where that is not known."""
    made = one(f"not = {{ {left_out} }}")
    assert bool(made.match(File(path, **file))) is expected
    assert made.needs_owner is ("owners" in left_out or "groups" in left_out)
    assert made.needs_facts is ("mimes" in left_out)


@each_row(
    ("path", "left_out"),
    [
        (b"scratch/a", True), (b"scratch/deep/er/a", True), (b"scratch2/a", False), (b"proj/scratch/a", False),
        (b".cache/a", True), (b"proj/x/.cache/y/a", True), (b"proj/x.cache/a", False),
        (b"a.tmp", True), (b"proj/a.tmp", True), (b"proj/b.tmp/c/a", True), (b"proj/a.tmp2", False),
        (b"proj/run7/raw/a", True), (b"proj/run7/a", False), (b"proj/x/run7/raw/a", False),
    ],
)  # fmt: skip
def test_what_the_site_excludes_no_rule_reaches(path: bytes, left_out: bool) -> None:
    """A path that a glob matches is left out, with all below it: by the site's rules and by users'."""
    globs = ["/scratch", "**/.cache", "**/*.tmp", "/proj/*/raw/**"]
    site, own = one(""), parse('[[rule]]\nextractor = "tabular"\n', "alice", EXTRACTORS, ACCOUNTS, "alice").rules
    made = Rules(site.rules, {1000: own}).leaving_out(globs)

    assert bool(made.match(File(path))) is not left_out
    assert len({work.rule for work in Rules((), {1000: own}).leaving_out(globs).match(File(path, uid=1000))}) == (
        not left_out
    )
    assert not made.match(File(path, whole=False))
    assert site.leaving_out([]) is site


def test_a_move_over_the_border_of_what_is_excluded_matters() -> None:
    """However deep below it: files of a directory that comes out, or whose path is known at last, are asked for."""
    made = one("").leaving_out(["/scratch"])
    assert made.ask_for_directories
    assert made.may_differ([b"scratch/a/b"], [b"proj/b"])
    assert made.may_differ([], [b"proj/b"])
    assert not made.may_differ([b"proj/b"], [b"proj/c/b"])
    assert not one("").may_differ([b"scratch/a/b"], [b"proj/b"])


def test_explain_says_what_the_site_excludes() -> None:
    """The verdict of each rule names the setting, its globs, and the path."""
    (verdict,) = explain(one("").leaving_out(["/scratch"]), File(b"scratch/a.csv"))
    condition, met, why = verdict.conditions[-1]
    assert (condition.key, condition.written, met) == ("not [filesystem] exclude", ("/scratch",), False)
    assert why == "the path is /scratch/a.csv"
    with pytest.raises(ConfigError, match=r"\[filesystem\] exclude has a glob"):
        one("").leaving_out(["[z-a]"])


def test_all_conditions_must_hold() -> None:
    """A rule holds only if each of its conditions does."""
    conditions = 'extensions = ["csv"]\ndirectories = ["/proj"]'
    assert holds(conditions, b"proj/a.csv")
    assert not holds(conditions, b"proj/a.txt")
    assert not holds(conditions, b"a.csv")


def test_stat_is_always_installed() -> None:
    """A rule may name the built-in extractor, to set its queue."""
    assert rules('[[rule]]\nextractor = "stat"\nqueue = "facts"').queues == {"facts"}


def test_events() -> None:
    """A rule is asked about content and names, unless it says otherwise."""
    assert one("").match(File(b"a", events=(Kind.CONTENT,)))
    assert one("").match(File(b"a", events=(Kind.NAME,)))
    assert not one("").match(File(b"a", events=(Kind.ATTRIBUTES,)))
    assert one('events = ["attributes"]').match(File(b"a", events=(Kind.CONTENT, Kind.ATTRIBUTES)))


TWO = (
    '[[rule]]\nextractor = "tabular"\npriority = 5\n[[rule]]\nextractor = "hdf5"\n[[rule]]\nextractor = "tabular"\n'
)


def test_all_rules_or_the_first() -> None:
    """All rules that hold count, the first one per extractor; with match = "first" only the first rule."""
    assert [(work.extractor, work.rule) for work in rules(TWO).match(File(b"a"))] == [
        ("tabular", "rule 1"),
        ("hdf5", "rule 2"),
    ]
    assert [work.extractor for work in rules('match = "first"\n' + TWO).match(File(b"a"))] == ["tabular"]


def test_what_a_rule_asks_for() -> None:
    """Queue, priority and settling come from the rule."""
    made = one('name = "n"\nqueue = "big"\npriority = 3\nsettle_seconds = 1.5')
    (work,) = made.match(File(b"a"))
    assert (work.queue, work.priority, work.settle_ns, work.rule) == ("big", 3, 1_500_000_000, "n")
    assert made.work_of("n") == work
    assert made.work_of("other") is None
    assert made.queues == {"big"}
    assert made.extractors == {"tabular"}


@each_row(
    ("text", "message"),
    [
        ("rule = 3", r"\[\[rule\]\]"),
        ("[rule]\nextractor = 'tabular'", r"\[\[rule\]\]"),
        ("nonsense", "not a TOML file"),
        ("[[rule]]\nextractor = tabular", "texts are written in quotes"),
        ("matches = 'all'", "did you mean match"),
        ("match = 'some'", "all, first"),
        ("[[rule]]", "extractor is missing"),
        ("[[rule]]\nextractor = 'tabullar'", "did you mean tabular"),
        ("[[rule]]\nextractor = 'tabular'\nextension = ['csv']", "did you mean extensions"),
        ("[[rule]]\nextractor = 'tabular'\nextensions = 'csv'", "must be a list"),
        ("[[rule]]\nextractor = 'tabular'\nextensions = []", "list of strings"),
        ("[[rule]]\nextractor = 'tabular'\nglobs = ['[z-a]']", "square brackets"),
        ("[[rule]]\nextractor = 'tabular'\nevents = ['contents']", "did you mean content"),
        ("[[rule]]\nextractor = 'tabular'\nevents = [[1]]", "unknown event"),
        ("[[rule]]\nextractor = 'tabular'\nevents = []", "events must not be empty"),
        ("[[rule]]\nextractor = 'tabular'\nowners = []", "user names or numbers"),
        ("[[rule]]\nextractor = 'tabular'\nowners = ['nobody-here']", "no user of that name"),
        ("[[rule]]\nextractor = 'tabular'\nowners = [true]", "user names or numbers"),
        ("[[rule]]\nextractor = 'tabular'\nqueue = 'builtin'", "which is for `stat`, `heal` and `scan` only"),
        ("[[rule]]\nextractor = 'stat'\nqueue = 'pool-lab'", "not trusted with the facts of files"),
        ("[[rule]]\nextractor = 'tabular'\nqueue = 'a b'", "queue is 'a b'; a queue's name has"),
        ("[[rule]]\nextractor = 'tabular'\npriority = true", "must be a whole number"),
        ("[[rule]]\nextractor = 'tabular'\npriority = 99999999", "priority must lie"),
        ("[[rule]]\nextractor = 'tabular'\nsettle_seconds = -1", "settle_seconds must lie"),
        ("[[rule]]\nextractor = 'tabular'\nsettle_seconds = nan", "settle_seconds must be a finite number"),
        ("[[rule]]\nextractor = 'tabular'\nmin_size = '1 kB'", "must be a size like 1000"),
        ("[[rule]]\nextractor = 'tabular'\nmax_size = true", "must be a size like 1000"),
        ("[[rule]]\nextractor = 'tabular'\nmax_age_seconds = 'old'", "must be a finite number, not 'old'"),
        ("[[rule]]\nextractor = 'tabular'\nmin_age_seconds = -1", "min_age_seconds must lie"),
        ("[[rule]]\nextractor = 'tabular'\ngroups = ['nobody-here']", "no group of that name"),
        ("[[rule]]\nextractor = 'tabular'\nmimes = 'text/csv'", "must be a list"),
        ("[[rule]]\nextractor = 'tabular'\nnot = ['*.tmp']", "not must be a table of conditions"),
        ("[[rule]]\nextractor = 'tabular'\nnot = { glob = ['a'] }", "did you mean globs"),
        ("[[rule]]\nextractor = 'tabular'\nnot = { min_size = 5 }", "unknown condition 'min_size'"),
        ("[[rule]]\nextractor = 'tabular'\nnot = { globs = 'a' }", "not.*globs must be a list"),
        ("[[rule]]\nextractor = 'tabular'\nlast = 1", "last must be true or false"),
        ("[[rule]]\nextractor = 'tabular'\nrecall = 'yes'", "recall must be true or false"),
        ("[[rule]]\nextractor = 'tabular'\nname='x'\n[[rule]]\nextractor='hdf5'\nname='x'", "two rules are named"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    """A wrong rule file is refused with the place, the key, and the nearest valid one."""
    with pytest.raises(ConfigError, match=message) as caught:
        rules(text)
    assert str(caught.value).startswith("rules.toml: ")


def test_groups() -> None:
    """Groups are names or gids, and must be known first, as owners."""
    assert holds('groups = ["physics", 7]', gid=50)
    assert not holds('groups = ["physics", 7]', gid=51)
    assert not holds('groups = ["physics", 7]')
    assert one("groups = [7]").needs_owner


@each_row(
    ("conditions", "size", "expected"),
    [
        ("min_size = 1000", 1000, True),
        ("min_size = 1000", 999, False),
        ('min_size = "1k"', 1023, False),
        ('max_size = "1M"', 1 << 20, True),
        ('max_size = "1M"', (1 << 20) + 1, False),
        ('min_size = "1k"\nmax_size = "2K"', 1500, True),
        ('max_size = "2G"', None, False),
    ],
)
def test_sizes(conditions: str, size: int | None, expected: bool) -> None:
    """Sizes are bytes, or with k, M, G, T, P, factors of 1024; both ends count; an unknown size meets none."""
    assert holds(conditions, size=size) is expected
    assert one(conditions).needs_facts


def test_ages() -> None:
    """A file is as old as its last change of content; what must be older only waits, which is not a condition."""
    assert holds("max_age_seconds = 60", mtime_ns=40 * 10**9, now_ns=100 * 10**9)
    assert not holds("max_age_seconds = 60", mtime_ns=39 * 10**9, now_ns=100 * 10**9)
    assert not holds("max_age_seconds = 60", now_ns=100 * 10**9)
    (work,) = one("min_age_seconds = 3600").match(File(b"a", mtime_ns=10**9, now_ns=10**9))
    assert work.min_age_ns == 3600 * 10**9
    assert one("min_age_seconds = 3600").needs_facts


def test_mimes() -> None:
    """Types by content are globs in which * does not cross the slash."""
    assert holds('mimes = ["image/*", "text/csv"]', mime="image/png")
    assert holds('mimes = ["image/*", "text/csv"]', mime="text/csv")
    assert not holds('mimes = ["image/*", "text/csv"]', mime="text/plain")
    assert not holds('mimes = ["*"]', mime="image/png")
    assert not holds('mimes = ["image/*"]')


def test_recall_is_off_unless_the_rule_says_so() -> None:
    """Reading what is on tape only is allowed by a rule, never by default."""
    assert not one("").match(File(b"a"))[0].recall
    assert one("recall = true").match(File(b"a"))[0].recall


def test_a_rule_can_be_the_last_one() -> None:
    """Behind a rule with `last` that holds no later rule is asked; where it does not hold they are."""
    text = '[[rule]]\nextractor = "tabular"\nextensions = ["csv"]\nlast = true\n[[rule]]\nextractor = "hdf5"\n'
    assert [work.extractor for work in rules(text).match(File(b"a.csv"))] == ["tabular"]
    assert [work.extractor for work in rules(text).match(File(b"a.h5"))] == ["hdf5"]


def of_alice(text: str, site: str = "") -> Rules:
    return Rules(rules(site).rules, {1000: rules(text, "alice").rules})


def test_a_users_rules_are_about_that_users_files() -> None:
    """Alice's rules hold for files that she owns and for no others, and the owner must be known first."""
    made = of_alice('[[rule]]\nextractor = "hdf5"\n', '[[rule]]\nextractor = "tabular"\n')

    assert [work.rule for work in made.match(File(b"a", uid=1000))] == ["rule 1", "alice/rule 1"]
    assert [work.rule for work in made.match(File(b"a", uid=1001))] == ["rule 1"]
    assert [work.rule for work in made.match(File(b"a"))] == ["rule 1"]
    assert made.needs_owner


def test_a_site_rule_that_is_the_last_one_does_not_end_a_users() -> None:
    """Each list of rules ends on its own."""
    made = of_alice('[[rule]]\nextractor = "hdf5"\n', 'match = "first"\n[[rule]]\nextractor = "tabular"\n')

    assert [work.extractor for work in made.match(File(b"a", uid=1000))] == ["tabular", "hdf5"]


def test_a_users_own_extractor_comes_before_the_sites() -> None:
    """In alice's file `tables` is hers; those of other users she cannot name."""
    (work,) = of_alice('[[rule]]\nextractor = "tables"\n').match(File(b"a", uid=1000))
    assert work.extractor == "alice/tables"
    with pytest.raises(ConfigError, match=r"unknown extractor 'bob/tables'.* add FOLDER --own"):
        rules('[[rule]]\nextractor = "bob/tables"\n', "alice")


@each_row(
    ("keys", "message"),
    [
        ("extractor = 'stat'", "unknown extractor 'stat'"),
        ("extractor = 'hdf5'\npriority = 1", "between -1000000 and 0"),
        ("extractor = 'hdf5'\nqueue = 'gpu'", "default, alice, alice-... or pool-alice"),
        ("extractor = 'hdf5'\nqueue = 'pool-lab'", "is 'pool-lab'; that of a user's rule"),
    ],
)
def test_a_user_cannot_go_before_others(keys: str, message: str) -> None:
    """A user's rules have no priority over the site's, no queue of others, and no say about `stat`."""
    with pytest.raises(ConfigError, match=message):
        rules(f"[[rule]]\n{keys}", "alice")
    assert rules("[[rule]]\nextractor = 'hdf5'\nqueue = 'alice-gpu'\npriority = -5", "alice").queues == {
        "alice-gpu"
    }
    assert rules("[[rule]]\nextractor = 'hdf5'\nqueue = 'pool-alice'", "alice").queues == {"pool-alice"}
    with pytest.raises(ConfigError, match="is 'pool-lab'"):  # a user of that name owns no pool by it
        rules("[[rule]]\nextractor = 'hdf5'\nqueue = 'pool-lab'", "pool")


@given(paths)
def test_any_path_can_be_asked_about(path: bytes) -> None:
    """Every path of bytes gets an answer, and the rule without conditions holds for it."""
    both = rules(
        TWO + '[[rule]]\nextractor = "hdf5"\nname = "d"\ndirectories = ["**/a*/[!b]?"]\nglobs = ["*[0-9]"]\n'
    )
    assert [work.extractor for work in both.match(File(path))] == ["tabular", "hdf5"]
