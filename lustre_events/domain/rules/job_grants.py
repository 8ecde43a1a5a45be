"""What users' own rules may submit to Slurm: the section [grant.NAME.slurm] of a grant.

    [grant.everybody.slurm]
    scripts = ["own.sh"]       # job scripts of the site that their rules may name
    jobs = 10                  # most jobs of one user's rules that wait and run in Slurm
    partitions = ["short"]     # that a rule may choose; as well accounts, qos and constraints
    time = "01:00:00"          # most that a rule may ask for; as well cpus and memory

What a grant does not name, a rule cannot set: then the site's script decides, and Slurm. Of several grants for one
user all that any of them allows is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Location, key

_TIME = re.compile(r"(?:(\d{1,5})-)?(\d{1,7}(?::\d{1,4}){0,2})\Z")
_MEMORY = re.compile(r"([1-9]\d{0,8})([KMGT]?)\Z", re.IGNORECASE)
_NUMBER = re.compile(r"[1-9]\d{0,5}\Z")
_MEGABYTE = 1 << 20
_UNITS = {"": _MEGABYTE, "K": 1 << 10, "M": _MEGABYTE, "G": 1 << 30, "T": 1 << 40}


def seconds_of(text: str) -> int | None:
    """Return a time limit in seconds, as sbatch reads it; None: it is none, or no limit.

    sbatch(1): minutes, minutes:seconds, hours:minutes:seconds, days-hours, days-hours:minutes,
    days-hours:minutes:seconds.
    """
    found = _TIME.match(text)
    if found is None:
        return None
    days, parts = found.groups()
    numbers = [int(part) for part in parts.split(":")]
    units = (3_600, 60, 1) if days or len(numbers) == 3 else (60, 1)
    rest = sum(number * unit for number, unit in zip(numbers, units, strict=False))
    return int(days or 0) * 86_400 + rest or None  # sbatch takes 0 for no limit


def bytes_of(text: str) -> int | None:
    """Return an amount of memory in bytes, as sbatch reads it; None: it is none, or all that a node has (0)."""
    found = _MEMORY.match(text)
    return int(found[1]) * _UNITS[found[2].upper()] if found else None


def number_of(text: str) -> int | None:
    """Return a number of CPUs; None: it is none."""
    return int(text) if _NUMBER.match(text) else None


@dataclass(frozen=True, slots=True)
class JobGrant:
    """What the section says; see the module. Empty, or 0: a rule cannot set it."""

    scripts: tuple[str, ...] = ()
    jobs: int = key(10, least=1, most=100_000)
    partitions: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    qos: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    time: str = key("", fits=lambda text: not text or seconds_of(text), expected='write it as "01:30:00"')
    cpus: int = key(0, least=0, most=999_999)
    memory: str = key("", fits=lambda text: not text or bytes_of(text), expected='write it as "8G"')


CHOSEN = {"partition": "partitions", "account": "accounts", "qos": "qos", "constraint": "constraints"}
"""Options of sbatch of which a grant lists the values, and its keys for them."""
BOUNDED = {"time": ("time", seconds_of), "cpus-per-task": ("cpus", number_of), "mem": ("memory", bytes_of)}
"""Options of sbatch of which a grant says the most: its keys, and what reads a value."""
FREE = frozenset({"output"})
"""Options that any rule may set: Slurm opens that file as the user."""


def together(grants: Sequence[JobGrant]) -> JobGrant:
    """Return what several grants allow together."""

    def all_of(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(chain.from_iterable(getattr(each, name) for each in grants)))

    return JobGrant(
        all_of("scripts"), max((each.jobs for each in grants), default=0), all_of("partitions"),
        all_of("accounts"), all_of("qos"), all_of("constraints"),
        max((each.time for each in grants), key=lambda text: seconds_of(text) or 0, default=""),
        max((each.cpus for each in grants), default=0),
        max((each.memory for each in grants), key=lambda text: bytes_of(text) or 0, default=""),
    )  # fmt: skip


def check_options(location: Location, options: Mapping[str, str], grant: JobGrant) -> None:
    """Refuse options of sbatch that a grant does not allow. Raises `location.error`."""
    for name, value in options.items():
        if name in CHOSEN:
            _check_chosen(location, name, value, getattr(grant, CHOSEN[name]))
        elif name in BOUNDED:
            _check_bounded(location, name, value, grant)
        elif name not in FREE:
            raise location.refusal(f"sets --{name}, which users' rules cannot; remove it")


def _check_chosen(location: Location, name: str, value: str, granted: Sequence[str]) -> None:
    if value not in granted:
        hint = nearest(value, granted) if granted else "; leave it out: the script or Slurm sets it"
        raise location.refusal(f"has {value!r} as --{name}, which the site does not grant{hint}")


def _check_bounded(location: Location, name: str, value: str, grant: JobGrant) -> None:
    granted, read = BOUNDED[name]
    most = str(getattr(grant, granted) or "")
    if not most:
        raise location.refusal(f"sets --{name}, which the site does not grant; leave it out: the script sets it")
    asked, bound = read(value), read(most)
    if asked is None:
        raise location.refusal(f"has {value!r} as --{name}, which is not an amount; the site grants {most}")
    if asked > (bound or 0):
        raise location.refusal(f"has {value!r} as --{name}, and the site grants {most}")
