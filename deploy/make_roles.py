"""Write what deployment has from the table of roles: `python deploy/make_roles.py`. A test compares."""

from __future__ import annotations

from pathlib import Path

from lustre_events.node.roles import ROLES

HERE = Path(__file__).resolve().parent
ABOUT_DEFAULT = """\
# Made by deploy/make_roles.py from lustre_events/node/roles.py.
#
# Nobody can log in as `default`. But when Redis starts, it carries out the transactions of its append-only file
# with the rights of `default`: without all rights they are dropped, and with them records, marks and jobs. So it is
# off, has no password, and may do everything.
user default off resetpass ~* &* +@all
# Reader and dispatcher may ask what a user could do (`ACL DRYRUN`), and so find out whether that line is right.
"""


def users() -> str:
    """Return the users of Redis; `@ROLE@` stands for the hash of a password."""
    return ABOUT_DEFAULT + "".join(
        f"user le-{role.name} on #@{role.name}@ {role.redis}\n" for role in ROLES.values()
    )


def roles() -> str:
    """Return a line for each role: its name, and the units that a node of this role has."""
    return "".join(" ".join([role.name, *role.units]) + "\n" for role in ROLES.values())


FILES = {"redis/users.acl.in": users, "roles": roles}

if __name__ == "__main__":
    for name, make in FILES.items():
        (HERE / name).write_text(make(), encoding="utf-8")
