"""Rules: which extractor runs on which files, and what a mistake in the file says."""

from __future__ import annotations

import pytest
from hypothesis import given

from lustre_events.errors import ConfigError
from lustre_events.pending import Kind
from lustre_events.rules import Rules, parse
from tests.strategies import paths

EXTRACTORS = ("tabular", "hdf5")


def rules(text: str) -> Rules:
    return parse(text, "rules.toml", EXTRACTORS, {"alice": 1000}.__getitem__)


def one(conditions: str) -> Rules:
    return rules(f'[[rule]]\nextractor = "tabular"\n{conditions}')


def holds(conditions: str, path: bytes, owner: int | None = None, *, whole: bool = True) -> bool:
    return bool(one(conditions).match(path, owner=owner, whole=whole))


def test_without_rules_nothing_is_extracted() -> None:
    """An empty file is a valid rule set that asks for nothing."""
    assert rules("").match(b"a.csv") == ()
    assert rules("") == Rules()


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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


@pytest.mark.parametrize(
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
    assert one("").match(b"a", events=(Kind.CONTENT,))
    assert one("").match(b"a", events=(Kind.NAME,))
    assert not one("").match(b"a", events=(Kind.ATTRIBUTES,))
    assert one('events = ["attributes"]').match(b"a", events=(Kind.CONTENT, Kind.ATTRIBUTES))


TWO = (
    '[[rule]]\nextractor = "tabular"\npriority = 5\n[[rule]]\nextractor = "hdf5"\n[[rule]]\nextractor = "tabular"\n'
)


def test_all_rules_or_the_first() -> None:
    """All rules that hold count, the first one per extractor; with match = "first" only the first rule."""
    assert [(work.extractor, work.rule) for work in rules(TWO).match(b"a")] == [
        ("tabular", "rule 1"),
        ("hdf5", "rule 2"),
    ]
    assert [work.extractor for work in rules('match = "first"\n' + TWO).match(b"a")] == ["tabular"]


def test_what_a_rule_asks_for() -> None:
    """Queue, priority and settling come from the rule."""
    made = one('name = "n"\nqueue = "big"\npriority = 3\nsettle_seconds = 1.5')
    (work,) = made.match(b"a")
    assert (work.queue, work.priority, work.settle_ns, work.rule) == ("big", 3, 1_500_000_000, "n")
    assert made.work_of("n") == work
    assert made.work_of("other") is None
    assert made.queues == {"big"}
    assert made.extractors == {"tabular"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rule = 3", r"\[\[rule\]\]"),
        ("[rule]\nextractor = 'tabular'", r"\[\[rule\]\]"),
        ("nonsense", "not a TOML file"),
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
        ("[[rule]]\nextractor = 'tabular'\nowners = []", "user names or uids"),
        ("[[rule]]\nextractor = 'tabular'\nowners = ['nobody-here']", "no user 'nobody-here'"),
        ("[[rule]]\nextractor = 'tabular'\nowners = [true]", "user names or uids"),
        ("[[rule]]\nextractor = 'tabular'\nqueue = 'a b'", "no name for a queue"),
        ("[[rule]]\nextractor = 'tabular'\npriority = true", "must be a whole number"),
        ("[[rule]]\nextractor = 'tabular'\npriority = 99999999", "priority must lie"),
        ("[[rule]]\nextractor = 'tabular'\nsettle_seconds = -1", "settle_seconds must lie"),
        ("[[rule]]\nextractor = 'tabular'\nsettle_seconds = nan", "settle_seconds must lie"),
        ("[[rule]]\nextractor = 'tabular'\nname='x'\n[[rule]]\nextractor='hdf5'\nname='x'", "two rules are named"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    """A wrong rule file is refused with the place, the key, and the nearest valid one."""
    with pytest.raises(ConfigError, match=message) as caught:
        rules(text)
    assert str(caught.value).startswith("rules.toml: ")


@given(paths)
def test_any_path_can_be_asked_about(path: bytes) -> None:
    """Every path of bytes gets an answer, and the rule without conditions holds for it."""
    both = rules(
        TWO + '[[rule]]\nextractor = "hdf5"\nname = "d"\ndirectories = ["**/a*/[!b]?"]\nglobs = ["*[0-9]"]\n'
    )
    assert [work.extractor for work in both.match(path)] == ["tabular", "hdf5"]
