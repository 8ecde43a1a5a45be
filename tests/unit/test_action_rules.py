"""Rules of actions and the file of endpoints: what may be written, what is refused, which rules could hold."""

from __future__ import annotations

import tomllib
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.domain.namespace import Link
from lustre_events.domain.rules import endpoints
from lustre_events.domain.rules.action_rules import ActionRules
from lustre_events.domain.rules.conditions import File, excluding
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.grants import Author, allowance_of, grants_of
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.templates import FIELDS, filled
from lustre_events.domain.triggers import TRIGGERS
from lustre_events.errors import ConfigError
from tests.support.model.actions import ALICE, BOB, KNOWN, own_rules_of, rules_of
from tests.support.profiles import examples
from tests.support.rows import each_row

RULE = '[[rule]]\nname = "tell"\naction = "webhook"\nendpoint = "beamline"\n'


DIRECTORY = 'on = "directory"\n'


def test_a_rule_says_what_it_says() -> None:
    """Every key of a rule of an action is read, and rules of extractors in the same file stay what they are."""
    rules = rules_of(
        '[[rule]]\nextensions = ["csv"]\nextractor = "tabular"\n'
        + RULE
        + 'on = ["removed", "renamed"]\ntypes = ["f", "d"]\ndirectories = ["/raw/**"]\nbatch = 7\n'
        + "settle_seconds = 1\n"
        + 'expires_seconds = 60\nburst = 5\nper_minute = 6\nrunning = 2\nbody = { p = "{path}" }\nwith = {}\n'
    )
    (rule,) = rules.actions.rules
    assert (rule.name, rule.on, rule.types) == ("tell", frozenset({"removed", "renamed"}), frozenset("fd"))
    assert (rule.batch, rule.settle_ns, rule.expires_ns) == (7, 10**9, 60 * 10**9)
    assert (rule.burst, rule.per_minute, rule.running, rule.body) == (5, 6, 2, {"p": "{path}"})
    assert [each.work.extractor for each in rules.rules] == ["tabular"]


@each_row(
    ("lines", "words"),
    [
        ('on = "contents"', "has an unknown trigger 'contents'; did you mean content?"),
        ('on = "schedule"', "has 'schedule', which this version cannot do yet"),
        ('on = "document"', "query is missing"),
        ('query = "a:1"', "is for on = 'document' only"),
        ('on = ["document", "content"]\nquery = "*"', "which stands alone"),
        ('on = "document"\nquery = "a:("', "cannot be asked"),
        ('on = "document"\nquery = "mtime:>now-7d"', "as time goes by"),
        ("on = []", "must be one trigger or a list of them"),
        ('extractor = "tabular"', "and action exclude each other"),
        ('queue = "default"', "unknown key queue"),
        ('complete = { marker = "x" }', "complete is for on = 'directory' only"),
        ('late = "again"', "late is for on = 'directory' only"),
        (DIRECTORY, "directories is missing"),
        (DIRECTORY + "directories = ['/x']", "complete must say when a directory is complete"),
        (
            DIRECTORY + "directories = ['/x']\ncomplete = { quiet = 1 }",
            "unknown key quiet in [[rule]] 'tell' complete",
        ),
        (DIRECTORY + "directories = ['/x']\ncomplete = { min_files = 0 }", "min_files must lie between"),
        (DIRECTORY + "directories = ['/x']\ncomplete = { marker = 'a/b' }", "a marker that is not the name"),
        (DIRECTORY + "directories = ['/x']\nglobs = ['*']", "globs asks about a file"),
        (DIRECTORY + "directories = ['/x']\nnot = { extensions = ['x'] }", "extensions asks about a file"),
        (DIRECTORY + "directories = ['/x']\ntypes = ['d']", "types is said by on = 'directory' already"),
        (
            DIRECTORY + "directories = ['/x']\ncomplete = { min_files = 1 }\nlate = 'x'",
            "late is 'x'; it must be one",
        ),
        ('on = ["directory", "content"]', "has 'directory', which stands alone"),
        ('outputs = "../x"', "is for actions that run in a container"),
        ('after = "reduce"', "which is not a rule of an action in this file"),
        ('types = ["l"]', "types are f (files) and d (directories)"),
        ("batch = 0", "batch must lie between 1 and 500"),
        ('body = { a = "{pth}" }', "names an unknown field {pth}; did you mean path?"),
        ('body = { a = "{" }', "with a bracket that stands alone"),
        ("body = { a = 2020-01-01 }", "has a value that JSON cannot hold"),
        ("body = 5", "must be a table, a list or a text"),
        ('with = { subject = "x" }', "unknown key subject"),
        ('events = ["content"]', "unknown key events"),
    ],
)
def test_a_wrong_rule_is_one_sentence(lines: str, words: str) -> None:
    """What is wrong in a rule, or not there yet, is refused with the rule's name, the key, and what may be said."""
    with pytest.raises(ConfigError) as error:
        rules_of(RULE + lines)
    assert words in str(error.value)
    assert "[[rule]] 'tell'" in str(error.value)


