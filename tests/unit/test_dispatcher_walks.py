"""Rules on moves: what a rename of a file or of a directory above it asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lustre_events.changelog.fid import ROOT_FID
from lustre_events.dispatcher import directory_walks
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import File
from tests.support.index.places import IndexPlace
from tests.support.model.dispatcher import MDT0, MDT1, Rig, csv_rig
from tests.support.records import builders as b

RULES = '[[rule]]\nextensions = ["csv"]\ndirectories = ["/watched/**"]\nextractor = "tabular"\n'


@pytest.fixture
def rig(index_place: IndexPlace) -> Iterator[Rig]:
    made = Rig(index_place, rules=parse(RULES, "rules", ("tabular", "hdf5")))
    yield made
    made.close()


def extracted(rig: Rig) -> set[int]:
    """Return the files that `tabular` is asked for, and answer for them."""
    rig.settle()
    rig.pass_seconds(10)
    jobs = rig.play()
    rig.answer(job for job in jobs if job.extractor == "tabular")
    return {item.fid.oid for job in jobs if job.extractor == "tabular" for item in job.items}


def feed(rig: Rig, *records: object) -> set[int]:
    jobs = rig.play(*records)  # type: ignore[arg-type]
    rig.answer(job for job in jobs if job.extractor == "tabular")
    return {item.fid.oid for job in jobs if job.extractor == "tabular" for item in job.items} | extracted(rig)


def tree(rig: Rig) -> None:
    """Make /watched and /other/deep with two tables and a text."""
    found = feed(
        rig,
        b.mkdir(fid=50, name=b"watched"), b.mkdir(fid=60, name=b"other"),
        b.mkdir(fid=61, parent=60, name=b"deep"), b.create(fid=1, parent=61, name=b"a.csv"),
        b.create(fid=2, parent=60, name=b"b.csv"), b.create(fid=3, parent=61, name=b"c.txt"),
    )  # fmt: skip
    assert found == set()


def test_a_directory_renamed_into_a_watched_one_is_walked(rig: Rig) -> None:
    """All files below it that a rule now names are extracted, at any depth, and no other."""
    tree(rig)
    assert feed(rig, b.rename(fid=60, name=b"other", to_parent=50, to=b"in")) == {1, 2}
    assert rig.select("SELECT count(*) FROM walk") == [0]


def test_a_directory_renamed_out_and_in_again_keeps_its_documents(rig: Rig) -> None:
    """Out of a watched directory nothing is lost; back in it, files with good documents are left alone."""
    tree(rig)
    feed(rig, b.rename(fid=60, name=b"other", to_parent=50, to=b"in"))
    assert feed(rig, b.rename(fid=60, parent=50, name=b"in", to_parent=ROOT_FID, to=b"out")) == set()
    assert rig.select("SELECT count(*) FROM document") == [2]
    assert feed(rig, b.close(fid=2)) == set()
    assert feed(rig, b.rename(fid=60, name=b"out", to_parent=50, to=b"in")) == {2}  # it has new content


def test_a_rename_that_no_rule_can_tell_walks_nothing(rig: Rig) -> None:
    """Within a watched directory, or where nothing is watched, the files below are not looked at."""
    tree(rig)
    feed(rig, b.rename(fid=60, name=b"other", to=b"elsewhere"))
    feed(rig, b.rename(fid=60, name=b"elsewhere", to_parent=50, to=b"in"))
    before = rig.writer.counters()["walks"]
    feed(rig, b.rename(fid=60, parent=50, name=b"in", to=b"in2"))
    assert (before, rig.writer.counters()["walks"]) == (1, 1)


def test_a_directory_whose_name_comes_after_its_files_is_walked(rig: Rig) -> None:
    """Its MDT was read later than that of its files: when its place is known the rules are asked again."""
    feed(rig, b.mkdir(fid=50, name=b"watched"))
    assert feed(rig, b.create(fid=1, parent=61, name=b"a.csv")) == set()
    rig.feed(b.mkdir(fid=61, parent=50, name=b"deep", index=1), mdt=MDT1)
    rig.settle()
    assert extracted(rig) == {1}


def test_a_walk_is_bounded_and_survives_a_crash(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """One step looks at few names; after a crash in the middle the rest is looked at all the same."""
    monkeypatch.setattr(directory_walks, "NAMES_PER_STEP", 3)
    files = [b.create(fid=100 + n, parent=60, name=b"%02d.csv" % n) for n in range(10)]
    feed(rig, b.mkdir(fid=50, name=b"watched"), b.mkdir(fid=60, name=b"other"), *files)
    position = rig.store.tail(MDT0).last_index + 1
    rig.feed(b.rename(fid=60, name=b"other", to_parent=50, to=b"in", index=position), mdt=MDT0)
    rig.dispatcher.step()
    assert rig.select("SELECT count(*) FROM pending WHERE extractor = 'tabular'") == [3]
    rig.restart()
    assert extracted(rig) == {100 + n for n in range(10)}


def test_links_in_a_circle_end_a_walk(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Directories that contain each other for a while (records out of order) are not walked for ever."""
    monkeypatch.setattr(directory_walks, "MAX_DEPTH", 20)
    tree(rig)
    feed(
        rig,
        b.rename(fid=60, name=b"other", to_parent=50, to=b"in"),
        b.link(fid=60, parent=61, name=b"circle"),
    )
    assert rig.select("SELECT count(*) FROM walk") == [0]


