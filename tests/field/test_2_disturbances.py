"""What happens to a machine in its life, with the shipped units, Redis's roles and TLS, while files change.

After each disturbance the index is what the tree is, nothing was lost, no job has failed, and the units run.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence

import pytest

from tests.support.field import tree
from tests.support.field.disturbing import PAUSE_SECONDS, SEED, UNITS_SECONDS, changes, kill_unit, states
from tests.support.field.machine import Machine
from tests.support.field.readme import Block
from tests.support.field.site import HERE, Site
from tests.support.field.truth import MOUNT, check_truth, losses, report
from tests.support.field.workload import Workload
from tests.support.waiting import wait_for

pytestmark = [pytest.mark.field, pytest.mark.timeout(600)]
OLDER = "0.0.9"
SMALL_DISK = "24m"


def restarts(machine: Machine, unit: str) -> int:
    """Return how often systemd has started a unit again."""
    return int(machine.says(f"systemctl show --value -p NRestarts '{unit}'"))


def test_every_unit_may_be_killed(site: Site) -> None:
    """A unit that gets SIGKILL is started again by systemd."""
    before = {unit: restarts(site.machine, unit) for unit in states(site.machine)}
    assert len(before) >= 7
    with changes(site.machine):
        for unit in before:
            kill_unit(site.machine, unit)
            time.sleep(PAUSE_SECONDS)
    assert {unit: restarts(site.machine, unit) for unit in before} == {unit: n + 1 for unit, n in before.items()}


def test_redis_may_be_killed_and_restarted(site: Site) -> None:
    """Redis is killed, then restarted, with the shipped roles and its append-only file: records and jobs stay."""
    before = restarts(site.machine, "redis-server")
    with changes(site.machine):
        kill_unit(site.machine, "redis-server")
        wait_for(lambda: restarts(site.machine, "redis-server") == before + 1, UNITS_SECONDS)
        time.sleep(PAUSE_SECONDS)
        site.machine.run("systemctl restart redis-server")


def test_the_machine_may_lose_its_power(site: Site) -> None:
    """All processes end at once; after a boot the units run by themselves and catch up with what came."""
    before = states(site.machine)
    with changes(site.machine):
        site.machine.kill()
        time.sleep(PAUSE_SECONDS)
        assert site.machine.boot() == ""
    assert states(site.machine) == before


def test_the_machine_may_be_rebooted(site: Site) -> None:
    """Units end in time, and run again after the boot."""
    before = states(site.machine)
    with changes(site.machine):
        site.machine.reboot()
    assert states(site.machine) == before
    assert site.machine.says("journalctl -q -b -1 -o cat -u 'lustre-events-*' -g 'timed out|SIGKILL' || true") == ""


def test_a_worker_is_drained(site: Site) -> None:
    """The page's way to drain a worker lets its job come to an end, or come again elsewhere; no job fails."""
    with changes(site.machine):
        site.follow("Drain")
        assert states(site.machine)["lustre-events-worker@1.service"] == "inactive"
        site.machine.run("systemctl start lustre-events-worker@1")
    assert json.loads(site.machine.says("lustre-events failed list --json || true") or "[]") == []


def running(machine: Machine) -> set[str]:
    """Return the versions of our programs that run."""
    said = machine.says("for p in /proc/[0-9]*/cmdline; do cat $p 2>/dev/null | tr '\\0' ' ' || true; echo; done")
    return {
        word.split("/")[3]
        for line in said.splitlines()
        for word in line.split()[:1]
        if "/opt/lustre-events/" in word
    }


def test_a_version_goes_and_comes_back(site: Site) -> None:
    """From this version to the one before and back, by the page's steps, while files change."""
    project, machine = site.machine.at(HERE), site.machine
    tree.older_wheelhouse(project, project.with_name("older"), OLDER, "wheelhouse-older")
    page = "Upgrade without loss"
    script = site.next(page).replace("wheelhouse", "wheelhouse-older")
    now = running(machine)
    with changes(machine):
        machine.run(script, folder=HERE)
        assert running(machine) == {OLDER}
        time.sleep(PAUSE_SECONDS)
        site.follow(page)
        assert running(machine) == now
        assert "=yes" not in machine.says("systemctl show -p NeedDaemonReload 'lustre-events*'")
    assert OLDER not in now


def test_an_older_index_is_put_back(site: Site) -> None:
    """A backup, made while files changed, is restored behind the streams; by the page it becomes the truth."""
    with changes(site.machine):
        site.follow("Back up")
    with changes(site.machine):
        time.sleep(3 * PAUSE_SECONDS)
    site.step("Restore")
    wait_for(lambda: losses(site.machine), UNITS_SECONDS)
    site.step("Restore")
    assert not losses(site.machine)
    check_truth(site.machine)


