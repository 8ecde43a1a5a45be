"""The plan of `lustre-events setup`: what a node needs for its roles, as one list of steps."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from lustre_events import subprocesses
from lustre_events.catalog.shipped import deploy
from lustre_events.config.places import NAME, REDIS_URL, login
from lustre_events.config.settings import Settings, load, parse, toml_value
from lustre_events.errors import ConfigError
from lustre_events.index.urls import is_postgresql, sqlite_path
from lustre_events.jobs.messages import BUILTIN_QUEUE
from lustre_events.node import setup_redis, steps
from lustre_events.node.roles import INSTALLED, ROLES
from lustre_events.node.setup_login import LoginUnits
from lustre_events.node.setup_redis import ETC
from lustre_events.node.steps import Owner, Step, SystemAccounts

REDIS = "redis"
KNOWN = (REDIS, *INSTALLED)
UNITS = "etc/systemd/system"
STATE = Path("/var/lib/lustre-events")
SECONDS = 120.0
USUAL: Mapping[str, Mapping[str, Any]] = {
    "filesystem": {"state": "/var/lib/lustre-events-reader"},
    "reader": {"user": "lustre-events"},
    "dispatcher": {"rules": f"{ETC}/rules.toml", "subscriptions": f"{STATE}/subscriptions"},
    "history": {"days": 90},
    "actions": {"endpoints": f"{ETC}/endpoints.toml", "key": f"{ETC}/actions-key"},
    "web": {"secret": f"{ETC}/web-secret"},
}
"""What a site sets besides the defaults."""


@dataclass(frozen=True, slots=True)
class Node:
    """What is to be set up.

    Args:
        roles: of KNOWN.
        root: the folder that everything goes below; `/`: this node itself.
        redis: HOST or HOST:PORT of Redis, as other nodes reach it.
        changed: settings by section, for a file that is made.
        enable: whether units start now and after each boot.
        workers: how many workers of this node are enabled.
        live: whether systemd runs here, and programs may be started and stopped.
    """

    roles: Sequence[str]
    root: Path = Path("/")
    redis: str = "localhost"
    changed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    enable: bool = False
    workers: int = 2
    live: bool = False

    def at(self, path: Path | str) -> Path:
        """Return where a path of the node lies."""
        return self.root / str(path).lstrip("/")

    def owner(self, user: str = "root", group: str = "root") -> Owner:
        """Return an owner by the node's own accounts."""
        return Owner(SystemAccounts(self.root), user, group)


def plan(node: Node) -> list[Step]:
    """Return the steps that set a node up, in order.

    Raises:
        ConfigError: a login is needed that only Redis's node has, or a setting is wrong.
    """
    target = setup_redis.RedisTarget(node.root, node.redis, run, node.live)
    found = [steps.folder(node.at(ETC), 0o755, node.owner())]
    found += setup_redis.steps_of(target) if REDIS in node.roles else []
    if any(role in INSTALLED for role in node.roles):
        found += [*_accounts(node), *_settings(node), *_units(node)]
    return found


def removal(node: Node) -> list[Step]:
    """Return the steps that are to be undone, where other roles of the node may stay. Raises as `plan`."""
    left = {*installed(node.root)} - {*node.roles}
    if not left:
        return plan(node)
    target = setup_redis.RedisTarget(node.root, node.redis, run, node.live)
    found = setup_redis.steps_of(target) if REDIS in node.roles else []
    if left & {*INSTALLED}:  # they need accounts, folders and settings
        return [*found, *list(_units(node))[1:]]
    return [*found, *_accounts(node), *_settings(node), *_units(node)]


def check(node: Node) -> None:
    """Refuse what cannot work: settings that are wrong, logins that are not here. Raises ConfigError."""
    parse(wanted_settings(node), {}, "--set")
    lacking = [
        name for name in node.roles if name in INSTALLED and REDIS not in node.roles
        and REDIS_URL not in login(node.at(ETC / f"{name}.env"))
    ]  # fmt: skip
    if lacking and node.root == Path("/"):
        files = ", ".join(f"{ETC}/{name}.env" for name in lacking)
        raise ConfigError(
            f"{files}: copy it from Redis's node, with {ETC}/tls/ca.crt (there: lustre-events setup redis), "
            "or add the role redis"
        )


def wanted_settings(node: Node) -> dict[str, dict[str, Any]]:
    """Return what the file of settings is to say, by section."""
    return {
        section: {**USUAL.get(section, {}), **node.changed.get(section, {})}
        for section in [*USUAL, *(each for each in node.changed if each not in USUAL)]
    }


def settings(node: Node) -> Settings:
    """Return the settings that the node has, or is to get."""
    path = node.at(ETC / NAME)
    return load(path, {}) if path.is_file() else parse(wanted_settings(node), {}, "--set")


