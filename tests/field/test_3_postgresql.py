"""The index in PostgreSQL, by the page, on the machine that had it in SQLite."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.field.disturbing import PAUSE_SECONDS, changes, kill_unit
from tests.support.field.site import Site, files
from tests.support.field.truth import check_truth, losses, status

pytestmark = [pytest.mark.field, pytest.mark.timeout(600)]
PAGE = "The index in PostgreSQL"
SIDE_BY_SIDE = "Documents side by side"
SERVER = "postgresql@15-main"


def test_the_index_moves_to_postgresql(site: Site) -> None:
    """By the page's blocks the index is filled anew, the doctor is content, and search and console find it."""
    earlier = files(site.machine.root)
    site.step(PAGE)
    site.before |= {path: text for path, text in files(site.machine.root).items() if path not in earlier}
    site.step(PAGE)
    site.step(PAGE)
    site.step(PAGE)
    check_truth(site.machine)
    for role in ("dispatcher", "web"):
        said = site.machine.says(f"lustre-events doctor --role {role} --json").splitlines()
        assert [line for line in said if json.loads(line)["level"] not in {"ok", "info"}] == []
    assert "lustre_events_reader_behind" in site.machine.says(
        "python3 -c 'import urllib.request as r; print(r.urlopen(\"http://127.0.0.1:9464/metrics\").read().decode())'"
    )


def test_postgresql_may_be_killed_and_restarted(site: Site) -> None:
    """PostgreSQL's processes are killed, it is restarted, and the dispatcher is killed: nothing is lost."""
    with changes(site.machine):
        kill_unit(site.machine, SERVER)
        site.machine.run(f"sleep 1; systemctl restart {SERVER}")
        time.sleep(2 * PAUSE_SECONDS)
        site.machine.run(f"systemctl restart {SERVER}")
        time.sleep(2 * PAUSE_SECONDS)
        kill_unit(site.machine, "lustre-events-dispatcher")
    assert not losses(site.machine)


def test_the_machine_may_lose_its_power_with_postgresql(site: Site) -> None:
    """All processes end at once; after a boot PostgreSQL and the units run by themselves."""
    with changes(site.machine):
        site.machine.kill()
        assert site.machine.boot() == ""
    assert not losses(site.machine)


def test_a_backup_of_postgresql_is_put_back(site: Site) -> None:
    """A dump that was made while files changed is restored behind the streams; by the page it becomes the truth."""
    with changes(site.machine):
        site.step(PAGE)
    with changes(site.machine):
        time.sleep(2 * PAUSE_SECONDS)
    site.step(PAGE)
    assert not losses(site.machine)
    check_truth(site.machine)


def test_documents_are_written_side_by_side(site: Site) -> None:
    """By the page two indexers write documents; one is killed, and then they are switched off: nothing is lost."""
    machine = site.machine
    site.step(SIDE_BY_SIDE)
    with changes(machine):
        kill_unit(machine, "lustre-events-indexer@1")
        time.sleep(2 * PAUSE_SECONDS)
    told = status(machine)["indexers"]["indexers"]
    assert len(told) == 2
    assert sum(each["documents"] for each in told.values()) > 0
    for role in ("dispatcher", "indexer"):
        said = machine.says(f"lustre-events doctor --role {role} --json").splitlines()
        assert [line for line in said if json.loads(line)["level"] not in {"ok", "info"}] == []
    with changes(machine):
        site.step(SIDE_BY_SIDE)
    assert not losses(machine)
