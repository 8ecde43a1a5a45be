#!/usr/bin/env python3
"""Write the samples of the extractor anew, mostly by the formats' own libraries: the same bytes each time.

Needs numpy, scipy, h5py, safetensors, gguf and onnx. PyTorch's files are put together by hand: a class of its name
stands for each of its own.
"""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import gguf
import h5py
import numpy as np
import scipy.io
from onnx import TensorProto, helper
from safetensors.numpy import save

NUMBERS = np.arange(12, dtype="<f4").reshape(3, 4)


def numpy_files(folder: Path) -> None:
    """Write .npy in C and Fortran order, of a compound type, of objects, torn; and .npz."""
    np.save(folder / "grid.npy", NUMBERS)
    np.save(folder / "columns.npy", np.asfortranarray(NUMBERS.astype(">i2")))
    stars = np.array([("Vega", 0.03, 7.68), ("Deneb", 1.25, 802.0)], [("name", "U8"), ("mag", "f8"), ("pc", "f8")])
    np.save(folder / "stars.npy", stars)
    np.save(folder / "objects.npy", np.array([{"a": 1}, None], dtype=object))
    whole = (folder / "grid.npy").read_bytes()
    (folder / "torn.npy").write_bytes(whole[:-10])
    (folder / "grid.npy.gz").write_bytes(gzip.compress(whole, mtime=0))
    with zipfile.ZipFile(folder / "several.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in (("weights", NUMBERS), ("labels", np.arange(5)), ("scalar", np.float64(2.5))):
            inner = io.BytesIO()
            np.save(inner, value)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), inner.getvalue())


def models(folder: Path) -> None:
    """Write safetensors, GGUF and ONNX."""
    tensors = {"layer.0.weight": NUMBERS, "layer.0.bias": np.zeros(3, "float16"), "steps": np.array([7], "int64")}
    (folder / "model.safetensors").write_bytes(save(tensors, {"format": "pt", "task": "segmentation"}))
    writer = gguf.GGUFWriter(folder / "tiny.gguf", "llama")
    writer.add_name("Tiny storyteller")
    writer.add_author("Ada Example")
    writer.add_tags(["stories", "toy"])
    writer.add_context_length(64)
    writer.add_token_list([f"token {number}" for number in range(150)])
    writer.add_tensor("token_embd.weight", np.zeros((150, 32), "float32"))
    writer.add_tensor("output.weight", np.zeros((2, 32), "float16"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])]
    graph = helper.make_graph(
        nodes, "classifier", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor("w", TensorProto.FLOAT, [3, 4], NUMBERS.ravel().tolist())],
    )  # fmt: skip
    model = helper.make_model(graph, producer_name="handmade", producer_version="2", ir_version=8,
                              opset_imports=[helper.make_opsetid("", 17)])  # fmt: skip
    helper.set_model_props(model, {"purpose": "a sample"})
    (folder / "classifier.onnx").write_bytes(model.SerializeToString())


class Storage:
    """What stands for the storage of a tensor: it is pickled by its key."""

    def __init__(self, kind: str, key: str, count: int) -> None:
        self.key = ("storage", stand_in("torch", kind), key, "cpu", count)


class Tensor:
    """What stands for a tensor."""

    def __init__(self, storage: Storage, shape: tuple[int, ...]) -> None:
        strides = tuple(int(np.prod(shape[place + 1 :])) for place in range(len(shape)))
        self.args = (storage, 0, shape, strides, False, {})

    def __reduce__(self) -> tuple[Any, ...]:
        return stand_in("torch._utils", "_rebuild_tensor_v2"), self.args


class Writer(pickle._Pickler):  # noqa: SLF001 - the one that asks in Python
    """A pickler that keeps storages outside."""

    def persistent_id(self, value: Any) -> Any:
        """Return the key of a storage."""
        return value.key if isinstance(value, Storage) else None


def stand_in(module: str, name: str) -> Any:
    """Return an importable class of this name."""
    for each in (module.partition(".")[0], module):
        sys.modules.setdefault(each, types.ModuleType(each))
    place = sys.modules[module]
    if not hasattr(place, name):
        setattr(place, name, type(name, (), {"__module__": module, "__qualname__": name}))
    return getattr(place, name)


def torch_pickle(value: Any) -> bytes:
    """Return a pickle as PyTorch writes it."""
    out = io.BytesIO()
    Writer(out, 2).dump(value)
    return out.getvalue()


