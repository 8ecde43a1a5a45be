"""Rules and extractors as files have them: whose count, what a change does, what is kept when something breaks."""

from __future__ import annotations

import os
import pwd
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lustre_events.actions.kinds import KINDS
from lustre_events.catalog import own_extractors, program_files, template
from lustre_events.catalog.catalog import Catalog, Places
from lustre_events.catalog.user_rules import MOST_RULE_BYTES, user_rules
from lustre_events.domain.rules.rules import File
from lustre_events.errors import ConfigError, ManifestError

RULE = '[[rule]]\nextractor = "words"\n'
ME = pwd.getpwuid(os.geteuid())
OTHER = next(each for each in pwd.getpwall() if each.pw_uid not in {0, ME.pw_uid})


class Site:
    """A folder with everything that a catalog reads."""

    def __init__(self, folder: Path) -> None:
        self.rules, self.users, self.extractors = folder / "rules.toml", folder / "users", folder / "extractors"
        self.own = folder / "own"
        for each in (self.users, self.extractors, self.own):
            each.mkdir()
        template.write(self.extractors / "words", "single")
        self.rules.write_text(RULE)
        self.catalog = Catalog(Places(self.rules, self.users, (self.extractors,), self.own))
        self.catalog.load()

    def user_file(self, text: str, name: str = ME.pw_name) -> Path:
        """Write a user's rules."""
        path = self.users / f"{name}.toml"
        path.write_text(text)
        path.chmod(0o644)
        return path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_nothing_has_changed(site: Site) -> None:
    """A look at files that are as they were tells nothing."""
    assert site.catalog.look() is None


def test_what_the_settings_exclude_no_rule_reaches(site: Site) -> None:
    """Also rules that are read later, and those of users."""
    catalog = Catalog(Places(site.rules, site.users, (site.extractors,), site.own, exclude=("/scratch",)))
    catalog.load()
    site.user_file(RULE)
    site.rules.write_text(RULE + "priority = 3\n")

    found = catalog.look()

    assert found is not None
    assert found.rules.users
    assert not found.rules.match(File(b"scratch/a.csv", uid=ME.pw_uid))
    assert found.rules.match(File(b"proj/a.csv", uid=ME.pw_uid))


def test_changed_rules_count(site: Site) -> None:
    """What a file says now is what is asked from now on."""
    site.rules.write_text(RULE + 'extensions = ["csv"]\n')

    found = site.catalog.look()

    assert found is not None
    assert found.problems == ()
    assert not found.rules.match(File(b"a.txt"))
    assert site.catalog.look() is None


@pytest.mark.parametrize("text", ["[[rule", '[[rule]]\nextractor = "wrods"\n', None])
def test_broken_rules_keep_the_old_ones(site: Site, text: str | None) -> None:
    """The old rules go on, one sentence says why; when the file is repaired it counts."""
    before = site.catalog.found.rules
    if text is None:
        site.rules.unlink()
    else:
        site.rules.write_text(text)

    found = site.catalog.look()

    assert found is not None
    assert found.rules is before
    assert "until that is corrected" in found.problems[0]
    assert site.catalog.look() is None
    site.rules.write_text(RULE + "# repaired\n")
    assert site.catalog.look() is not None
    assert site.catalog.found.problems == ()


