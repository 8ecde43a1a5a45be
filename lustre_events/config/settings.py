"""The settings: each written once, here, with its default, its unit and one line of explanation.

The example file (`lustre-events config example`), the environment names (LUSTRE_EVENTS_READER_USER for
`[reader] user`), the check of a file and its messages all come from these dataclasses.
An environment variable wins over the file, the file over the default.
"""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from lustre_events.config import tables
from lustre_events.config.former import FORMER
from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Key, Location
from lustre_events.config.toml_text import read_toml
from lustre_events.errors import ConfigError

ENVIRONMENT_PREFIX = "LUSTRE_EVENTS_"


def setting(default: Any, doc: str, choices: tuple[str, ...] = (), former: tuple[str, str] | None = None) -> Any:
    """Declare a setting: its default, one line about it, and the values that it may have if they are few.

    `former`: a value that once had a meaning of its own, and what to write instead of it.
    """
    key: dict[str, Any] = {"doc": doc, "choices": choices, "least": None if isinstance(default, str | tuple) else 0}
    if former is not None:
        value, instead = former
        key |= {"fits": value.__ne__, "expected": f"write {instead} instead"}
    return tables.key(default, **key)


def internal(default: Any, doc: str) -> Any:
    """Declare a value that only code and tests choose: in a file it is refused."""
    return tables.key(default, doc, internal=True)


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
    state: str = setting("/var/lib/lustre-events", "folder for what this node must keep across restarts")
    exclude: tuple[str, ...] = setting(
        (),
        'paths from the mount point, e.g. ["/scratch", "**/.cache"]: no rule reaches them or what is below them, '
        "and no search finds it",
    )


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Redis: the record streams, the RQ queues and the results."""

    url: str = setting("", "redis://HOST:PORT/DB or unix:///PATH; empty: `run` starts a private server")
    timeout_seconds: float = setting(5.0, "longest wait for an answer")


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The index."""

    url: str = setting(
        "sqlite:////var/lib/lustre-events/index.db", "sqlite:///PATH on a local disk, or postgresql://..."
    )
    search_url: str = setting("", "postgresql://... of a streaming standby that searches ask; empty: they ask url")
    search_lag_seconds: float = setting(
        30.0, "longest lag of the standby; while it is further behind, searches ask url"
    )
    indexers: int = setting(
        0, "with PostgreSQL: how many `lustre-events indexer` write documents; 0: the dispatcher does it itself"
    )


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
    block_bytes: int = setting(1 << 20, "largest block of raw records in one stream entry, before compression")
    linger_ms: int = setting(50, "how long a small block waits for more records")
    reopen_seconds: float = setting(
        0.0,
        "how often to look for new records of a busy MDT; the kernel does it once a second; costs CPU; 0: never",
    )
    memory_share: float = setting(0.9, "stop reading while Redis uses more than this share of its maxmemory")
    lease_seconds: float = setting(10.0, "a reader that is silent for this long may be replaced by another")
    keepalive_seconds: float = internal(60.0, "how often the last clear is repeated while nothing is new")
    poll_seconds: float = internal(1.0, "longest wait for new records before looking after everything else")
    probe_seconds: float = internal(60.0, "how often a quiet reader looks whether the MDT's index started again")


