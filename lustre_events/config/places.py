"""Where settings are when nobody names a file: the account's own, else the site's.

The account's own home is that of its line in passwd for root: what another user wrote must never steer root.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from pathlib import Path

from lustre_events.config.settings import ENVIRONMENT_PREFIX, Settings, load, parse
from lustre_events.errors import ConfigError

FOLDER = Path("/etc/lustre-events")
NAME = "lustre-events.toml"
REDIS_URL = f"{ENVIRONMENT_PREFIX}REDIS_URL"
CONFIG = f"{ENVIRONMENT_PREFIX}CONFIG"
ADMINISTRATOR = "admin"
"""The login of people who administer Redis: commands that root types have it, where it is on this node."""
IN_ITS_PLACE = ("dispatcher", "web")
"""Logins of a node without the administrator's that may look at everything, and ask the dispatcher."""


def usual(environment: Mapping[str, str] = os.environ, site: Path = FOLDER) -> Iterator[Path]:
    """Yield the files that are looked for, the one that wins first."""
    home = environment.get("HOME", "")
    if os.geteuid() == 0 or not home.startswith("/"):
        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError:
            home = ""
    if home:
        yield Path(home) / ".config" / "lustre-events" / NAME
    yield site / NAME


def worker_key(settings: Settings) -> Path:
    """Return where the key is that seals runs of actions for file workers."""
    own = settings.actions.worker_key
    return Path(own) if own else Path(settings.filesystem.state).absolute() / "worker.key"


def find(environment: Mapping[str, str] = os.environ, site: Path = FOLDER) -> Path | None:
    """Return the first of the usual files that is there; None: there is none."""
    return next((path for path in usual(environment, site) if _there(path)), None)


def settings(
    path: Path | None, environment: Mapping[str, str] = os.environ, *, role: str = "", site: Path = FOLDER
) -> Settings:
    """Return the settings of a file, of the usual one (None), or the defaults, with the environment.

    Args:
        path: the file that was named.
        environment: wins over files.
        role: whose login to use, if ROLE.env lies beside the settings and this account may read it; the
            environment wins over it. Empty: an administrator's, or what is here IN_ITS_PLACE.
        site: the site's folder.

    Raises:
        ConfigError: the file cannot be read, or says something wrong.
    """
    found = path or find(environment, site)
    folder = found.parent if found is not None else site
    known = {**(login(folder / f"{role}.env") if role else _by_hand(folder)), **environment}
    if found is None:
        return parse({}, known, "the defaults")
    try:
        return load(found, known)
    except ConfigError as exc:
        if path is None and isinstance(exc.__cause__, PermissionError):
            raise ConfigError(
                f"{found}: this account may not read the settings; ask the administrators of this node, or name "
                "settings of your own with --config"
            ) from exc
        raise


def login(path: Path) -> dict[str, str]:
    """Return the variables of a file for systemd's EnvironmentFile=; nothing where it is not there or closed."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    pairs = (line.partition("=") for line in map(str.strip, lines) if not line.startswith(("#", ";")))
    return {name: value.strip().strip("\"'") for name, equals, value in pairs if equals}


def _by_hand(folder: Path) -> dict[str, str]:
    own = login(folder / f"{ADMINISTRATOR}.env")
    others = (login(folder / f"{role}.env").get(REDIS_URL, "") for role in IN_ITS_PLACE)
    url = own.get(REDIS_URL) or next(filter(None, others), "")
    return own | ({REDIS_URL: url} if url else {})


def advice(environment: Mapping[str, str] = os.environ, site: Path = FOLDER) -> str:
    """Return what an ordinary user can do who has no settings at all; empty for everybody else."""
    if os.geteuid() == 0 or environment.get(CONFIG) or find(environment, site) is not None:
        return ""
    return (
        f"this account has no settings (neither {' nor '.join(map(str, usual(environment, site)))}): name your "
        "site's server with --server https://HOST where the command has this option; else ask the administrators "
        "of this file system for settings"
    )


def _there(path: Path) -> bool:
    """Return whether a file is there, or cannot be ruled out in the site's folder; another's home is no matter."""
    try:
        return path.is_file()
    except PermissionError:
        return ".config" not in path.parts
    except OSError:
        return False


def state_folder(settings: Settings) -> Path:
    """Return the folder of what this node keeps, made where it is not there. Raises ConfigError."""
    path = Path(settings.filesystem.state).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(
            f"{path}: cannot be made ({os.strerror(exc.errno or 0)}); correct [filesystem] state"
        ) from exc
    return path
