"""A node's side: Apptainer, user namespaces, cgroups; libraries of the courier's endpoints."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from lustre_events import subprocesses
from lustre_events.actions.endpoints.connecting import LIBRARIES, library
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError
from lustre_events.node.doctor.findings import Finding, failure, ok, warning

VERSION_SECONDS = 20
PROC = Path("/proc/sys")


def runtime(kind: str) -> Iterator[Finding]:
    """Look whether the runtime of `[worker] runtime` is there and answers."""
    if kind == "process":
        yield warning("runtime", "extractors run as plain processes, which isolates little",
                      'install Apptainer and set [worker] runtime = "apptainer"')  # fmt: skip
        return
    program = shutil.which("apptainer") or shutil.which("singularity")
    if program is None:
        yield failure("runtime", "neither apptainer nor singularity is on PATH", "dnf install apptainer (of EPEL)")
        return
    try:
        said = subprocesses.run([program, "--version"], VERSION_SECONDS)
        said.check_returncode()
    except (OSError, subprocess.SubprocessError) as exc:
        yield failure("runtime", f"{program} does not print its version ({exc})", "repair the installation")
    else:
        yield ok("runtime", f"{said.stdout.decode(errors='replace').strip()} at {program}")
        yield from _setuid(Path(program))


def _setuid(program: Path) -> Iterator[Finding]:
    """Look whether the runtime has a setuid starter: all users of the node may try to become root by it."""
    try:
        said = subprocesses.run([str(program), "buildcfg"], VERSION_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return
    built = dict(line.partition("=")[::2] for line in os.fsdecode(said.stdout).splitlines())
    if _denies_setuid(built.get("APPTAINER_CONF_FILE") or built.get("SINGULARITY_CONF_FILE", "")):
        return
    for name in ("apptainer", "singularity"):  # the one may be a link to the other
        starter = Path(built.get("LIBEXECDIR", "/"), name, "bin", "starter-suid")
        with contextlib.suppress(OSError):  # there is none
            if starter.stat().st_mode & stat.S_ISUID:
                yield warning("runtime", f"{starter} is setuid, which no extractor needs and users could attack",
                              "dnf remove apptainer-suid, or set allow setuid = no in apptainer.conf")  # fmt: skip


def _denies_setuid(conf: str) -> bool:
    """Whether the runtime's own settings forbid to use such a starter, which then refuses."""
    try:
        lines = Path(conf).read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    return any(line.split() == ["allow", "setuid", "=", "no"] for line in lines)


def libraries(endpoints: Mapping[str, Endpoint]) -> Iterator[Finding]:
    """Look whether the libraries are there that endpoints of some kinds need."""
    for kind in sorted({each.kind for each in endpoints.values()} & LIBRARIES.keys()):
        try:
            library(kind)
        except ConfigError as exc:
            yield failure("endpoints", str(exc).partition(":")[0], f"pip install 'lustre-events[{kind}]'")
            return
    yield ok("endpoints", f"{len(endpoints)} endpoints, with what they need")


def passwords(path: Path | None) -> Iterator[Finding]:
    """Look whether the file of settings, which all users may read, has a password in it."""
    try:
        if path is None or not path.stat().st_mode & stat.S_IROTH:
            return
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # who needs them says so
    for section, key in (("redis", "url"), ("index", "url"), ("index", "search_url")):
        values = told.get(section)
        url = values.get(key) if isinstance(values, dict) else None
        if isinstance(url, str) and _password(url):
            name = f"LUSTRE_EVENTS_{section}_{key}".upper()
            yield failure(
                "settings", f"{path} has a password in [{section}] {key}, and every user may read it",
                f"set another password, and write it as {name} into ROLE.env beside it (mode 0600)",
            )  # fmt: skip


def _password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False


def kernel(proc: Path = PROC) -> Iterator[Finding]:
    """Look whether the kernel lets users make namespaces; the files are those of sysctl(8)."""
    for name, unwanted, wanted in _SYSCTLS:
        value = _read(proc / name.replace(".", "/"))
        if value in unwanted:
            yield failure("user namespaces", f"{name} is {value}, so containers cannot start",
                          f"sysctl -w {name}={wanted}; make it last in /etc/sysctl.d")  # fmt: skip
            return
    yield ok("user namespaces", "users may make them")


_SYSCTLS = (
    ("user.max_user_namespaces", ("0",), "15000"),
    ("kernel.unprivileged_userns_clone", ("0",), "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", ("1",), "0"),
)


def cgroups(root: Path = Path("/sys/fs/cgroup")) -> Iterator[Finding]:
    """Look whether the workers' units here have a cgroup for each run; without one its memory is counted."""
    if "memory" not in _read(root / "cgroup.controllers").split():
        yield ok("cgroups", "no version 2 with memory; the memory of each run is counted every 0.2 s")
        return
    units = sorted(root.glob("system.slice/*/lustre-events-worker@*.service"))
    if without := [unit.name for unit in units if not (unit / "worker").is_dir()]:
        yield warning(
            "cgroups", f"version 2, but {', '.join(without)} makes none for its runs; their memory is counted",
            "install the unit of this version (Delegate=memory pids): lustre-events setup worker; then restart it",
        )  # fmt: skip
    else:
        yield ok("cgroups", "version 2; workers that run as units make one for each run")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
