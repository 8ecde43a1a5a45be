"""What has fired for a complete directory: known again, by what versions before wrote too, and bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from lustre_events.dispatcher import fired_marks
from lustre_events.dispatcher.fired_marks import EARLIER, MOST_KEPT, SAME
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.rules.action_rules import ActionRule
from tests.support.index.places import IndexPlace, open_writer
from tests.support.model.actions import rules_of
from tests.support.records.builders import fid_of

DAY = fid_of(1)


def rule_of(late: str = "again") -> ActionRule:
    (found,) = rules_of(
        '[[rule]]\nname = "reduce"\non = "directory"\ndirectories = ["/runs/*"]\naction = "webhook"\n'
        f'endpoint = "beamline"\ncomplete = {{ marker = "*.done" }}\nlate = "{late}"\n'
    ).actions.by_name.values()
    return found


@pytest.fixture
def turn(index_place: IndexPlace) -> Iterator[Turn]:
    writer = open_writer(index_place)
    writer.take_over()
    with writer.transaction() as transaction:
        yield Turn(transaction, Counter(), 1)
    writer.close()


def test_marks_of_one_directory_are_bounded(turn: Turn) -> None:
    """However often a directory becomes complete, the last contents are known, and older marks are gone."""
    rule = rule_of()
    for number in range(MOST_KEPT + 50):
        fired_marks.put(turn, rule, DAY, f"members {number}")
    for number, found in ((0, {EARLIER}), (MOST_KEPT + 49, {EARLIER, SAME}), (60, {EARLIER, SAME})):
        assert fired_marks.known(turn, rule, DAY, f"members {number}") == found
    turn.transaction.forget_fired(DAY, "", 1 << 40)
    assert fired_marks.known(turn, rule, DAY, f"members {MOST_KEPT}") == set()


def test_rules_and_directories_do_not_share_marks(turn: Turn) -> None:
    """Another directory, another rule, and an edited one begin anew; marks of an edited one go with the others."""
    rule = rule_of()
    fired_marks.put(turn, rule, DAY, "m")
    assert fired_marks.known(turn, rule, fid_of(2), "m") == set()
    assert fired_marks.known(turn, replace(rule, name="other"), DAY, "m") == set()
    assert fired_marks.known(turn, rule_of("report"), DAY, "m") == set()
    for number in range(MOST_KEPT):
        fired_marks.put(turn, replace(rule, digest=f"edited {number}"), DAY, "m")
    assert fired_marks.known(turn, rule, DAY, "m") == set()


def test_marks_of_a_version_before_count(turn: Turn) -> None:
    """What had fired before an upgrade fires no second time."""
    rule = replace(rule_of(), digest="d")
    # SHA-256 of name, digest and members with zero bytes between, as that version wrote it.
    former = ("685794eec54e4b2432fb51d82a5102fa", "f21e06e46bf93be73eff2d7f45004e3a")
    turn.transaction.put_fired({(DAY, f"/complete/{each}"): 1 for each in former})
    assert fired_marks.known(turn, rule, DAY, "m") == {SAME, EARLIER}
    assert fired_marks.known(turn, rule, DAY, "n") == {EARLIER}
