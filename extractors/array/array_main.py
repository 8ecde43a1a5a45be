"""Arrays and models: NumPy, safetensors, GGUF, ONNX, PyTorch, pickles and MATLAB 5 to 7.3, by their headers.

Nothing is unpickled and no code of a file runs: a pickle is followed by its operations (array_pickle.py). Of the
data only short columns of .npy are read. Gzip, bzip2, xz and zstd are seen through, except for archives and ONNX.
"""

from __future__ import annotations

import os
import zipfile
from typing import Any, BinaryIO

import extractor_batch
import extractor_facts as facts
import extractor_threads  # noqa: F401 - before numpy
from array_listing import MAX_NAME, Listing
from extractor_open import Source, compression_of

SECONDS = 20
MAX_GLOBALS = 200
LEGACY = 0x1950A86A20F9469CFC6C  # the number with which files of PyTorch before 1.6 begin


def pickled(stream: Any, listing: Listing) -> dict[str, Any]:
    """Return what one pickle would be, and list its arrays."""
    import array_pickle as pickles  # noqa: PLC0415 - pickletools is needed for few files only

    machine = pickles.Machine(pickles.Stream(stream))
    value: Any = None
    try:
        value = machine.run()
    except (ValueError, IndexError, KeyError, AttributeError, TypeError, OverflowError, UnicodeDecodeError) as exc:
        if machine.steps < 10 or not (machine.globals or machine.protocol):
            raise ValueError(f"it is not a pickle: {facts.text(str(exc))[:200]}") from None
        listing.reasons.append(f"its operations cannot be followed to their end: {facts.text(str(exc))[:200]}")
        value = machine.stack[0] if machine.stack else None
    finder = pickles.Finder(listing)
    finder.look(value)
    if finder.cut:
        listing.reasons.append("what it holds is nested too deeply, or is too much, to be looked at all")
    found: dict[str, Any] = {"protocol": machine.protocol, "calls": machine.calls, "top": pickles.kind_of(value)}
    if keys := pickles.keys_of(value):
        found["keys"] = [shown for key in keys[:100] if (shown := facts.text(key, MAX_NAME))]
        if len(keys) > 100:
            listing.reasons.append(f"of {len(keys)} keys 100 are listed")
    if machine.globals:
        found["globals"] = sorted(facts.text(name) for name in machine.globals)[:MAX_GLOBALS]
        if len(machine.globals) > MAX_GLOBALS:
            listing.reasons.append(f"of {len(machine.globals)} globals {MAX_GLOBALS} are listed")
    return {"format": "pickle", "value": value} | found


def torch_archive(file: BinaryIO, listing: Listing) -> dict[str, Any] | None:
    """Return what an archive of PyTorch holds; None where it is none."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        place = next((name for name in names if name.endswith("/data.pkl") and name.count("/") == 1), None)
        if place is None:
            return None
        folder = place.removesuffix("data.pkl")
        with archive.open(place) as stream:
            found = pickled(stream, listing)
        if f"{folder}version" in names:
            with archive.open(f"{folder}version") as stream:
                found["format_version"] = facts.text(stream.read(40).decode("latin-1"))
        script = any(name.startswith(f"{folder}code/") for name in names)
    del found["value"]
    return found | {"format": "pytorch"} | ({"torchscript": True} if script else {})


def torch_legacy(stream: Any, listing: Listing) -> dict[str, Any]:
    """Return what comes after the number of an old file of PyTorch: version, system, and the pickle."""
    for _ in range(2):
        pickled(stream, Listing())
    found = pickled(stream, listing)
    del found["value"]
    return found | {"format": "pytorch", "format_version": "legacy"}


def zipped(file: BinaryIO, listing: Listing) -> dict[str, Any]:
    """Return what an archive of NumPy or PyTorch holds."""
    import array_numpy  # noqa: PLC0415 - numpy takes a while to import

    try:
        found = torch_archive(file, listing)
        if found is None and array_numpy.npz(file, listing):
            found = {"format": "npz"}
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as exc:
        raise ValueError(f"it is a broken archive: {facts.text(str(exc))}") from None
    if found is None:
        raise ValueError("it is an archive, but neither of NumPy nor of PyTorch")
    return found


def streamed(stream: Any, head: bytes, listing: Listing, size: int | None) -> dict[str, Any] | None:
    """Return what a file holds that is read from its beginning; None where it is no such file."""
    if head.startswith(b"\x93NUMPY"):
        import array_numpy  # noqa: PLC0415

        return {"format": "npy"} | {"shown": array_numpy.npy(stream, listing, size)}
    if head.startswith(b"GGUF"):
        from array_models import gguf  # noqa: PLC0415

        return gguf(stream, listing)
    if head[126:128] in {b"IM", b"MI"} and head[124:128] in {b"\0\1IM", b"\1\0MI"}:
        from array_matlab import mat5  # noqa: PLC0415

        return mat5(stream, listing)
    if head[:1] == b"\x80" and head[1:2] in {b"\x02", b"\x03", b"\x04", b"\x05"}:
        found = pickled(stream, listing)
        if found.pop("value") == LEGACY:
            return torch_legacy(stream, listing)
        return found
    from array_models import is_safetensors, safetensors  # noqa: PLC0415

    return safetensors(stream, listing, size) if is_safetensors(head) else None


def read(file: BinaryIO, listing: Listing) -> dict[str, Any]:
    """Return what a file says, and list its arrays."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(256)
    file.seek(0)
    if compression := compression_of(head[:16]):
        source = Source(file)
        found = streamed(source, source.sample[:256], listing, None)
        if source.damage:
            listing.reasons.append(f"its {compression} stream is damaged: {facts.text(source.damage)}")
        if found is not None:
            return found | {"compression": compression}
    elif head.startswith(b"MATLAB") and head[124:128] in {b"\0\2IM", b"\2\0MI"}:
        from array_matlab7 import mat73  # noqa: PLC0415 - h5py takes a while to import

        return mat73(file, listing)
    elif head.startswith(b"PK\x03\x04"):
        return zipped(file, listing)
    elif (found := streamed(file, head, listing, size)) is not None:
        return found
    elif head[:1] == b"\x08":
        from array_onnx import Model  # noqa: PLC0415

        return Model(file, size, listing).document()
    raise ValueError("it is not a file of arrays: not NumPy, safetensors, GGUF, ONNX, PyTorch, pickle or MATLAB")


def extract(path: str) -> dict[str, Any]:
    """Return the document of one file."""
    listing = Listing()
    found: dict[str, Any] = {}
    with open(path, "rb") as file:  # noqa: PTH123 - starts quicker
        try:
            with extractor_batch.within(SECONDS):
                found = read(file, listing)
        except extractor_batch.OutOfTime:
            raise ValueError(f"reading its structure took longer than {SECONDS} s") from None
    shown = found.pop("shown", {})
    document = found | listing.document()
    if document["format"] == "pickle" and not listing.count:
        for key in ("array_count", "arrays", "array", "dtypes", "values"):
            del document[key]
    document |= facts.common(
        title=found.get("title"),
        creator=[found.get("author"), found.get("organization")],
        created=found.get("created"),
        keywords=found.get("tags"),
        software=[" ".join(filter(None, (found.get("producer"), found.get("producer_version"))))],
    )
    document |= facts.preview(tree=listing.tree(), **shown)
    reasons = "; ".join(dict.fromkeys(listing.reasons))
    return document | ({"partial": reasons[:4000]} if reasons else {})


if __name__ == "__main__":
    extractor_batch.run(facts.told(extract), isolated=True)
