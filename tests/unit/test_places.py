"""Where settings are found when nobody names a file, and whose login is used."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from lustre_events.config import places
from lustre_events.errors import ConfigError


def write(folder: Path, text: str, name: str = places.NAME) -> Path:
    """Write a file of settings or of a login."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return path


def test_the_sites_settings_are_found_without_being_named(tmp_path: Path) -> None:
    """A command that is told nothing takes the site's file; one that names a file takes that."""
    write(tmp_path / "site", '[filesystem]\nmount = "/site"\n')
    named = write(tmp_path / "named", '[filesystem]\nmount = "/named"\n')

    assert places.settings(None, {}, site=tmp_path / "site").filesystem.mount == "/site"
    assert places.settings(named, {}, site=tmp_path / "site").filesystem.mount == "/named"
    assert places.settings(None, {}, site=tmp_path / "none").filesystem.mount == "/mnt/lustre"


def test_roots_home_is_that_of_passwd(tmp_path: Path) -> None:
    """HOME, which `sudo` may keep, steers an ordinary account's settings and never root's."""
    (own, _site) = places.usual({"HOME": str(tmp_path)})
    expected = tmp_path if os.geteuid() else Path(pwd.getpwuid(0).pw_dir)

    assert own == expected / ".config" / "lustre-events" / places.NAME


def test_the_login_of_a_role_lies_beside_the_settings(tmp_path: Path) -> None:
    """ROLE.env is read as systemd reads it, and the environment wins over it; without a role it is admin's.

    On a node without an admin's it is one that may look at everything, and only that: not its way to the index.
    """
    write(tmp_path, "")
    write(tmp_path, "# a login\nLUSTRE_EVENTS_REDIS_URL=redis://reader\n", "reader.env")
    assert places.settings(None, {}, site=tmp_path).redis.url == ""
    write(tmp_path, "LUSTRE_EVENTS_REDIS_URL=redis://all\nLUSTRE_EVENTS_INDEX_URL=no\n", "dispatcher.env")
    assert places.settings(None, {}, site=tmp_path).redis.url == "redis://all"
    assert places.settings(None, {}, site=tmp_path).index.url != "no"
    write(tmp_path, 'LUSTRE_EVENTS_REDIS_URL="redis://admin"\n', "admin.env")

    assert places.settings(None, {}, role="reader", site=tmp_path).redis.url == "redis://reader"
    assert places.settings(None, {}, site=tmp_path).redis.url == "redis://admin"
    given = {"LUSTRE_EVENTS_REDIS_URL": "redis://given"}
    assert places.settings(None, given, role="reader", site=tmp_path).redis.url == "redis://given"


def test_a_wrong_file_of_the_site_is_named(tmp_path: Path) -> None:
    """A mistake in the usual file is told with its place, as for a file that was named."""
    path = write(tmp_path, "[reder]\n")

    with pytest.raises(ConfigError, match=str(path)):
        places.settings(None, {}, site=tmp_path)
