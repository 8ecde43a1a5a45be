"""Copies of files by rsync and rclone: commands by argv, each with a deadline, and what exit codes mean.

What is copied lies in a *view*: a directory that has, under each file's own path, a link to the descriptor of the
file that was opened. So no path of the file system is followed a second time, names never stand in a command, and
the kernel asks of each file whether the program's user may read it. rsync makes a file under another name and
renames it; both programs verify what they sent, and leave alone what is there already: to copy again does no harm.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lustre_events import subprocesses
from lustre_events.actions.endpoints.addresses import resolved
from lustre_events.actions.endpoints.connecting import login_of
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED
from lustre_events.actions.slurm_commands import Caller
from lustre_events.domain.rules import transfers
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError

CHECK_SECONDS = 30.0
ENDING_SECONDS = 5.0
"""For a program to remove what it had begun, once its time is over."""
QUIET_SECONDS = 120
"""So long nothing may come over a connection."""
MOST_SAID = 300
MOST_CONFIG_BYTES = 1 << 20
PORT = 873
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "HOME": "/nonexistent"}
_WRITABLE = stat.S_IWGRP | stat.S_IWOTH
OF_THE_FILE = {"rsync": {3, 11, 23, 24}, "rclone": {1, 2, 3, 4, 6}}
"""Exit codes that are about one file, perhaps: of several the others may be well."""
OF_THE_ENDPOINT = {"rsync": {1, 2, 4}, "rclone": {7}}
_FINAL = ("permission denied", "operation not permitted", "file name too long")
"""What programs say of a file that nobody can copy as things are."""
_WRONG = {5: ("auth failed", "unknown module", "access denied"), 1: ("didn't find section in config file",)}
"""Exit codes that mean several things, and the words of those that a person must correct."""


@dataclass(frozen=True, slots=True)
class Copied:
    """How a copy ended: its outcome, with a sentence. `of_file`: it may be about one of several files alone."""

    outcome: str
    error: str = ""
    of_file: bool = False


@dataclass(frozen=True, slots=True)
class Sources:
    """What is copied: a directory, the paths of files in it, and the descriptors that they lead to."""

    folder: bytes
    names: Sequence[bytes]
    descriptors: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Way:
    """How an endpoint is reached: the program, its options, and where to. `secrets` are never shown."""

    program: str
    words: Sequence[str]
    destination: str
    environment: Mapping[str, str] = field(default_factory=dict)
    descriptors: Sequence[int] = ()
    secrets: Sequence[str] = ()


def identity_of(name: str) -> str:
    """Return by what name an endpoint is approved."""
    return transfers.endpoint_name(name)


def digest_of(endpoint: Endpoint) -> str:
    """Return SHA-256 over what is approved: the program's bytes, and all that decides what it is called with.

    Raises:
        ConfigError: the program is not there, or others could change it.
    """
    path = Path(transfers.program_of(endpoint.url, endpoint.program))
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            program = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        raise ConfigError(f"{path}: the program cannot be read here ({exc.strerror}); install it") from exc
    if facts.st_uid not in {0, os.geteuid()} or facts.st_mode & _WRITABLE or not stat.S_ISREG(facts.st_mode):
        raise ConfigError(f"{path}: others could change this program, so it copies nothing; chown root, chmod go-w")
    said = [endpoint.name, str(path), program, endpoint.url, endpoint.secret, endpoint.config, endpoint.private]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def check_approved(endpoint: Endpoint, approved: Mapping[str, str]) -> None:
    """Refuse an endpoint that the site has not approved on this node as it is now. Raises ConfigError."""
    if approved.get(identity_of(endpoint.name)) != digest_of(endpoint):
        raise ConfigError(
            f"{transfers.program_of(endpoint.url, endpoint.program)} is not approved as it is now to copy to"
            f" {endpoint.name!r}; look at both, then run here: lustre-events endpoints approve {endpoint.name}"
        )


def copy(endpoint: Endpoint, view: Sources, user: Caller | None, seconds: float) -> Copied:
    """Copy what a view has, as a user, within `seconds`."""
    try:
        with _way(endpoint, user) as way:
            if transfers.scheme_of(endpoint.url) == "rclone":
                return _run(endpoint, way, _rclone_words(endpoint, way, view), view, user, seconds)
            return _run(endpoint, way, _rsync_words(endpoint, way, view), view, user, seconds)
    except ConfigError as exc:
        return Copied(ENDPOINT, str(exc))
    except OSError as exc:
        return Copied(AGAIN, f"{endpoint.where}: {exc.strerror or exc}")


def check(endpoint: Endpoint) -> str:
    """Reach what is copied to, and copy nothing; return what was reached. Raises ConfigError, OSError."""
    digest_of(endpoint)
    with _way(endpoint, None) as way:
        listing = ["lsf", "--max-depth", "1"] if way.descriptors else ["--list-only"]
        argv = [*listing, *way.words, "--", way.destination]
        found = _run(endpoint, way, argv, Sources(b"", (), ()), None, CHECK_SECONDS)
    if found.outcome != OK:
        raise ConfigError(found.error)
    return f"{way.program} reaches {endpoint.where}"


def _rsync_words(endpoint: Endpoint, way: _Way, view: Sources) -> list[str]:
    return [
        "--from0", "--files-from=-", "--copy-links", "--times", "--perms", "--chmod=u-s,g-s", "--no-implied-dirs",
        "--partial-dir=.lustre-events-partial", *way.words,
        *([f"--bwlimit={endpoint.bandwidth}"] if endpoint.bandwidth else ()),
        *(["--checksum"] if endpoint.checksum else ()),
        "--", f"{os.fsdecode(view.folder)}/", way.destination,
    ]  # fmt: skip


def _rclone_words(endpoint: Endpoint, way: _Way, view: Sources) -> list[str]:
    return [
        "copy", "--copy-links", "--no-traverse", "--retries", "1", "--low-level-retries", "3", *way.words,
        *(["--bwlimit", endpoint.bandwidth] if endpoint.bandwidth else ()),
        *(["--checksum"] if endpoint.checksum else ()),
        "--", os.fsdecode(view.folder), way.destination,
    ]  # fmt: skip


@contextlib.contextmanager
def _way(endpoint: Endpoint, user: Caller | None) -> Iterator[_Way]:
    """Give how an endpoint is reached. Raises ConfigError, OSError."""
    program = transfers.program_of(endpoint.url, endpoint.program)
    scheme, path = transfers.scheme_of(endpoint.url), transfers.path_of(endpoint.url)
    if scheme == "file":
        folder = b"/" + path.strip(b"/")
        if not os.path.isdir(folder):  # noqa: PTH112 - bytes
            raise OSError(f"{os.fsdecode(folder)} is not a directory on this node; is it mounted?")
        yield _Way(program, [f"--timeout={QUIET_SECONDS}"], os.fsdecode(folder) + "/")
    elif scheme == "rsync":
        yield _daemon(endpoint, program, os.fsdecode(path.strip(b"/")))
    else:
        words = ["--stats", "0", "--log-level", "ERROR", "--contimeout", "30s", "--timeout", f"{QUIET_SECONDS}s"]
        with _config(endpoint, user) as (descriptor, secrets):
            config = ["--config", f"/proc/self/fd/{descriptor}"]
            destination = f"{transfers.remote_of(endpoint.url)}:{os.fsdecode(path)}"
            yield _Way(program, [*words, *config], destination, {}, (descriptor,), secrets)


def _daemon(endpoint: Endpoint, program: str, path: str) -> _Way:
    """Return how a daemon of rsync is reached: at an address that may be, with the login of the secret's file."""
    parts, login = urlsplit(endpoint.url), login_of(endpoint)
    port = parts.port or PORT
    address = resolved(parts.hostname or "", port, private=endpoint.private)[0]
    host = f"[{address}]" if ":" in address else address
    words = [f"--timeout={QUIET_SECONDS}", "--contimeout=30", "--no-motd"]
    if login is None:
        return _Way(program, words, f"rsync://{host}:{port}/{path}/")
    user, password = login
    if not user or not all(each.isalnum() or each in "._-" for each in user):
        raise ConfigError(f"the secret of endpoint {endpoint.name!r} is not USER:PASSWORD, with a plain name")
    to = f"rsync://{user}@{host}:{port}/{path}/"
    return _Way(program, words, to, {"RSYNC_PASSWORD": password}, (), [password])


