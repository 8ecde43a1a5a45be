"""The history against a file system that knows what it did: what happened, where, and what was there before."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import FID, ROOT_FID
from lustre_events.changelog.record import ChangelogRecord, RecordType, iter_records
from lustre_events.domain.namespace import Place
from lustre_events.domain.record_meaning import effects
from lustre_events.errors import ConfigError
from lustre_events.history import formatting
from lustre_events.history.archive import FOREVER, Archive, Happening
from lustre_events.history.lookup import Teller
from lustre_events.history.visibility import Sight
from lustre_events.history.whereabouts import Whereabouts
from tests.support.history import keep, present, teller
from tests.support.model.model import MDTS, OPERATIONS, Lustre
from tests.support.profiles import examples
from tests.support.records import builders as b
from tests.support.records import captures
from tests.support.rows import each_row

MIGRATE = {"symlink", "exchange", "migrate", "split", "stop"}
STEPS = [operation for operation in OPERATIONS if operation.__name__ not in MIGRATE]


class Past:
    """A small Lustre, what it was after each step, and its logs; each record has a later time than the last."""

    def __init__(self, seed: int, steps: int) -> None:
        self.chance = random.Random(seed)
        system = Lustre(self.chance)
        self.logs: dict[str, list[ChangelogRecord]] = {mdt: [] for mdt in MDTS}
        self.moments: list[tuple[int, dict[Place, FID], dict[FID, list[bytes]]]] = []
        time_ns = 10**18
        for _ in range(steps):
            operation = self.chance.choice(STEPS)
            operation(system, *(self.chance.randrange(1000) for _ in range(3)))
            for mdt, log in zip(MDTS, system.logs, strict=True):
                for record in log[len(self.logs[mdt]) :]:
                    time_ns += 1000
                    self.logs[mdt].append(msgspec.structs.replace(record, time_ns=time_ns))
            paths = {inode.fid: system.paths(inode) for inode in system.living().values()}
            self.moments.append((time_ns, system.truth(), paths))
        self.truth = system.truth()

    def since(self, time_ns: int) -> dict[str, list[ChangelogRecord]]:
        """Return the records behind a time."""
        return {mdt: [each for each in log if each.time_ns > time_ns] for mdt, log in self.logs.items()}


@given(st.integers(0, 1 << 32), st.integers(2, 60))
@examples(40)
def test_what_was_there_is_what_the_file_system_had(seed: int, steps: int) -> None:
    """`--as-of` lists for each moment what stood in a directory, also where the history begins in the middle."""
    past = Past(seed, steps)
    begin = past.chance.randrange(steps)
    logs = past.since(past.moments[begin][0])
    if not any(logs.values()):
        return
    with tempfile.TemporaryDirectory() as folder:
        told = teller(keep(Path(folder), logs, past.chance), past.truth)
        for time_ns, truth, _ in past.moments[begin:]:
            for directory in {ROOT_FID, *(parent for parent, _ in truth)}:
                found, _ = told.as_of([directory], time_ns)
                here = {name: fid for (parent, name), fid in truth.items() if parent == directory}
                assert {each.name: each.fid for each in found} == here


@given(st.integers(0, 1 << 32), st.integers(2, 60))
@examples(40)
def test_each_record_is_told_with_a_path_that_its_object_had_then(seed: int, steps: int) -> None:
    """Every record about an object is in its history, once, where the object was at that time."""
    past = Past(seed, steps)
    everything = [record for log in past.logs.values() for record in log]
    if not everything:
        return
    with tempfile.TemporaryDirectory() as folder:
        told = teller(keep(Path(folder), past.logs, past.chance), past.truth)
        for fid in {record.target for record in everything if record.target}:
            about = {record.time_ns for record in everything if fid in {record.target, record.source}}
            deeds = told.of_objects({fid}).deeds
            assert sorted(deed.happening.record.time_ns for deed in deeds) == sorted(about)
            for deed in deeds:
                at_ns = deed.happening.record.time_ns
                before = max((each for each in past.moments if each[0] < at_ns), default=(0, {}, {}))[2]
                after = next(each for each in past.moments if each[0] >= at_ns)[2]
                known = {*before.get(deed.fid, []), *after.get(deed.fid, [])}
                assert (deed.path or b"").lstrip(b"/") in known


@given(st.integers(0, 1 << 32), st.integers(2, 60))
@examples(30)
def test_a_path_that_is_gone_leads_to_what_was_there(seed: int, steps: int) -> None:
    """Every path that an object ever had finds it, whatever was renamed or removed since."""
    past = Past(seed, steps)
    if not any(past.logs.values()):
        return
    with tempfile.TemporaryDirectory() as folder:
        told = teller(keep(Path(folder), past.logs, past.chance), past.truth)
        for _, _, paths in past.moments:
            for fid, names in paths.items():
                assert all(fid in told.fids_at(name) for name in names)


@given(st.integers(0, 1 << 32), st.integers(2, 40))
@examples(30)
def test_a_tree_tells_what_happened_in_it_and_nothing_else(seed: int, steps: int) -> None:
    """DIRECTORY/** has every record that named something in the directory or below, and none of elsewhere."""
    past = Past(seed, steps)
    everything = [record for log in past.logs.values() for record in log]
    made = [record for record in everything if record.type == RecordType.MKDIR]
    if not made:
        return
    with tempfile.TemporaryDirectory() as folder:
        told = teller(keep(Path(folder), past.logs, past.chance), past.truth)
        whole = {deed.happening.record.time_ns for deed in told.of_tree([ROOT_FID]).deeds}
        assert whole == {record.time_ns for record in everything}
        top = past.chance.choice(made).target
        found = {deed.happening.record.time_ns for deed in told.of_tree([top]).deeds}
        named = {record.time_ns for record in everything if any(effect.parent == top for effect in effects(record))}
        assert named <= found


@pytest.mark.parametrize("folder", ["11-random-defmask", "01-basic-allmask"])
def test_recorded_changelogs_lead_to_the_paths_that_lustre_said(folder: str, tmp_path: Path) -> None:
    """From the records of a live Lustre alone each object is where fid2path found it in the end."""
    logs = {mdt: list(iter_records(captures.read(folder, f"{mdt}.raw"))) for mdt in captures.mdts(folder)}
    archive = keep(tmp_path, logs, random.Random(1))
    whereabouts = Whereabouts(archive, lambda _fids: ())
    said = {FID.parse(each.fid): each.paths for each in captures.truths(folder)}
    truth = {fid: {os.fsencode(path) for path in paths} for fid, paths in said.items() if fid != ROOT_FID and paths}
    whereabouts.learn(truth)

    found = {
        fid: {whereabouts.path(place, 1 << 62).lstrip(b"/") for place in whereabouts.names(fid, 1 << 62)}
        for fid in truth
    }
    right = sum(found[fid] == paths for fid, paths in truth.items())
    assert right >= 0.99 * len(truth)


class Doors:
    """What a viewer can search and list now: all but some directories."""

    def __init__(self, closed: set[FID], unlisted: Collection[FID] = ()) -> None:
        self.closed, self.unlisted = closed, unlisted

    def searchable(self, directory: FID) -> bool:
        """Whether it is not closed."""
        return directory not in self.closed

    def listed(self, directory: FID) -> bool:
        """Whether it is neither closed nor unlisted."""
        return directory not in self.closed and directory not in self.unlisted


OPEN, CLOSED, OWN = b.fid_of(10), b.fid_of(11), b.fid_of(20)
SECRETS = [
    b.mkdir(OPEN, name=b"open", index=1, time_ns=1),
    b.mkdir(CLOSED, name=b"closed", index=2, time_ns=2),
    b.create(20, CLOSED, b"secret", index=3, time_ns=3, uid=7, gid=7, extra_flags=1),
    b.rename(20, CLOSED, b"secret", to_parent=OPEN, to=b"shown", index=4, time_ns=4),
    b.unlink(20, OPEN, b"shown", index=5, time_ns=5, last=True),
]


def _told(tmp_path: Path, records: list[ChangelogRecord], uid: int, closed: set[FID]) -> Teller:
    truth = {(ROOT_FID, b"open"): OPEN, (ROOT_FID, b"closed"): CLOSED}
    return Teller(keep(tmp_path, {MDTS[0]: records}, random.Random(1)), present(truth, Doors(closed), uid))


def test_names_of_a_closed_directory_are_not_told(tmp_path: Path) -> None:
    """A viewer sees no record and no name of a directory that he cannot list, nor the closed end of a rename."""
    story = _told(tmp_path, SECRETS, 4242, {CLOSED}).of_objects({OWN})

    assert [(deed.path, deed.source) for deed in story.deeds] == [(b"/open/shown", None), (b"/open/shown", None)]
    assert "secret" not in "".join(map(str, map(formatting.as_json, story.deeds)))


def test_the_closed_end_of_a_rename_is_not_told(tmp_path: Path) -> None:
    """Of a rename into a directory that the viewer cannot list the old name is told, in JSON, too."""
    moved = b.rename(21, OPEN, b"a", to_parent=CLOSED, to=b"hush", index=4, time_ns=4)
    told = _told(tmp_path, [*SECRETS[:2], b.create(21, OPEN, b"a", index=3, time_ns=3), moved], 4242, {CLOSED})
    deeds = told.of_objects({b.fid_of(21)}).deeds

    assert [(deed.path, deed.source) for deed in deeds] == [(b"/open/a", None), (None, b"/open/a")]
    assert "hush" not in "".join(map(str, map(formatting.as_json, deeds)))


def test_a_guess_at_a_name_or_object_is_not_confirmed(tmp_path: Path) -> None:
    """Who cannot list a directory is answered alike about what was, is, and never was in it: no name, no count."""
    records = [
        *SECRETS,
        b.mkdir(30, CLOSED, b"deep", index=6, time_ns=6),
        b.create(31, 30, b"x", index=7, time_ns=7),
    ]
    archive = keep(tmp_path, {MDTS[0]: records}, random.Random(1))
    truth = {(ROOT_FID, b"closed"): CLOSED, (CLOSED, b"deep"): b.fid_of(30), (b.fid_of(30), b"x"): b.fid_of(31)}
    told, own = (Teller(archive, present(truth, Doors({CLOSED}), uid)) for uid in (4242, 7))

    assert told.fids_at(b"closed") == {CLOSED}
    for guess in (b"secret", b"deep", b"deep/x", b"never", b"never/x"):
        assert told.fids_at(b"closed/" + guess) == set()
    assert own.fids_at(b"closed/secret") == {OWN}
    hidden, none, shown = (told.of_objects({fid}) for fid in (b.fid_of(31), b.fid_of(999), CLOSED))
    assert (len(hidden.deeds), len(none.deeds), len(shown.deeds)) == (0, 0, 1)
    assert {tuple(formatting.remarks(each, 10**18)) for each in (hidden, none, shown)} == {(formatting.IN_PART,)}
    for directory in (b.fid_of(30), b.fid_of(999)):
        with pytest.raises(ConfigError, match="could not list"):
            told.as_of({directory}, 1 << 62)


class Looks(Archive):
    """An archive that notes of which directories the records are read."""

    def in_directories(self, fids: Collection[FID], span: tuple[int, int] = FOREVER) -> list[Happening]:
        """Note them."""
        self.read = {*getattr(self, "read", ()), *fids}
        return super().in_directories(fids, span)


def _full(tmp_path: Path, uid: int, most: int) -> tuple[Teller, Looks]:
    """Return who tells of an open directory with 2 files, and a closed one with 5 of which user 7 made one."""
    records = [
        *SECRETS[:2],
        *(b.create(30 + n, OPEN if n < 2 else CLOSED, b"%d" % n, index=6 + n, time_ns=6 + n) for n in range(7)),
        b.mkdir(40, CLOSED, b"own", index=20, time_ns=20, uid=7, gid=7, extra_flags=1),
        b.create(41, 40, b"his", index=21, time_ns=21, uid=7, gid=7, extra_flags=1),
        *(b.create(50 + n, 40, b"%d" % n, index=22 + n, time_ns=22 + n) for n in range(5)),
    ]
    keep(tmp_path, {MDTS[0]: records}, random.Random(1))
    truth = {(ROOT_FID, b"open"): OPEN, (ROOT_FID, b"closed"): CLOSED, (CLOSED, b"x"): b.fid_of(31)}
    looks = Looks(tmp_path)
    return Teller(looks, present(truth, Doors({CLOSED, b.fid_of(40), b.fid_of(999)}), uid), most), looks


def test_a_closed_directory_does_not_tell_that_it_holds_much(tmp_path: Path) -> None:
    """No record in a directory that the viewer cannot list is read, so neither a refusal nor the time tells it."""
    told, looks = _full(tmp_path, 4242, 4)
    hidden, never = (told.of_tree({b.fid_of(each)}) for each in (40, 999))

    assert (hidden.deeds, hidden.in_part) == (never.deeds, never.in_part) == ([], True)
    assert [deed.path for deed in told.of_tree({CLOSED}).deeds] == [b"/closed"]
    for directory in (b.fid_of(40), CLOSED, b.fid_of(999)):
        with pytest.raises(ConfigError, match="could not list"):
            told.as_of({directory}, 1 << 62)
    assert len(told.of_tree({ROOT_FID}).deeds) == 4
    assert looks.read == {ROOT_FID, OPEN}


def test_too_much_of_what_the_viewer_sees_is_refused(tmp_path: Path) -> None:
    """More objects in a directory that the viewer can list than are told are a sentence, however deep it is."""
    records = [
        b.mkdir(OPEN, name=b"open", index=1, time_ns=1),
        b.mkdir(12, OPEN, b"in", index=2, time_ns=2),
        b.mkdir(13, 12, b"deep", index=3, time_ns=3),
        *(b.create(30 + n, 13, b"%d" % n, index=6 + n, time_ns=6 + n) for n in range(2)),
    ]
    archive = keep(tmp_path, {MDTS[0]: records}, random.Random(1))
    with pytest.raises(ConfigError, match="more than 1 objects"):
        Teller(archive, present({}, Doors(set()), 4242), 1).of_tree({b.fid_of(13)})


def test_the_tree_of_a_directory_of_ones_own_is_told_in_part(tmp_path: Path) -> None:
    """In a directory that the viewer made and can no longer list, what he did is told and counts, and no more."""
    told, _ = _full(tmp_path, 7, 2)

    assert [deed.path for deed in told.of_tree({b.fid_of(40)}).deeds] == [b"/closed/own", b"/closed/own/his"]


def test_who_did_it_knows_it(tmp_path: Path) -> None:
    """What a user did himself he sees, wherever it was."""
    story = _told(tmp_path, SECRETS, 7, {CLOSED}).of_objects({OWN})

    assert story.deeds[0].path == b"/closed/secret"


def test_rights_that_changed_since_hide_what_was_before(tmp_path: Path) -> None:
    """A directory that was opened later tells nothing of the time before: nobody knows whether it was closed."""
    opened = [*SECRETS, b.sattr(OPEN, index=6, time_ns=6), b.create(30, OPEN, b"new", index=7, time_ns=7)]
    told = _told(tmp_path, opened, 4242, set())

    assert [deed.happening.record.index for deed in told.of_tree([OPEN]).deeds if deed.path] == [1, 6, 7]
    with pytest.raises(ConfigError, match="could not list"):
        told.as_of([OPEN], 4)


@each_row("change", [b.sattr, b.xattr])
@each_row("directory", [OPEN, ROOT_FID])
def test_a_change_of_rights_anywhere_above_counts(
    tmp_path: Path, change: Callable[..., ChangelogRecord], directory: FID
) -> None:
    """Modes and access lists, of the directory and of all above it, have been the same since what is told."""
    records = [SECRETS[0], b.create(21, OPEN, b"a", index=2, time_ns=2), change(directory, index=6, time_ns=6)]
    told = _told(tmp_path, records, 4242, set())

    assert told.of_objects({b.fid_of(21)}).deeds == []
    with pytest.raises(ConfigError, match="could not list"):
        told.as_of([OPEN], 4)


@pytest.mark.parametrize("closed", [ROOT_FID, OPEN])
def test_a_directory_below_a_closed_one_is_closed(tmp_path: Path, closed: FID) -> None:
    """Names are told only where all directories above can be searched, too, at that time and now."""
    records = [
        *SECRETS[:1],
        b.mkdir(12, OPEN, b"in", index=2, time_ns=2),
        b.create(21, 12, b"a", index=3, time_ns=3),
    ]
    told = _told(tmp_path, records, 4242, {closed})

    assert [deed.path for deed in told.of_objects({b.fid_of(21)}).deeds] == []


def test_a_directory_of_which_nobody_knows_where_it_was_is_closed(tmp_path: Path) -> None:
    """Where the way to a directory is not known, its names are not told."""
    told = _told(tmp_path, [b.create(21, 12, b"a", index=1, time_ns=1)], 4242, set())

    assert told.of_objects({b.fid_of(21)}).deeds == []


def test_what_can_be_searched_and_not_listed_tells_no_names(tmp_path: Path) -> None:
    """A directory with x and without r: who knows a name that is there now finds it, past ones are not told."""
    records = [*SECRETS, b.create(22, CLOSED, b"known", index=6, time_ns=6)]
    truth = {(ROOT_FID, b"closed"): CLOSED, (CLOSED, b"known"): b.fid_of(22)}
    archive = keep(tmp_path, {MDTS[0]: records}, random.Random(1))
    told = Teller(archive, present(truth, Doors(set(), {CLOSED}), 4242))

    assert (told.fids_at(b"closed/known"), told.fids_at(b"closed/secret")) == ({b.fid_of(22)}, set())
    assert told.of_objects({b.fid_of(22)}).deeds == []


def test_a_directory_that_is_gone_is_closed(tmp_path: Path) -> None:
    """Names in a removed directory are told to nobody but who sees all: its rights are not known."""
    records = [*SECRETS, b.rmdir(CLOSED, name=b"closed", index=6, time_ns=6)]
    archive = keep(tmp_path, {MDTS[0]: records}, random.Random(1))
    truth = {(ROOT_FID, b"open"): OPEN}
    gone = Doors({CLOSED})  # the index knows it no more

    assert not Sight(gone, 4242, Whereabouts(archive, lambda _fids: ())).name((CLOSED, b"secret"), 3)
    assert len(teller(archive, truth).of_objects({OWN}).deeds) == 3


def test_a_line_says_when_what_where_and_who(tmp_path: Path) -> None:
    """A line has the time in UTC, what happened, the path at that time, user and job."""
    records = [
        b.mkdir(OPEN, name=b"open", index=1, time_ns=1),
        b.unlink(20, OPEN, b"a\n", index=2, time_ns=10**18, last=True, uid=7, gid=7, extra_flags=1, jobid=b"rm.7"),
    ]
    (deed,) = teller(keep(tmp_path, {MDTS[0]: records}, random.Random(1)), {}).of_objects({OWN}).deeds

    said = formatting.line(deed, lambda name: name.decode("unicode_escape").replace("\n", "\\n"), str)
    assert said == "2001-09-09 01:46:40  removed: /open/a\\n  (user 7, job rm.7)"


def test_where_the_history_begins_is_said(tmp_path: Path) -> None:
    """Who asks for a time before the first record is told where the history begins."""
    archive = keep(tmp_path, {MDTS[0]: SECRETS}, random.Random(1))
    story = teller(archive, {}).of_objects({OWN})

    assert "begins at" in " ".join(formatting.remarks(story, 0))
    assert list(formatting.remarks(story, 10)) == []


def test_a_folder_without_history_is_said(tmp_path: Path) -> None:
    """Where nothing is kept, a sentence says what to start."""
    keep(tmp_path / "a", {MDTS[0]: SECRETS}, random.Random(1))
    shutil.rmtree(tmp_path / "a" / MDTS[0])

    with pytest.raises(ConfigError, match="history-keeper"):
        teller(keep(tmp_path / "b", {}, random.Random(1)), {})
