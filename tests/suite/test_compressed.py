"""What is compressed as a whole is seen through: the same facts, and the example rules send it there."""

from __future__ import annotations

import gzip
import tomllib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import zstandard

from tests.suite.families import BAD, Family, families, said
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
# of the image base have samples of both; office and checksum tell of the file as it is
ELSEWHERE = {
    name: family for name, family in FAMILIES.items() if family.manifest.image != "base" and name != "office"
}
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


def lz4(content: bytes) -> bytes:
    """Compress as lz4 does."""
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "lz4") as stream:
        stream.write(content)
    return bytes(packed.getvalue())


def without_form(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document without what says how its file is compressed."""
    return {key: value for key, value in document.items() if key not in SAYING | SHOWN}


@pytest.mark.apptainer
@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", ELSEWHERE.values(), ids=ELSEWHERE.keys())
def test_every_family_sees_through_zstd_and_lz4(family: Family, all_images: Path, open_folder: Path) -> None:
    """In each family's image zstd and lz4 are read as gzip is; what is torn is told, and never taken for whole."""
    sample = next(path for path in family.good if path.suffix == ".gz")
    content = gzip.decompress(sample.read_bytes())
    contents = [pack(content) for pack in (zstandard.compress, lz4)]
    paths = [open_folder / str(number) for number in range(4)]
    for path, each in zip(paths, contents + [part[: len(part) * 3 // 4] for part in contents], strict=True):
        path.write_bytes(each)
        path.chmod(0o644)

    whole = family.expected(sample)
    *found, torn_zstd, torn_lz4 = map(said, family.run(all_images, paths))
    for document, compression in zip(found, ("zstd", "lz4"), strict=True):
        assert without_form(document) == without_form(whole)
        assert compression in {document.get(key) for key in SAYING}
    for document in (torn_zstd, torn_lz4):
        assert "error" in document or document["partial"] != whole.get("partial")
