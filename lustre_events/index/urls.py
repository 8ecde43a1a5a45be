"""Index URLs: which database they name."""

from __future__ import annotations

from pathlib import Path

from lustre_events.errors import ConfigError

_SQLITE = "sqlite:///"


def is_postgresql(url: str) -> bool:
    """Return whether a URL is libpq's: `postgresql://user@host/database?...`."""
    return url.startswith(("postgresql://", "postgres://"))


def sqlite_path(url: str) -> Path:
    """Return the file of `sqlite:///relative/path` or `sqlite:////absolute/path`.

    Raises:
        ConfigError: the URL has another scheme, or no path.
    """
    path = url.removeprefix(_SQLITE)
    if path == url or not path.strip("/"):
        raise ConfigError(
            f"{shown(url)!r} is not an index that this version can open; write sqlite:///relative/path, "
            "sqlite:////absolute/path or postgresql://USER@HOST/DATABASE"
        )
    return Path(path)


def shown(url: str) -> str:
    """Return what a message may say of an index's URL: neither user nor password, wherever they stand."""
    scheme, slashes, rest = url.partition("//")
    return f"{scheme}{slashes}{rest.rpartition('@')[2].partition('?')[0]}"
