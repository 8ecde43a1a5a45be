"""Files of arrays that nobody would write on purpose: absurd shapes, bombs, pickles that would do harm."""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import_module = b"cposix\nsystem\n"


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    makers = {
        "shape.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999999999999,)}"),
        "many.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "1," * 5000 + ")}"),
        "negative.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}"),
        "code.npy": npy("__import__('os').system('true')"),
        "deep.npy": npy("(" * 30_000),
        "fields.npy": npy(
            f"{{'descr': {[(f'f{n}', '<f8') for n in range(3000)]}, 'fortran_order': False, 'shape': (0,)}}"
        ),
        "length.npy": b"\x93NUMPY\x02\x00" + b"\xff" * 8,
        "length.safetensors": b"\xff\xff\xff\x05\0\0\0\0{",
        "deep.safetensors": header(b'{"a":' * 20_000),
        "numbers.safetensors": header(b'{"a": {"dtype": 7, "shape": [1e300, -4], "data_offsets": [null]}}'),
        "many.safetensors": header(
            b"{"
            + b",".join(b'"t%d":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}' % n for n in range(50_000))
            + b"}"
        ),
        "counts.gguf": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60),
        "texts.gguf": b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 1 << 62),
        "list.gguf": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 0, 1 << 62),
        "system.pkl": b"\x80\x02" + import_module + b"X\x04\x00\x00\x00true\x85R.",
        "laughs.pkl": b"\x80\x02]q\x00"
        + b"".join(b"]h%c" % n + b"ah%c" % n + b"aq%c" % (n + 1) for n in range(100))
        + b".",
        "memo.pkl": b"\x80\x04" + b"j\xff\xff\xff\x7f" * 10 + b".",
        "long.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x",
        "marks.pkl": b"\x80\x04" + b"(" * 300_000 + b".",
        "itself.pkl": b"\x80\x02]q\x00h\x00a.",
        "dups.pkl": b"\x80\x02]" + b"2a" * 200_000 + b".",
        "field.onnx": b"\x08\x08\x3a" + b"\xff" * 9 + b"\x01",
        "nest.onnx": b"\x08\x08\x3a\x0a" + b"\x0a\x08" * 5,
        "nodes.onnx": onnx(b"\x0a\x02\x22\x00" * 200_000),
        "elements.mat": mat(struct.pack("<II", 14, 0xFFFFFFFF) + bytes(200)),
        "nothing.mat": mat(struct.pack("<II", 14, 0) * 100_000),
        "bomb.mat": mat(struct.pack("<II", 15, 1 << 20) + bytes(1 << 20)),
        "members.npz": members(
            {f"{n}.npy": npy("{'descr': '<f8', 'fortran_order': False, 'shape': ()}") for n in range(3000)}
        ),
        "bomb.npz": members(
            {"a.npy": npy("{'descr': '|u1', 'fortran_order': False, 'shape': (99999999,)}") + bytes(99_999_999)}
        ),
        "pickle.pt": members({"a/data.pkl": b"\x80\x02" + import_module + b"(tR.", "a/version": b"3" * 10_000}),
        "bomb.pt": members({"a/data.pkl": b"\x80\x02" + b"N0" * 30_000_000 + b"."}),
    }
    for name, content in makers.items():
        (folder / name).write_bytes(content)


def npy(text: str) -> bytes:
    """Return an .npy file with this header."""
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text.encode()


def header(text: bytes) -> bytes:
    """Return a safetensors file with this header."""
    return struct.pack("<Q", len(text)) + text


def onnx(graph: bytes) -> bytes:
    """Return a model with this graph."""
    length, size = b"", len(graph)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return b"\x08\x08\x42\x02\x10\x11\x3a" + length + bytes([size]) + graph


def mat(content: bytes) -> bytes:
    """Return a MATLAB file with these variables."""
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + content


def members(contents: dict[str, bytes]) -> bytes:
    """Return an archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return out.getvalue()


def large(folder: Path, size_bytes: int) -> Path:
    """Write one array of about `size_bytes`."""
    path = folder / "large.npy"
    with path.open("wb") as file:
        start = npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({size_bytes // 8},)}}")
        file.write(start)
        file.truncate(len(start) + size_bytes // 8 * 8)
    return path
