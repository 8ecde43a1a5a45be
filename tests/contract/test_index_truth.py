"""The index, on both databases, against a model of the file system, through the real dispatcher."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.index.places import BACKENDS, EmptyPlace
from tests.support.model.model import OPERATIONS, Move, any_moves
from tests.support.model.world import World
from tests.support.profiles import examples

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

Plan = list[tuple[list[Move], str, int]]

small = st.integers(0, 11)
moves = st.lists(st.tuples(st.integers(0, len(OPERATIONS) - 1), small, small, small), max_size=40)
actions = st.sampled_from(["send", "send", "step", "work", "lose", "restore"])
plans = st.lists(st.tuples(moves, actions, small), max_size=8)
SECOND_NS = 10**9


def carry_out(world: World, plan: Plan) -> None:
    """Do, send, step, work, lose and restore what a plan says, then let everything settle."""
    for done, action, number in plan:
        world.do(done)
        world.do(any_moves(world.chance, 3 * number))
        if action == "send":
            world.send(number % 2, number * 3)
        elif action == "step":
            world.step()
        elif action == "work":
            world.step()
            world.work(share=0.8)
        elif action == "lose":
            world.lose_redis(number % 2)
        else:
            world.restore_redis(number % 2)
        world.pass_seconds(1 + number * 15)
    world.settle()
    # Removed names are swept now; older copies of Redis come back all the same.
    for mdt in (0, 1):
        world.restore_redis(mdt)
    world.settle()


@pytest.mark.parametrize("backend", BACKENDS)
@examples(100)
@given(plans, st.integers(0, 1 << 32))
def test_the_index_is_the_file_system_s_truth(empty_place: EmptyPlace, backend: str, plan: Plan, seed: int) -> None:
    """Whatever is done, however it arrives, whoever dies: names, objects and documents are the file system's."""
    world = World(empty_place(backend), seed)
    carry_out(world, plan)
    living, documents = world.system.living(), world.documents()

    assert world.names() == world.system.truth()
    assert world.objects() == living.keys()
    assert world.rig.pending() == set()
    for fid, inode in living.items():
        number, content = documents.get(fid, (0, 0))
        if inode.type == "f" and any(name.endswith(b".csv") for _, name in world.system.names(inode)):
            assert inode.number not in world.kept or number == inode.number, "a document was lost"
            assert content == inode.content or fid in world.failed()
        else:
            assert number in {0, inode.number}, "another object's document"
    assert world.tombstones() == 0
    assert world.rig.store.losses == {}, "nothing was lost"
    moved = world.rig.moved()
    assert len(moved) == world.rig.select("SELECT count(*) FROM moved")[0]
    assert {living[fid].type for fid in moved.values()} <= {"d"}, "the others are swept"
    world.rig.close()


@pytest.mark.parametrize("backend", BACKENDS)
@examples(20)
@given(moves, moves, st.integers(0, 1 << 32))
def test_facts_follow_the_file_system(
    empty_place: EmptyPlace, backend: str, before: list[Move], after: list[Move], seed: int
) -> None:
    """What changes after a quiet time changes facts, too: of a directory when names come to it or go."""
    world = World(empty_place(backend), seed)
    for done in (before, after):
        world.do([*done, *any_moves(world.chance, 5)])
        world.settle()

    living = world.system.living()
    assert world.mtimes_ns() == {fid: world.system.mtime_ns(inode) for fid, inode in living.items()}
    world.rig.close()


@pytest.mark.parametrize("backend", BACKENDS)
@examples(50)
@given(plans, st.integers(0, 1 << 32), st.sampled_from([(3, 0), (0, 3), (-3, 0), (0, -3), (2, -1), (-2, 1)]))
def test_the_index_heals_where_the_clocks_of_mdss_differ(
    empty_place: EmptyPlace, backend: str, plan: Plan, seed: int, skew_seconds: tuple[int, int]
) -> None:
    """With clocks 3 s apart records come in wrong orders; once what is contested was asked for, names are right."""
    first, second = skew_seconds
    world = World(empty_place(backend), seed, (first * SECOND_NS, second * SECOND_NS))
    carry_out(world, plan)

    assert world.names() == world.system.truth()
    assert world.objects() == world.system.living().keys()
    assert world.rig.pending() == set()
    world.rig.close()
