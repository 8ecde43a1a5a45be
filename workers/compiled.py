"""The modules of an extractor's program, compiled once by a worker, so that not every container does it anew.

What was compiled is put beside the program in a run's own folder, read-only as the program is, where Python looks
for it. Python takes it only if it has that version itself and finds in it the hash of the source (PEP 552). So
whatever the image has, what runs is what the sources say.

It is kept in the memory of the worker and of its jobs' processes, where nobody else can change it. Users' own
programs are not compiled here: their sources are a stranger's, and could harm who compiles them.
"""

from __future__ import annotations

import py_compile
import sys
import tempfile
import warnings
from pathlib import Path, PurePosixPath

from lustre_events.catalog.manifest import Manifest
from lustre_events.catalog.program_files import ProgramFile
from workers.runs import PROGRAM_PATH

MOST_BYTES = 1 << 20
"""So much source is compiled at most, which takes about a second; containers compile what else they import."""


def compiled(manifest: Manifest) -> tuple[ProgramFile, ...]:
    """Return the compiled modules of a site's program, by the names under which Python looks for them.

    What the command starts is left out, since Python compiles that in any case, and so is what cannot be compiled:
    the run says what is wrong with it.

    Raises:
        ManifestError: the program cannot be read, or is not the one that the manifest was read with.
        OSError: there is no room for temporary files.
    """
    if manifest.owner:
        return ()
    found, room = [], MOST_BYTES
    with tempfile.TemporaryDirectory(prefix="lustre-events-compiled-") as folder:
        for file in manifest.program():
            place = PurePosixPath(file.name)
            starts = f"{PROGRAM_PATH}/{file.name}" in manifest.command
            if starts or place.suffix != ".py" or len(file.content) > room:
                continue
            room -= len(file.content)
            if content := _cached(file, Path(folder)):
                name = place.parent / "__pycache__" / f"{place.stem}.{sys.implementation.cache_tag}.pyc"
                found.append(ProgramFile(str(name), content, executable=False))
    return tuple(found)


def _cached(file: ProgramFile, folder: Path) -> bytes:
    """Return the content of a .pyc file; nothing where the source cannot be compiled. `folder` is ours alone."""
    source, made = folder / "source", folder / "made"
    source.write_bytes(file.content)
    try:
        with warnings.catch_warnings(action="ignore"):
            py_compile.compile(
                str(source), str(made), f"{PROGRAM_PATH}/{file.name}", doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
            )  # fmt: skip
    except py_compile.PyCompileError:
        return b""
    return made.read_bytes()
