"""How a run of a Slurm job ends where accounting is absent, down or late: by the real slurmdbd over MariaDB."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.job_handles import LOST, RELEASED, Handle
from lustre_events.actions.run_transitions import OK, REFUSED, STARTED, Attempt
from lustre_events.domain.times import SECOND_NS
from tests.support.need import need
from tests.support.servers.slurm import Cluster, cluster
from tests.support.service.slurm_site import SlurmSite, queue
from tests.support.waiting import wait_for
from workers.slurm_jobs import LATE_SECONDS

pytestmark = pytest.mark.long

MIN_AGE_SECONDS = 2
"""So long the controller knows a job that has ended."""
FORGOTTEN_SECONDS = TOLD_SECONDS = 90.0


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    """A Slurm for all tests here, first without accounting, that soon forgets jobs."""
    for program in ("slurmdbd", "mariadbd", "sacct"):
        need(program)
    folder = Path(tempfile.mkdtemp(prefix="lustre-events-test-"))
    folder.chmod(0o755)
    with cluster(folder, f"MinJobAge={MIN_AGE_SECONDS}\n") as found, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", found.environment["SLURM_CONF"])
        yield found
    shutil.rmtree(folder)


@pytest.fixture
def site(slurm: Cluster, open_folder: Path) -> SlurmSite:
    found = SlurmSite(open_folder)
    found.write(1)
    return found


def released(site: SlurmSite, name: str, code: str = "0") -> Parcel:
    """Submit a job and release it; return its run as it is looked at next."""
    event = site.parcel(f"{name}{site.tree.parent.name[-8:]}", arguments=("", code))
    for _ in ("held", "released"):
        event = later(event, site.attempt(event))
    return event


def later(event: Parcel, found: Attempt) -> Parcel:
    """Return a run that goes on as it is looked at next."""
    assert found.outcome == STARTED, found
    return Parcel(event.run, event.key, event.body, found.handle, event.again)


def is_forgotten(event: Parcel) -> bool:
    """Whether the controller knows nothing of a run's job any more."""
    return not queue(f"--name=le-{event.key}")


def has_ended(attempt: Attempt) -> bool:
    return attempt.outcome != STARTED


def test_without_accounting_an_end_is_told_while_the_controller_knows_it(slurm: Cluster, site: SlurmSite) -> None:
    """`squeue` tells how a job ended; once MinJobAge is over nobody can, and the run is dead with that sentence."""
    assert slurm.accounting is None
    assert site.until(released(site, "known"), has_ended).outcome == OK
    assert "ended as FAILED" in site.until(released(site, "fails", "3"), has_ended).error
    event = released(site, "forgotten")
    wait_for(lambda: is_forgotten(event), FORGOTTEN_SECONDS, slurm.last_words)
    found = site.attempt(event)
    assert (found.outcome, found.handle) == (REFUSED, "")
    assert found.error == (
        f"how job {Handle.parse(event.handle).job} ended is not known: the controller has forgotten it, and there"
        " is no accounting; look whether its work is done, then retry or drop this run"
    )
    assert len(site.lines(event.key)) == 1


def test_jobs_that_end_while_slurmdbd_is_down_have_their_right_end_when_it_is_back(
    slurm: Cluster, site: SlurmSite
) -> None:
    """What the controller has forgotten meanwhile is waited for, told by accounting later, and submitted once."""
    accounting = slurm.account()
    accounting.stop()
    ends = {"done": OK, "fails": REFUSED}
    events = {name: released(site, name, "3" if name == "fails" else "0") for name in ends}
    wait_for(lambda: all(map(is_forgotten, events.values())), FORGOTTEN_SECONDS, slurm.last_words)
    for name, event in events.items():
        found = site.attempt(event)
        assert (Handle.parse(found.handle).phase, found.error[:18]) == (RELEASED, "sacct ended with 1")
        events[name] = later(event, found)
    accounting.start()
    wait_for(lambda: all(map(has_ended, map(site.attempt, events.values()))), TOLD_SECONDS, slurm.last_words)
    told = {name: site.attempt(event) for name, event in events.items()}
    assert {name: each.outcome for name, each in told.items()} == ends
    assert "ended as FAILED" in told["fails"].error
    assert [len(site.lines(event.key)) for event in events.values()] == [1, 1]


def test_a_record_that_does_not_come_is_waited_for_within_a_bound(slurm: Cluster, site: SlurmSite) -> None:
    """Accounting that answers, and knows nothing of a job: the run waits an hour, and then says so, once."""
    slurm.account()
    known = Handle(999_999, site_uid(site), "released")
    event = Parcel("run-never", f"never{site.tree.parent.name[-8:]}", b"", str(known))
    now_ns = time.time_ns()
    site.clock_of(lambda: now_ns)
    waits = later(event, site.attempt(event))
    assert Handle.parse(waits.handle) == Handle(known.job, known.uid, LOST, now_ns // SECOND_NS)
    site.clock_of(lambda: now_ns + (LATE_SECONDS - 2) * SECOND_NS)
    assert later(event, site.attempt(waits)).handle == waits.handle
    site.clock_of(lambda: now_ns + LATE_SECONDS * SECOND_NS)
    found = site.attempt(waits)
    assert found.outcome == REFUSED
    assert f"and accounting does not know it after {LATE_SECONDS} s; look whether its work is done" in found.error


def site_uid(site: SlurmSite) -> int:
    """Return whose the files of a site are."""
    return (site.tree / "f1").stat().st_uid
