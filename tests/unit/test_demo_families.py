"""The full demo: a file of each family whose image is there, and rules that give it to that family."""

from __future__ import annotations

import tomllib
from pathlib import Path

from lustre_events.node import demo_families
from tests.support.service.images import extractors


def test_families_are_shown_whose_images_are_there(tmp_path: Path) -> None:
    """Each shipped family of an image that is built has a sample that has a document; the others are left out."""
    (tmp_path / "life.sif").touch()
    (tmp_path / "science").mkdir()
    found = demo_families.chosen(tmp_path)
    expected = {name for name, one in extractors().items() if one.image in {"life", "science"}}
    assert set(found) == expected
    assert all(path.is_file() and not path.name.startswith("bad-") for path in found.values())


def test_each_family_has_a_rule_for_its_folder() -> None:
    """The rules of the families are TOML, one a family, about its own folder only."""
    rules = tomllib.loads(demo_families.rules(["pdf", "geo"]))["rule"]
    assert [(rule["extractor"], rule["directories"]) for rule in rules] == [
        ("pdf", ["/families/pdf"]),
        ("geo", ["/families/geo"]),
    ]
