"""Rules and extractors as files have them: whose count, what a change does, what is kept when something breaks."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from lustre_events import starter
from lustre_events.catalog import Catalog, Places, user_rules
from lustre_events.errors import ConfigError, ManifestError
from lustre_events.rules import File

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
        starter.write(self.extractors / "words", "single")
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
    """The old rules go on, one sentence says why; when the file is mended it counts."""
    before = site.catalog.found.rules
    if text is None:
        site.rules.unlink()
    else:
        site.rules.write_text(text)

    found = site.catalog.look()

    assert found is not None
    assert found.rules is before
    assert "until that is mended" in found.problems[0]
    assert site.catalog.look() is None
    site.rules.write_text(RULE + "# mended\n")
    assert site.catalog.look() is not None
    assert site.catalog.found.problems == ()


def test_extractors_come_and_go(site: Site) -> None:
    """A new folder is a new extractor, a changed program a new digest, a folder that is gone none."""
    before = site.catalog.found.extractors["words"].digest
    starter.write(site.extractors / "more", "single")
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


def test_a_link_is_not_followed(site: Site, tmp_path: Path) -> None:
    """A file of rules that is a link could show what the dispatcher may read and its user may not."""
    (tmp_path / "secret").write_text("secret")
    path = site.users / f"{ME.pw_name}.toml"
    path.symlink_to(tmp_path / "secret")
    with pytest.raises((ConfigError, ManifestError)):
        user_rules(path, {"words"})


def test_a_file_of_nobody_is_said(site: Site) -> None:
    """A file must be named after a user of this node."""
    site.user_file(RULE, "nobody-of-that-name")

    assert "is no user here" in site.catalog.load().problems[0]