def test_extractors_come_and_go(site: Site) -> None:
    """A new folder is a new extractor, a changed program a new digest, a folder that is gone none."""
    before = site.catalog.found.extractors["words"].digest
    template.write(site.extractors / "more", "single")
    (site.extractors / "words" / "words.py").write_text("print({})\n")
    assert site.catalog.look() is not None
    assert site.catalog.found.extractors.keys() == {"words", "more"}
    assert site.catalog.found.extractors["words"].digest != before

    for path in sorted((site.extractors / "more").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (site.extractors / "more").rmdir()
    assert site.catalog.look() is not None
    assert site.catalog.found.extractors.keys() == {"words"}


def test_a_broken_extractor_keeps_everything_as_it_was(site: Site) -> None:
    """A manifest that is being written harms nothing."""
    (site.extractors / "words" / "manifest.toml").write_text("name = ")

    found = site.catalog.look()

    assert found is not None
    assert found.extractors.keys() == {"words"}
    assert "not a TOML file" in found.problems[0]


def test_a_broken_site_does_not_start(site: Site) -> None:
    """At the start there is nothing to go on with, so it is refused."""
    site.rules.write_text("[[rule")
    with pytest.raises(ConfigError, match="not a TOML file"):
        site.catalog.load()
    site.rules.write_text(RULE)
    (site.extractors / "words" / "manifest.toml").write_text("name = ")
    with pytest.raises(ManifestError):
        site.catalog.load()


def test_users_rules_count_for_their_files(site: Site) -> None:
    """A file named after its user holds that user's rules."""
    site.rules.write_text(RULE + 'extensions = ["csv"]\n')
    site.user_file(RULE + 'name = "mine"\n')

    rules = site.catalog.load().rules

    assert [work.rule for work in rules.match(File(b"a", uid=ME.pw_uid))] == [f"{ME.pw_name}/mine"]
    assert rules.match(File(b"a", uid=ME.pw_uid + 1)) == ()


def test_a_users_broken_file_harms_nobody_else(site: Site) -> None:
    """It is left out, with a sentence."""
    site.user_file("[[rule")

    found = site.catalog.look()

    assert found is not None
    assert found.rules.users == {}
    assert "not a TOML file" in found.problems[0]


def test_a_users_file_that_others_may_write_does_not_count(site: Site) -> None:
    """Whoever can write to it could send that user's files anywhere."""
    path = site.user_file(RULE)
    path.chmod(0o664)
    with pytest.raises(ConfigError, match="chmod go-w"):
        user_rules(path, {"words"})


def test_a_users_file_of_somebody_else_does_not_count(site: Site) -> None:
    """Its owner must be the user that it is named after, or root."""
    path = site.user_file(RULE, OTHER.pw_name)
    if os.geteuid():
        with pytest.raises(ConfigError, match="owned by neither"):
            user_rules(path, {"words"})
        return
    assert user_rules(path, {"words"})[0] == OTHER.pw_uid
    os.chown(path, OTHER.pw_uid + 1, -1)
    with pytest.raises(ConfigError, match=f"chown {OTHER.pw_name}"):
        user_rules(path, {"words"})


ENDPOINTS_FILE = """
[endpoint.here]
kind = "webhook"
url = "https://a.example.org/"
[endpoint.myself]
kind = "mail"
url = "smtp://a.example.org"
sender = "a@example.org"
to = ["{user}@example.org"]
[grant.all]
users = ["*"]
endpoints = ["myself"]
directories = ["/home/**"]
rules = 2
"""
OWN_ACTION = '[[rule]]\nname = "a"\naction = "mail"\nendpoint = "myself"\n'


@pytest.fixture
def granting(site: Site, tmp_path: Path) -> Site:
    """A site that grants its users something."""
    (tmp_path / "endpoints.toml").write_text(ENDPOINTS_FILE)
    kinds = {name: kind.read_with for name, kind in KINDS.items()}
    site.catalog = Catalog(
        Places(site.rules, site.users, (site.extractors,), site.own, tmp_path / "endpoints.toml", kinds)
    )
    return site


def test_a_users_actions_hold_for_that_users_files_where_the_grant_says(granting: Site) -> None:
    """A user's rule of an action has the user's name, and holds for the user's files in the granted directories."""
    granting.user_file(OWN_ACTION)
    found = granting.catalog.load()
    (rule,) = found.rules.actions.users[ME.pw_uid]
    assert (found.problems, rule.name, rule.viewers) == ((), f"{ME.pw_name}/a", (str(ME.pw_uid),))
    held = [
        rule.holds(File(path, uid=uid), "f")
        for path, uid in ((b"home/x", ME.pw_uid), (b"home/x", ME.pw_uid + 1), (b"proj/x", ME.pw_uid))
    ]
    assert held == [True, False, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (OWN_ACTION.replace("mail", "webhook").replace("myself", "here"), "does not grant to"),
        (OWN_ACTION + OWN_ACTION.replace('"a"', '"b"') + OWN_ACTION.replace('"a"', '"c"'), "3 rules of actions"),
        (OWN_ACTION + 'audience = ["root"]\n', "is for the site's rules"),
        (OWN_ACTION.replace('"a"', '"a\\u001b[2J"'), "cannot be printed"),
        ('"\\u001b[2J" = 1\n', "unknown key"),
        (OWN_ACTION.replace("name", "name = [1]\nnmae"), ""),
        ("[[rule]]\n" + "x" * 70_000, ""),
        ("a = " + "[" * 60_000, ""),
    ],
)
def test_a_hostile_file_is_one_sentence_about_its_user(granting: Site, text: str, words: str) -> None:
    """Whatever a user's file says, it is one printable sentence; the site and other users go on, and what waits."""
    granting.user_file(text)
    granting.user_file(OWN_ACTION, OTHER.pw_name) if os.geteuid() == 0 else None
    found = granting.catalog.load()
    (sentence,) = found.problems
    assert words in sentence
    assert str(granting.users / ME.pw_name) in sentence
    assert sentence.isprintable()
    assert len(sentence) <= 1_000
    assert found.rules.actions.is_paused(f"{ME.pw_name}/a")
    assert len(found.rules.rules) == 1
    assert set(found.rules.actions.users) == ({OTHER.pw_uid} if os.geteuid() == 0 else set())


