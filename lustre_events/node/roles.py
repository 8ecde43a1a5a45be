"""The roles that a node can have: one row for each, which deployment and doctor read.

`lustre-events setup` makes logins, Redis's users and units from here. A new role is a row here, its units in
deploy/systemd, and its checks in node/doctor/rounds.py.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Role:
    """One role.

    Args:
        name: also of its settings (NAME.toml) and its login (NAME.env; `le-NAME` in Redis).
        help: what it does.
        units: of systemd; none for people and programs of others.
        redis: its rights in Redis, as `ACL SETUSER` takes them.
        database: its role in PostgreSQL, where the index lies there.
        checks: what the doctor looks at on its node, by the names of node/doctor/rounds.py.
    """

    name: str
    help: str
    units: tuple[str, ...]
    redis: str
    database: str
    checks: tuple[str, ...]


_SUBSCRIBER = (
    "resetkeys %R~le:group:* %R~le:stream:* resetchannels -@all +@connection +@read +info "
    "+config|get +multi +exec +discard +xpending "
    "+xinfo|groups +xinfo|stream +xinfo|consumers -keys -scan -randomkey -client|kill "
    "-client|pause -client|unpause -client|list (~le:stream:* +xreadgroup +xack +xclaim "
    "+xautoclaim +xgroup|createconsumer +xgroup|delconsumer) (~le:group:asked +rpush)"
)

ROLES: dict[str, Role] = {
    role.name: role
    for role in (
        Role(
            name="reader",
            help="reads the changelogs of MDTs into Redis",
            units=("lustre-events-reader@.service",),
            redis=(
                "resetkeys ~le:stream:* ~le:reader:* %R~le:dispatcher:committed:* resetchannels -@all "
                "+@connection +ping +info +config|get +acl|dryrun +eval +evalsha +script|load "
                "+script|exists +multi +exec +discard +get +set +del +exists +pexpire +hget +hgetall "
                "+hset +hdel +lindex +lrange +rpush +sadd +smembers +xadd +xinfo|stream +xlen +xrange "
                "-client|kill -client|pause -client|unpause -client|list"
            ),
            database="",
            checks=("mount", "changelog", "redis", "transactions", "clocks", "units"),
        ),
        Role(
            name="dispatcher",
            help="keeps the index and hands out jobs",
            units=("lustre-events-dispatcher.service",),
            redis=(
                "resetkeys ~le:* ~rq:* resetchannels &rq:* +@all -@admin -@dangerous +info +config|get +acl|dryrun"
            ),
            database="lustre_events",
            checks=("mount", "redis", "transactions", "clocks", "rules", "service", "space", "units"),
        ),
        Role(
            name="indexer",
            help="writes documents into PostgreSQL beside the dispatcher",
            units=("lustre-events-indexer@.service",),
            redis=(
                "resetkeys ~le:document:* ~le:pool:*:documents %R~le:pool:names resetchannels -@all +@connection "
                "+ping +info +config|get +eval +evalsha +script|load +script|exists +multi +exec +discard +type "
                "+lpop +smembers +hset +hincrby +hgetall +hdel +del +xadd +xlen +xreadgroup +xack +xdel "
                "+xautoclaim +xpending +xgroup|create -client|kill -client|pause -client|unpause -client|list"
            ),
            database="lustre_events_indexer",
            checks=("redis", "transactions", "units"),
        ),
        Role(
            name="worker",
            help="runs extractors on compute nodes",
            units=("lustre-events-worker@.service",),
            redis=(
                "resetkeys ~rq:* resetchannels &rq:* -@all +@connection +info +multi +exec +discard "
                "+watch +unwatch +publish +subscribe +unsubscribe +psubscribe +punsubscribe +get +set "
                "+del +exists +expire +persist +ttl +hget +hgetall +hmget +hexists +hset +hdel +hincrby "
                "+hincrbyfloat +blmove +lmove +blpop +lpop +lpos +llen +lrange +lrem +rpush +lpush +sadd "
                "+srem +scard +smembers +sismember +zadd +zcard +zrange +zrangebyscore +zscore +zrem "
                "+zremrangebyrank +zremrangebyscore +xadd +xlen +xread +xrevrange +xtrim -client|kill "
                "-client|pause -client|unpause -client|list "
                "(~le:result:waiting ~le:document:waiting ~le:action:answers +rpush)"
            ),
            database="",
            checks=("mount", "redis", "worker", "units"),
        ),
        Role(
            name="courier",
            help="sends what actions say: webhooks, mail, to brokers",
            units=("lustre-events-courier.service",),
            redis=(
                "resetkeys resetchannels -@all +@connection +ping +info +config|get -client|kill -client|pause "
                "-client|unpause -client|list (~le:courier:jobs +blpop) (~le:courier:answers +rpush)"
            ),
            database="",
            checks=("redis", "endpoints", "units"),
        ),
        Role(
            name="web",
            help="the web console, and metrics for Prometheus",
            units=("lustre-events-web.service", "lustre-events-metrics.service"),
            redis=(
                "resetkeys %R~le:* %R~rq:* ~le:request* resetchannels -@all +@connection +@read +info "
                "+config|get +eval +evalsha +script|load +script|exists +multi +exec +discard "
                "+xinfo|stream +xinfo|groups +xinfo|consumers +xpending +xadd +xdel +pexpire -keys "
                "-client|kill -client|pause -client|unpause -client|list"
            ),
            database="lustre_events_search",
            checks=("redis", "service", "units"),
        ),
        Role(
            name="dashboard",
            help="rq-dashboard, which only looks",
            units=("lustre-events-dashboard.service",),
            redis=(
                "resetkeys %R~rq:* resetchannels -@all +@connection +@read -keys -client|kill "
                "-client|pause -client|unpause -client|list"
            ),
            database="",
            checks=("redis", "units"),
        ),
        Role(
            name="history",
            help="keeps who did what to a file, and when",
            units=("lustre-events-history.service",),
            redis=f"{_SUBSCRIBER} %R~le:reader:continuity:* (~le:history:state +hset)",
            database="",
            checks=("redis", "history", "units"),
        ),
        Role(
            name="subscriber",
            help="other programs that read the record streams",
            units=(),
            redis=_SUBSCRIBER,
            database="",
            checks=(),
        ),
        Role(
            name="admin",
            help="people who administer Redis",
            units=(),
            redis="allkeys allchannels +@all",
            database="",
            checks=(),
        ),
    )
}
"""By name."""

INSTALLED = tuple(role.name for role in ROLES.values() if role.units)
"""Roles that a node is installed for."""
EXAMINED = tuple(role.name for role in ROLES.values() if role.checks)
"""Roles that the doctor knows."""