@dataclass(frozen=True, slots=True)
class DispatcherSettings:
    """The dispatcher: the index's only writer."""

    rules: str = setting("", "path of the rules file (TOML); empty: only the built-in `stat`")
    user_rules: str = setting("", "folder of users' own rules, one file USER.toml each; empty: none")
    pools: str = setting("", "folder with the keys of worker pools (`lustre-events pool add`); empty: no pools")
    subscriptions: str = setting(
        "", "folder where the dispatcher keeps what users subscribe to; empty: subscriptions in [filesystem] state"
    )
    settle_seconds: float = setting(2.0, "how long a file must be unchanged before it is extracted")
    settle_max_seconds: float = setting(
        60.0, "longest wait for a file that keeps changing, from its first change on"
    )
    job_files: int = setting(64, "most files in one job")
    job_bytes: int = setting(16 << 30, "close a job once its files reach this size")
    job_lease_seconds: float = setting(
        40.0, "check on a job after this long without results; a lost one is given out again"
    )
    queue_jobs: int = setting(100, "most jobs that wait in one queue; further work stays pending in the index")
    retry_seconds: float = setting(10.0, "wait before the first retry of a failed file; doubles each time")
    attempts: int = setting(3, "attempts per file and extractor before the file counts as failed")
    lease_seconds: float = setting(10.0, "a dispatcher that is silent for this long is replaced by its standby")
    skew_seconds: float = setting(
        5.0, "largest difference between the clocks of two MDSs, or of an MDS and this node"
    )
    breaker_jobs: int = setting(3, "consecutive job failures before the extractor is suspended")
    subscriber_max_lag: int = setting(
        10_000_000, "most records of an MDT that Redis keeps for a slow subscriber group; then it is cut off"
    )
    batch_records: int = internal(
        20_000, "most records in one transaction; fewer where they take longer than 16 ms"
    )
    reprocess_rows: int = internal(2_000, "most files of an extractor that are pending for reprocess at once")
    idle_ms: int = internal(100, "wait when there is nothing to do")