@contextlib.contextmanager
def _config(endpoint: Endpoint, user: Caller | None) -> Iterator[tuple[int, Sequence[str]]]:
    """Give a copy of rclone's file that the program's user can read, in memory, and the secrets in it."""
    path = Path(endpoint.config)
    try:
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            data = file.read(MOST_CONFIG_BYTES)
    except OSError as exc:
        raise ConfigError(f"{path}: the file of rclone cannot be read ({exc.strerror})") from exc
    if facts.st_uid not in {0, os.geteuid()} or facts.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ConfigError(f"{path}: others may read or change the file of rclone; chown root, chmod 0600 {path}")
    made = os.memfd_create("rclone", os.MFD_CLOEXEC)
    try:
        os.write(made, data)
        if user is not None:
            os.fchown(made, user.uid, user.gid)
        os.fchmod(made, 0o400)
        values = [line.partition("=")[2].strip() for line in data.decode("utf-8", "replace").splitlines()]
        yield made, [value for value in values if len(value) >= 8]
    finally:
        os.close(made)


def _run(  # noqa: PLR0917 - adapters arrive as arguments
    endpoint: Endpoint, way: _Way, words: Sequence[str], view: Sources, user: Caller | None, seconds: float
) -> Copied:
    who: dict[str, Any] = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": user.groups}
    program = Path(way.program).name
    try:
        child = subprocesses.start(
            [way.program, *words], environment={**_ENVIRONMENT, **way.environment},
            ends_with_parent=True, cwd="/", umask=0o022, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, pass_fds=(*view.descriptors, *way.descriptors), **who,
        )  # fmt: skip
    except OSError as exc:
        return Copied(ENDPOINT, f"{program} cannot be started ({exc.strerror})")
    # rsync takes a line that begins with # or ; for a comment, also with --from0.
    listed = b"".join(b"./" + name + b"\0" for name in view.names)
    with child:
        try:
            said = child.communicate(listed, timeout=seconds)[1]
        except subprocess.TimeoutExpired:
            subprocesses.end(child, ENDING_SECONDS)
            return Copied(AGAIN, f"{program} did not end within {seconds:.0f} s, the time of {endpoint.name!r}")
        finally:
            subprocesses.kill(child)
    return verdict(transfers.scheme_of(endpoint.url), program, child.returncode, _shown(said, view, way.secrets))