@each_row(
    ("text", "words"),
    [
        (RULE.replace("webhook", "webhok"), "unknown action 'webhok' in [[rule]] 'tell'; did you mean webhook?"),
        (RULE.replace("beamline", "beam-line"), "is 'beam-line', which does not exist; did you mean beamline?"),
        (RULE.replace("beamline", "managers"), "is 'managers', one for mail; webhook needs its own kind"),
        ('[[rule]]\naction = "webhook"\n', "endpoint is missing"),
        (RULE + RULE, "two rules are named 'tell'"),
        ('[[policy]]\nname = "x"\n', "unknown key policy"),
    ],
)
def test_names_that_are_wrong_have_the_nearest_one(text: str, words: str) -> None:
    """Kinds, endpoints and sections that nobody knows are refused with the nearest one."""
    with pytest.raises(ConfigError) as error:
        rules_of(text)
    assert words in str(error.value)


def test_users_rules_have_no_actions_without_a_grant() -> None:
    """A user's own rule of an action is refused where the site has granted nothing to that user."""
    with pytest.raises(ConfigError, match="which the site does not grant to alice; granted are: none"):
        parse(RULE, "alice.toml", (), user="alice", known=replace(KNOWN, author=Author("alice", 1000)))


def test_a_users_rule_holds_for_that_users_files_alone() -> None:
    """A file that went to somebody else, or whose owner is not known, is none of the author's."""
    (rule,) = own_rules_of(RULE).actions.users[ALICE.uid]

    owners = {uid: rule.holds(File(b"/a", uid=uid), "f") for uid in (ALICE.uid, BOB.uid, 0, None)}

    assert owners == {ALICE.uid: True, BOB.uid: False, 0: False, None: False}