def run(words: Sequence[str]) -> None:
    """Run a program that must do well. Raises ConfigError, with what it said."""
    if shutil.which(words[0]) is None:
        raise ConfigError(f"{words[0]}: no such program on this node; install it first")
    done = subprocesses.run(words, SECONDS)
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip() or done.stdout.decode("utf-8", "replace").strip()
        raise ConfigError(f"{' '.join(words)}: ended with {done.returncode}: {said}")


def _accounts(node: Node) -> Iterator[Step]:
    shipped, accounts = deploy() / "systemd", SystemAccounts(node.root)
    sysusers = node.at("etc/sysusers.d/lustre-events.conf")
    tmpfiles = node.at("etc/tmpfiles.d/lustre-events.conf")
    for path, kind in ((sysusers, "sysusers"), (tmpfiles, "tmpfiles")):
        yield _copy(shipped / f"lustre-events.{kind}", path, node)
    names = re.findall(r"^u (\S+)", (shipped / "lustre-events.sysusers").read_text(encoding="utf-8"), re.MULTILINE)
    below = [] if node.root == Path("/") else [f"--root={node.root}"]
    prefix = [] if node.root == Path("/") else ["--prefix", str(node.root)]

    def there() -> bool:
        return any(accounts.user(name) is not None for name in names)

    def undo() -> None:
        for name in reversed(names):  # the group of the first has the others in it
            if accounts.user(name) is not None:
                run(["userdel", *prefix, name])
            if accounts.group(name) is not None:  # userdel leaves it where login.defs(5) says so
                run(["groupdel", *prefix, name])

    yield Step(
        f"make the accounts {', '.join(names)}", lambda: all(accounts.user(name) is not None for name in names),
        lambda: run(["systemd-sysusers", *below, sysusers.name]), undo, there,
    )  # fmt: skip
    for line in (shipped / "lustre-events.tmpfiles").read_text(encoding="utf-8").splitlines():
        kind, *rest = line.split() or [""]
        if kind == "d" and Path(rest[0]) != ETC:
            yield steps.folder(node.at(rest[0]), int(rest[1], 8), node.owner(rest[2], rest[3]))
            if rest[2] != "root":
                yield steps.handed(node.at(rest[0]), node.owner(rest[2], rest[3]))


def _copy(source: Path, target: Path, node: Node) -> Step:
    return steps.file(target, source.read_bytes, 0o644, node.owner())


def _settings(node: Node) -> Iterator[Step]:
    def content() -> bytes:
        lines = [
            "# lustre-events: the settings of this site, for all nodes and users. No passwords here: logins are in",
            f"# {ETC}/ROLE.env. Everything that can be set: lustre-events config example",
        ]
        for section, values in wanted_settings(node).items():
            lines += ["", f"[{section}]", *(f"{key} = {toml_value(value)}" for key, value in values.items())]
        return ("\n".join(lines) + "\n").encode()

    yield steps.file(node.at(ETC / NAME), content, 0o644, node.owner(), keep=True, kept=True)
    rules = node.at(ETC / "rules.toml")
    yield steps.file(rules, _NO_RULES.encode, 0o644, node.owner(), keep=True, kept=True)
    endpoints = node.at(ETC / "endpoints.toml")
    yield steps.file(endpoints, _NO_ENDPOINTS.encode, 0o644, node.owner(), keep=True, kept=True)
    key = node.at(ETC / "actions-key")
    # A courier on another node needs a copy: another key would be refused.
    if "dispatcher" in node.roles or ("courier" in node.roles and key.is_file()):
        both = node.owner("lustre-events", "lustre-events-courier")
        yield steps.file(key, lambda: secrets.token_hex(32).encode(), 0o640, both, keep=True, kept=True)
    for role in {"web", "dashboard"} & {*node.roles}:
        own = node.owner(group=f"lustre-events-{role}")
        yield steps.file(node.at(ETC / f"{role}-users"), bytes, 0o640, own, keep=True, kept=True)
    if "web" in node.roles:
        key, own = node.at(ETC / "web-secret"), node.owner(group="lustre-events-web")
        yield steps.file(key, lambda: secrets.token_hex(32).encode(), 0o640, own, keep=True, kept=True)


_NO_RULES = f"""\
# Which files get which extractors; without one only the built-in `stat` looks at it. For all that are shipped:
# cp /usr/share/lustre-events/deploy/rules.toml {ETC}/rules.toml
"""


_NO_ENDPOINTS = f"""\
# Where actions send to, for rules that say `action` and `endpoint`; secrets stay in files of their own. E.g.:
# [endpoint.beamline]
# kind = "webhook"
# url = "https://beamline.example.org/hooks/files"
# secret = "{ETC}/secrets/beamline"
"""


