"""Processes start quickly: each loads the parts that it works with."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lustre_events.node import wiring

HEAVY = {"lustre_events.dispatcher", "lustre_events.history", "rq", "httpcore", "psycopg", "flask"}
"""What takes a tenth of a second and more to load."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("asked", "needed"),
    [
        ("from lustre_events.cli import reader; reader.wiring.reader, reader.wiring.streams", set()),
        ("from lustre_events.cli import search", set()),
        (
            "from lustre_events.cli import dispatcher; dispatcher.wiring.dispatcher",
            {"lustre_events.dispatcher", "lustre_events.history", "rq"},
        ),
        ("import workers.queue_service", {"rq"}),
        ("import workers.__main__", set()),
    ],
)
def test_a_process_loads_only_what_it_works_with(asked: str, needed: set[str]) -> None:
    """A reader starts without the dispatcher's parts, and nobody loads what sends webhooks but who sends one.

    A worker that goes into a namespace of its own begins anew there, so it loads nothing before.
    """
    program = f"import sys; {asked}; print(*(set(sys.argv[1:]) & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, *HEAVY], capture_output=True, text=True, timeout=60, check=True
    )
    assert set(done.stdout.split()) == needed


def test_all_of_the_wiring_can_be_had() -> None:
    """Each name that the wiring has for others is found in the module that it is said to be in."""
    assert [name for name in wiring.__all__ if not callable(getattr(wiring, name))] == []
    with pytest.raises(AttributeError, match="nothing"):
        wiring.nothing  # noqa: B018
