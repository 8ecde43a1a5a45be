"""Whoever searches by the keys of a family hears of it when they change: by its version, and a note."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lustre_events.catalog.manifest import Manifest
from tests.support.rows import each_row
from tests.support.service.images import extractors

KNOWN = json.loads((Path(__file__).parents[1] / "data" / "extractor_versions.json").read_text())
FAMILIES = list(extractors().values())


@each_row("family", FAMILIES)
def test_changed_keys_are_a_new_version(family: Manifest) -> None:
    """The schema of a version stays as it is: after a change raise the version, and add its digest to the file."""
    schema = hashlib.sha256((family.folder / "schema.json").read_bytes()).hexdigest()
    assert KNOWN[family.name].get(family.version) == schema
    assert list(KNOWN[family.name].values()).count(schema) == 1


@each_row("family", FAMILIES)
def test_every_version_has_its_note(family: Manifest) -> None:
    """The README says under "Upgrade notes" what each version after the first has changed."""
    notes = (family.folder / "README.md").read_text().lower().partition("## upgrade notes")[2]
    assert notes
    for version in range(2, int(family.version) + 1):
        assert f"**{version}**" in notes
