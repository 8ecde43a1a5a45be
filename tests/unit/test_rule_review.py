"""What is said about rules: which are never reached, and why a file gets an extractor or not."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lustre_events.domain.rules.conditions import EVENTS, Accounts, File
from lustre_events.domain.rules.review import explain, unreachable
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import Rules
from tests.support.rows import each_row

EXTRACTORS = ("tabular", "hdf5")


def rules(text: str) -> Rules:
    return parse(text, "rules.toml", EXTRACTORS, Accounts({"alice": 1000}.__getitem__, {"physics": 50}.__getitem__))


CONDITIONS = {
    "events": ['["content"]', '["name", "content"]', '["attributes"]'],
    "extensions": ['["csv"]', '["csv", ".GZ"]', '["tar.gz"]', '["z"]'],
    "globs": ['["*"]', '["a*"]', '["a*", "b?.csv"]'],
    "directories": ['["**"]', '["/a/**"]', '["/a", "/a/**"]', '["/*/b"]'],
    "owners": ["[1000]", '["alice", 0]'],
    "groups": ['["physics"]', "[50, 60]"],
    "min_size": ["1", '"1k"'],
    "max_size": ["5000", '"1k"'],
    "max_age_seconds": ["1", "10"],
    "mimes": ['["image/*"]', '["image/png"]', '["*/*"]'],
    "last": ["true"],
    "not": ['{ globs = ["a*"] }', '{ globs = ["a*", "b*"] }', '{ directories = ["/a/**"], owners = [0] }',
            '{ directories = ["**"] }', '{ mimes = ["image/*"], extensions = ["z"] }'],
}  # fmt: skip


@st.composite
def rule_sets(draw: st.DrawFn) -> Rules:
    """Rules with few different conditions, so that they often meet each other."""
    text = draw(st.sampled_from(["", 'match = "first"\n']))
    for _ in range(draw(st.integers(0, 4))):
        text += f'[[rule]]\nextractor = "{draw(st.sampled_from(EXTRACTORS))}"\n'
        for key, values in CONDITIONS.items():
            if draw(st.integers(0, 2)) == 0:
                text += f"{key} = {draw(st.sampled_from(values))}\n"
    return rules(text)


FILES = st.builds(
    File,
    st.tuples(
        st.sampled_from([b"", b"a/", b"a/b/", b"c/b/", b"c/"]),
        st.sampled_from([b"a.csv", b"b1.csv", b"x.TAR.GZ", b"a", b"x.z", b"\xff\n.csv"]),
    ).map(b"".join),
    st.sets(st.sampled_from(list(EVENTS.values())), min_size=1).map(tuple),
    uid=st.sampled_from([None, 0, 1000, 7]),
    gid=st.sampled_from([None, 50, 7]),
    size=st.sampled_from([None, 0, 1024, 5000]),
    mtime_ns=st.sampled_from([None, 0, 10**9 * 99]),
    mime=st.sampled_from([None, "image/png", "text/plain"]),
    now_ns=st.just(10**9 * 100),
)


@given(rule_set=rule_sets(), file=FILES)
def test_explanation_is_what_happens(rule_set: Rules, file: File) -> None:
    """An explanation chooses the rules that the dispatcher follows, and every refusal has a reason."""
    verdicts = explain(rule_set, file)

    chosen = tuple(verdict.rule.work for verdict in verdicts if verdict.chosen)
    assert chosen == rule_set.match(file)
    assert len(verdicts) == len(rule_set.rules)
    assert all(verdict.chosen is not bool(verdict.why) for verdict in verdicts)


@given(rule_set=rule_sets(), files=st.lists(FILES, min_size=1, max_size=8))
def test_rule_that_is_never_reached_is_never_used(rule_set: Rules, files: list[File]) -> None:
    """No file gets an extractor by a rule that is said to be unreachable."""
    sentences = unreachable(rule_set)
    named = {rule.work.rule for rule in rule_set.rules if any(f"rule {rule.work.rule!r}:" in s for s in sentences)}

    assert len(named) == len(sentences)
    for file in files:
        assert not named & {work.rule for work in rule_set.match(file)}


@each_row(
    ("text", "sentence"),
    [
        (
            (
                'match = "first"\n[[rule]]\nname = "all"\nextractor = "tabular"\n'
                '[[rule]]\nname = "h5"\nextensions = ["h5"]\nextractor = "hdf5"\n'
            ),
            "rule 'h5': 'all' comes first, holds for every file that it could hold for, and stops",
        ),
        (
            (
                '[[rule]]\nname = "a"\nextensions = ["csv"]\nextractor = "tabular"\n'
                '[[rule]]\nname = "b"\nextensions = [".CSV"]\nextractor = "tabular"\nqueue = "other"\n'
            ),
            "rule 'b': it has the conditions and the extractor of 'a', which comes first",
        ),
        (
            (
                '[[rule]]\nname = "gz"\nextensions = ["gz"]\nextractor = "tabular"\n'
                '[[rule]]\nname = "tar"\nextensions = ["tar.gz"]\ndirectories = ["/a"]\nextractor = "tabular"\n'
            ),
            "rule 'tar': 'gz' comes first, holds for every file that it could hold for, and has the same extractor",
        ),
        (
            (
                '[[rule]]\nname = "a"\nextractor = "stat"\nqueue = "q"\n[[rule]]\nname = "b"\nextractor = "stat"\n'
                'extensions = ["x"]\n'
            ),
            "rule 'b': of the rules for stat only the first counts, which is 'a'",
        ),
    ],
)
def test_unreachable_rule_is_named(text: str, sentence: str) -> None:
    """A rule behind one that catches all of its files is named, with the one in its way and what to do."""
    (found,) = unreachable(rules(text))

    assert found.startswith(sentence)
    assert "put it before" in found or "remove" in found


@each_row(
    "text",
    [
        '[[rule]]\nextractor = "tabular"\n[[rule]]\nextractor = "hdf5"\n',
        'match = "first"\n[[rule]]\nextractor = "tabular"\nowners = ["alice"]\n[[rule]]\nextractor = "hdf5"\n',
        'match = "first"\n[[rule]]\nextractor = "tabular"\nevents = ["name"]\n[[rule]]\nextractor = "hdf5"\n',
        (
            'match = "first"\n[[rule]]\nextensions = ["tar.gz"]\nextractor = "tabular"\n'
            '[[rule]]\nextensions = ["gz"]\nextractor = "hdf5"\n'
        ),
    ],
)
def test_rules_that_can_be_reached_are_not_blamed(text: str) -> None:
    """A rule that some file reaches is not called unreachable."""
    assert unreachable(rules(text)) == []


def test_each_condition_says_what_the_file_has() -> None:
    """Of a rule each condition is told, met or not, with what the file has instead."""
    rule_set = rules(
        '[[rule]]\nextensions = ["csv"]\ndirectories = ["/a/**"]\nowners = ["alice"]\nextractor = "tabular"\n'
    )

    (verdict,) = explain(rule_set, File(b"b/x.csv", uid=7))

    assert [(each.key, met, why) for each, met, why in verdict.conditions] == [
        ("events", True, "what happened is content"),
        ("extensions", True, "the name is x.csv"),
        ("directories", False, "the directory is /b"),
        ("owners", False, "the owner is 7"),
    ]
    assert verdict.why == "not all of its conditions are met"


def test_rule_behind_the_first_one_says_so() -> None:
    """Where only the first rule counts, a later one that holds too names the one before it."""
    rule_set = rules(
        'match = "first"\n[[rule]]\nname = "a"\nextensions = ["csv"]\nextractor = "tabular"\n'
        '[[rule]]\nextractor = "hdf5"\n'
    )

    _, second = explain(rule_set, File(b"x.csv"))

    assert second.why == "rule 'a' holds, and no later rule is asked"
