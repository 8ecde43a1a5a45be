"""The settings: each written once, here, with its default, its unit and one line of explanation.

The example file (`lustre-events config example`), the environment names (LUSTRE_EVENTS_READER_USER for
`[reader] user`), the check of a file and its messages all come from these dataclasses.
An environment variable wins over the file, the file over the default.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import os
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_type_hints

from lustre_events.errors import ConfigError

ENVIRONMENT_PREFIX = "LUSTRE_EVENTS_"


def setting(default: Any, doc: str, choices: tuple[str, ...] = ()) -> Any:
    """Declare a setting: its default, one line about it, and the values that it may have if they are few."""
    metadata = {"doc": doc, "choices": choices}
    if isinstance(default, tuple):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class FilesystemSettings:
    """The file system that is watched."""

    source: str = setting("lustre", "where records come from", ("lustre", "directory"))
    mount: str = setting("/mnt/lustre", "mount point of the client, or the directory to watch")
    mdts: tuple[str, ...] = setting((), 'MDTs to read, e.g. ["lustre-MDT0000"]; empty: every /dev/changelog-*')
    devices: str = setting("/dev", "folder in which the client makes a device changelog-<mdt> for each MDT")
    library: str = setting("", "path of liblustreapi.so; empty: look in the usual places")
    lctl: tuple[str, ...] = setting(
        ("lctl",),
        'how to run lctl on the MDS of {mdt}, e.g. ["ssh", "mds1", "lctl"]; for `lustre-events changelog`',
    )
    state: str = setting("/var/lib/lustre-events", "folder for what this node must keep over a restart")


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Redis: the record streams, the RQ queues and the results."""

    url: str = setting("", "redis://HOST:PORT/DB or unix:///PATH; empty: `run` starts a private server")
    timeout_seconds: float = setting(5.0, "longest wait for an answer")


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The index."""

    url: str = setting("sqlite:////var/lib/lustre-events/index.db", "sqlite:///PATH on a local disk")


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """The reader, one per MDT."""

    user: str = setting(
        "", "the changelog user: its name, e.g. lustre-events, or its id where one MDT is read; empty: never clear"
    )
    users: tuple[str, ...] = setting(
        (), 'ids per MDT, for MDTs that lctl does not reach from here, e.g. ["lustre-MDT0001:cl3-lustre-events"]'
    )
    clear_after: str = setting("stored", "clear a record when it is on Redis's disk, or committed to the index",
                               ("stored", "committed"))  # fmt: skip
    clear_interval_seconds: float = setting(5.0, "how often safe records are cleared")
    keepalive_seconds: float = setting(60.0, "how often the last clear is repeated while nothing is new")
    block_bytes: int = setting(1 << 20, "largest block of raw records in one stream entry, before compression")
    linger_ms: int = setting(50, "how long a small block waits for more records")
    poll_seconds: float = setting(1.0, "longest wait for new records before looking after everything else")
    reopen_seconds: float = setting(
        0.0, "look for new records this often instead of the kernel's once a second, at more cost; 0: do not"
    )
    probe_seconds: float = setting(60.0, "how often a quiet reader looks whether the MDT's index began anew")
    memory_share: float = setting(0.9, "stop reading while Redis uses more than this share of its maxmemory")
    lease_seconds: float = setting(10.0, "a reader that is silent for this long may be replaced by another")
    codec: str = setting("zstd", "compression of blocks", ("zstd", "raw"))


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """The dispatcher: the index's only writer."""

    rules: str = setting("", "path of the rules file (TOML); empty: only the built-in `stat`")
    user_rules: str = setting("", "folder of users' own rules, one file USER.toml each; empty: none")
    settle_seconds: float = setting(2.0, "how long a file must be left alone before it is extracted")
    settle_max_seconds: float = setting(
        60.0, "a file that never rests is extracted this long after its first change"
    )
    batch_records: int = setting(20_000, "most records in one transaction; fewer where they take longer than 16 ms")
    job_files: int = setting(64, "most files in one job")
    job_bytes: int = setting(16 << 30, "a job that has files of so many bytes gets no more")
    job_lease_seconds: float = setting(
        40.0, "a job without results for this long is looked for; a lost one is given out again"
    )
    queue_jobs: int = setting(100, "most jobs that wait in one queue; the rest stays pending in the index")
    retry_seconds: float = setting(10.0, "wait before the first retry of a failed file; doubles each time")
    attempts: int = setting(3, "tries per file and extractor before its failure is kept")
    skew_seconds: float = setting(5.0, "most that the clocks of two MDSs, or of an MDS and this node, differ")
    breaker_jobs: int = setting(3, "jobs in a row that fail whatever the file, until their extractor is suspended")
    breaker_probe_seconds: float = setting(60.0, "how often a job tries a suspended extractor")
    reprocess_rows: int = setting(2_000, "most files of an extractor that are pending at a time to be reprocessed")
    idle_ms: int = setting(100, "wait when there is nothing to do")
    subscriber_max_lag: int = setting(
        10_000_000, "records of an MDT kept in Redis for a subscriber group alone; further behind, it is cut off"
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The workers on the compute nodes."""

    queue: str = setting("default", "the one queue that this worker serves")
    runtime: str = setting("apptainer", "how extractors run: in a container, or (trusted ones) as a process",
                           ("apptainer", "process"))  # fmt: skip
    extractors: tuple[str, ...] = setting(
        (), "folders with extractors, one sub-folder each; empty: the ones beside the program"
    )
    user_extractors: str = setting(
        "", "folder with a folder per user, which holds that user's own extractors; empty: none"
    )
    images: str = setting("/var/cache/lustre-events/images", "folder of the images that manifests name")
    default_image: str = setting("base", "image of extractors that name none")
    image_cache: str = setting(
        "", "local folder for unpacked images, which start faster; empty: a usual one; none: do not unpack"
    )
    require_signed: bool = setting(
        False, "run only images whose signature `apptainer verify` accepts, from copies in `image_cache`"
    )
    run_as: str = setting(
        "nobody", "the user that a worker which is root becomes for extractors; owner: of each file, where approved"
    )
    min_uid: int = setting(1000, "for a file's owner or a user's extractor a worker becomes no user below this")
    approved: str = setting(
        "/etc/lustre-events/approved", "file of the extractors that may run as owner; see: extractor approve"
    )
    mime: bool = setting(True, "`stat` reads the first 4 KB of each file for its type by content")
    job_timeout_seconds: int = setting(600, "longest run of one job")
    worker_ttl_seconds: int = setting(30, "RQ takes a worker for dead when it is silent for this long")


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What each process tells Prometheus of itself; `lustre-events metrics` tells of the service."""

    listen: str = setting("", "ADDRESS:PORT; later processes of a node take the ports behind it; empty: nowhere")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The web console."""

    listen: str = setting("127.0.0.1:8080", "ADDRESS:PORT; put a proxy with TLS in front of it")
    title: str = setting("lustre-events", "what the console calls itself")
    login: str = setting("file", "who says who somebody is", ("file", "pam", "proxy"))
    users: str = setting("/etc/lustre-events/web-users", "for login = file: lines user:hash; see: web-password")
    pam_service: str = setting("login", "for login = pam: the name in /etc/pam.d")
    header: str = setting("X-Remote-User", "for login = proxy: the header in which the proxy names the user")
    proxies: tuple[str, ...] = setting(("127.0.0.1", "::1"), "login = proxy: addresses whose header is believed")
    admins: tuple[str, ...] = setting((), "users who see the queues")
    dashboard: str = setting("", "address of `lustre-events dashboard`, to which the page of the queues links")
    https: bool = setting(False, "send cookies over https only; set it where the proxy has TLS")
    session_hours: float = setting(12.0, "how long somebody stays logged in")
    secret: str = setting("", "file with the key that signs sessions; empty: a new key at each start")
    threads: int = setting(8, "requests that are answered at the same time")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one node. Each process takes the sections that it needs."""

    filesystem: FilesystemSettings = field(default_factory=FilesystemSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    reader: ReaderSettings = field(default_factory=ReaderSettings)
    dispatcher: DispatcherSettings = field(default_factory=DispatcherSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    web: WebSettings = field(default_factory=WebSettings)


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of a TOML file (None: the defaults) and the environment.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong; the message names the key, the
            nearest valid one, and the place it came from.
    """
    if path is None:
        return parse({}, environment, "the defaults")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(
            f"{path}: cannot be read ({exc.strerror}); make one with: lustre-events config example"
        ) from exc
    except ValueError as exc:  # of TOML, of UTF-8, or of a number with thousands of digits
        raise ConfigError(f"{path}: not a TOML file: {exc}") from exc
    return parse(tables, environment, str(path))


def parse(tables: Mapping[str, Any], environment: Mapping[str, str], origin: str) -> Settings:
    """Return the settings of parsed TOML tables and the environment; raises as `load` does."""
    sections = get_type_hints(Settings)
    for name, table in tables.items():
        if name not in sections:
            raise ConfigError(f"{origin}: unknown section [{name}]{nearest(name, sections)}")
        if not isinstance(table, dict):
            raise ConfigError(f"{origin}: {name} must be a section: write [{name}]")
    built = {
        name: _section(name, section, tables.get(name, {}), environment, origin)
        for name, section in sections.items()
    }
    return Settings(**built)


def _section(
    section_name: str, section: type, table: Mapping[str, Any], environment: Mapping[str, str], origin: str
) -> Any:
    hints = get_type_hints(section)
    choices = {spec.name: spec.metadata["choices"] for spec in dataclasses.fields(section)}
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in hints:
            raise ConfigError(f"{origin}: unknown key {key} in [{section_name}]{nearest(key, hints)}")
        values[key] = _checked(f"{origin}: [{section_name}] {key}", hints[key], value, choices[key])
    prefix = f"{ENVIRONMENT_PREFIX}{section_name}_".upper()
    variables = {f"{prefix}{key.upper()}": key for key in hints}
    for variable, text in environment.items():
        if not variable.startswith(prefix):
            continue
        if variable not in variables:
            raise ConfigError(f"unknown environment variable {variable}{nearest(variable, variables)}")
        key, place = variables[variable], f"the environment variable {variable}"
        values[key] = _checked(place, hints[key], _from_text(hints[key], text), choices[key])
    return section(**values)


def _checked(place: str, hint: Any, value: Any, choices: tuple[str, ...]) -> Any:
    if isinstance(hint, types.GenericAlias):
        if not isinstance(value, list) or not all(isinstance(item, get_args(hint)[0]) for item in value):
            raise ConfigError(f'{place} must be a list of strings, e.g. ["a", "b"]')
        return tuple(value)
    if hint is float and type(value) is int:
        with contextlib.suppress(OverflowError):  # too large: stays whole and is refused below
            value = float(value)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise ConfigError(f"{place} must be {_KIND[hint]}, not {value!r}")
    if hint in {int, float} and value < 0:
        raise ConfigError(f"{place} must not be negative")
    if choices and value not in choices:
        raise ConfigError(f"{place} is {value!r}; it must be one of: {', '.join(choices)}")
    return value


_KIND = {str: "a string", int: "a whole number", float: "a finite number", bool: "true or false"}


def _from_text(hint: Any, text: str) -> Any:
    """Return the value that `text` stands for; the text itself, for `_checked` to refuse, if there is none."""
    if isinstance(hint, types.GenericAlias):
        return [part for part in text.split(",") if part]
    if hint is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return hint(text)
    except ValueError:
        return text


def nearest(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> str:
    """Return the end of a sentence about an unknown name: the nearest known one, or all of them."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are: {', '.join(sorted(known))}"


def example() -> str:
    """Return a TOML file with every setting, its default and its explanation."""
    lines = ["# lustre-events: every setting with its default. Remove what you do not change.", ""]
    for section_name, section in get_type_hints(Settings).items():
        lines += [f"# {(section.__doc__ or '').strip()}", f"[{section_name}]"]
        for spec in dataclasses.fields(section):
            choices = f" ({' | '.join(spec.metadata['choices'])})" if spec.metadata["choices"] else ""
            lines += [f"# {spec.metadata['doc']}{choices}", f"{spec.name} = {_toml(_default(spec))}"]
        lines.append("")
    return "\n".join(lines)


def _default(spec: dataclasses.Field[Any]) -> Any:
    if spec.default_factory is not dataclasses.MISSING:
        return list(spec.default_factory())
    return spec.default


def _toml(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)
