"""Looks into the file system from this node, with the workers' own code in a process of its own.

The service never imports the workers; it starts them by name (`python -P -m workers look`), as everywhere.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote_from_bytes, unquote_to_bytes

from lustre_events import subprocesses
from lustre_events.changelog.fid import FID
from lustre_events.config.settings import Settings
from lustre_events.domain.bounds import converted
from lustre_events.errors import ConfigError
from lustre_events.index.interface import Facts

END_SECONDS = 5.0
ANSWER_SECONDS = 120.0
"""How long one portion of a directory may take; after that the command says that the file system hangs."""

Listed = tuple[FID | None, Facts | None]
"""What is at a name, as far as it can be told."""


class Unreadable(Exception):
    """A directory cannot be read; the text says why."""


class Looker:
    """Asks a process of the workers; close it, or use it in a `with`."""

    def __init__(self, config_path: str | None) -> None:
        environment = {**os.environ}
        if config_path:
            environment["LUSTRE_EVENTS_CONFIG"] = str(Path(config_path).absolute())
        self._process = subprocesses.start(
            [sys.executable, "-P", "-m", "workers", "look"],
            environment=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._rest = b""

    def fid(self, path: bytes) -> FID:
        """Return the FID at a path relative to the mount. Raises ConfigError: it cannot be told."""
        answer = next(self._ask("fid", path))
        if not answer.get("fid"):
            raise ConfigError(
                f"{os.fsdecode(path)!r}: {answer.get('error') or 'its FID cannot be found'}; "
                "name a directory below the mount that this user may read"
            )
        return FID.parse(answer["fid"])

    def entries(self, path: bytes) -> dict[bytes, Listed] | None:
        """Return what is in a directory by name; None: it is gone. Raises Unreadable."""
        found: dict[bytes, Listed] = {}
        for answer in self._ask("list", path):
            if answer.get("gone"):
                return None
            if answer.get("error"):
                raise Unreadable(answer["error"])
            for name, fid, facts in answer["entries"]:
                found[unquote_to_bytes(name)] = (
                    None if fid is None else FID.parse(fid),
                    None if facts is None else converted(facts, Facts),
                )
        return found

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        subprocesses.finish(self._process, END_SECONDS)
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(self, what: str, path: bytes) -> Iterator[Mapping[str, Any]]:
        stdin = self._process.stdin
        if stdin is None:
            return
        try:
            stdin.write(json.dumps({what: quote_from_bytes(path)}).encode() + b"\n")
            stdin.flush()
        except BrokenPipeError as exc:
            raise _ended() from exc
        while True:
            answer: dict[str, Any] = json.loads(self._line())
            yield answer
            if answer.get("last") is None:
                return

    def _line(self) -> bytes:
        stdout = self._process.stdout
        deadline = time.monotonic() + ANSWER_SECONDS
        while stdout is not None and b"\n" not in self._rest:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([stdout], [], [], left)[0]:
                raise ConfigError(
                    f"the file system has not answered for {ANSWER_SECONDS:g} s; look at its mount on this node"
                )
            data = os.read(stdout.fileno(), 1 << 20)
            if not data:
                raise _ended()
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def _ended() -> ConfigError:
    return ConfigError("the process that looks into the file system has ended; its message above says why")


def steps(settings: Settings, looker: Looker, path: str) -> list[tuple[bytes, FID]]:
    """Return the directories from below the root down to `path`: name and FID of each.

    Raises:
        ConfigError: it is not below the mount, or cannot be examined.
    """
    top = os.path.realpath(os.fsencode(settings.filesystem.mount))
    whole = os.path.realpath(os.fsencode(path))
    if whole != top and not whole.startswith(top.rstrip(b"/") + b"/"):
        raise ConfigError(
            f"{path}: not below {settings.filesystem.mount}; name a directory there, or correct [filesystem] mount"
        )
    if not os.path.isdir(whole):  # noqa: PTH112 - bytes
        raise ConfigError(f"{path}: no directory; name one below {settings.filesystem.mount}")
    names = [name for name in whole[len(top) :].split(b"/") if name]
    return [(name, looker.fid(b"/".join(names[: depth + 1]))) for depth, name in enumerate(names)]
