"""The families of extractors of this repository, and their programs run as a worker runs them."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import fastjsonschema
import pytest

from lustre_events.catalog.manifest import Manifest
from lustre_events.jobs.messages import JobItem
from lustre_events.sources.local_fid import fid_of_fd, fid_of_path
from tests.support.service.images import EXTRACTORS, extractors
from workers.container import ContainerRuntime
from workers.files import Files
from workers.privileges import account_for
from workers.runs import RunOutcome

BATCH = 200
BAD = "bad-"
SHARED = ("common", "preview")


@dataclass(frozen=True, slots=True)
class Family:
    """One folder of `extractors/`."""

    manifest: Manifest

    @property
    def samples(self) -> list[Path]:
        """Its samples, those that must fail among them."""
        return sorted(path for path in (self.manifest.folder / "samples").iterdir() if path.is_file())

    @property
    def good(self) -> list[Path]:
        """The samples that have a document."""
        return [path for path in self.samples if not path.name.startswith(BAD)]

    def golden(self, sample: Path) -> Path:
        """Return the file with what must become of a sample: its document, or {"error": ...}."""
        return self.manifest.folder / "golden" / f"{sample.name}.json"

    def expected(self, sample: Path) -> dict[str, Any]:
        """Return what must become of a sample."""
        loaded: dict[str, Any] = json.loads(self.golden(sample).read_text(encoding="utf-8"))
        return loaded

    def schema(self) -> Callable[[Any], Any]:
        """Return the check of its documents; it raises fastjsonschema.JsonSchemaException."""
        text = (self.manifest.folder / "schema.json").read_text(encoding="utf-8")
        schema = json.loads(text)
        for key in SHARED:
            if schema["properties"].get(key) == {"$ref": f"../schema/{key}.json"}:
                schema["properties"][key] = shared_schema(key)
        check: Callable[[Any], Any] = fastjsonschema.compile(schema, use_default=False)
        return check

    def hostile(self) -> ModuleType | None:
        """Return its module that makes files nobody would write on purpose; None where it has none."""
        path = self.manifest.folder / "hostile.py"
        if not path.exists():
            return None
        spec = importlib.util.spec_from_file_location(f"hostile_{self.manifest.name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def run(self, images: Path, paths: Sequence[Path]) -> list[RunOutcome]:
        """Return what its program makes of the files at `paths`, in containers with the manifest's limits."""
        runtime = runtime_of(images)
        found: list[RunOutcome] = []
        for start in range(0, len(paths), BATCH):
            with contextlib.ExitStack() as stack:
                files = Files(b"/", fid_of_fd)
                opened = [files.open(_item(path)) for path in paths[start : start + BATCH]]
                held = [stack.enter_context(file) for file in opened if file is not None]
                found += runtime.run(self.manifest, held, self.manifest.limits.seconds)
        return found


@functools.cache
def runtime_of(images: Path) -> ContainerRuntime:
    """Return what runs containers from a folder of images, each of which is read once for its digest."""
    return ContainerRuntime(images, account_for("nobody"))


def shared_schema(key: str) -> dict[str, Any]:
    """Return the schema of a key that all families share, with its definitions in place."""
    text = (EXTRACTORS / "schema" / f"{key}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    definitions = schema.pop("definitions", {})
    for name, found in schema["properties"].items():
        if "$ref" in found:
            schema["properties"][name] = definitions[found["$ref"].rpartition("/")[2]]
    return schema


def _item(path: Path) -> JobItem:
    name = os.fsencode(path.resolve())
    return JobItem(fid_of_path(name), 0, name.lstrip(b"/"))


def families() -> dict[str, Family]:
    """Return the families by name: the extractors that have a schema."""
    found = {name: Family(manifest) for name, manifest in extractors().items()}
    return {name: one for name, one in found.items() if (one.manifest.folder / "schema.json").exists()}


def copied(sample: Path, folder: Path, name: str) -> Path:
    """Copy a sample to where the account that runs containers can read it."""
    path = folder / name
    shutil.copyfile(sample, path)
    path.chmod(0o644)
    return path


def said(finding: RunOutcome) -> dict[str, Any]:
    """Return a finding in the form of a golden file."""
    return finding.document if finding.status == "ok" else {"error": finding.error}


def check_fates(family: Family, findings: Sequence[RunOutcome], names: Sequence[str]) -> None:
    """Every file has a document that fits the schema, or failed with a sentence of the program."""
    schema = family.schema()
    for name, finding in zip(names, findings, strict=True):
        if finding.status == "ok":
            try:
                schema(finding.document)
            except fastjsonschema.JsonSchemaException as exc:
                pytest.fail(f"{name}: its document does not fit the schema: {exc}: {str(finding.document)[:500]}")
        else:
            assert finding.status == "failed", (name, finding)
            assert finding.error, name
            assert not finding.error.startswith("no answer"), (name, finding.error, finding.stderr)
            assert "/in/" not in finding.error, (name, finding.error)
