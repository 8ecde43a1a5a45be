"""The table of roles: what deployment and doctor have is what it says."""

from __future__ import annotations

import runpy

import pytest

from lustre_events.doctor.rounds import CHECKS
from lustre_events.node.roles import INSTALLED, ROLES
from tests.support.service.command import REPOSITORY

DEPLOY = REPOSITORY / "deploy"
FILES = runpy.run_path(str(DEPLOY / "make_roles.py"))["FILES"]


@pytest.mark.parametrize("name", FILES)
def test_what_deployment_has_is_made_from_the_table(name: str) -> None:
    """A role that changes changes the files of deploy/: run `python deploy/make_roles.py`."""
    assert (DEPLOY / name).read_text() == FILES[name]()


def test_every_unit_belongs_to_a_role() -> None:
    """Each shipped unit is installed for a role, and each role's units are shipped."""
    shipped = {path.name for path in (DEPLOY / "systemd").glob("*.service")}

    assert {unit for role in ROLES.values() for unit in role.units} == shipped


def test_every_role_that_is_installed_is_examined() -> None:
    """The doctor has something to look at on each node that runs a part of the service, and knows each check."""
    assert all(ROLES[name].checks for name in INSTALLED)
    assert {check for role in ROLES.values() for check in role.checks} == set(CHECKS)


def test_databases_roles_are_those_of_the_script() -> None:
    """deploy/postgresql/roles.sql makes the roles that the table names, and no others."""
    script = (DEPLOY / "postgresql" / "roles.sql").read_text()
    made = {word.strip("'") for line in script.splitlines() if "CREATE ROLE" in line for word in line.split()[3:4]}

    assert made == {role.database for role in ROLES.values() if role.database}
