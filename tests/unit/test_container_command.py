"""The command line of a container, and which program is taken for the runtime; no container is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import RuntimeMissing
from tests.support.service.images import write_extractor
from workers.container import ContainerRuntime


def runtime(folder: Path, monkeypatch: pytest.MonkeyPatch, *names: str, says: str = "echo 1.9") -> ContainerRuntime:
    """Make a runtime whose PATH has only programs of these names, and whose images are in `folder`."""
    programs = folder / "bin"
    programs.mkdir()
    for name in names:
        (programs / name).write_text(f"#!/bin/sh\n{says}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    (folder / "base.sif").write_bytes(b"an image")
    return ContainerRuntime(folder, None)


def command_of(runtime: ContainerRuntime, made: Manifest) -> list[str]:
    """Return the command line without mounts."""
    return runtime._command(made, runtime._images.find(made))


@pytest.mark.parametrize("gpu", [False, True])
def test_gpu_is_passed_through_on_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu: bool) -> None:
    """Only an extractor that asks for it sees the node's GPUs; its address space has no limit then."""
    made = write_extractor(tmp_path / "extractors", "ours", "", gpu=str(gpu).lower(), limits="memory_bytes = 77")

    command = command_of(runtime(tmp_path, monkeypatch, "apptainer"), made)

    at_image = command.index(str(tmp_path / "base.sif"))
    assert ("--nv" in command[:at_image]) is gpu
    assert ("--as=77" in command) is not gpu


def test_every_run_is_shut_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Isolation, without any setuid program, and limits stand on each command line before image and program."""
    limits = "seconds = 5\ncpu_seconds = 6\nmemory_bytes = 7\nprocesses = 8\nopen_files = 9"
    made = write_extractor(tmp_path / "extractors", "ours", "", limits=limits)

    command = command_of(runtime(tmp_path, monkeypatch, "apptainer"), made)

    at_image, at_program = command.index(str(tmp_path / "base.sif")), command.index("python3")
    assert {"--userns", "--containall", "--no-home", "--net", "none", "--no-privs"} <= set(command[:at_image])
    assert {"--cpu=6", "--as=7", "--nproc=40", "--nofile=9", "--core=0", "15"} <= set(command[at_image:at_program])


@pytest.mark.parametrize("name", ["apptainer", "singularity"])
def test_runtime_is_found_by_either_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The program that is there is the one that is run and asked for its version."""
    found = runtime(tmp_path, monkeypatch, name)
    made = write_extractor(tmp_path / "extractors", "ours", "")

    assert command_of(found, made)[0] == str(tmp_path / "bin" / name)
    assert found.provenance(made)["runtime"] == "1.9"


def test_runtime_that_is_missing_or_broken_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a runtime, or with one that does not run, a worker says so in a sentence when it starts."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()

    with pytest.raises(RuntimeMissing, match="neither apptainer nor singularity is on PATH"):
        runtime(tmp_path / "a", monkeypatch)
    with pytest.raises(RuntimeMissing, match="does not print its version"):
        runtime(tmp_path / "b", monkeypatch, "apptainer", says="exit 3")
