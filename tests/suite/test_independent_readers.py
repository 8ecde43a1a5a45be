"""The golden documents are what independent readers say of the samples: no golden is only what an extractor said.

Where an extractor uses a library itself, another one reads here, or the numbers come out of the data and not out of
the header; that the extractors make these goldens is tested in test_families.py.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gemmi
import h5py
import netCDF4
import nibabel
import numpy as np
import pillow_heif
import pydicom
import pypdf
import pytest
import tifffile
import zstandard
from astropy.io import fits
from Bio import SeqIO
from PIL import Image

from tests.suite.families import families

FAMILIES = families()
Facts = dict[str, Any]
UNPACKERS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress,
    ".zst": zstandard.ZstdDecompressor().decompress,
}  # fmt: skip


def opened(path: Path, folder: Path) -> Path:
    """Return a path to what is compressed as a whole, or the path itself."""
    if path.suffix not in UNPACKERS:
        return path
    place = folder / path.stem
    place.write_bytes(UNPACKERS[path.suffix](path.read_bytes()))
    return place


def arrays(path: Path) -> Facts:
    """Return what netCDF4 or h5py says."""
    if path.suffix == ".nc":
        with netCDF4.Dataset(path) as file:
            return {
                "dimensions": {name: len(each) for name, each in file.dimensions.items()},
                "shapes": {name: list(each.shape) for name, each in file.variables.items()},
                "attributes": {name: file.getncattr(name) for name in file.ncattrs()},
            }
    shapes: Facts = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, each: shapes.update({name: list(each.shape)} if hasattr(each, "shape") else {})
        )
        return {
            "shapes": shapes,
            "attributes": {name: each for name, each in file.attrs.items() if np.size(each) == 1},
        }


def of_arrays(golden: Facts) -> Facts:
    """Return the same of a golden document."""
    shapes = {name: one["shape"] for name, one in golden["dataset"].items()}
    found = {
        "shapes": shapes,
        "attributes": {k: v for k, v in golden["attributes"].items() if not isinstance(v, list)},
    }
    return found | ({"dimensions": golden["dimensions"]} if "dimensions" in golden else {})


def sky(path: Path) -> Facts:
    """Return what astropy reads with the data: shapes of arrays, rows and columns of tables."""
    with fits.open(path) as file:
        return {
            each.name: list(each.columns.names) if isinstance(each, fits.BinTableHDU) else list(each.shape)[::-1]
            for each in file
        }


def of_sky(golden: Facts) -> Facts:
    """Return the same of a golden document."""
    return {name: one.get("columns", one.get("axes")) for name, one in golden["unit"].items()}


def picture(path: Path) -> Facts:
    """Return size and pixels' bands of the decoded picture."""
    if path.suffix == ".tif":
        pixels = tifffile.imread(path, key=0)
        return {"width": pixels.shape[1], "height": pixels.shape[0], "bands": 1}
    if path.suffix == ".heic":
        width, height = pillow_heif.open_heif(path).size
        return {"width": width, "height": height}
    with Image.open(path) as image:
        image.load()
        return {"width": image.width, "height": image.height, "bands": len(image.getbands())}


def keys(*names: str) -> Callable[[Facts], Facts]:
    """Return what takes some keys of a golden document."""
    return lambda golden: {name: golden[name] for name in names if name in golden}


def sequences(path: Path) -> Facts:
    """Return what Biopython counts."""
    kind = "fasta" if path.read_text().startswith(">") else "fastq"
    with path.open() as file:
        lengths = [len(record) for record in SeqIO.parse(file, kind)]
    counted = ("sequences", "letters") if kind == "fasta" else ("reads", "bases")
    return dict(zip(counted, (len(lengths), sum(lengths)), strict=True)) | {
        "shortest": min(lengths), "longest": max(lengths),
    }  # fmt: skip


