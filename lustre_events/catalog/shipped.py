"""Where the files lie that come with the program and are not Python of ours: the shipped extractors.

A wheel has them within the package, a checkout in `extractors/` at its top. The folder holds the extractors, their
samples and schemas, the lists of the images, and the script that builds these.
"""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
EXTRACTORS = "extractors"
DEPLOY = "deploy"
HELPERS = "base"
"""The folder of the modules that every image has, and that plain processes get put beside their program."""


def checkout(package: Path = PACKAGE) -> Path | None:
    """Return the top of the checkout that the program runs from, or None where it was installed."""
    top = package.parent
    return top if (top / "pyproject.toml").is_file() and (top / EXTRACTORS).is_dir() else None


def extractors(package: Path = PACKAGE) -> Path:
    """Return the folder of the shipped extractors."""
    within = package / EXTRACTORS
    top = checkout(package)
    return top / EXTRACTORS if top is not None and not within.is_dir() else within


def deploy(package: Path = PACKAGE) -> Path:
    """Return the folder of what a site installs: units, Redis's settings, examples."""
    within = package / DEPLOY
    top = checkout(package)
    return top / DEPLOY if top is not None and not within.is_dir() else within


def build_script() -> Path:
    """Return the script that builds the images of the shipped extractors."""
    return extractors() / "build-images.sh"


def own_images(package: Path = PACKAGE) -> Path:
    """Return the folder of an ordinary user's images: in the checkout, or among that user's caches."""
    top = checkout(package)
    if top is not None:
        return top / "images"
    caches = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(caches) if caches.startswith("/") else Path.home() / ".cache") / "lustre-events" / "images"
