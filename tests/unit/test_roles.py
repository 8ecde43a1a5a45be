"""The table of roles: what deployment and doctor have is what it says."""

from __future__ import annotations

from lustre_events.node import setup_login
from lustre_events.node.doctor.rounds import CHECKS
from lustre_events.node.roles import INSTALLED, ROLES
from tests.support.service.command import REPOSITORY

DEPLOY = REPOSITORY / "deploy"


def test_every_unit_belongs_to_a_role() -> None:
    """Each shipped unit is installed for a role, or by a socket of it, and each role's units are shipped."""
    shipped = {path.name for path in (DEPLOY / "systemd").glob("*.service")}

    assert {unit for role in ROLES.values() for unit in role.units} == shipped - set(setup_login.UNITS)


def test_every_role_that_is_installed_is_examined() -> None:
    """The doctor has something to look at on each node that runs a part of the service, and knows each check."""
    assert all(ROLES[name].checks for name in INSTALLED)
    assert {check for role in ROLES.values() for check in role.checks} == set(CHECKS)


def test_databases_roles_are_those_of_the_script() -> None:
    """deploy/postgresql/roles.sql makes the roles that the table names, and no others."""
    script = (DEPLOY / "postgresql" / "roles.sql").read_text()
    made = {word.strip("'") for line in script.splitlines() if "CREATE ROLE" in line for word in line.split()[3:4]}

    assert made == {role.database for role in ROLES.values() if role.database}