def medical(path: Path) -> Facts:
    """Return what pydicom's newer version, or nibabel's image, says."""
    if path.suffix in {".nii", ".hdr"}:
        image = nibabel.Nifti2Image if "-2" in path.name else nibabel.Nifti1Image
        with path.open("rb") as file:
            header = image.header_class.from_fileobj(file)
        return {"dim": [int(each) for each in header.get_data_shape()], "bitpix": int(header["bitpix"])}
    data = pydicom.dcmread(path, force=True, stop_before_pixels=True)
    found = {key: data.get(key) for key in ("Modality", "Rows", "Columns", "BitsStored", "Manufacturer")}
    return {key: value for key, value in found.items() if value is not None}


def structure(path: Path) -> Facts:
    """Return the elements that gemmi finds: in the first model, or in the column of a table."""
    if path.suffix == ".cif":
        block = gemmi.cif.read(str(path))[0]
        column = block.find_values("_atom_site.type_symbol") or block.find_values("_atom_site_type_symbol")
        return {"elements": Counter(symbol.capitalize() for symbol in column)}
    model = gemmi.read_structure(str(path), format=gemmi.CoorFormat.Detect)[0]
    return {"elements": Counter(atom.element.name for chain in model for residue in chain for atom in residue)}


def document(path: Path) -> Facts:
    """Return what pypdf says."""
    read = pypdf.PdfReader(io.BytesIO(path.read_bytes()))
    info: Mapping[str, Any] = read.metadata or {}
    titles = [
        info.get("/Title"),
        (read.xmp_metadata.dc_title or {}).get("x-default") if read.xmp_metadata else None,
    ]
    return {"pages": len(read.pages), "title": next((title for title in titles if title), None)}


def of_document(golden: Facts) -> Facts:
    """Return the same of a golden document; a title that was looked for on the page is nobody else's."""
    return {"pages": golden["pages"], "title": None if "title_source" in golden else golden.get("title")}


READERS: dict[str, tuple[Callable[[Path], Facts], Callable[[Facts], Facts], tuple[str, ...]]] = {
    "hdf5": (arrays, of_arrays, ("*",)),
    "fits": (sky, of_sky, ("*",)),
    "image": (picture, keys("width", "height", "bands"),
              ("*.tif", "*.jpg", "*.png", "*.gif", "*.webp", "*.avif", "*.heic", "*.tga", "*.pcx", "*.dds", "*.gz",
               "*.xz")),
    "genomics": (sequences, keys("sequences", "letters", "reads", "bases", "shortest", "longest"),
                 ("genome*", "proteins*", "reads*", "named*", "wrapped*", "windows*")),
    "medical": (medical, keys("dim", "bitpix", "Modality", "Rows", "Columns", "BitsStored", "Manufacturer"),
                ("*.dcm", "*.nii", "*.gz", "*.xz", "*.hdr", "*.txt")),
    "molecular": (structure, keys("elements"), ("toy.*", "named.txt", "salt.cif")),
    "pdf": (document, of_document, ("[!n]*",)),  # pypdf reads none without a table of its objects
}  # fmt: skip


def cases() -> list[tuple[str, Path]]:
    """Return the samples that an independent reader knows."""
    return [
        (name, sample)
        for name, (_, _, patterns) in READERS.items()
        for sample in FAMILIES[name].good
        if any(sample.match(pattern) for pattern in patterns)
    ]


@pytest.mark.parametrize(("name", "sample"), cases(), ids=lambda each: getattr(each, "name", each))
def test_a_golden_is_what_an_independent_reader_says(name: str, sample: Path, tmp_path: Path) -> None:
    """Key facts of the golden document equal those of another reader."""
    read, of_golden, _ = READERS[name]
    expected = read(opened(sample, tmp_path))
    found = of_golden(FAMILIES[name].expected(sample))
    assert expected
    assert plain(found) == plain(expected)


def plain(value: Any) -> Any:
    """Return a value with numbers of numpy as Python's, and large ones and NaN as documents have them."""
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, float) and value != value:  # noqa: PLR0124 - NaN
        return "NaN"
    return str(value) if isinstance(value, int) and value >= 1 << 63 else value
