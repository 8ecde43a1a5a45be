"""`lustre-events pool`: pools of workers, each with a login, a queue and a key of its own."""

from __future__ import annotations

from pathlib import Path

import click

from lustre_events.errors import ConfigError
from lustre_events.jobs import pools
from lustre_events.node import pool_files, setup_redis, steps
from lustre_events.node.setup_redis import ETC
from lustre_events.node.steps import Owner, SystemAccounts

_ROOT = click.option(
    "--root", default="/", type=click.Path(file_okay=False, path_type=Path), help="Do it below this folder."
)


@click.group("pool")
def pool_command() -> None:
    """Make, list and remove pools of workers.

    Run these commands as root on the node of the site's Redis.

    A pool is for workers that the site trusts less than its own: whoever steals its login can lie about the files
    of its own jobs, and reads, forges or destroys nothing of others.
    """


@pool_command.command("add")
@click.argument("name")
@click.option("--user", default="", metavar="USER", help="Who gets the files of the pool's nodes; else root.")
@click.option("--redis", "own_redis", default="", metavar="URL",
              help="A Redis of the pool's own, e.g. rediss://node7:6379/0, for its load alone.")  # fmt: skip
@_ROOT
def add(name: str, user: str, own_redis: str, root: Path) -> None:
    """Make a pool: its login, its key, files for its nodes.

    What is there already stays.
    """
    etc = _etc(root)
    told = list(steps.forward(pool_files.adding(etc, name, own_redis, user, root)))
    told += _users(etc, root)
    for each in told or ["everything is there"]:
        click.echo(each)
    files = etc / pool_files.FOLDER / name
    click.echo(f"next: copy {files}/worker.env, worker.toml and pool.key to the pool's nodes, mode 600")
    click.echo(f'next: set [dispatcher] pools = "{etc / pool_files.FOLDER}" where the dispatcher runs (it needs '
               f"{name}.key there), and restart it")  # fmt: skip
    if own_redis:
        click.echo(f"next: start the pool's own Redis with a maxmemory, and aclfile {files}/redis-users.acl")
    click.echo(f'next: send work there by queue = "{pools.queue_of(name)}" in a rule')


@pool_command.command("list")
@_ROOT
def list_(root: Path) -> None:
    """List pools, their queues, and where their Redis is."""
    etc = _etc(root)
    for name in pool_files.there(etc):
        own = (etc / pool_files.FOLDER / f"{name}.redis").is_file()
        click.echo(
            f"{name}  queue {pools.queue_of(name)}  {'a Redis of its own' if own else 'the Redis of the site'}"
        )


@pool_command.command("remove")
@click.argument("name")
@_ROOT
def remove(name: str, root: Path) -> None:
    """Remove a pool: its login ends at once.

    The files of its jobs are given out again when rules name another queue.
    """
    etc = _etc(root)
    if not pool_files.remove(etc, name):
        raise ConfigError(f"there is no pool {name!r}; see: lustre-events pool list")
    click.echo(f"removed the pool {name}")
    for each in _users(etc, root):
        click.echo(each)
    setup_redis.forget(etc, pools.all_keys(name))
    click.echo(f"next: remove {name}.key where the dispatcher runs, and restart it")


def _etc(root: Path) -> Path:
    return root / ETC.relative_to("/")


def _users(etc: Path, root: Path) -> list[str]:
    """Write the users of the site's Redis anew where they have changed, and let it take them."""
    if not (etc / "redis-users.acl").is_file():
        return []
    owner = Owner(SystemAccounts(root), group="redis")
    told = list(steps.forward([setup_redis.acl(etc, owner)]))
    if told and not setup_redis.take_users(etc):
        told.append("next: let Redis take them: redis-cli ACL LOAD")
    return told