def test_rsync_writes_a_temporary_file_and_renames_it(rig: Rig) -> None:
    """`.a.csv.Xy12` renamed to `a.csv` is extracted once, by its new name; in place or from another directory."""
    tree(rig)
    found = feed(
        rig,
        b.create(fid=7, parent=50, name=b".a.csv.Xy12"), b.close(fid=7), b.sattr(fid=7),
        b.rename(fid=7, parent=50, name=b".a.csv.Xy12", to=b"a.csv"),
        b.mkdir(fid=51, parent=60, name=b".~tmp~"), b.create(fid=8, parent=51, name=b"d.csv"), b.close(fid=8),
        b.rename(fid=8, parent=51, name=b"d.csv", to_parent=50, to=b"d.csv"),
    )  # fmt: skip
    assert found == {7, 8}


globs = st.lists(st.sampled_from(["a", "b", "*", "**"]), min_size=1, max_size=4).map("/".join)
parts = st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=3)


@given(globs, parts, parts, parts, st.sampled_from(["all", "first", "all but", "excluded"]))
def test_where_no_walk_is_needed_no_answer_differs(
    glob: str, before: list[bytes], after: list[bytes], below: list[bytes], match: str
) -> None:
    """If a rename may not differ, no file at any depth below gets work that it had not under the old path."""
    directories = f'directories = ["/{glob}"]'
    text = (
        f'match = "{"first" if match == "first" else "all"}"\n[[rule]]\n'
        f"{ {'all but': f'not = {{ {directories} }}', 'excluded': ''}.get(match, directories) }\n"
        'extractor = "tabular"\n'
        '[[rule]]\nextensions = ["x"]\nextractor = "hdf5"\n'
    )
    rules = parse(text, "rules", ("tabular", "hdf5")).leaving_out([f"/{glob}"] if match == "excluded" else [])
    if rules.may_differ([b"/".join(before)], [b"/".join(after)]):
        return
    was, is_ = (
        {work.extractor for work in rules.match(File(b"/".join([*top, *below, b"f.x"])))} for top in (before, after)
    )
    assert is_ <= was


@pytest.fixture
def left_out(index_place: IndexPlace) -> Iterator[Rig]:
    """A dispatcher whose rule leaves out a directory."""
    text = '[[rule]]\nextensions = ["csv"]\nnot = { directories = ["/scratch/**"] }\nextractor = "tabular"\n'
    made = Rig(index_place, rules=parse(text, "rules", ("tabular", "hdf5")))
    yield made
    made.close()


def test_what_leaves_a_directory_that_is_left_out_is_extracted(left_out: Rig) -> None:
    """Below /scratch nothing is; a file, or a whole directory, that is renamed out of it is, and not vice versa."""
    found = feed(
        left_out,
        b.mkdir(fid=50, name=b"scratch"), b.mkdir(fid=51, parent=50, name=b"deep"), b.mkdir(fid=60, name=b"kept"),
        b.create(fid=1, parent=51, name=b"a.csv"), b.create(fid=2, parent=50, name=b"b.csv"),
        b.create(fid=3, parent=60, name=b"c.csv"),
    )  # fmt: skip
    assert found == {3}
    assert feed(left_out, b.rename(fid=2, parent=50, name=b"b.csv", to_parent=60, to=b"b.csv")) == {2}
    assert feed(left_out, b.rename(fid=51, parent=50, name=b"deep", to_parent=60, to=b"deep")) == {1}
    assert feed(left_out, b.rename(fid=60, name=b"kept", to_parent=50, to=b"kept")) == set()


def test_a_directory_whose_name_comes_late_may_have_been_left_out(left_out: Rig) -> None:
    """Until it is known where a file is, no rule that leaves directories out holds; then it is asked again."""
    assert feed(left_out, b.create(fid=1, parent=70, name=b"a.csv")) == set()
    assert feed(left_out, b.mkdir(fid=70, name=b"kept")) == {1}


def test_only_new_names_of_directories_with_names_are_looked_at(rig: Rig) -> None:
    """A new directory, and a renamed file, begin no walk."""
    feed(rig, b.mkdir(fid=50, name=b"watched"), b.create(fid=1, parent=50, name=b"a.csv"))
    feed(rig, b.rename(fid=1, parent=50, name=b"a.csv", to=b"b.csv"))
    assert rig.writer.counters().get("walks", 0) == 0
    assert rig.paths(1) == [[b"watched/b.csv"]]


def test_a_second_name_in_an_unknown_directory_counts(tmp_path: Path) -> None:
    """A file with one path that is known, and a name in a directory that is not, is asked about by both."""
    own = csv_rig(tmp_path / "own.db")
    jobs = own.play(b.create(fid=1, name=b"a"), b.link(fid=1, parent=99, name=b"b.csv"))
    assert {job.extractor for job in jobs} == {"stat", "tabular"}
    own.close()
