"""Index URLs: where `--index` and the setting `[index] url` point."""

from __future__ import annotations

from pathlib import Path

from lustre_events.errors import ConfigError

_SQLITE = "sqlite:///"


def sqlite_path(url: str) -> Path:
    """Return the file of `sqlite:///relative/path` or `sqlite:////absolute/path`.

    Raises:
        ConfigError: the URL has another scheme, or no path.
    """
    path = url.removeprefix(_SQLITE)
    if path == url or not path.strip("/"):
        raise ConfigError(
            f"{url!r} is no index that this version can open; write sqlite:///relative/path or sqlite:////absolute/path"
        )
    return Path(path)