@each_row(
    ("entry", "words"),
    [
        ('kind = "webhok"\nurl = "https://a"', "it must be one of: webhook, mail"),
        ('kind = "webhook"', "url is missing; write where it is"),
        ('kind = "webhook"\nurl = "ftp://a/"', "must begin with https://HOST or http://HOST"),
        ('kind = "webhook"\nurl = "https:///path"', "must begin with https://HOST"),
        ('kind = "webhook"\nurl = "https://user:secret@a/"', "has a user or password in it"),
        ('kind = "webhook"\nurl = "https://a:port/"', "is not a URL"),
        ('kind = "webhook"\nurl = "https://a/b c"', "has a space"),
        ('kind = "webhook"\nurl = "https://a/"\ntos = 1', "unknown key tos"),
        ('kind = "webhook"\nurl = "https://a/"\nto = ["a@b.org"]', "is for mail only"),
        ('kind = "nats"\nurl = "tls://a"', "subject is missing; nats needs subject"),
        ('kind = "nats"\nurl = "tls://a"\nsubject = "a.>"', "write words with dots between them"),
        ('kind = "redis"\nurl = "rediss://a"\nstream = "s"\ntopic = "t"', "topic is for kafka only"),
        ('kind = "redis"\nurl = "rediss://a/x"\nstream = "s"', "has more in it than a host"),
        ('kind = "kafka"\nurl = "kafkas://a,b"\ntopic = "a b"', "write a-z"),
        ('kind = "kafka"\nurl = "kafkas://a"\ntopic = "t"\nmechanism = "GSSAPI"', "must be one of: PLAIN"),
        ('kind = "kafka"\nurl = "kafkas://a"\ntopic = "t"\nmax_length = 1', "max_length is for redis only"),
        ('kind = "mail"\nurl = "smtp://a"', "mail needs sender and to"),
        ('kind = "mail"\nurl = "smtp://a"\nsender = "a@b\\nBcc: c@d"\nto = ["a@b.org"]', "write NAME@HOST"),
    ],
)
def test_a_wrong_endpoint_is_one_sentence(entry: str, words: str) -> None:
    """What is wrong with an endpoint is refused with its name, and a password in a URL is not repeated."""
    with pytest.raises(ConfigError) as error:
        endpoints.parse(f"[endpoint.beamline]\n{entry}\n", "endpoints.toml")
    assert words in str(error.value)
    assert "[endpoint.beamline]" in str(error.value)
    assert "secret@" not in str(error.value)


def test_an_endpoint_shows_no_path_of_its_url() -> None:
    """What is shown of an endpoint is scheme, host and port: its path or query may be a secret."""
    found = endpoints.parse(
        '[endpoint.a]\nkind = "webhook"\nurl = "https://b.example.org:8443/hook/t0ken?x=1"\n', "endpoints.toml"
    )
    assert found["a"].where == "https://b.example.org:8443"


def test_a_mail_to_the_author_goes_to_the_author_only() -> None:
    """`{user}` is the user whose own rule it is: no rule of the site has one, and no name adds another address."""
    mine = Endpoint("mine", "mail", "smtp://a", sender="a@example.org", to=("{user}@example.org",))
    assert mine.recipients("alice") == ("alice@example.org",)
    for user in ("", "a,b", "a@evil.org", "a b", "a\n"):
        with pytest.raises(ConfigError, match="writes to the user whose rule it is"):
            mine.recipients(user)
    with pytest.raises(ConfigError, match="writes to the user whose own rule it is"):
        parse(
            RULE.replace("webhook", "mail").replace("beamline", "mine"),
            "rules", (), known=replace(KNOWN, endpoints={"mine": mine}),
        )  # fmt: skip


@each_row(
    ("grants", "told"),
    [
        ('[grant.a]\nusers = ["alice"]\nendpoints = ["here"]\n', {"here": ()}),
        ('[grant.a]\nusers = ["bob"]\nendpoints = ["here"]\n', {}),
        ('[grant.a]\ngroups = ["physics"]\nendpoints = ["here"]\ndirectories = ["/a/**"]\n', {"here": ("/a/**",)}),
        (
            (
                '[grant.a]\nusers = ["*"]\nendpoints = ["here"]\ndirectories = ["/a"]\n'
                '[grant.b]\nusers = ["alice"]\nendpoints = ["here"]\ndirectories = ["/b"]\n'
            ),
            {"here": ("/a", "/b")},
        ),
        (
            (
                '[grant.a]\nusers = ["*"]\nendpoints = ["here"]\ndirectories = ["/a"]\n'
                '[grant.b]\nusers = ["alice"]\nendpoints = ["here"]\n'
            ),
            {"here": ()},
        ),
    ],
)
def test_grants_are_for_users_and_groups_and_add_up(grants: str, told: dict[str, tuple[str, ...]]) -> None:
    """A user may use what any grant says that is for the user or one of the user's groups, where it says."""
    here = {"here": Endpoint("here", "webhook", "https://a")}
    found = grants_of(tomllib.loads(grants), "endpoints.toml", here)
    assert allowance_of(found, "alice", {"physics"}).endpoints == told


