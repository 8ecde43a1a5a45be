"""What the dispatcher reports to the journal and systemd: what it did and how much, as one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_SAID = (
    ("records", "{} records"),
    ("results", "{} results"),
    ("requests", "{} requests"),
    ("walked", "{} objects below renamed directories"),
    ("swept", "{} removed names swept"),
)


def step_sentence(counters: Mapping[str, int], reached: Iterable[tuple[str, int]]) -> str:
    """Return what a step did: `committed 812 records (lustre-MDT0000 up to 4711); gave out 3 jobs of 120 files`.

    `reached` are the MDTs whose cursor moved, and where it stands.
    """
    took = [text.format(counters[name]) for name, text in _SAID if counters.get(name)]
    places = ", ".join(f"{mdt} up to {position}" for mdt, position in sorted(reached))
    if took and places:
        took[0] += f" ({places})"
    parts = [f"committed {', '.join(took)}"] if took else []
    if counters.get("jobs"):
        parts.append(f"gave out {counters['jobs']} jobs of {counters.get('job_files', 0)} files")
    return "; ".join(parts) or "committed what changed without records"


def status_sentence(counters: Mapping[str, int]) -> str:
    """Return what all steps so far did, for `systemctl status`."""
    return (
        f"active; committed {counters.get('records', 0)} records and {counters.get('results', 0)} results, "
        f"gave out {counters.get('jobs', 0)} jobs of {counters.get('job_files', 0)} files"
    )
