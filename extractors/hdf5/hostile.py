"""HDF5 and NetCDF files that nobody would write on purpose, for the tests of the suite. Needs h5py."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import h5py
import numpy as np


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    with h5py.File(folder / "circles.h5", "w") as file:
        group = file.create_group("a/b/c")
        group["soft"], group["hard"] = h5py.SoftLink("/"), file["a"]
        group["outside"] = h5py.ExternalLink("circles.h5", "/a")
        group["passwd"] = h5py.ExternalLink("/etc/passwd", "/")
        file["missing"] = h5py.SoftLink("/nowhere")
    with h5py.File(folder / "bomb.h5", "w") as file:
        file.create_dataset("zeros", shape=(1 << 20, 1 << 20), chunks=(1024, 1024), dtype="f8", compression="gzip")
        file.create_dataset("outside", shape=(100,), dtype="u1", external=[("/etc/passwd", 0, 100)])
        layout = h5py.VirtualLayout(shape=(1,), dtype="f8")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", shape=(1,))
        file.create_virtual_dataset("title", layout)
        file.attrs["large"] = np.zeros(8000)
    with h5py.File(folder / "many.h5", "w", libver="latest") as file:
        for number in range(1000):
            file.create_group(f"g{number}").attrs["n"] = number
    with h5py.File(folder / "deep.h5", "w") as file:
        group = file
        for _ in range(1000):
            group = group.create_group("g")
    with h5py.File(folder / "attributes.h5", "w", libver="latest") as file:
        for number in range(300):
            file.attrs[f"a{number}"] = np.arange(16)
        for number in range(100):
            made = file.create_dataset(f"d{number}", data=0)
            for other in range(20):
                made.attrs[f"b{other}"] = np.arange(16)
    for number, counts in enumerate([(1 << 31) - 1, -1, 1_000_000]):
        lists = struct.pack(">i", 10) + struct.pack(">i", counts)
        (folder / f"counts-{number}.nc").write_bytes(b"CDF\x01" + bytes(4) + lists + b"\x00" * 100)
    name = struct.pack(">i", 0x7FFFFFF0)
    (folder / "name.nc").write_bytes(b"CDF\x01" + bytes(4) + struct.pack(">ii", 10, 1) + name)
    (folder / "bomb.h5.gz").write_bytes(gzip.compress(b"\x89HDF\r\n\x1a\n" + bytes(120_000_000)))
    (folder / "torn.nc.gz").write_bytes(gzip.compress(b"CDF\x01" + bytes(99_999))[:-20])
    signature = b"\x89HDF\r\n\x1a\n"
    (folder / "signature.h5").write_bytes(signature + b"\xff" * 2048)
    (folder / "far-signature.h5").write_bytes(bytes(1 << 20) + signature + bytes(64))


def large(folder: Path, size_bytes: int) -> Path:
    """Write one file of `size_bytes`, sparse."""
    path = folder / "large.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("image", shape=(size_bytes // 8,), dtype="f8")[-1] = 1.0
    return path