@each_row(
    ("grant", "words"),
    [
        ('endpoints = ["here"]', "users is missing"),
        ('users = ["*"]', "endpoints is missing"),
        ('users = ["*"]\nendpoints = ["her"]', "has 'her', which does not exist; did you mean here?"),
        ('users = ["*"]\nendpoints = ["here"]\nrules = 1000', "must lie between"),
        ('users = ["*"]\nendpoints = ["here"]\nrule = 1', "unknown key rule"),
    ],
)
def test_a_wrong_grant_is_one_sentence(grant: str, words: str) -> None:
    """What is wrong with a grant is refused with its name and key."""
    here = {"here": Endpoint("here", "webhook", "https://a")}
    with pytest.raises(ConfigError) as error:
        grants_of(tomllib.loads(f"[grant.all]\n{grant}\n"), "endpoints.toml", here)
    assert words in str(error.value)
    assert "[grant.all]" in str(error.value)


PATHS = st.lists(st.sampled_from([b"raw", b"new", b"a.h5", b"x.csv", b"A.H5"]), min_size=1, max_size=4)


@examples(200)
@given(st.lists(PATHS, min_size=1, max_size=6), st.sampled_from(["f", "d", None]))
def test_the_quick_way_to_rules_leaves_none_out(paths: list[list[bytes]], type_: str | None) -> None:
    """`asked`, which remembers directories, returns just the rules that could hold, whatever was asked before."""
    rules = rules_of(
        RULE
        + 'directories = ["/raw/**"]\n'
        + RULE.replace("tell", "h5")
        + 'extensions = ["h5"]\non = ["content", "removed"]\n'
        + RULE.replace("tell", "dirs")
        + 'types = ["d"]\nglobs = ["n*"]\nowners = [5]\n'
        + RULE.replace("tell", "others")
        + 'not = { directories = ["/raw/**"], extensions = ["h5"] }\n'
    ).actions.leaving_out(excluding(["/new", "**/*.tmp"]))
    for parts in paths:
        for file in (File(b"/".join(parts)), File(parts[-1], whole=False)):
            wanted = [rule for rule in rules.rules if "content" in rule.on and rule.may_hold(file, type_)]
            assert rules.asked("content", file, type_) == wanted
            where = file.directory
            assert not wanted or where is None or rules.may_happen_in(["content"], where, file.name)
            assert not wanted or rules.names.wanted(file.name)


@examples(100)
@given(st.lists(st.sampled_from(["raw", "n*", "**", "*", "[rn]*", "new", "?aw"]), max_size=3), PATHS)
def test_what_is_known_of_directories_leaves_none_out(glob: list[str], parts: list[bytes]) -> None:
    """A glob on directories holds by the quick way just where it holds, whatever its first part is."""
    rules = rules_of(
        RULE + f'directories = ["/{"/".join(glob)}", "none"]\n' + RULE.replace("tell", "x") + 'globs = ["*.x"]\n'
    ).actions
    file = File(b"/".join(parts))
    assert rules.asked("content", file, "f") == [rule for rule in rules.rules if rule.may_hold(file, "f")]


@examples(100)
@given(PATHS)
def test_no_name_that_a_rule_wants_is_passed_over(parts: list[bytes]) -> None:
    """Where all rules name extensions, names are enough to leave out what no rule could want."""
    rules = rules_of(
        RULE + 'extensions = ["h5"]\n' + RULE.replace("tell", "csv") + 'extensions = ["csv"]\n'
    ).actions
    wanted = any(rule.may_hold(File(b"/".join(parts)), None) for rule in rules.rules)
    assert rules.names.wanted(parts[-1]) is wanted
    assert rules_of(RULE).actions.names.wanted(parts[-1])


