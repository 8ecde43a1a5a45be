"""Puts `extractors/` into the wheel, as `lustre_events/extractors`; pyproject.toml says everything else."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = Path("extractors")
WITHIN = Path("lustre_events") / "extractors"


class BuildWithExtractors(build_py):
    """Copies the extractors beside the modules; an editable installation uses those of the checkout."""

    def run(self) -> None:
        """Build as usual, then add the extractors, in place of those of an earlier build."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / WITHIN
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(SHIPPED, target, ignore=shutil.ignore_patterns("__pycache__"))

    def get_source_files(self) -> list[str]:
        """Return what a source distribution needs: the extractors, too."""
        shipped = [str(path) for path in sorted(SHIPPED.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
        return [*super().get_source_files(), *shipped]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return what was built: the extractors, too."""
        target = Path(self.build_lib) / WITHIN
        shipped = [] if self.editable_mode else [str(path) for path in sorted(target.rglob("*")) if path.is_file()]
        return [*super().get_outputs(include_bytecode), *shipped]


setup(cmdclass={"build_py": BuildWithExtractors})