@dataclass(frozen=True, slots=True)
class ActionsSettings:
    """Actions: for the dispatcher, the courier and workers for actions."""

    endpoints: str = setting("", "path of the file of endpoints (TOML); empty: no rule can name one")
    key: str = setting(
        "",
        "file with the key that seals deliveries; empty: actions.key in [filesystem] state, made at first start",
    )
    folders: tuple[str, ...] = setting((), "folders with actions that run in containers, one sub-folder each")
    user_actions: str = setting(
        "", "folder of users' own actions in containers, one sub-folder per user; empty: none"
    )
    worker_key: str = setting(
        "",
        "file with the key that seals jobs of such actions, for dispatcher and file workers; empty: worker.key in "
        "[filesystem] state",
    )
    slurm_scripts: str = setting("", "folder with the job scripts of `slurm`; empty: no rule can submit jobs")
    transfers: bool = setting(
        False, "file workers copy files to endpoints of the kind `transfer`; on dispatcher and workers alike"
    )
    slurm_poll_seconds: float = setting(
        15.0, "how often to ask Slurm for the state of a job; keep it well below MinJobAge"
    )


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """The workers on the compute nodes."""

    queue: str = setting("default", "the one queue that this worker serves")
    pool: str = setting("", "the pool of this worker, whose queue it serves; empty: none")
    pool_key: str = setting("", "file with the pool's key: only jobs that are sealed with it run here")
    runtime: str = setting("apptainer", "how extractors run: in a container, or (trusted ones) as a process",
                           ("apptainer", "process"))  # fmt: skip
    extractors: tuple[str, ...] = setting(
        (), "folders with extractors, one sub-folder each; empty: the ones beside the program"
    )
    user_extractors: str = setting("", "folder of users' own extractors, one sub-folder per user; empty: none")
    images: str = setting("/var/cache/lustre-events/images", "folder of the images that manifests name")
    default_image: str = setting("base", "image of extractors that name none")
    unpack_images: bool = setting(True, "unpack images on this node, once each: containers start faster")
    image_cache: str = setting(
        "", "local folder for unpacked images; empty: the default place", former=("none", "unpack_images = false")
    )
    require_signed: bool = setting(
        False, "run only images whose signature `apptainer verify` accepts, from copies in `image_cache`"
    )
    run_as: str = setting(
        "nobody", "account that extractors run as, if the worker is root", former=("owner", "run_as_owner = true")
    )
    run_as_owner: bool = setting(
        False, "run approved extractors as the owner of each file instead of `run_as`, and no others"
    )
    min_uid: int = setting(1000, "lowest UID a worker may switch to for a file's owner or a user's extractor")
    approved: str = setting(
        "/etc/lustre-events/approved", "file of the extractors that may run as owner; see: extractor approve"
    )
    mime: bool = setting(True, "`stat` reads the first 4 KB of each file for its type by content")
    xattrs: bool = setting(True, "`stat` reads extended attributes `user.*`, which are found as `xattr.NAME`")
    job_timeout_seconds: int = setting(600, "longest time that one job may run")
    worker_ttl_seconds: int = setting(30, "RQ considers a worker dead when it is silent for this long")


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """The history: records on disk, so that `lustre-events history` says who did what to a file, and when."""

    days: int = setting(0, "days that are kept; 0: no history is kept")
    folder: str = setting("/var/lib/lustre-events/history", "folder of the history; about 20 bytes for each record")
    max_bytes: int = setting(100 << 30, "largest size of the history; beyond it the oldest days are removed")


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """Metrics of each process; `lustre-events metrics` has those of the service."""

    listen: str = setting("", "ADDRESS:PORT; further processes on a node use the next ports; empty: disabled")


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The web console."""

    listen: str = setting("127.0.0.1:8080", "ADDRESS:PORT or unix:PATH; put a proxy with TLS in front of it")
    listen_group: str = setting("", "group that may connect to the Unix socket: the proxy's")
    login: str = setting("file", "authentication backend", ("file", "pam", "proxy"))
    users: str = setting("/etc/lustre-events/web-users", "for login = file: lines user:hash; see: web-password")
    pam_service: str = setting("login", "for login = pam: the name in /etc/pam.d")
    pam_socket: str = setting(
        "/run/lustre-events-login.sock",
        "for login = pam: the socket of lustre-events-login.socket; empty: the console's own process asks PAM",
    )
    header: str = setting("X-Remote-User", "for login = proxy: the header in which the proxy names the user")
    proxies: tuple[str, ...] = setting(
        ("127.0.0.1", "::1"), "for login = proxy: addresses that may send this header"
    )
    proxy_secret: str = setting(
        "", "for login = proxy: file with the secret that the proxy sends; not needed with a Unix socket"
    )
    admins: tuple[str, ...] = setting((), "users who see the queues, and the rules and extractors of all users")
    dashboard: str = setting("", "address of `lustre-events dashboard`, for a link on the page Queues")
    https: bool = setting(False, "send cookies over https only; set it where the proxy has TLS")
    session_hours: float = setting(12.0, "how long a login is valid, in hours")
    secret: str = setting("", "file with the key that signs sessions; empty: a new key at each start")
    threads: int = setting(8, "how many requests are answered at the same time")
    spool_bytes: int = setting(
        2 << 30,
        "most bytes of answers of more than 1 MiB that wait, in the service's own folder, to be taken; one may "
        "have an eighth of them, those of one user half; 0: no answer has more than 1 MiB",
    )
    store: str = setting(
        "/var/lib/lustre-events-web/store.db",
        "file of tokens and saved searches, in a folder of the web process's own",
    )
    token_days: float = setting(365.0, "longest validity of a personal token, in days")
    requests_per_minute: int = setting(1_200, "most requests of one user to /api/v1; 0: any number")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Asking a server (`lustre-events web`) instead of an index, from any node: search, show, du, failed."""

    server: str = setting("", "https://HOST of the server; empty: the index of [index] url")
    token_file: str = setting(
        "~/.config/lustre-events/token", "file of mode 600 with your token; LUSTRE_EVENTS_TOKEN wins over it"
    )
    ca: str = setting("", "file of certificates to trust instead of the system's; empty: the system's")
    timeout_seconds: float = setting(60.0, "longest wait for an answer")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of one node. Each process takes the sections that it needs."""

    filesystem: FilesystemSettings = field(default_factory=FilesystemSettings)
    redis: RedisSettings = field(default_factory=RedisSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    reader: ReaderSettings = field(default_factory=ReaderSettings)
    dispatcher: DispatcherSettings = field(default_factory=DispatcherSettings)
    actions: ActionsSettings = field(default_factory=ActionsSettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    history: HistorySettings = field(default_factory=HistorySettings)
    metrics: MetricsSettings = field(default_factory=MetricsSettings)
    web: WebSettings = field(default_factory=WebSettings)
    client: ClientSettings = field(default_factory=ClientSettings)


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of a TOML file (None: the defaults) and the environment.

    Raises:
        ConfigError: the file cannot be read, or a key or value is wrong; the message names the key, the
            nearest valid one, and the place it came from.
    """
    if path is None:
        return parse({}, environment, "the defaults")
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise ConfigError(
            f"{path}: cannot be read ({exc.strerror}); make one with: lustre-events config example"
        ) from exc
    return parse(read_toml(data, str(path)), environment, str(path))


