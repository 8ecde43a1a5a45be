"""Facts of medical images: what pydicom and nibabel wrote is what the document says, and nothing of the person."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import Later
from tests.support.rows import each_row

nibabel, pydicom = Later("nibabel"), Later("pydicom")
medical, uids = Later("medical", "medical"), Later("medical_uids", "medical")
quick = examples(30, HealthCheck.function_scoped_fixture)
SYNTAXES = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.203"]


def written(path: Path, syntax: str, sop: str, **elements: Any) -> Path:
    """Write a DICOM file by pydicom."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = pydicom.uid.UID(sop), pydicom.uid.UID("1.2.3")
    meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    implicit, big = syntax == "1.2.840.10008.1.2", syntax == "1.2.840.10008.1.2.2"
    data = pydicom.dataset.FileDataset(
        str(path), {}, file_meta=meta, preamble=bytes(128), is_implicit_VR=implicit, is_little_endian=not big
    )
    data.PatientName, data.StudyDate, data.SOPClassUID = "Doe^Jane", "20240229", sop
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.save_as(path, implicit_vr=implicit, little_endian=not big, enforce_file_format=False)
    return path


def test_a_value_of_a_list_keeps_its_place(tmp_path: Path) -> None:
    """An empty value stays, since places say what the values behind it mean; dcmdump shows it, too."""
    kinds = ["DERIVED", "SECONDARY", "", "CSA MPR"]
    path = written(tmp_path / "a.dcm", SYNTAXES[0], "1.2.840.10008.5.1.4.1.1.4", ImageType=kinds, ScanOptions="")
    found = medical.extract(str(path))
    assert found["ImageType"] == kinds
    assert "ScanOptions" not in found


@quick
@given(
    rows=st.integers(1, 65_535), spacing=st.floats(0.01, 99).map(lambda x: round(x, 3)),
    syntax=st.sampled_from(SYNTAXES), echoes=st.lists(st.integers(-1000, 1000), min_size=1, max_size=120),
)  # fmt: skip
def test_elements_are_those_that_pydicom_wrote(
    tmp_path: Path, rows: int, spacing: float, syntax: str, echoes: list[int]
) -> None:
    """Numbers, lists and syntaxes, old or new, are told within gzip too; nothing of the person is."""
    path = written(
        tmp_path / "a.dcm", syntax, "1.2.840.10008.5.1.4.1.1.4", Rows=rows, PixelSpacing=[spacing, spacing],
        Modality="MR", EchoNumbers=echoes, Manufacturer="Example", ManufacturerModelName="Magnet 3000",
    )  # fmt: skip
    (tmp_path / "a.gz").write_bytes(gzip.compress(path.read_bytes()))

    found = medical.extract(str(path))

    assert (found["Rows"], found["PixelSpacing"], found["TransferSyntaxUID"]) == (rows, [spacing, spacing], syntax)
    assert found["TransferSyntaxName"]
    assert np.atleast_1d(found["EchoNumbers"]).tolist() == echoes[:100]
    assert ("EchoNumbers" in found.get("partial", "")) == (len(echoes) > 100)
    assert found["common"] == {"instrument": ["Example Magnet 3000"], "technique": ["MR"]}
    assert "Doe" not in json.dumps(found)
    assert medical.extract(str(tmp_path / "a.gz")) == found | {"compression": "gzip"}


@each_row("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"])
def test_a_dicomdir_is_told_without_its_records(tmp_path: Path, syntax: str) -> None:
    """A directory of a medium has its class, and nothing of the persons in its records."""
    record = pydicom.Dataset()
    record.DirectoryRecordType, record.PatientName = "PATIENT", "Doe^Jane"
    path = written(tmp_path / "DICOMDIR", syntax, "1.2.840.10008.1.3.10", DirectoryRecordSequence=[record])
    found = medical.extract(str(path))
    assert (found["SOPClassUID"], found["SOPClassName"]) == (
        "1.2.840.10008.1.3.10",
        "Media Storage Directory Storage",
    )
    assert "Doe" not in json.dumps(found)


def test_a_big_endian_file_without_a_prefix_is_dicom(tmp_path: Path) -> None:
    """A data set that begins with its first element is read, in either order of bytes."""
    (tmp_path / "a").write_bytes(b"\0\x08\0\x60CS\0\x02MR" + b"\0\x28\0\x10US\0\x02\0\x08")
    found = medical.extract(str(tmp_path / "a"))
    assert (found["Modality"], found["Rows"]) == ("MR", 8)


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.2.8.1", "1.2.840.10008.1.2.4.201"])
def test_a_syntax_of_the_standard_is_told_though_the_library_is_older(uid: str) -> None:
    """A syntax that the library has no name for has its name of the standard."""
    assert uids.registered(uid, uid) == (uid, uids.YOUNGER[uid])


@each_row("uid", ["1.2.840.10008.19700101.1", "1.2.840.10008.1.2.19700101", "1.2.3.4", "1.2.840.10008.1.2.4.7x"])
def test_a_uid_that_could_be_anybodys_is_not_told(uid: str) -> None:
    """Only UIDs below the standard's own roots, of short parts, are told without being known."""
    assert uids.registered(uid, uid) == ("", "")


