"""Programs on samples broken at random: 150 files each, or for LUSTRE_EVENTS_FUZZ_SECONDS in total."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.suite.families import Family, check_fates, families
from tests.suite.mutations import mutated, written

FAMILIES = families()
SECONDS = float(os.environ.get("LUSTRE_EVENTS_FUZZ_SECONDS", "0")) / max(1, len(FAMILIES))
FILES = 150

pytestmark = [pytest.mark.apptainer, pytest.mark.timeout(SECONDS + 900)]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys())
def test_no_mutation_costs_more_than_its_own_document(
    family: Family, all_images: Path, open_folder: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whatever bytes a file has, it gets a document that fits the schema, or a sentence, within the limits.

    The seed is in every failing file's name: the same seed makes the same files.
    """
    samples = [(path.name, path.read_bytes()) for path in family.samples]
    ends = time.monotonic() + SECONDS
    rounds = 0
    while time.monotonic() < ends or not rounds:
        seed = random.randrange(1 << 32) if os.environ.get("LUSTRE_EVENTS_FUZZ_SECONDS") else rounds
        chance = random.Random(seed)
        paths = []
        for number in range(FILES):
            name, content = chance.choice(samples)
            paths.append(written(open_folder, f"{seed}-{number}-{name}", mutated(content, chance)))
        check_fates(family, family.run(all_images, paths), [path.name for path in paths])
        for path in paths:
            path.unlink()
        rounds += 1
    record_property("files", rounds * FILES)
