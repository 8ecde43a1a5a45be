"""`lustre-events rules check` and `rules test`, as a user runs them."""

from __future__ import annotations

import json
import os
import pwd
import tempfile
from pathlib import Path

import pytest

from tests.support.service.command import clean_environment, lustre_events
from tests.support.unprivileged import NOBODY, Run, run_all

RULES = """
[[rule]]
name = "tables"
extensions = ["csv"]
extractor = "tabular"

[[rule]]
name = "raw"
directories = ["/proj/*/raw/**"]
owners = [4711]
extractor = "hdf5"
queue = "big"
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A file of rules."""
    (tmp_path / "rules.toml").write_text(RULES)
    return tmp_path / "rules.toml"


def test_good_rules_are_ok(rules: Path) -> None:
    """A file without mistakes is said to be so, with what it is for."""
    done = lustre_events("rules", "check", rules)

    assert done.stdout.decode() == f"{rules}: ok, 2 rules for hdf5, tabular\n"
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'extractor = "hdf5"',
            'extracter = "hdf5"',
            "unknown key extracter in [[rule]] 'raw'; did you mean extractor?",
        ),
        (
            'extractor = "hdf5"',
            'extractor = "hfd5"',
            "unknown extractor 'hfd5' in [[rule]] 'raw'; did you mean hdf5? If not, put the extractor's folder",
        ),
        ('["csv"]', '"csv"', "[[rule]] 'tables' extensions must be a list"),
        ("[[rule]]", "[[rule", "not a TOML file"),
    ],
)
def test_mistake_is_one_sentence(rules: Path, old: str, new: str, sentence: str) -> None:
    """A mistake ends with code 2 and one sentence that names file, rule and key."""
    rules.write_text(RULES.replace(old, new, 1))

    done = lustre_events("rules", "check", rules)

    assert sentence in done.stderr.decode()
    assert str(rules) in done.stderr.decode()
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (2, b"", 1)


def test_unreachable_rules_are_a_mistake(rules: Path) -> None:
    """Rules that no file can reach are printed one by one, and the check fails."""
    rules.write_text('match = "first"\n' + RULES.replace('extensions = ["csv"]\n', ""))

    done = lustre_events("rules", "check", rules)

    assert done.stdout.decode().startswith("rule 'raw': 'tables' comes first, holds for every file")
    assert done.stderr.decode() == f"lustre-events: {rules}: 1 problem with 2 rules, listed above\n"
    assert done.returncode == 2


def test_no_rules_named_is_said(tmp_path: Path) -> None:
    """Without a file there is nothing to check, and the setting that names one is told."""
    done = lustre_events("rules", "check")

    assert done.stderr.decode() == "lustre-events: there are no rules; name a file, or set [dispatcher] rules\n"
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_each_path_gets_its_reasons(rules: Path) -> None:
    """For each path the extractors are told, and of each rule why it holds or which condition does not."""
    done = lustre_events("rules", "test", "--rules", rules, "--owner", "4711", "/proj/x/raw/a.h5", b"b\xff\x1b.csv")

    assert done.stdout.decode().splitlines() == [
        "/proj/x/raw/a.h5: hdf5 (queue big, rule 'raw')",
        "  rule 'tables' -> tabular: not all of its conditions are met",
        "    yes events content, name: what happened is content",
        "    NO  extensions csv: the name is a.h5",
        "  rule 'raw' -> hdf5: holds",
        "    yes events content, name: what happened is content",
        "    yes directories /proj/*/raw/**: the directory is /proj/x/raw",
        "    yes owners 4711: the owner is 4711",
        "/b\\xff\\x1b.csv: tabular (queue default, rule 'tables')",
        "  rule 'tables' -> tabular: holds",
        "    yes events content, name: what happened is content",
        "    yes extensions csv: the name is b\\xff\\x1b.csv",
        "  rule 'raw' -> hdf5: not all of its conditions are met",
        "    yes events content, name: what happened is content",
        "    NO  directories /proj/*/raw/**: the directory is /",
        "    yes owners 4711: the owner is 4711",
    ]


def test_owner_is_that_of_the_file(rules: Path, tmp_path: Path) -> None:
    """A path below the mount point may be given whole; the owner is the file's, where it is there."""
    (tmp_path / "a.csv").write_text("")
    environment = {"LUSTRE_EVENTS_FILESYSTEM_MOUNT": str(tmp_path)}

    done = lustre_events(
        "rules", "test", "--json", "--rules", rules, tmp_path / "a.csv", "none.csv", environment=environment
    )

    there, missing = map(json.loads, done.stdout.splitlines())
    assert (there["path"], there["owner"]) == ("/a.csv", os.getuid())
    assert (missing["path"], missing["owner"]) == ("/none.csv", None)
    assert [rule["chosen"] for rule in there["rules"]] == [True, False]


def test_unknown_user_is_one_sentence(rules: Path) -> None:
    """A user that this node does not know is said, with the way out."""
    done = lustre_events("rules", "test", "--rules", rules, "--owner", "nobody-of-that-name", "a")

    assert done.stderr.decode().endswith("no such user on this node; give the uid instead\n")
    assert done.returncode == 2