def test_too_many_entries_pause_everybody_whose_file_was_not_read(
    granting: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of any kind count: where they are too many that is said, and no run ends for a file not read."""
    monkeypatch.setattr("lustre_events.catalog.user_rules.MOST_RULE_FILES", 3)
    path = granting.user_file(OWN_ACTION)
    for number in range(2):
        (granting.users / f"backup{number}.toml~").touch()
    found = granting.catalog.load()
    assert (found.problems, found.rules.actions.is_paused("somebody/a")) == ((), False)
    (granting.users / "one.toml~").touch()
    found = granting.catalog.load()
    assert found.rules.actions.is_paused("somebody/a")
    assert [str(granting.users) in each and "more than 3 entries" in each for each in found.problems] == [True]
    path.unlink()
    assert granting.catalog.load().problems == ()


def test_what_is_no_file_is_one_sentence_too(granting: Site) -> None:
    """A pipe, a link that leads to itself or a folder in the place of a user's file stops nothing."""
    path = granting.users / f"{ME.pw_name}.toml"
    for make in (os.mkfifo, lambda path: path.symlink_to(path), os.mkdir):
        make(path)
        assert len(granting.catalog.load().problems) == 1
        path.rmdir() if path.is_dir() else path.unlink()


def test_a_grant_that_goes_stops_the_rule(granting: Site, tmp_path: Path) -> None:
    """When the site takes a grant away the user's rule is not there any more, and a sentence says why."""
    granting.user_file(OWN_ACTION)
    assert granting.catalog.load().rules.actions.by_name
    (tmp_path / "endpoints.toml").write_text(ENDPOINTS_FILE.partition("[grant")[0])
    found = granting.catalog.look()
    assert found is not None
    assert (found.rules.actions.by_name, len(found.problems)) == ({}, 1)


def test_a_link_is_not_followed(site: Site, tmp_path: Path) -> None:
    """A file of rules that is a link could show what the dispatcher may read and its user may not."""
    (tmp_path / "secret").write_text("secret")
    path = site.users / f"{ME.pw_name}.toml"
    path.symlink_to(tmp_path / "secret")
    with pytest.raises(ConfigError, match="put the file itself there"):
        user_rules(path, {"words"})


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_of_rules_is_said_to_be_none(site: Site, make: Callable[[Path], None]) -> None:
    """A folder or a fifo in the place of a user's file is refused unopened, with what to do."""
    path = site.users / f"{ME.pw_name}.toml"
    make(path)
    with pytest.raises(ConfigError, match="put the file itself there"):
        user_rules(path, {"words"})


def test_a_file_of_nobody_is_said(site: Site) -> None:
    """A file must be named after a user of this node."""
    site.user_file(RULE, "nobody-of-that-name")

    assert "is not a user on this node" in site.catalog.load().problems[0]


MANIFEST = 'name = "spy"\nversion = "1"\ncommand = ["x"]\ncontract = "batch"\ndescription = "d"\n'


def deep(folder: Path, name: bytes, levels: int) -> None:
    """Make folders within each other, deeper than a path can say."""
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        inner = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)


HOSTILE_RULES = {
    "nested arrays": b"a = " + b"[" * 5_000,
    "a long number": b"a = " + b"1" * 5_000,
    "a long number, printed": RULE.encode() + b"priority = 0x" + b"f" * 5_000,
    "deep tables": RULE.encode() + b"name.a" + b".a" * 12 + b" = 1",
    "a name with NUL": RULE.encode() + b'owners = ["a\\u0000b"]',
    "no text": b"\xff",
    "many rules": RULE.encode() * 1_000,
    "many globs": RULE.encode() + b"globs = [" + b'"*a*b*c*",' * 600 + b"]",
    "a long file": b"#" * (MOST_RULE_BYTES + 1),
}


@pytest.mark.parametrize("name", HOSTILE_RULES)
def test_no_rules_of_a_user_harm_anybody_else(site: Site, name: str) -> None:
    """Whatever a user's file of rules holds costs that user's rules, and is one sentence that can be stored."""
    site.user_file("").write_bytes(HOSTILE_RULES[name])

    found = site.catalog.load()

    assert found.rules.users == {}
    assert found.extractors.keys() == {"words"}
    assert [ME.pw_name in each for each in found.problems] == [True]
    msgspec.json.encode(found.problems)