def _units(node: Node) -> Iterator[Step]:
    folder, shipped = node.at(UNITS), deploy() / "systemd"
    for unit in ("lustre-events.target", *_units_of(node)):
        yield _copy(shipped / unit, folder / unit, node)
    own = settings(node)
    if "dispatcher" in node.roles:
        yield _elsewhere(folder / "lustre-events-dispatcher.service.d" / "index.conf", own.index.url, node.owner())
    login = LoginUnits(folder, shipped, node.owner(), own.web.login == "pam", run) if "web" in node.roles else None
    yield from login.files() if login else ()
    if node.live:
        yield Step("systemctl daemon-reload", _read, lambda: run(["systemctl", "daemon-reload"]))
    yield _enabled(node, own)
    if login:
        yield login.enabled(*_how(node), enable=node.enable)


def _read() -> bool:
    """Return whether systemd knows the units that run as they are on disk now."""
    asked = subprocesses.run(["systemctl", "show", "--property=NeedDaemonReload", "lustre-events*"], SECONDS)
    return b"=yes" not in asked.stdout


def _elsewhere(drop: Path, url: str, owner: Owner) -> Step:
    """Return the step that lets the dispatcher write its index on another disk, or no longer."""
    target = STATE if is_postgresql(url) else sqlite_path(url).absolute().parent
    if target.is_relative_to(STATE):
        away = partial(shutil.rmtree, drop.parent)
        return Step(f"remove {drop}", lambda: not drop.is_file(), away, away, drop.is_file)
    text = f"# [index] url lies outside of {STATE}\n[Service]\nReadWritePaths={target}\n"
    return replace(steps.file(drop, text.encode, 0o644, owner), undo=partial(shutil.rmtree, drop.parent))


def instances(node: Node, own: Settings) -> list[str]:
    """Return the names of the units that a node runs, as systemctl takes them."""
    mdts = list(own.filesystem.mdts) or ([LOCAL] if own.filesystem.source == "directory" else _devices(node, own))
    names = {
        "reader": mdts,
        "worker": [BUILTIN_QUEUE, *(str(number + 1) for number in range(node.workers))],
        "indexer": [str(number + 1) for number in range(max(1, own.index.indexers))],
    }
    return [
        unit.replace("@.", f"@{each}.")
        for role in node.roles if role in INSTALLED for unit in ROLES[role].units for each in names.get(role, [""])
    ]  # fmt: skip


LOCAL = "local-MDT0000"


def _devices(node: Node, own: Settings) -> list[str]:
    found = node.at(own.filesystem.devices).glob("changelog-*")
    return sorted(path.name.removeprefix("changelog-") for path in found)


def enabled(node: Node) -> list[str]:
    """Return the units of the node's roles that start after a boot."""
    own = [unit.partition("@")[0].removesuffix(".service") for unit in _units_of(node)]
    links = node.at(UNITS).glob("*.wants/lustre-events-*")
    return sorted({link.name for link in links if re.split(r"[@.]", link.name)[0] in own})


def _enabled(node: Node, own: Settings) -> Step:
    below, now = _how(node)
    names, units = instances(node, own), _units_of(node)

    def do() -> None:
        if node.live:
            run(["systemctl", "daemon-reload"])
        run(["systemctl", *below, "enable", *now, *names])

    def undo() -> None:
        if enabled(node):
            run(["systemctl", *below, "disable", *now, *enabled(node)])
        there = [
            unit for unit in units if node.at(f"{UNITS}/{unit}").is_file()
        ]  # of the others systemd knows nothing
        if node.live and there:  # also what was started by hand
            run(["systemctl", "stop", *(unit.replace("@.", "@*.") for unit in there)])

    return Step(
        f"enable {'and start ' if node.live else ''}{' '.join(names)}",
        lambda: not node.enable or set(names) <= set(enabled(node)), do, undo,
        lambda: bool(enabled(node)) or (node.live and any(node.at(f"{UNITS}/{each}").exists() for each in units)),
    )  # fmt: skip


def _how(node: Node) -> tuple[list[str], list[str]]:
    """Return the options of systemctl for a node that runs, or lies below a folder."""
    return ([], ["--now"]) if node.live else ([f"--root={node.root}"], [])


def _units_of(node: Node) -> list[str]:
    return [unit for name in node.roles if name in INSTALLED for unit in ROLES[name].units]


def installed(root: Path) -> list[str]:
    """Return the roles that a node has been set up for."""
    units = [name for name in INSTALLED if all((root / UNITS / unit).is_file() for unit in ROLES[name].units)]
    return ([REDIS] if (root / ETC.relative_to("/") / "redis.conf").is_file() else []) + units


def systemd_runs() -> bool:
    """Return whether this node was booted with systemd (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system")  # noqa: PTH112
