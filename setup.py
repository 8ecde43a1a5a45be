"""Puts `extractors/` and `deploy/` into the wheel, below `lustre_events/`; pyproject.toml says everything else."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SHIPPED = (Path("extractors"), Path("deploy"))
WITHIN = Path("lustre_events")


class BuildWithExtractors(build_py):
    """Copies them beside the modules; an editable installation uses those of the checkout."""

    def run(self) -> None:
        """Build as usual, then add what is shipped, in place of that of an earlier build."""
        super().run()
        for folder in () if self.editable_mode else SHIPPED:
            target = Path(self.build_lib) / WITHIN / folder
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(folder, target, ignore=shutil.ignore_patterns("__pycache__"))

    def get_source_files(self) -> list[str]:
        """Return what a source distribution needs: what is shipped, too."""
        files = [path for folder in SHIPPED for path in sorted(folder.rglob("*"))]
        shipped = [str(path) for path in files if path.is_file() and path.suffix != ".pyc"]
        return [*super().get_source_files(), *shipped]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return what was built: what is shipped, too."""
        targets = () if self.editable_mode else [Path(self.build_lib) / WITHIN / folder for folder in SHIPPED]
        shipped = [str(path) for target in targets for path in sorted(target.rglob("*")) if path.is_file()]
        return [*super().get_outputs(include_bytecode), *shipped]


setup(cmdclass={"build_py": BuildWithExtractors})
