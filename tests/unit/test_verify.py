"""What `verify` prints of a difference."""

from __future__ import annotations

import random

from lustre_events.cli.progress import settled
from lustre_events.index.search.hits import printable
from lustre_events.repair.verify import MISSING, Difference, Outcome
from tests.support.records.builders import fid_of


def test_a_difference_names_the_path_as_search_does() -> None:
    """A name looks the same in `verify` as in `search`, and two names never look alike."""
    names = ("café.txt".encode(), b"caf\xe9.txt", b"caf\\xe9.txt", b"two\nlines")
    lines = [Difference(MISSING, name, fid_of(1), fid_of(2)).line() for name in names]
    assert lines == [f"missing in the index: {printable(name)}" for name in names]
    assert lines[0] == "missing in the index: café.txt"
    assert len(set(lines)) == len(names)


def test_the_mount_itself_has_a_name() -> None:
    """A difference about the directory at the mount is not printed without any name."""
    assert Difference(MISSING, b"", fid_of(1), fid_of(2)).line() == "missing in the index: ."


def test_a_comparison_is_made_again_while_workers_may_not_be_done() -> None:
    """Differences are looked at again, in the same sample, until there are none or the time is over."""
    left = Outcome(differences=[Difference(MISSING, b"a", fid_of(1), fid_of(2))])
    outcomes = [left, left, Outcome(directories=7)]
    samples = []

    def compare(chance: random.Random) -> Outcome:
        samples.append(chance.random())
        return outcomes[len(samples) - 1]

    assert settled(compare, 60, 0).directories == 7
    assert len(samples) == 3
    assert len(set(samples)) == 1
    samples.clear()
    assert settled(compare, 0) is left
