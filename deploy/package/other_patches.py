"""Print the requirements of other patch releases of this Python: `redis` needs one more package up to 3.11.2.

A wheelhouse is made with one Python, and installed with the nodes': the same 3.x, but any patch of it.

    other_patches.py PLACE...      wheels, or folders of installed packages
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import distributions

from pip._vendor.packaging.requirements import Requirement

SERIES = "{}.{}".format(*sys.version_info)
PATCHES = [f"{SERIES}.{patch}" for patch in range(40)]


def needed_elsewhere(places: list[str]) -> list[str]:
    """Return what another patch release needs and this one does not, without the packages that are there."""
    found = list(distributions(path=places))
    there = {canonical(each.name) for each in found}
    wanted = {
        str(need.name) + str(need.specifier)
        for each in found for need in map(Requirement, each.requires or [])
        if need.marker and "python_full_version" in str(need.marker) and canonical(need.name) not in there
        and any(need.marker.evaluate({"python_full_version": patch, "extra": ""}) for patch in PATCHES)
    }  # fmt: skip
    return sorted(wanted)


def canonical(name: str) -> str:
    """Return a package's name as all its spellings have it in common."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    print(*needed_elsewhere(sys.argv[1:]), sep="\n", end="")  # noqa: T201 - what a shell script reads