def parse(table: Mapping[str, Any], environment: Mapping[str, str], origin: str) -> Settings:
    """Return the settings of a parsed TOML file and the environment; raises as `load` does."""
    sections = get_type_hints(Settings)
    for name, section in table.items():
        if name not in sections:
            raise ConfigError(f"{origin}: unknown section [{name}]{nearest(name, sections)}")
        if not isinstance(section, dict):
            raise ConfigError(f"{origin}: {name} must be a section: write [{name}]")
    built = {
        name: section(
            **tables.values(section, table.get(name, {}), Location(origin, f"[{name}]"), gone=FORMER.get(name, {}))
            | _from_environment(name, section, environment)
        )
        for name, section in sections.items()
    }
    return Settings(**built)


def _from_environment(section_name: str, section: type, environment: Mapping[str, str]) -> dict[str, Any]:
    prefix = f"{ENVIRONMENT_PREFIX}{section_name}_".upper()
    known = {f"{prefix}{key.upper()}": key for key in tables.keys(section)}
    gone = {f"{prefix}{key.upper()}": words for key, words in FORMER.get(section_name, {}).items()}
    found: dict[str, Any] = {}
    for variable, text in environment.items():
        if not variable.startswith(prefix):
            continue
        location = Location(f"the environment variable {variable}")
        if variable in gone:
            raise location.refusal(gone[variable])
        if variable not in known:
            raise ConfigError(f"unknown environment variable {variable}{nearest(variable, known)}")
        hint, key = tables.keys(section)[known[variable]]
        found[known[variable]] = tables.value(hint, key, _from_text(hint, text), location)
    return found


def from_text(section: str, key: str, text: str) -> Any:
    """Return the value that `text` stands for in a setting; the text itself where there is no such setting."""
    known = tables.keys(get_type_hints(Settings).get(section, Settings))
    return _from_text(known[key][0], text) if key in known else text


def _from_text(hint: Any, text: str) -> Any:
    """Return the value that `text` stands for; the text itself, to be refused, if there is none."""
    if isinstance(hint, types.GenericAlias):
        return [part for part in text.split(",") if part]
    if hint is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return hint(text)
    except ValueError:
        return text


def described(section: type) -> Iterator[tuple[str, Any, Key]]:
    """Return the settings of a section: name, default, and what is known of it."""
    defaults = section()
    for name, (_, key) in tables.keys(section).items():
        yield name, getattr(defaults, name), key


def example() -> str:
    """Return a TOML file with every setting, its default and its explanation."""
    lines = ["# lustre-events: every setting with its default. Remove what you do not change.", ""]
    for section_name, section in get_type_hints(Settings).items():
        lines += [f"# {(section.__doc__ or '').strip()}", f"[{section_name}]"]
        for name, default, key in described(section):
            choices = f" ({' | '.join(key.choices)})" if key.choices else ""
            lines += [f"# {key.doc}{choices}", f"{name} = {toml_value(default)}"]
        lines.append("")
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml_value, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