def test_the_index_is_gone(site: Site) -> None:
    """The dispatcher makes a new, empty index; it says what it missed, and the page's command makes it good."""
    machine = site.machine
    machine.run("systemctl stop lustre-events-dispatcher; rm /var/lib/lustre-events/index.db*")
    machine.run("systemctl start lustre-events-dispatcher")
    wait_for(lambda: losses(machine), UNITS_SECONDS)
    machine.run("lustre-events continuity reconcile --all")
    assert not losses(machine)
    check_truth(machine)


def test_a_second_dispatcher_waits_and_takes_over(site: Site) -> None:
    """With two of them one waits, is named by `status`, and takes over when the other stops; it ends in time."""
    machine = site.machine
    machine.run(f"systemd-run -q --unit=second {SECOND} /usr/bin/lustre-events dispatcher")
    with changes(machine):
        wait_for(lambda: standbys(machine), UNITS_SECONDS)
        machine.run("systemctl stop lustre-events-dispatcher")
        wait_for(lambda: not standbys(machine), UNITS_SECONDS)
        time.sleep(2 * PAUSE_SECONDS)
        machine.run("systemctl start lustre-events-dispatcher")
        machine.run("systemctl stop second")
    assert not standbys(machine)
    assert not losses(machine)


SECOND = (
    "--property=User=lustre-events --property=EnvironmentFile=/etc/lustre-events/dispatcher.env"
    " --property=Environment=LUSTRE_EVENTS_CONFIG=/etc/lustre-events/lustre-events.toml"
)


def standbys(machine: Machine) -> list[str]:
    """Return the dispatchers that wait."""
    told = json.loads(machine.says("lustre-events status --json"))["dispatcher"]
    found: list[str] = json.loads(told["standbys"])
    return found


def test_the_dispatcher_moves_to_another_node_and_back(site: Site, other: Machine) -> None:
    """By the page's blocks dispatcher, console and index go to a second node, and back, while files change."""
    here, blocks = site.machine, site.take("Move to another node")
    with Workload(here.at(MOUNT), SEED + 1):
        with searching(here):
            move(blocks, here, other)
        assert here.at("/var/lib/lustre-events/index.db-wal").exists(), "the search left nothing that could do harm"
        time.sleep(2 * PAUSE_SECONDS)
    check_truth(other, files=here.at(MOUNT))
    assert not [unit for unit in states(here) if "dispatcher" in unit]
    with changes(here):
        move(blocks, other, here)
    assert not losses(here)


@contextlib.contextmanager
def searching(machine: Machine) -> Iterator[None]:
    """Have the index open for reading meanwhile: so SQLite leaves its WAL behind when the dispatcher ends."""
    look = '(echo "SELECT count(*) FROM object;"; sleep 600) | sqlite3 -readonly /var/lib/lustre-events/index.db'
    machine.run(f"systemd-run --unit=searching sh -c '{look}'")
    yield
    machine.run("systemctl stop searching")


def move(blocks: Sequence[Block], source: Machine, target: Machine) -> None:
    """Carry the page's blocks out between two machines; what ssh would copy is copied."""
    for block in blocks:
        if block.skipped:
            shutil.copy2(source.at("/root/moved.tgz"), target.at("/root/moved.tgz"))
        else:
            machine = target if block.elsewhere else source
            done = machine.run(block.script, check=False)
            assert done.returncode == 0, "\n".join([done.stdout, done.stderr, report(machine)])


@pytest.mark.parametrize(
    ("unit", "folder"),
    [("lustre-events-dispatcher", "/var/lib/lustre-events"), ("redis-server", "/var/lib/redis")],
)
def test_a_disk_runs_full(site: Site, unit: str, folder: str) -> None:
    """While no byte more can be written, nothing is lost; doctor says it; with room again all goes on by itself."""
    machine = site.machine
    with on_a_small_disk(machine, unit, folder):
        with changes(machine):
            machine.run(f"dd if=/dev/zero of={folder}/filler bs=64k", check=False)
            time.sleep(8 * PAUSE_SECONDS)
            said = machine.run("lustre-events doctor", check=False)
            assert said.returncode == 1, said.stdout
            machine.run(f"rm {folder}/filler")
        assert not losses(machine)


@contextlib.contextmanager
def on_a_small_disk(machine: Machine, unit: str, folder: str) -> Iterator[None]:
    """Put a folder on a small disk of its own, and back, while nobody writes there."""
    if "lustre-events-history.service" in states(machine) and unit == "lustre-events-dispatcher":
        unit = f"{unit} lustre-events-history"
    owner = machine.says(f"stat -c uid=%u,gid=%g,mode=%a {folder}")
    machine.run(f"systemctl stop {unit}; mv {folder} {folder}.kept; mkdir {folder}")
    machine.run(f"mount -t tmpfs -o size={SMALL_DISK},{owner} small {folder}; cp -a {folder}.kept/. {folder}")
    machine.run(f"systemctl start {unit}")
    yield
    machine.run(f"systemctl stop {unit}; cp -a {folder}/. {folder}.kept; umount {folder}; rmdir {folder}")
    machine.run(f"mv {folder}.kept {folder}; systemctl start {unit}")
