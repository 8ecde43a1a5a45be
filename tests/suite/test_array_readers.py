"""Arrays and models: the golden documents are what the formats' own libraries read, and pickles never run."""

from __future__ import annotations

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import gguf
import h5py
import numpy as np
import onnx
import pytest
import scipy.io
from onnx import numpy_helper
from safetensors.numpy import load_file

from tests.suite.families import families
from tests.support.programs import program

ARRAY = families()["array"]
main = program("array", "array_main")
CLASSES = {"double": "float64", "single": "float32", "logical": "uint8"}


def of_numpy(path: Path) -> dict[str, Any]:
    """Return what numpy loads."""
    loaded = np.load(path, allow_pickle=False)
    several = dict(loaded) if path.suffix == ".npz" else {"array": loaded}
    return {name: ("compound" if one.dtype.names else str(one.dtype.newbyteorder("=")), list(one.shape))
            for name, one in several.items()}  # fmt: skip


def of_safetensors(path: Path) -> dict[str, Any]:
    """Return what the library loads."""
    return {name: (str(one.dtype), list(one.shape)) for name, one in load_file(path).items()}


def of_gguf(path: Path) -> dict[str, Any]:
    """Return what ggml's reader says; it has the fastest dimension first."""
    names = {"F32": "float32", "F16": "float16"}
    return {one.name: (names[one.tensor_type.name], [int(each) for each in one.shape[::-1]])
            for one in gguf.GGUFReader(path).tensors}  # fmt: skip


def of_onnx(path: Path) -> dict[str, Any]:
    """Return the weights that the library loads."""
    loaded = {one.name: numpy_helper.to_array(one) for one in onnx.load(path).graph.initializer}
    return {name: (str(one.dtype), list(one.shape)) for name, one in loaded.items()}


def of_matlab(path: Path) -> dict[str, Any]:
    """Return what scipy finds; its shapes of texts are those of its own texts, unless it is told."""
    texts = scipy.io.loadmat(path, chars_as_strings=False)
    return {name: (CLASSES.get(kind, kind), list(texts[name].shape if kind == "char" else shape))
            for name, shape, kind in scipy.io.whosmat(path)}  # fmt: skip


READERS = {
    "grid.npy": of_numpy, "columns.npy": of_numpy, "stars.npy": of_numpy, "several.npz": of_numpy,
    "model.safetensors": of_safetensors, "tiny.gguf": of_gguf, "classifier.onnx": of_onnx, "signal.mat": of_matlab,
    "packed.mat": of_matlab,
}  # fmt: skip


def test_a_file_of_matlab_7_3_says_what_the_same_variables_say_in_level_5() -> None:
    """Classes, shapes and marks of equal variables are equal in both formats; an empty one has its dimensions."""
    folder = ARRAY.manifest.folder / "samples"
    older, newer = (ARRAY.expected(folder / name) for name in ("signal.mat", "modern.mat"))
    assert newer["array"].pop("none") == {"dtype": "float64", "shape": [0, 3], "size": 0}
    assert newer["array"] == older["array"]
    assert (newer["platform"], newer["created"]) == (older["platform"], older["created"])


def test_a_name_beyond_ascii_is_the_one_that_was_written(tmp_path: Path) -> None:
    """Programs that allow such names of variables write them in UTF-8, as Octave does."""
    scipy.io.savemat(tmp_path / "a.mat", {"xxrray": np.arange(3)})
    content = (tmp_path / "a.mat").read_bytes()
    (tmp_path / "a.mat").write_bytes(content.replace(b"xxrray", "ärray".encode()))
    assert main.extract(str(tmp_path / "a.mat"))["arrays"] == ["ärray"]


@pytest.mark.parametrize("name", READERS)
def test_arrays_are_those_of_the_library(name: str) -> None:
    """Names, types and shapes equal those of what the library loads."""
    path = ARRAY.manifest.folder / "samples" / name
    golden = ARRAY.expected(path)
    expected = READERS[name](path)
    assert expected
    assert {key: (one["dtype"], one["shape"]) for key, one in golden["array"].items()} == expected
    assert golden["array_count"] == len(expected)


def test_a_model_says_what_onnx_says() -> None:
    """Operators, opsets, inputs and outputs of a graph equal the library's."""
    path = ARRAY.manifest.folder / "samples" / "classifier.onnx"
    model, golden = onnx.load(path), ARRAY.expected(path)
    assert golden["operators"] == {node.op_type: 1 for node in model.graph.node}
    assert golden["opsets"] == {one.domain or "ai.onnx": one.version for one in model.opset_import}
    for key, ports in (("inputs", model.graph.input), ("outputs", model.graph.output)):
        assert golden[key] == {
            port.name: {
                "dtype": "float32",
                "shape": [each.dim_param or str(each.dim_value) for each in port.type.tensor_type.shape.dim],
            }
            for port in ports
        }


def test_tensors_of_torch_are_those_that_were_put_in() -> None:
    """New and old files of PyTorch list their tensors by where they stand, with type and shape."""
    for name, before in (("checkpoint.pt", "model_state."), ("old.pth", "")):
        golden = ARRAY.expected(ARRAY.manifest.folder / "samples" / name)
        assert {key: (one["dtype"], one["shape"]) for key, one in golden["array"].items()} == {
            f"{before}conv.weight": ("float32", [2, 3, 4]), f"{before}conv.steps": ("int64", []),
        }  # fmt: skip


class Trap:
    """What writes a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self.place, "it ran")


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_is_never_run(tmp_path: Path, protocol: int) -> None:
    """A pickle that would call a function has the function's name in its document, and does not call it."""
    trap = tmp_path / "trap"
    path = tmp_path / "trap.pkl"
    path.write_bytes(pickle.dumps([Trap(trap), np.zeros((2, 5), "float32")], protocol))
    found = main.extract(str(path))
    assert not trap.exists()
    assert {"builtins.getattr", "__builtin__.getattr", "pathlib.Path.write_text"} & set(found["globals"])
    assert [one["shape"] for one in found["array"].values()] == [[2, 5]]
    assert [one["dtype"] for one in found["array"].values()] == ["float32"]
    json.dumps(found, allow_nan=False)
    pickle.loads(path.read_bytes())  # noqa: S301 - the trap works
    assert trap.exists()


def test_a_shape_of_python_2_is_read(tmp_path: Path) -> None:
    """Long integers, as Python 2 wrote them into headers, are numbers, as numpy itself has it."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (2L, 3L), }".ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(48))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.load(tmp_path / "a.npy").shape == (2, 3)
    assert main.extract(str(tmp_path / "a.npy"))["array"]["array"]["shape"] == [2, 3]


def test_a_link_of_a_file_of_matlab_is_not_followed(tmp_path: Path) -> None:
    """A variable that is a link into another file, or in a circle, is named in `partial` and not opened."""
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.zeros((4, 5))
    with h5py.File(tmp_path / "links.mat", "w", userblock_size=512) as file:
        file["own"] = np.zeros((2, 3))
        file["away"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
        file["round"] = h5py.SoftLink("/round")
        file.create_group("shell")["field"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
    with (tmp_path / "links.mat").open("r+b") as out:
        out.write(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\0\2IM")
    found = main.extract(str(tmp_path / "links.mat"))
    assert {name: one["shape"] for name, one in found["array"].items()} == {"own": [3, 2], "shell": [1, 1]}
    assert "away is a link" in found["partial"]
    assert "round is a link" in found["partial"]
