"""Nothing of a person gets from a medical image into a document, unless the site asks for it."""

from __future__ import annotations

import importlib.util
import json
import shutil
import struct
from pathlib import Path
from types import ModuleType

import pytest

from lustre_events.catalog import manifest
from tests.suite.families import Family, families
from tests.suite.mutations import written

PERSON = "Jane^Doe born 1970"
GROUPS = (0x0008, 0x0009, 0x0010, 0x0018, 0x0020, 0x0028, 0x0032, 0x0038, 0x0040, 0x0054, 0x0088, 0x0400, 0x3004)
pytestmark = pytest.mark.apptainer


@pytest.fixture
def family() -> Family:
    """The extractor of medical images."""
    return families()["medical"]


@pytest.fixture
def maker(family: Family) -> ModuleType:
    """The program that makes its samples."""
    spec = importlib.util.spec_from_file_location("medical_samples", family.manifest.folder / "make_samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["LO", "PN", "DS", "UN"])
def test_no_element_but_the_allowed_ones_gets_out(
    kind: str, family: Family, maker: ModuleType, all_images: Path, open_folder: Path
) -> None:
    """A secret in any element of many groups, as any type, is in the document only where the device is named."""
    secrets = tuple(
        (group, number, kind, PERSON)
        for group in GROUPS
        for number in range(0x0001, 0x2200)
        if (group, number) != (0x0008, 0x0005)  # the character set
    )
    data = maker.dataset(maker.EXPLICIT, secrets)
    path = written(open_folder, "a.dcm", bytes(128) + b"DICM" + maker.element(2, 0x10, "UI", maker.EXPLICIT) + data)

    (finding,) = family.run(all_images, [path])

    common = finding.document.pop("common", {})
    holders = {key for key, value in finding.document.items() if PERSON in json.dumps(value)}
    assert finding.status == "ok", finding.error
    assert set(common) <= {"instrument", "sample", "technique", "software", "units"}
    assert bool(holders) >= (PERSON in json.dumps(common))
    assert holders - allowed_texts() == set()
    assert kind in {"LO", "UN"} or not holders  # UN: of no known type, so it may be the right one


def allowed_texts() -> set[str]:
    """Return the keywords of allowed elements whose type by the standard is a text of the device's maker."""
    return {
        "Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ReceiveCoilName", "TransmitCoilName",
        "SequenceName", "PulseSequenceName", "ConvolutionKernel", "RescaleType", "AttenuationCorrectionMethod",
        "ReconstructionMethod", "FilterType", "ImagedNucleus",
    }  # fmt: skip


def test_sequences_keep_their_secrets(
    family: Family, maker: ModuleType, all_images: Path, open_folder: Path
) -> None:
    """An allowed element within a sequence, as of another image or a former name, is not taken."""
    inner = maker.element(0x0008, 0x0070, "LO", PERSON) + maker.element(0x0010, 0x0010, "PN", PERSON)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    data = maker.element(0x0008, 0x1140, "SQ", item) + maker.element(0x0028, 0x0010, "US", 8)
    path = written(open_folder, "a.dcm", bytes(128) + b"DICM" + maker.element(2, 0x10, "UI", maker.EXPLICIT) + data)

    (finding,) = family.run(all_images, [path])

    assert finding.document["Rows"] == 8
    assert PERSON not in json.dumps(finding.document)


def test_a_site_may_ask_for_more(family: Family, all_images: Path, tmp_path: Path) -> None:
    """Keywords in the manifest's command add their elements, and only these."""
    folder = tmp_path / "medical"
    shutil.copytree(family.manifest.folder, folder, ignore=shutil.ignore_patterns("samples", "golden"))
    text = (folder / "manifest.toml").read_text()
    (folder / "manifest.toml").write_text(text.replace('medical.py"]', 'medical.py", "StudyDate", "descrip"]'))
    more = Family(manifest.load(folder))
    samples = [path for path in family.good if path.name in {"mr.dcm", "brain.nii"}]

    nifti, dicom = more.run(all_images, samples)

    assert dicom.document == family.expected(samples[1]) | {"StudyDate": "20240229"}
    assert nifti.document == family.expected(samples[0]) | {"descrip": "Doe^Jane"}