def _growing(folder: Path) -> None:
    with (folder / "grows").open("wb") as file:
        file.truncate(10 << 40)


def _many_readmes(folder: Path) -> None:
    for number in range(program_files.MOST_ENTRIES + 1):
        (folder / f"{number}.md").touch()


def _bytes_name(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\x1b")).symlink_to("/etc/passwd")


def _socket(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"/proc/self/fd/{os.open(folder, os.O_RDONLY)}/socket")


HOSTILE_EXTRACTORS: dict[str, Callable[[Path], object]] = {
    "nested arrays": lambda folder: (folder / "manifest.toml").write_text(MANIFEST + "a = " + "[" * 5_000),
    "a long number": lambda folder: (folder / "manifest.toml").write_text(MANIFEST + "a = " + "1" * 5_000),
    "limits above all": lambda folder: (folder / "manifest.toml").write_text(
        MANIFEST + "[limits]\noutput_bytes = 250000000"
    ),
    "a long version": lambda folder: (folder / "manifest.toml").write_text(
        MANIFEST.replace('"1"', f'"{"1" * 5_000}"')
    ),
    "a command with NUL": lambda folder: (folder / "manifest.toml").write_text(
        MANIFEST.replace('"x"', '"\\u0000"')
    ),
    "deep folders": lambda folder: deep(folder, b"d", 1_500),
    "a path beyond PATH_MAX": lambda folder: deep(folder, b"d" * 255, 25),
    "many entries": _many_readmes,
    "a fifo": lambda folder: os.mkfifo(folder / "fifo"),
    "a socket": _socket,
    "a loop of links": lambda folder: (folder / "loop").symlink_to("loop"),
    "a link to itself": lambda folder: (folder / "loop").symlink_to("."),
    "a name of bytes": _bytes_name,
    "a file without end": _growing,
}


@pytest.mark.long
@pytest.mark.parametrize("name", HOSTILE_EXTRACTORS)
def test_no_extractor_of_a_user_harms_anybody_else(site: Site, name: str) -> None:
    """Whatever a user's folder holds costs that extractor, and is one sentence; what is repaired counts again."""
    for each in ("good", "spy"):
        (site.own / ME.pw_name / each).mkdir(parents=True)
        (site.own / ME.pw_name / each / "manifest.toml").write_text(MANIFEST.replace("spy", each))
    HOSTILE_EXTRACTORS[name](site.own / ME.pw_name / "spy")

    found = site.catalog.load()

    assert found.extractors.keys() == {"words", f"{ME.pw_name}/good"}
    assert ["spy" in each for each in found.problems] == [True]
    msgspec.json.encode(found.problems)
    subprocess.run(["rm", "-r", site.own / ME.pw_name / "spy"], check=True, timeout=60)  # of any depth
    (site.own / ME.pw_name / "spy").mkdir()
    (site.own / ME.pw_name / "spy" / "manifest.toml").write_text(MANIFEST)
    after = site.catalog.look()
    assert after is not None
    assert after.problems == ()
    assert f"{ME.pw_name}/spy" in after.extractors


def test_many_extractors_of_a_user_are_bounded(site: Site) -> None:
    """Only a number of one user count, and of those that are wrong only some are told."""
    for number in range(2 * own_extractors.MOST_OWN):
        folder = site.own / ME.pw_name / f"e{number}"
        folder.mkdir(parents=True)
        (folder / "manifest.toml").write_text("[" * 99)

    found = site.catalog.load()

    assert found.extractors.keys() == {"words"}
    assert f"{own_extractors.MOST_OWN - own_extractors.MOST_SENTENCES} more" in found.problems[-1]
    assert len(found.problems) == own_extractors.MOST_SENTENCES + 2


def test_more_files_of_rules_than_are_read_are_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where whoever may write in the folder of rules fills it, a sentence says that some do not count."""
    monkeypatch.setattr("lustre_events.catalog.user_rules.MOST_RULE_FILES", 3)
    for number in range(4):
        (site.users / f"nobody-{number}.toml").touch()

    problems = site.catalog.load().problems

    assert "more than 3 entries" in problems[0]


def test_a_folder_that_cannot_be_listed_is_said(site: Site) -> None:
    """What is no folder, or not there, has nothing in it; nobody ends for it."""
    site.own.rmdir()
    site.users.rmdir()
    assert site.catalog.load().problems == ()
    site.own.symlink_to(site.own)
    site.users.symlink_to(site.users)

    problems = site.catalog.load().problems

    assert ["cannot be read" in each for each in problems] == [True, True]
