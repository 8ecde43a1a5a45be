"""Rules on what `stat` finds, rules of users, rules that change, and what a job carries of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lustre_events.catalog import manifest, template
from lustre_events.catalog.catalog import Found
from lustre_events.config.settings import DispatcherSettings
from lustre_events.dispatcher.installed import Installed
from lustre_events.dispatcher.markers import Markers
from lustre_events.dispatcher.sweep import Sweeper
from lustre_events.dispatcher.turn import Turn
from lustre_events.dispatcher.viewers import Viewers
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import Rules
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.interface import Identity
from lustre_events.index.visibility import Viewer
from lustre_events.jobs.messages import STAT, Cause, Job
from tests.support.model.dispatcher import FACTS, HDF5, TABULAR, Rig, number
from tests.support.records.builders import START_NS, close, create, fid_of, rename, sattr

SETTINGS = DispatcherSettings(settle_seconds=0.0, settle_max_seconds=0.0)
EXTRACTORS = ("tabular", "hdf5", "alice/tables")


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[list[Rig]]:
    made: list[Rig] = []
    yield made
    for rig in made:
        rig.close()


def rules(conditions: str, user: str = "") -> Rules:
    return parse(f'[[rule]]\nextractor = "tabular"\n{conditions}\n', "rules", EXTRACTORS, user=user)


def rig_of(rigs: list[Rig], tmp_path: Path, made: Rules, **fields: Any) -> Rig:
    rig = Rig(tmp_path / "index.db", rules=made, settings=SETTINGS, **fields)
    rigs.append(rig)
    return rig


def tabular(rig: Rig, **facts: Any) -> list[Job]:
    """Let `stat` find these facts for all that it is asked about; return the jobs of `tabular`."""
    found: list[Job] = []
    rig.settle()
    while jobs := rig.queue.take():
        found += [job for job in jobs if job.extractor != STAT]
        rig.answer([job for job in jobs if job.extractor == STAT], document={**FACTS, **facts})
    return found


def feed(rig: Rig, *records: Any) -> None:
    rig.feed(*number(records, rig.store.tail("lustre-MDT0000").last_index))


@pytest.mark.parametrize(
    ("conditions", "facts", "given"),
    [
        ('min_size = "1k"', {"size": 2048}, True),
        ('min_size = "1k"', {"size": 10}, False),
        ("groups = [50]", {"gid": 50}, True),
        ("groups = [50]", {"gid": 51}, False),
        ('mimes = ["image/*"]', {"mime": "image/png"}, True),
        ('mimes = ["image/*"]', {"mime": None}, False),
    ],
)
def test_a_condition_on_facts_waits_for_them(
    rigs: list[Rig], tmp_path: Path, conditions: str, facts: dict[str, Any], given: bool
) -> None:
    """A new file is asked about when `stat` has seen it, and then once."""
    rig = rig_of(rigs, tmp_path, rules(conditions))
    feed(rig, create(fid=1))
    rig.settle()
    assert rig.pending() == {(fid_of(1), STAT)}

    assert len(tabular(rig, **facts)) is int(given)


def test_facts_of_old_content_do_not_count(rigs: list[Rig], tmp_path: Path) -> None:
    """A file that was small and is written again is asked about with its new size."""
    rig = rig_of(rigs, tmp_path, rules("min_size = 1000"))
    feed(rig, create(fid=1))
    assert tabular(rig, size=0) == []
    feed(rig, close(fid=1))

    assert len(tabular(rig, size=5000)) == 1


def test_new_attributes_do_not_extract_again(rigs: list[Rig], tmp_path: Path) -> None:
    """Facts that come for a chmod ask for nothing of which there is a good document."""
    rig = rig_of(rigs, tmp_path, rules("min_size = 1"))
    feed(rig, create(fid=1))
    rig.answer(tabular(rig))
    feed(rig, sattr(fid=1))

    assert tabular(rig) == []


def test_an_event_of_attributes_waits_for_the_new_facts(rigs: list[Rig], tmp_path: Path) -> None:
    """A rule on attributes is asked with those that the change has made."""
    rig = rig_of(rigs, tmp_path, rules('events = ["attributes"]\ngroups = [50]\nmin_size = 0'))
    feed(rig, create(fid=1))
    assert tabular(rig) == []
    feed(rig, sattr(fid=1))

    assert len(tabular(rig, gid=50)) == 1


def test_a_renamed_file_is_asked_about_with_the_facts_that_there_are(rigs: list[Rig], tmp_path: Path) -> None:
    """A new name changes no facts, so the rules need not wait."""
    rig = rig_of(rigs, tmp_path, rules('min_size = 1\nextensions = ["csv"]'))
    feed(rig, create(fid=1, name=b"a"))
    assert tabular(rig) == []
    feed(rig, rename(fid=1, name=b"a", to=b"a.csv"))
    rig.settle()

    assert (fid_of(1), "tabular") in rig.pending()


def test_a_young_file_waits_until_it_is_old_enough(rigs: list[Rig], tmp_path: Path) -> None:
    """With min_age_seconds the work is due so long after the last change of the content."""
    rig = rig_of(rigs, tmp_path, rules("min_age_seconds = 3600"))
    feed(rig, create(fid=1, time_ns=rig.now_ns))
    rig.pass_seconds(1)
    assert tabular(rig, mtime_ns=rig.now_ns) == []
    rig.pass_seconds(3500)
    assert tabular(rig) == []
    rig.pass_seconds(101)

    assert len(tabular(rig)) == 1


def test_a_users_rules_wait_for_the_owner(rigs: list[Rig], tmp_path: Path) -> None:
    """Only files that the user owns are given to what that user's rules say, by the user's own extractor."""
    own = parse('[[rule]]\nextractor = "tables"\n', "alice.toml", EXTRACTORS, user="alice").rules
    extractors = (TABULAR, HDF5, Identity("alice/tables", "1", "sha256:3"))
    rig = rig_of(rigs, tmp_path, Rules((), {1000: own}), extractors=extractors)
    feed(rig, create(fid=1))
    (job,) = tabular(rig, uid=1000)
    feed(rig, create(fid=2, name=b"b"))

    assert (job.extractor, job.owner) == ("alice/tables", 1000)
    assert tabular(rig, uid=1001) == []


def test_a_job_carries_recall_and_the_cause(rigs: list[Rig], tmp_path: Path) -> None:
    """The worker learns whether it may read from tape, and the record that told of the change last."""
    rig = rig_of(rigs, tmp_path, rules("recall = true"))
    feed(rig, create(fid=1), close(fid=1))
    (job,) = tabular(rig)

    assert [(item.recall, item.cause) for item in job.items] == [(True, Cause(0, 1, 2))]
    (cause,) = rig.select("SELECT cause FROM object")
    assert OrderKey.unpack(cause) == OrderKey(START_NS + 2 * 10**9, 0, 1, 2)


def test_rules_that_change_are_followed(rigs: list[Rig], tmp_path: Path) -> None:
    """From the next look on the new rules are asked, new extractors are known and new queues are served."""
    found: list[Found | None] = [None]
    rig = rig_of(rigs, tmp_path, rules('extensions = ["csv"]'), look=lambda: found[0])
    feed(rig, create(fid=1, name=b"a.txt"))
    assert tabular(rig) == []
    for name in ("tabular", "new"):
        template.write(tmp_path / name, "batch")
    installed = manifest.load_all((tmp_path,))
    found[0] = Found(rules('extensions = ["txt"]\nqueue = "other"'), installed, ("oh",))
    rig.pass_seconds(3)
    feed(rig, create(fid=2, name=b"b.txt"))
    rig.settle()

    assert [job.items[0].fid for job in rig.queue.take("other")] == [fid_of(2)]
    assert rig.select("SELECT name FROM extractor WHERE name = 'new'") == ["new"]
    assert rig.streams.state()["problems"] == '["oh"]'


def test_looks_at_what_is_installed_leave_time_for_work() -> None:
    """However much users change, and all the time, looks that take 3 s each come once a minute."""
    assert looks_at(range(130), seconds=3) == [2, 65, 128]


def test_a_look_that_hung_delays_the_next_one_by_a_minute() -> None:
    """Where a hung file system held up a look for 5 minutes, the next one comes a minute behind its end."""
    assert looks_at(range(0, 1_000, 2), seconds=300) == [2, 362, 722]


def test_a_clock_that_is_set_back_stops_no_look() -> None:
    """Installed, sweeper, markers and viewers look again at once where the clock is behind their last look."""
    times = [day * SECOND_NS for day in (1_000_000, 1_000_000, 500_000)]
    assert looks_at([1_000_000, 500_000], seconds=0) == [1_000_000, 500_000]

    streams = SimpleNamespace(mdts=lambda: looked.append("sweeper") or ())
    looked: list[str] = []
    sweeper = Sweeper(cast("Any", streams), cast("Any", None), (), times[0])
    markers = Markers(Rules(), lambda _globs: None)
    transaction = SimpleNamespace(marked=lambda *_: [], paths=lambda *_: {}, put_left_out=lambda *_: None)
    viewers = Viewers(lambda _name: looked.append("viewers") or Viewer(1))
    viewers.follow(["alice"])
    for now_ns in times:
        sweeper.look(now_ns)
        viewers.refresh(now_ns)
        if markers.is_time(now_ns):
            looked.append("markers")
            markers.look(Turn(cast("Any", transaction), Counter(), now_ns))
            markers.committed(now_ns)

    assert looked == ["sweeper", "viewers", "markers"] * 2


def looks_at(times: Iterable[int], *, seconds: int) -> list[int]:
    """Return at which of these times (s) is looked at what is installed, where each look takes so long."""
    looks: list[int] = []
    passed = 0

    def look() -> None:
        nonlocal passed
        passed += seconds * SECOND_NS
        looks.append(now)

    nobody = cast("Any", SimpleNamespace(rules=Rules()))
    installed = Installed(look, nobody, nobody, nobody, {}, now_ns=0, stopwatch=lambda: passed)
    for now in times:
        installed.follow(now * SECOND_NS)
    return looks