ENDINGS = st.lists(st.sampled_from(["h5", "tar.gz", "R", ".", "nii"]), max_size=3)
NAMES = st.lists(
    st.sampled_from([b"a", b".", b".H5", b".tar", b".gz", b".r", b"nii", b"\xff"]), min_size=1, max_size=4
)


@examples(200)
@given(ENDINGS, st.lists(st.sampled_from(["*.h5", "a*"]), max_size=1), st.lists(NAMES, max_size=5))
def test_the_names_that_are_kept_of_many_are_those_that_a_rule_wants(
    endings: list[str], globs: list[str], names: list[list[bytes]]
) -> None:
    """Of many names at once those are kept for which a rule could hold, whatever letters they end with."""
    text = RULE.replace("tell", "none") + 'extensions = ["none"]\n'
    text += "".join(RULE.replace("tell", f"e{n}") + f'extensions = ["{each}"]\n' for n, each in enumerate(endings))
    text += "".join(RULE.replace("tell", "globs") + f'globs = ["{each}"]\n' for each in globs)
    rules = rules_of(text).actions
    links = [Link(ROOT_FID, b"".join(parts), ROOT_FID, b"") for parts in names]
    wanted = [each for each in links if any(rule.may_hold(File(each.name), "f") for rule in rules.rules)]
    assert rules.names.among(links) == wanted
    assert rules_of(RULE).actions.names.among(links) == links


@examples(100)
@given(st.lists(st.sampled_from(["raw", "n*", "**", "new"]), max_size=3), PATHS)
def test_a_directory_in_which_no_rule_could_hold_is_passed_over(glob: list[str], parts: list[bytes]) -> None:
    """Nothing is passed over in a directory where a rule could hold for anything, whatever it is called."""
    rules = rules_of(RULE + f'directories = ["/{"/".join(glob)}", "none"]\nglobs = ["*.x"]\n').actions
    directory = b"/".join(parts)
    assert rules.may_hold_in(directory) is any(
        rule.may_hold(File(directory + b"/a.x"), "f") for rule in rules.rules
    )


VALUES = st.recursive(st.none() | st.integers() | st.text(), lambda each: st.dictionaries(st.text(), each))


@examples(200)
@given(st.dictionaries(st.sampled_from(FIELDS), st.text() | st.integers() | st.none()), VALUES)
def test_no_value_changes_the_shape_of_a_body(known: dict[str, object], value: object) -> None:
    """Values are put into leaves only, once: what is in them is never a template, and keys stay."""
    template = {"a": "{path}", "b": ["x{name}y", 5, "{{path}}"], "c": {"d": "{doc.e.f}"}}
    body = filled(template, {**known, "doc": {"e": {"f": value}}}, 10**9)
    name = known.get("name")
    assert body == {
        "a": known.get("path"),
        "b": [f"x{'' if name is None else name}y", 5, "{path}"],
        "c": {"d": value},
    }


@pytest.mark.parametrize(
    "value",
    ["x" * 10**6, ["y" * 100] * 10**4, [1] * 10**5, {"a": {str(n): n for n in range(10**5)}}],
    ids=["text", "texts", "numbers", "keys"],
)
@pytest.mark.parametrize("template", ["{doc.e.f}" * 7_000, ["{doc.e.f}"] * 200, {"a": {"b": "{doc.e.f}{doc.e.f}"}}])
def test_what_is_filled_in_is_bounded(template: object, value: object) -> None:
    """A long value that a rule names again and again costs no more than what may be sent."""
    tracemalloc.start()
    try:
        with pytest.raises(ConfigError, match="more than 8 KiB, so name less in it"):
            filled(template, {"doc": {"e": {"f": value}}}, 8 << 10)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20


def test_nothing_asks_nothing() -> None:
    """Without rules of actions no trigger is watched; the words of triggers are those of the guide."""
    assert ActionRules().triggers == frozenset()
    assert TRIGGERS == ("content", "created", "removed", "renamed", "attributes", "xattr", "hsm")
