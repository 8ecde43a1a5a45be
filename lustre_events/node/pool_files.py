"""What makes a pool of workers: its login of Redis, its key, and the files that its nodes get; made and removed.

pools/NAME.key                the key, for the dispatcher
pools/NAME.redis              the dispatcher's login of the pool's own Redis, where it has one
pools/NAME/worker.env         the pool's login, for its nodes
pools/NAME/worker.toml        settings, for its nodes
pools/NAME/pool.key           the key, for its nodes
pools/NAME/redis-users.acl    the users of the pool's own Redis
"""

from __future__ import annotations

import hashlib
import pwd
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from lustre_events.actions.seal import make_key
from lustre_events.config.places import REDIS_URL, login
from lustre_events.errors import ConfigError
from lustre_events.jobs import pools
from lustre_events.node import steps
from lustre_events.node.roles import ROLES
from lustre_events.node.steps import Owner, Step, SystemAccounts

FOLDER = "pools"
SERVICE = "lustre-events"
_URL = re.compile(r"(?P<scheme>(?:rediss?|unix)://)(?:[^@/]*@)?(?P<rest>[^@]+)\Z")


def rights(pool: str) -> str:
    """Return the rights of a pool's login in Redis: a worker's, on the keys of the pool only."""
    prefix = pools.rq_prefix(pool)
    own = ROLES["worker"].redis.partition("(")[0].replace("~rq:*", f"~{prefix}:*").replace("&rq:*", f"&{prefix}:*")
    return f"{own.rstrip()} (~{pools.results_key(pool)} ~{pools.documents_key(pool)} +rpush)"


def users(etc: Path) -> Iterator[str]:
    """Yield the lines of the site's users in Redis that are of pools; not of those with a Redis of their own."""
    for name in there(etc):
        if not (etc / FOLDER / f"{name}.redis").is_file():
            yield _user(etc, name)


def there(etc: Path) -> list[str]:
    """Return the pools that have been added."""
    found = (path.stem for path in (etc / FOLDER).glob("*.key"))
    return sorted(name for name in found if pools.is_name(name) and (etc / FOLDER / f"{name}.env").is_file())


def adding(etc: Path, name: str, own_redis: str, user: str, root: Path) -> list[Step]:
    """Return the steps that make a pool; what is there stays.

    Args:
        etc: the folder of all settings, on the node where the site's Redis is.
        name: of the pool.
        own_redis: URL of the pool's own Redis, without a login; empty: the site's.
        user: who gets the files of its nodes; empty: root.
        root: of the node's file system.

    Raises:
        ConfigError: a pool can have no such name, or there is no such user.
    """
    if not pools.is_name(name):
        raise ConfigError(f"{name!r} is not a name for a pool: use up to 32 small letters, digits and hyphens")
    if not (etc / "redis-users.acl").is_file():
        raise ConfigError(
            f"{etc}: Redis is not set up here; run this on its node, after: lustre-events setup redis"
        )
    accounts = SystemAccounts(root)
    if user:
        _uid(user)
    service, node = Owner(accounts, group=SERVICE), _OfUser(accounts, user=user or "root")
    folder, key = etc / FOLDER, etc / FOLDER / f"{name}.key"
    files, own = folder / name, folder / f"{name}.env"

    def make() -> None:
        make_key(key)
        service.give(key)
        key.chmod(0o640)

    def own_login() -> bytes:
        return _login(etc, name, own_redis, f"{pools.LOGIN}{name}")

    made = [
        steps.folder(folder, 0o755, Owner(accounts)),
        Step(f"write {key}", key.is_file, make, lambda: key.unlink(missing_ok=True), key.is_file),
        steps.folder(files, 0o711, Owner(accounts)),
        steps.file(own, own_login, 0o600, Owner(accounts), keep=True),
    ]
    if own_redis:
        dispatcher = folder / f"{name}.redis"
        made += [
            steps.file(dispatcher, lambda: _login(etc, name, own_redis, "le-dispatcher"), 0o640, service, keep=True)
        ]
    made += [
        steps.file(files / "worker.env", own.read_bytes, 0o600, node),
        steps.file(files / "pool.key", key.read_bytes, 0o600, node),
        steps.file(files / "worker.toml", lambda: _settings(name).encode(), 0o644, node),
    ]
    if own_redis:
        made += [
            steps.file(files / "redis-users.acl", lambda: _own_users(etc, name).encode(), 0o600, Owner(accounts))
        ]
    return made


def remove(etc: Path, name: str) -> bool:
    """Remove the files of a pool; return whether there were any."""
    folder = etc / FOLDER
    paths = [folder / f"{name}.{kind}" for kind in ("key", "env", "redis")]
    found = any(path.exists() for path in (*paths, folder / name)) if pools.is_name(name) else False
    if found:
        for path in paths:
            path.unlink(missing_ok=True)
        shutil.rmtree(folder / name, ignore_errors=True)
    return found


class _OfUser(Owner):
    """As Owner, for people: the node may know them from LDAP only."""

    def _numbers(self) -> tuple[int, int]:
        if self.user == "root":
            return 0, 0
        return _uid(self.user)


def _uid(user: str) -> tuple[int, int]:
    try:
        found = pwd.getpwnam(user)
    except KeyError as exc:
        raise ConfigError(f"{user}: no such user on this node; name one who is, or leave --user out") from exc
    return found.pw_uid, found.pw_gid


def _login(etc: Path, name: str, own_redis: str, who: str) -> bytes:
    url = own_redis or login(etc / "worker.env").get(REDIS_URL, "")
    found = _URL.match(url)
    if found is None:
        where = f"--redis {own_redis}" if own_redis else f"{etc}/worker.env"
        raise ConfigError(f"{where}: is not a URL of a Redis for the pool {name}; write e.g. rediss://node7:6379/0")
    return f"{REDIS_URL}={found['scheme']}{who}:{secrets.token_hex(24)}@{found['rest']}\n".encode()


def _user(etc: Path, name: str) -> str:
    return _line(etc / FOLDER / f"{name}.env", f"{pools.LOGIN}{name}", rights(name))


def _own_users(etc: Path, name: str) -> str:
    dispatcher = _line(etc / FOLDER / f"{name}.redis", "le-dispatcher", ROLES["dispatcher"].redis)
    return f"user default off resetpass ~* &* +@all\n{dispatcher}\n{_user(etc, name)}\n"


def _line(file: Path, who: str, what: str) -> str:
    found = re.search(rf"//{re.escape(who)}:([^@/]+)@", login(file).get(REDIS_URL, ""))
    if found is None:
        raise ConfigError(f"{file}: has no URL of {who}; repair it, or remove the pool and add it again")
    return f"user {who} on #{hashlib.sha256(found[1].encode()).hexdigest()} {what}"


def _settings(name: str) -> str:
    return (
        f"# A worker of the pool {name}: lustre-events worker --config worker.toml\n"
        "# with the variable of worker.env in its environment. Keep pool.key readable for it alone.\n"
        "[worker]\n"
        f'pool = "{name}"\n'
        'pool_key = "/etc/lustre-events/pool.key"\n'
    )
