"""What every family of the suite keeps: schema, golden documents, content before names, and broken files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.suite.families import BAD, Family, check_fates, copied, families, said
from tests.suite.mutations import flipped, truncated, written
from workers.runs import RunOutcome

FAMILIES = families()
FLIPS = 20
SEED = 20_140
MAX_BROKEN = 600  # files of one family that are broken in one test

pytestmark = [
    pytest.mark.apptainer,
    pytest.mark.timeout(900),  # the first of them builds the images
    pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES.keys()),
]


def check_batch(family: Family, images: Path, folder: Path, broken: Sequence[Path]) -> list[RunOutcome]:
    """Run broken files between sound ones; the sound ones have their documents, the others a fate."""
    sample = family.good[0]
    first = copied(sample, folder, f"sound-first{sample.suffix}")
    last = copied(sample, folder, f"sound-last{sample.suffix}")
    paths = [first, *broken, last]
    findings = family.run(images, paths)

    check_fates(family, findings, [path.name for path in paths])
    assert said(findings[0]) == family.expected(sample)
    assert said(findings[-1]) == family.expected(sample)
    return findings[1:-1]


def test_samples_have_their_golden_documents(family: Family, all_images: Path, open_folder: Path) -> None:
    """Each sample's document is the golden one and fits the schema; a bad sample fails with its sentence."""
    paths = [copied(sample, open_folder, sample.name) for sample in family.samples]
    findings = family.run(all_images, paths)

    assert family.good
    check_fates(family, findings, [path.name for path in paths])
    for sample, finding in zip(family.samples, findings, strict=True):
        assert said(finding) == family.expected(sample), sample.name
        assert (finding.status == "failed") == sample.name.startswith(BAD), sample.name


def test_content_counts_not_the_name(family: Family, all_images: Path, open_folder: Path) -> None:
    """A sample under a wrong extension, or none, has the document that it has under the right one."""
    good = [path for path in family.good for _ in range(2)]
    paths = [copied(sample, open_folder, f"{n}{('.dat', '')[n % 2]}") for n, sample in enumerate(good)]

    for sample, finding in zip(good, family.run(all_images, paths), strict=True):
        assert said(finding) == family.expected(sample), sample.name


def test_broken_files_harm_no_other(family: Family, all_images: Path, open_folder: Path) -> None:
    """Samples cut off at 20 places, and with random bytes changed, get a document or a sentence each."""
    chance = random.Random(SEED)
    broken = []
    for sample in family.good:
        content = sample.read_bytes()
        contents = truncated(content) + [flipped(content, chance) for _ in range(FLIPS)]
        broken += [written(open_folder, f"{number}-{sample.name}", part) for number, part in enumerate(contents)]
    chosen = chance.sample(broken, min(MAX_BROKEN, len(broken)))

    check_batch(family, all_images, open_folder, chosen)


def test_hostile_files_harm_no_other(family: Family, all_images: Path, open_folder: Path) -> None:
    """Bombs, absurd sizes and deep nesting get a document or a sentence each, within the limits."""
    module = family.hostile()
    assert module is not None, f"{family.manifest.folder} has no hostile.py"
    folder = open_folder / "hostile"
    folder.mkdir(mode=0o755)
    module.hostile(folder)
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        path.chmod(0o644)

    assert files
    check_batch(family, all_images, open_folder, files)
