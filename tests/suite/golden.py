"""Write the golden documents anew: `python -m tests.suite.golden [NAME...]`, as root; then read what changed."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.suite.families import copied, families, said
from tests.support.service.images import built_images


def write(names: list[str]) -> None:
    """Write the golden documents of the named families; of all where none is named."""
    for name, family in families().items():
        if names and name not in names:
            continue
        images = built_images(family.manifest.image)
        with tempfile.TemporaryDirectory(prefix="lustre-events-golden-") as place:
            Path(place).chmod(0o755)
            paths = [copied(sample, Path(place), sample.name) for sample in family.samples]
            for sample, finding in zip(family.samples, family.run(images, paths), strict=True):
                golden = family.golden(sample)
                golden.parent.mkdir(exist_ok=True)
                text = json.dumps(said(finding), indent=2, ensure_ascii=False, sort_keys=True)
                golden.write_text(text + "\n", encoding="utf-8")
                sys.stdout.write(f"{golden}: {finding.status} {finding.error}\n")


if __name__ == "__main__":
    write(sys.argv[1:])
