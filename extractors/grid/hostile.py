"""Grids that nobody would write on purpose: broken messages, absurd shapes, nests, archives without end."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path

SAMPLE = Path(__file__).with_name("samples") / "forecast.grib2"


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    whole = SAMPLE.read_bytes()
    array = {"zarr_format": 2, "shape": [1], "chunks": [1], "dtype": "<f4", "compressor": None, "filters": None}
    makers = {
        "length.grib2": whole[:8] + struct.pack(">Q", 1 << 62) + whole[16:],
        "nothing.grib2": b"GRIB\0\0\0\x02" + struct.pack(">Q", 20) + b"7777",
        "many-heads.grib2": b"GRIB" * 200_000,
        "far.grib2": bytes(3000) + whole,
        "sections.grib2": whole[:16] + b"\xff" * 200 + whole[216:],
        "old.grib1": b"GRIB\xff\xff\xff\x01" + bytes(2000) + b"7777",
        "deep.json": b'{"zarr_format": 3, "a": ' + b"[" * 100_000,
        "shape.json": json.dumps(array | {"shape": [1 << 62, 1 << 62, 1 << 62]}).encode(),
        "negative.json": json.dumps(array | {"shape": [-1]}).encode(),
        "types.json": json.dumps(array | {"dtype": [["a", "<f4"]], "compressor": 7, "filters": "x"}).encode(),
        "long.json": json.dumps(array | {"shape": [1] * 10_000}).encode(),
        "nested.json": b'{"zarr_format":3,"node_type":"group","consolidated_metadata":{"metadata":{"":' * 99,
        "nodes.json": json.dumps(
            {"zarr_consolidated_format": 1, "metadata": {f"a{n}/.zarray": array for n in range(3000)}}).encode(),
        "numbers.json": b'{"zarr_format": 2, "shape": [' + b"9" * 4000 + b"]}",
        "attributes.json": json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {
            f"a{n}": "x" * 500 for n in range(5000)}}).encode(),
        "short.hdf": b"\x0e\x03\x13\x01",
        "noise.hdf": b"\x0e\x03\x13\x01" + b"\xff" * 3000,
        "loop.hdf": b"\x0e\x03\x13\x01\0\x01" + struct.pack(">I", 4) + bytes(200),
        "members.zip": members({f"a{n}/.zarray": json.dumps(array).encode() for n in range(3000)}),
        "bomb.zip": members({".zarray": bytes(60_000_000), "b/.zarray": b"[" * 20_000_000}),
    }  # fmt: skip
    for name, content in makers.items():
        (folder / name).write_bytes(content)


def members(contents: dict[str, bytes]) -> bytes:
    """Return an archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def large(folder: Path, size_bytes: int) -> Path:
    """Write one GRIB file of about `size_bytes`."""
    path = folder / "large.grib2"
    block = SAMPLE.read_bytes() * 100
    with path.open("wb") as file:
        for _ in range(size_bytes // len(block) // 20):  # its messages are small: many are as hard as much
            file.write(block)
    return path
