"""What is compressed as a whole is seen through: the same facts, and the example rules send it there."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.suite.families import BAD, families
from tests.support.service.command import REPOSITORY

FAMILIES = families()
ENDS = {".gz", ".bz2", ".xz", ".zst", ".lz4"}
SAYING = {"compression", "packed"}
SHOWN = {"preview"}  # is less where data cannot be sought
PACKED = [
    (name, sample)
    for name, family in FAMILIES.items()
    for sample in family.samples
    if sample.suffix in ENDS and not sample.name.startswith(BAD)
]


WITH_PLAIN = [(name, sample) for name, sample in PACKED if name != "archive" and sample.with_suffix("").exists()]


@pytest.mark.parametrize(("name", "sample"), WITH_PLAIN, ids=lambda each: getattr(each, "name", each))
def test_a_compressed_file_has_the_facts_of_what_it_holds(name: str, sample: Path) -> None:
    """The golden document of a compressed sample is that of the plain one, and says how it is compressed."""
    packed, plain = FAMILIES[name].expected(sample), FAMILIES[name].expected(sample.with_suffix(""))
    assert {key: value for key, value in packed.items() if key not in SAYING | SHOWN} == {
        key: value for key, value in plain.items() if key not in SHOWN
    }
    assert SAYING & packed.keys()


def test_the_example_rules_send_compressed_files_to_their_families() -> None:
    """Each compressed sample meets the extensions of its family's example rule, and a tar archive no other's."""
    rules = {
        rule["extractor"]: tuple(f".{end}" for end in rule["extensions"])
        for rule in tomllib.loads((REPOSITORY / "deploy" / "rules.toml").read_text())["rule"]
        if "extensions" in rule
    }
    assert len(PACKED) > 20
    assert [sample.name for name, sample in PACKED if not sample.name.endswith(rules[name])] == []
    assert [name for name, ends in rules.items() if "run7.tar.gz".endswith(ends)] == ["archive"]
