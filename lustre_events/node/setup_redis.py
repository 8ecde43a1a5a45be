"""The steps that set up Redis: logins of the roles, certificates of a small CA, its settings, and how it starts."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import re
import secrets
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lustre_events.catalog.shipped import deploy
from lustre_events.config.places import ADMINISTRATOR, REDIS_URL, login
from lustre_events.errors import ConfigError, LustreEventsError
from lustre_events.node import pool_files, steps
from lustre_events.node.roles import ROLES
from lustre_events.node.steps import Owner, Step, SystemAccounts
from lustre_events.streams.connection import connect, redis_errors

ETC = Path("/etc/lustre-events")
PORT = 6379
DAYS = "3650"
CONNECT_SECONDS = 5.0
CONFIGS = ("etc/redis/redis.conf", "etc/redis.conf")
"""Where distributions have Redis's settings."""
SERVICES = ("redis-server", "redis")
DATA = "var/lib/redis"

ABOUT_DEFAULT = "user default off resetpass ~* &* +@all"
"""Nobody can log in as `default`. But when Redis starts, it carries out the transactions of its append-only file
with the rights of `default`: without all rights they are dropped, and with them records, marks and jobs. So it is
off, has no password, and may do everything."""

Run = Callable[[Sequence[str]], None]
"""Runs a program to its end. Raises one of our errors, with what it said."""


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """Where Redis is set up: the root folder, how others reach it, how programs are run; `live`: it runs here."""

    root: Path
    address: str
    run: Run
    live: bool
    scheme: str = "rediss"

    @property
    def etc(self) -> Path:
        """The folder of all settings."""
        return self.root / ETC.relative_to("/")

    @property
    def host(self) -> str:
        """The name or address without the port."""
        return self.address.rpartition(":")[0] if re.search(r":\d+\Z", self.address) else self.address

    @property
    def where(self) -> str:
        """HOST:PORT."""
        return self.address if self.host != self.address else f"{self.address}:{PORT}"

    @property
    def owner(self) -> Owner:
        """Who may read what only Redis needs."""
        return Owner(SystemAccounts(self.root), group="redis")


def steps_of(target: RedisTarget) -> list[Step]:
    """Return all steps, in order."""
    return [
        *certificates(target), *logins(target.etc, target.where, Owner(SystemAccounts(target.root)), target.scheme),
        _acl(target), _settings(target), *_start(target),
    ]  # fmt: skip


def _acl(target: RedisTarget) -> Step:
    """Return the step of the users, which a Redis that runs takes at once."""
    step = acl(target.etc, target.owner)

    def do() -> None:
        step.do()
        _answers(target.etc, load=True)

    return replace(step, do=do) if target.live else step


def logins(etc: Path, where: str, owner: Owner, scheme: str = "rediss") -> Iterator[Step]:
    """Yield the steps that write ROLE.env for each role; a password that is there stays."""
    more = f"?ssl_ca_certs={ETC}/tls/ca.crt" if scheme == "rediss" else ""
    for role in ROLES:
        yield steps.file(
            etc / f"{role}.env",
            lambda role=role: f"{REDIS_URL}={scheme}://le-{role}:{secrets.token_hex(24)}@{where}/0{more}\n".encode(),  # type: ignore[misc]
            0o600, owner, keep=True, kept=True,
        )  # fmt: skip


def acl(etc: Path, owner: Owner) -> Step:
    """Return the step that writes the users with the rights of the roles; Redis takes no comments in that file."""
    return steps.file(etc / "redis-users.acl", lambda: _users(etc).encode(), 0o640, owner, kept=True)


def _users(etc: Path) -> str:
    return "".join(
        f"{line}\n" for line in [ABOUT_DEFAULT, *(
            f"user le-{role.name} on #{hashlib.sha256(_password(etc, role.name).encode()).hexdigest()} {role.redis}"
            for role in ROLES.values()
        ), *pool_files.users(etc)]
    )  # fmt: skip


def _password(etc: Path, role: str) -> str:
    file = etc / f"{role}.env"
    found = re.search(rf"//le-{role}:([^@/]+)@", login(file).get(REDIS_URL, ""))
    if found is None:
        raise ConfigError(f"{file}: has no URL of le-{role}; repair it, or move it away")
    return found[1]