def test_rules_of_actions_are_asked_too(tmp_path: Path) -> None:
    """`rules test` says which runs a file that is there would start, and on what; `check` counts them."""
    (tmp_path / "a.csv").write_text("1\n")
    endpoints, rules = tmp_path / "endpoints.toml", tmp_path / "rules.toml"
    endpoints.write_text('[endpoint.here]\nkind = "webhook"\nurl = "https://example.org/"\n')
    rules.write_text(
        '[[rule]]\nname = "gone"\non = "removed"\nextensions = ["csv"]\naction = "webhook"\nendpoint = "here"\n'
    )
    told = clean_environment({
        "LUSTRE_EVENTS_FILESYSTEM_MOUNT": str(tmp_path), "LUSTRE_EVENTS_ACTIONS_ENDPOINTS": str(endpoints),
    })  # fmt: skip
    tested = lustre_events("rules", "test", "/a.csv", "/b.h5", "--rules", str(rules), environment=told)
    checked = lustre_events("rules", "check", str(rules), environment=told)
    assert b"rule 'gone' -> webhook to here: starts on removed" in tested.stdout, tested.stderr
    assert b"rule 'gone' -> webhook to here: starts no run" in tested.stdout
    assert b"ok, 1 rule of actions" in checked.stdout


def test_a_relative_path_is_one_from_the_current_directory_on(rules: Path, tmp_path: Path) -> None:
    """As with `search` and `explain`, what leads from here into the file system is the file's own path."""
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.csv").write_text("1\n")
    told = clean_environment({"LUSTRE_EVENTS_FILESYSTEM_MOUNT": str(tmp_path / "files")})

    done = lustre_events("rules", "test", "--json", "--rules", rules, "files/a.csv", environment=told, cwd=tmp_path)

    found = json.loads(done.stdout)
    assert (found["path"], found["owner"]) == ("/a.csv", os.getuid())


OWN = """
[[rule]]
name = "tell me"
extensions = ["csv"]
action = "mail"
endpoint = "{endpoint}"
"""
ENDPOINTS = """
[endpoint.myself]
kind = "mail"
url = "smtp://mail.example.org"
sender = "a@example.org"
to = ["{user}@example.org"]
[grant.everybody]
users = ["*"]
endpoints = ["myself"]
"""


def test_a_user_checks_and_tests_the_own_file_without_any_right() -> None:
    """An account without rights checks its own file and asks it about a file, with no right at all."""
    user = pwd.getpwuid(NOBODY) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "extractors").mkdir()
        (folder / "endpoints.toml").write_text(ENDPOINTS)
        (folder / "settings.toml").write_text(
            f'[filesystem]\nmount = "{folder}"\n'
            f'[actions]\nendpoints = "{folder}/endpoints.toml"\n[worker]\nextractors = ["{folder}/extractors"]\n'
        )
        good, wrong = (folder / kind / f"{user.pw_name}.toml" for kind in ("good", "wrong"))
        for own, endpoint in ((good, "myself"), (wrong, "other")):
            own.parent.mkdir()
            own.write_text(OWN.format(endpoint=endpoint))
            os.chown(own, user.pw_uid, -1)
        config = {"LUSTRE_EVENTS_CONFIG": str(folder / "settings.toml")}
        asked = ["--json", "--user", str(good), "--owner", str(user.pw_uid), "/a.csv"]
        runs = (
            ["rules", "check", "--user", str(good)],
            ["rules", "test", *asked],
            ["rules", "check", "--user", str(wrong)],
            ["rules", "test", "--user", str(good), "/a.csv", "/settings.toml"],
        )
        checked, tested, refused, asked_alone = run_all([Run(words, config) for words in runs])
    assert (checked.code, checked.stderr) == (0, "")
    assert "ok, 1 rule of actions" in checked.stdout
    (found,) = json.loads(tested.stdout)["actions"]
    assert (found["rule"], found["holds"]) == (f"{user.pw_name}/tell me", True)
    assert (refused.code, refused.stderr.count("\n")) == (2, 1)
    assert f"is 'other', which the site does not grant to {user.pw_name}; granted are: myself" in refused.stderr
    assert f"rule '{user.pw_name}/tell me' -> mail to myself: starts on content" in asked_alone.stdout
    if os.geteuid() == 0:
        assert f"it belongs to uid 0; these rules are about files of uid {user.pw_uid} only" in asked_alone.stdout


def test_a_rule_of_a_user_says_what_it_lacks(tmp_path: Path) -> None:
    """Where nobody knows whose a file is, a user's rule starts no run, and says that the owner is missing."""
    me = pwd.getpwuid(os.geteuid())
    own = tmp_path / "own" / f"{me.pw_name}.toml"
    own.parent.mkdir()
    own.write_text(OWN.format(endpoint="myself"))
    (tmp_path / "endpoints.toml").write_text(ENDPOINTS)
    told = clean_environment({
        "LUSTRE_EVENTS_FILESYSTEM_MOUNT": str(tmp_path), "LUSTRE_EVENTS_DISPATCHER_USER_RULES": str(own.parent),
        "LUSTRE_EVENTS_ACTIONS_ENDPOINTS": str(tmp_path / "endpoints.toml"),
    })  # fmt: skip

    done = lustre_events("rules", "test", "/none.csv", environment=told)

    assert done.stdout.decode().splitlines()[1:] == [
        f"  rule '{me.pw_name}/tell me' -> mail to myself: starts no run",
        "    yes extensions csv: the name is none.csv",
        f"    NO  files of {me.pw_name}: it is not known who owns this file; give --owner",
    ]