@quick
@given(
    shape=st.lists(st.integers(1, 9), min_size=1, max_size=7), kind=st.sampled_from(["u1", "i2", "f4", "f8"]),
    sizes=st.floats(0.1, 9).map(lambda x: round(x, 2)), version=st.sampled_from([1, 2]),
)  # fmt: skip
def test_nifti_is_told_as_nibabel_wrote_it(
    tmp_path: Path, shape: list[int], kind: str, sizes: float, version: int
) -> None:
    """Extents, sizes, type and units are those of nibabel, within gzip too."""
    image = (nibabel.Nifti1Image if version == 1 else nibabel.Nifti2Image)(np.zeros(shape, kind), np.eye(4))
    image.header.set_zooms([sizes] * len(shape))
    image.header.set_xyzt_units("mm", "sec")
    for name in ("a.nii", "a.nii.gz"):
        nibabel.save(image, tmp_path / name)
        found = medical.extract(str(tmp_path / name))
        header: Any = nibabel.load(tmp_path / name).header
        assert (found["nifti_version"], found["bitpix"]) == (version, int(header["bitpix"]))
        assert found["dim"] == list(header.get_data_shape())
        assert found["pixdim"] == pytest.approx(list(map(float, header.get_zooms())), rel=1e-6)
        assert found["common"]["units"] == ["mm", "sec"]


def header_of(**fields: Any) -> Any:
    """Return the header of an image of 4 x 5 x 6 whole numbers of two bytes, with these fields."""
    header = nibabel.Nifti1Header()
    header.set_data_shape((4, 5, 6))
    header.set_data_dtype(np.int16)
    header["magic"], header["vox_offset"] = b"n+1", 352
    for key, value in fields.items():
        header[key] = value
    return header


def told(path: Path, header: Any, rest: bytes = bytes(4 + 240)) -> dict[str, Any]:
    """Return the document of a header, with this behind it."""
    path.write_bytes(header.binaryblock + rest)
    found: dict[str, Any] = medical.extract(str(path))
    return found


def test_an_image_without_a_place_in_space_has_no_orientation(tmp_path: Path) -> None:
    """Without qform and sform, or where the sform has no axes, it is not known where the axes lead (nifti1.h)."""
    assert "orientation" not in told(tmp_path / "a.nii", header_of())
    assert "orientation" not in told(tmp_path / "a.nii", header_of(sform_code=1))
    assert told(tmp_path / "a.nii", header_of(qform_code=1))["orientation"] == "RAS"
    assert told(tmp_path / "a.nii", header_of(sform_code=4, srow_x=[0, 0, -2, 0], srow_y=[1, 0, 0, 0],
                srow_z=[0, 1, 0, 0]))["orientation"] == "ASL"  # fmt: skip


def test_the_type_says_where_the_data_end_and_not_the_bits(tmp_path: Path) -> None:
    """A wrong bitpix makes no whole file torn, and no torn one whole: nibabel goes by the type alone, too."""
    for bits in (8, 64):
        assert "partial" not in told(tmp_path / "a.nii", header_of(bitpix=bits))
        assert np.asarray(nibabel.load(tmp_path / "a.nii").dataobj).shape == (4, 5, 6)
        torn = told(tmp_path / "a.nii", header_of(bitpix=bits), bytes(4 + 239))
        assert torn["partial"] == "the file ends within its data"


@each_row(
    "fields",
    [
        {"dim": [4, -1, 1, 1, 3, 1, 1, 1], "glmin": 163842},
        {"dim": [3, 27307, 1, 6, 1, 1, 1, 1]},
        {"dim": [3, 4, 0, 6, 1, 1, 1, 1]},
    ],
)
def test_extents_are_those_of_nibabel_also_of_surfaces(tmp_path: Path, fields: dict[str, Any]) -> None:
    """FreeSurfer writes the vertices of a surface, which are too many for dim, in a way of its own."""
    header = header_of(**fields)
    assert told(tmp_path / "a.nii", header)["dim"] == list(header.get_data_shape())


def test_extensions_of_a_pair_are_told(tmp_path: Path) -> None:
    """They lie behind the header, in its own file, up to the end; nibabel finds the same."""
    one = b"\1\0\0\0" + (32).to_bytes(4, "little") + (6).to_bytes(4, "little") + bytes(24)
    two = (48).to_bytes(4, "little") + (44).to_bytes(4, "little") + bytes(40)
    (tmp_path / "a.img").write_bytes(bytes(240))
    found = told(tmp_path / "a.hdr", header_of(magic=b"ni1", vox_offset=0), one + two)
    known = [each.get_code() for each in nibabel.load(tmp_path / "a.hdr").header.extensions]
    assert found["extensions"] == known == [6, 44]
    assert told(tmp_path / "b.hdr", header_of(magic=b"ni1", vox_offset=0), b"")["extensions"] == []
