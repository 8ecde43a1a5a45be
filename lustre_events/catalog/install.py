"""An extractor's folder, put where dispatcher and workers look for it: `lustre-events extractor add`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from lustre_events.catalog import manifest
from lustre_events.errors import ManifestError


def add(source: Path, folder: Path, *, link: bool) -> Path:
    """Copy (or link) an extractor's folder into `folder`, over one of the same name; return where it is.

    Nobody ever sees half of it there.

    Raises:
        ManifestError: its manifest is wrong, it is there already, or it cannot be written.
    """
    name = manifest.load(source.absolute()).name
    place = folder / name
    if place.exists() and place.resolve() == source.resolve():
        raise ManifestError(f"{place}: it is there already; nothing to do")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A level deeper than extractors lie, so that nobody takes it for one.
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=folder) as work:
            made, old = Path(work) / "new" / name, Path(work) / "old"
            made.parent.mkdir()
            if link:
                made.symlink_to(source.resolve(), target_is_directory=True)
            else:
                shutil.copytree(source, made, ignore=shutil.ignore_patterns("__pycache__"))
            if os.path.lexists(place):
                place.rename(old)
            made.rename(place)
    except OSError as exc:
        raise ManifestError(f"{place}: cannot be written ({exc.strerror or exc})") from exc
    return place
