"""What every family of the suite keeps: schema, golden documents, content before names, and broken files."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.suite.families import BAD, BATCH, Family, check_fates, copied, families, said
from tests.suite.mutations import truncated, written
from workers.runs import RunOutcome

FAMILIES = families()
SEED = 20_140
MAX_BROKEN = BATCH - 2  # files of one family that are broken in one test: with two sound ones, one container

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
    """Each document is the golden one and fits the schema, whatever the file is called; a bad sample fails."""
    renamed = [(sample, f"{n}-{end}") for n, sample in enumerate(family.good) for end in ("wrong.dat", "none")]
    named = [*((sample, sample.name) for sample in family.samples), *renamed]
    findings = family.run(all_images, [copied(sample, open_folder, name) for sample, name in named])

    assert family.good
    check_fates(family, findings, [name for _, name in named])
    for (sample, name), finding in zip(named, findings, strict=True):
        assert said(finding) == family.expected(sample), name
        assert (finding.status == "failed") == sample.name.startswith(BAD), name


def test_broken_files_harm_no_other(family: Family, all_images: Path, open_folder: Path) -> None:
    """Samples that are cut off get a document or a sentence each; test_fuzz.py breaks them in other ways."""
    broken = [
        (f"{number}-{sample.name}", part)
        for sample in family.good
        for number, part in enumerate(truncated(sample.read_bytes()))
    ]
    chosen = random.Random(SEED).sample(broken, min(MAX_BROKEN, len(broken)))

    check_batch(family, all_images, open_folder, [written(open_folder, *each) for each in chosen])


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
