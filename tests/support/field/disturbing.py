"""What disturbs a machine while files change, and what must be so afterwards."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from tests.support.field.machine import Machine
from tests.support.field.truth import MOUNT, check_truth
from tests.support.field.workload import Workload
from tests.support.waiting import wait_for

SEED = 20_261
PAUSE_SECONDS = 1.5
UNITS_SECONDS = 60.0


@contextlib.contextmanager
def changes(machine: Machine) -> Iterator[Workload]:
    """Change files while something is done, and compare when both are over."""
    workload = Workload(machine.at(MOUNT), SEED)
    workload.start()
    try:
        time.sleep(PAUSE_SECONDS)
        yield workload
        time.sleep(PAUSE_SECONDS)
    finally:
        workload.finish()
    assert workload.done > 0
    wait_for(lambda: set(states(machine).values()) == {"active"}, UNITS_SECONDS, lambda: str(states(machine)))
    check_truth(machine)


def kill_unit(machine: Machine, unit: str) -> None:
    """Send SIGKILL to all processes of a unit.

    systemctl fails where one of them ends by itself meanwhile; the first to get it is the main one, in any case.
    """
    machine.run(f"systemctl kill --signal=KILL '{unit}'", check=False)


def states(machine: Machine) -> dict[str, str]:
    """Return the state of each enabled unit of ours."""
    said = machine.says("systemctl list-units --all --plain --no-legend 'lustre-events-*.service'")
    rows = [line.split() for line in said.splitlines()]
    return {row[0]: row[2] for row in rows}