def pickles(folder: Path) -> None:
    """Write files of PyTorch, new and old, and pickles."""
    weights = {
        "conv.weight": Tensor(Storage("FloatStorage", "0", 24), (2, 3, 4)),
        "conv.steps": Tensor(Storage("LongStorage", "1", 1), ()),
    }
    state = {"epoch": 3, "model_state": weights}
    with zipfile.ZipFile(folder / "checkpoint.pt", "w") as archive:
        for name, content in (
            ("data.pkl", torch_pickle(state)), ("version", b"3\n"), ("data/0", bytes(96)), ("data/1", bytes(8)),
        ):  # fmt: skip
            archive.writestr(zipfile.ZipInfo(f"checkpoint/{name}"), content)
    first = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    old = [torch_pickle(one) for one in (*first, weights, ["0", "1"])]
    (folder / "old.pth").write_bytes(b"".join(old) + bytes(104))
    things = {"settings": {"seed": 1}, "spectrum": np.arange(6, dtype="f8"), "count": 5}
    (folder / "result.pkl").write_bytes(pickle.dumps(things, protocol=4))
    (folder / "object.pkl").write_bytes(pickle.dumps(stand_in("laboratory.models", "Measurement")(), protocol=2))


def matlab(folder: Path) -> None:
    """Write MATLAB's level 5, compressed and not; its header says when."""
    cells = np.empty((1, 2), dtype=object)
    cells[0, 0], cells[0, 1] = "a", 1.0
    values = {
        "signal": np.linspace(0, 1, 8).reshape(2, 4), "name": "run 7", "mask": np.array([[True, False]]),
        "parts": cells,
        "wave": np.array([[1 + 2j]]), "setup": {"gain": 2.0}, "counts": np.arange(3, dtype="uint16"),
        "far": scipy.sparse.csc_matrix(np.eye(3)),
    }  # fmt: skip
    for name, packed in (("signal.mat", False), ("packed.mat", True)):
        out = io.BytesIO()
        scipy.io.savemat(out, values, do_compression=packed)
        head = b"MATLAB 5.0 MAT-file, Platform: GLNXA64, Created on: Mon Mar  2 10:11:12 2026".ljust(116)
        (folder / name).write_bytes(head + out.getvalue()[116:])


def matlab_hdf5(folder: Path) -> None:
    """Write MATLAB's version 7.3 as MATLAB does: HDF5 after a header, dimensions in the other order."""
    path = folder / "modern.mat"
    with h5py.File(path, "w", userblock_size=512) as file:

        def put(name: str, kind: str, values: Any, **marks: int) -> None:
            item = file.create_dataset(name, data=values)
            item.attrs["MATLAB_class"] = np.bytes_(kind)
            for mark, value in marks.items():
                item.attrs[f"MATLAB_{mark}"] = np.uint8(value)

        put("signal", "double", np.linspace(0, 1, 8).reshape(2, 4).T)
        put("name", "char", np.array([[ord(sign)] for sign in "run 7"], "uint16"), int_decode=2)
        put("mask", "logical", np.array([[1], [0]], "uint8"), int_decode=1)
        put("wave", "double", np.array([[(1, 2)]], [("real", "f8"), ("imag", "f8")]))
        put("counts", "uint16", np.arange(3, dtype="uint16").reshape(3, 1))
        put("none", "double", np.array([0, 3], "uint64"), empty=1)
        put("#refs#/a", "char", np.array([[97]], "uint16"), int_decode=2)
        put("#refs#/b", "double", np.array([[1.0]]))
        references = [[file["#refs#/a"].ref], [file["#refs#/b"].ref]]
        put("parts", "cell", np.array(references, h5py.ref_dtype))
        put("setup/gain", "double", np.array([[2.0]]))
        file["setup"].attrs["MATLAB_class"] = np.bytes_("struct")
        put("far/data", "double", np.ones(3))
        file["far/ir"], file["far/jc"] = np.arange(3, dtype="uint64"), np.arange(4, dtype="uint64")
        file["far"].attrs["MATLAB_class"] = np.bytes_("double")
        file["far"].attrs["MATLAB_sparse"] = np.uint64(3)
    head = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Mar  2 10:11:12 2026 HDF5 schema 1.00 ."
    with path.open("r+b") as out:
        out.write(head.ljust(116) + bytes(8) + b"\0\2IM")


def main() -> None:
    """Write all."""
    folder = Path(__file__).resolve().parent / "samples"
    folder.mkdir(exist_ok=True)
    numpy_files(folder)
    models(folder)
    pickles(folder)
    matlab(folder)
    matlab_hdf5(folder)
    (folder / "bad-archive.npz").write_bytes(b"PK\x03\x04" + bytes(60))
    (folder / "bad-text.npy").write_bytes(b"no array at all\n")
    (folder / "bad-header.safetensors").write_bytes(struct.pack("<Q", 60) + b'{"a": {"dtype": "F32"')


if __name__ == "__main__":
    main()
