"""Pages of other folders in the site: how to deploy, the tutorial of extractors, the examples. mkdocs runs this.

A page keeps its place: extractors/README.md of the project is extractors/README.md of the site too, whose root is
docs/. So a link that leaves docs/ loses a step, and one that leads into docs/ loses this part.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

PROJECT = Path(__file__).resolve().parent.parent
PLACES = (
    "deploy/README.md",
    "extractors/*.md",
    "extractors/*/README.md",
    "extractors/schema/*.json",
    "examples/README.md",
    "examples/*/README.md",
    "examples/*/*.toml",
    "examples/notebook.ipynb",
)
OUT_OF_DOCS = re.compile(r"\]\(((?:\.\./)*)\.\./(?=(?:deploy|extractors|examples)/)")
INTO_DOCS = re.compile(r"\]\(((?:\.\./)+)docs/")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages of other folders, and the files that they lead to."""
    for place in PLACES:
        for path in sorted(PROJECT.glob(place)):
            files.append(File.generated(config, path.relative_to(PROJECT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Return a page whose links lead to where the site has their pages."""
    foreign = page.file.src_uri.startswith(("deploy/", "extractors/", "examples/"))
    return INTO_DOCS.sub(r"](\1", markdown) if foreign else OUT_OF_DOCS.sub(r"](\1", markdown)