def _shown(said: bytes, view: Sources, secrets: Sequence[str]) -> str:
    """Return what a program said as one short line, without secrets and without the view's own path."""
    text = " ".join((said.replace(view.folder, b"") if view.folder else said).decode("utf-8", "replace").split())
    for secret in secrets:
        text = text.replace(secret, "***")
    return "".join(each if each.isprintable() else "?" for each in text)[:MOST_SAID] or "nothing"


def verdict(scheme: str, program: str, code: int, said: str) -> Copied:
    """Return what becomes of a copy whose program ended with `code`; docs/transfer.md has it as a table."""
    if code == 0:
        return Copied(OK)
    family, low = "rclone" if scheme == "rclone" else "rsync", said.lower()
    if code < 0:
        return Copied(AGAIN, f"{program} was ended by {signal.Signals(-code).name}")
    error = f"{program} ended with {code}: {said}"
    if code in OF_THE_ENDPOINT[family] or any(words in low for words in _WRONG.get(code, ())):
        return Copied(ENDPOINT, error)
    of_file = code in OF_THE_FILE[family]
    return Copied(REFUSED if of_file and any(words in low for words in _FINAL) else AGAIN, error, of_file)


Copy = Callable[[Endpoint, Sources, Caller | None, float], Copied]
"""As `copy`."""
