"""What the full demo shows beside the main job: one file of each shipped family whose image is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from lustre_events.catalog import manifest, shipped
from lustre_events.index.search.hits import ObjectView, printable

FOLDER = "families"
KEYS = 6  # of a document that are named


def chosen(images: Path) -> dict[str, Path]:
    """Return a sample of each shipped family whose image is in the folder `images`, by the family's name."""
    found: dict[str, Path] = {}
    for one in manifest.load_all((shipped.extractors(),)).values():
        built = any((images / f"{one.image}{end}").exists() for end in (".sif", ""))
        goldens = sorted((one.folder / "golden").glob("*.json")) if built else []
        # of the samples that have a document the first; those that must fail have only an error
        good = (each for each in goldens if "error" not in json.loads(each.read_text(encoding="utf-8")))
        if (golden := next(good, None)) is not None:
            found[one.name] = one.folder / "samples" / golden.stem
    return found


def rules(names: Iterable[str]) -> str:
    """Return the rules that give each family what lies in its folder."""
    return "".join(
        f'\n[[rule]]\nname = "family {name}"\ndirectories = ["/{FOLDER}/{name}"]\nextractor = "{name}"\n'
        for name in names
    )


def lines(views: Mapping[str, ObjectView]) -> Iterable[str]:
    """Yield a line for each family: its file, and some of what its document says."""
    for name, view in views.items():
        document = next((each.body for each in view.documents if each.extractor == name), {})
        paths = " = ".join("/" + printable(path) for path in view.paths)
        keys = [key for key in document if key not in {"common", "preview"}]
        yield f"{name:11s} {paths}  {', '.join(keys[:KEYS])}{', ...' if len(keys) > KEYS else ''}"