def certificates(target: RedisTarget) -> Iterator[Step]:
    """Yield the steps that make a CA and Redis's certificate; what the site has put there stays."""
    tls, root = target.etc / "tls", Owner(SystemAccounts(target.root))
    yield steps.folder(tls, 0o755, root)
    ca_files, own_files = (tls / "ca.key", tls / "ca.crt"), (tls / "redis.key", tls / "redis.crt")

    def make_ca() -> None:
        with tempfile.TemporaryDirectory() as made:
            key, crt = Path(made) / "key", Path(made) / "crt"
            target.run([
                "openssl", "req", "-x509", *_KEY, "-days", DAYS, "-subj", "/CN=CA of lustre-events",
                "-keyout", str(key), "-out", str(crt),
            ])  # fmt: skip
            steps.write(ca_files[0], key.read_bytes(), 0o600, root)
            steps.write(ca_files[1], crt.read_bytes(), 0o644, root)

    def make_own() -> None:
        if not ca_files[0].is_file():
            raise ConfigError(f"{own_files[1]}: put Redis's certificate and key there, signed by {ca_files[1]}")
        with tempfile.TemporaryDirectory() as made:
            key, crt, csr, more = (Path(made) / name for name in ("key", "crt", "csr", "more"))
            more.write_text(f"subjectAltName={','.join(_names(target.host))}\n", encoding="utf-8")
            target.run(["openssl", "req", *_KEY, "-subj", "/CN=Redis of lustre-events", "-keyout", str(key),
                       "-out", str(csr)])  # fmt: skip
            target.run([
                "openssl", "x509", "-req", "-in", str(csr), "-CA", str(ca_files[1]), "-CAkey", str(ca_files[0]),
                "-set_serial", str(secrets.randbits(63)), "-days", DAYS, "-extfile", str(more), "-out", str(crt),
            ])  # fmt: skip
            steps.write(own_files[0], key.read_bytes(), 0o640, target.owner)
            steps.write(own_files[1], crt.read_bytes(), 0o644, root)

    yield Step("make a CA for Redis's certificate", ca_files[1].is_file, make_ca,
               lambda: _away(ca_files), ca_files[1].is_file, kept=True)  # fmt: skip
    yield Step("make Redis's certificate", lambda: all(each.is_file() for each in own_files), make_own,
               lambda: _away(own_files), own_files[1].is_file, kept=True)  # fmt: skip


_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def _away(files: Sequence[Path]) -> None:
    for each in files:
        each.unlink(missing_ok=True)


def _names(host: str) -> Iterator[str]:
    yield from ("DNS:localhost", "IP:127.0.0.1")
    if host not in {"localhost", "127.0.0.1"}:
        yield f"{'IP' if _is_address(host) else 'DNS'}:{host}"


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _settings(target: RedisTarget) -> Step:
    template = shipped_redis().read_text(encoding="utf-8")

    def content() -> bytes:
        port = target.where.rpartition(":")[2]
        own = ["", "# This site's, by `lustre-events setup`:", f"bind {' '.join(_addresses(target.host))}"]
        own += [f"tls-port {port}"] if port != str(PORT) else []
        own += [f"dir /{DATA}"] if (target.root / DATA).is_dir() else []
        return (template + "\n".join(own) + "\n").encode()

    return steps.file(target.etc / "redis.conf", content, 0o644, Owner(SystemAccounts(target.root)))


def shipped_redis() -> Path:
    """Return Redis's settings as they are shipped."""
    return deploy() / "redis" / "lustre-events.conf"


def _addresses(host: str) -> list[str]:
    """Return what Redis binds: the loopback and the addresses of its name; all, where it has only a loopback."""
    if host in {"localhost", "127.0.0.1"}:
        return ["127.0.0.1"]
    try:
        found = sorted({str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)})
    except OSError as exc:
        raise ConfigError(f"{host}: nobody knows this name ({exc}); name Redis's node as others reach it") from exc
    outside = [each for each in found if not ipaddress.ip_address(each.partition("%")[0]).is_loopback]
    return ["127.0.0.1", *outside] if outside else ["*"]


def _start(target: RedisTarget) -> Iterator[Step]:
    config = next((target.root / name for name in CONFIGS if (target.root / name).is_file()), None)
    if config is None:
        return
    include = steps.line(config, f"include {ETC}/redis.conf")
    unit = next((name for name in SERVICES if _unit(target.root, name)), None)

    def undo() -> None:
        include.undo()
        if target.live and unit is not None:
            target.run(["systemctl", "restart", unit])

    yield replace(include, undo=undo)
    if target.live and unit is not None:
        yield Step(f"restart {unit}", lambda: _answers(target.etc), lambda: _restart(target, unit))


def _unit(root: Path, name: str) -> bool:
    folders = ("usr/lib/systemd/system", "lib/systemd/system", "etc/systemd/system")
    return any((root / each / f"{name}.service").exists() for each in folders)


def _restart(target: RedisTarget, unit: str) -> None:
    target.run(["systemctl", "enable", unit])
    target.run(["systemctl", "restart", unit])
    if not _answers(target.etc):
        raise ConfigError(f"{unit} does not take the login of {target.etc}/admin.env; see: journalctl -u {unit}")


def take_users(etc: Path) -> bool:
    """Let a Redis that runs take its users anew; return whether it did."""
    return _answers(etc, load=True)


def forget(etc: Path, pattern: str) -> None:
    """Delete keys of a Redis that runs here; where it does not answer they stay."""
    url = login(etc / f"{ADMINISTRATOR}.env").get(REDIS_URL, "")
    with contextlib.suppress(LustreEventsError), connect(url, CONNECT_SECONDS) as client, redis_errors(client):
        for key in client.scan_iter(match=pattern, count=1000):
            client.unlink(key)


def _answers(etc: Path, *, load: bool = False) -> bool:
    """Return whether Redis answers the administrator; `load`: it reads its users anew then."""
    url = login(etc / f"{ADMINISTRATOR}.env").get(REDIS_URL, "")
    try:
        with connect(url, CONNECT_SECONDS) as client, redis_errors(client):
            if load:
                client.acl_load()
    except LustreEventsError:
        return False
    return True
