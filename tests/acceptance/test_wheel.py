"""What is installed from the wheel is whole: no file of a checkout is needed beside it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from lustre_events.catalog import manifest, shipped
from tests.support.service.command import REPOSITORY, clean_environment

PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "lustre_events", "workers", "extractors", "deploy")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this checkout, made without network."""
    copy = tmp_path_factory.mktemp("wheel") / "checkout"
    copy.mkdir()
    for part in PARTS:
        source = REPOSITORY / part
        if source.is_dir():
            shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy)
    pip(sys.executable, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", copy.parent, copy)
    (made,) = copy.parent.glob("lustre_events-*.whl")
    shutil.rmtree(copy)
    return made


@pytest.fixture(scope="module")
def program(wheel: Path) -> Path:
    """The command in an environment of its own, which shares only the dependencies with this one."""
    place = wheel.parent / "installed"
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", place], check=True, timeout=60)
    pip(place / "bin" / "python", "install", "--quiet", "--no-deps", "--no-compile", wheel)
    (site,) = place.glob("lib/python3*/site-packages")
    # A folder that a .pth file adds is the last one of the search path, and its own .pth files do not count: the
    # checkout, which is installed there as it stands, is not found by them.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return place / "bin" / "lustre-events"


def pip(python: str | Path, *words: str | Path) -> None:
    """Run this environment's pip for a Python."""
    subprocess.run(
        [sys.executable, "-P", "-m", "pip", "--python", python, "--disable-pip-version-check", *words],
        check=True, timeout=120, stdin=subprocess.DEVNULL, env=clean_environment({"PIP_NO_INDEX": "1"}),
    )  # fmt: skip


def run(program: Path, *words: str | Path, folder: Path, seconds: float) -> str:
    """Run the installed program in a folder that has nothing in it, and return what it printed."""
    done = subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=seconds, check=False, cwd=folder,
        env=clean_environment(), stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_has_every_file_of_the_package_and_the_extractors(wheel: Path) -> None:
    """The packages, `extractors/` and `deploy/` are in the wheel, file for file, beside its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}

    def files(folder: str) -> set[str]:
        return {
            str(path.relative_to(REPOSITORY))
            for path in (REPOSITORY / folder).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }

    assert found == files("lustre_events") | files("workers") | {
        f"lustre_events/{one}" for one in (*files("extractors"), *files("deploy"))
    }
    assert {"lustre_events/py.typed", "workers/py.typed"} <= found


def test_the_installed_program_knows_the_same_extractors(program: Path, tmp_path: Path) -> None:
    """`extractor list` names the extractors of the wheel, and they are, byte for byte, those of the checkout."""
    lines = run(program, "extractor", "list", "--json", folder=tmp_path, seconds=30).splitlines()

    listed = [json.loads(line) for line in lines]
    here = manifest.load_all(manifest.folders(()))
    assert {each["name"]: each["digest"] for each in listed} == {each.name: each.digest for each in here.values()}
    assert not any(str(REPOSITORY) in each["folder"] for each in listed)


@pytest.mark.timeout(900)  # the first one builds the images
def test_the_installed_program_shows_the_main_job(program: Path, demo_images: Path, tmp_path: Path) -> None:
    """`demo` runs from an empty folder: files change, documents appear, searches follow."""
    printed = run(program, "demo", "--images", demo_images, folder=tmp_path, seconds=120)

    assert "/beamline/sample.h5  9792 bytes  [hdf5]" in printed
    assert printed.endswith("Stopped, and removed what the demo made.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_called_extractors_beside_the_package_is_not_ours(tmp_path: Path) -> None:
    """Some other package's `extractors` in the same site-packages is never taken for the shipped ones."""
    package = tmp_path / "site-packages" / "lustre_events"
    (package.parent / "extractors").mkdir(parents=True)

    assert shipped.checkout(package) is None
    assert shipped.extractors(package) == package / "extractors"


@pytest.mark.parametrize(
    ("caches", "folder"),
    [("/scratch/caches", "/scratch/caches"), ("", "/home/ada/.cache"), ("relative", "/home/ada/.cache")],
)
def test_images_of_an_installed_program_go_into_the_users_caches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caches: str, folder: str
) -> None:
    """An ordinary user cannot write where the program was installed; a checkout keeps its images in itself."""
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("XDG_CACHE_HOME", caches)

    assert shipped.own_images(tmp_path / "lustre_events") == Path(folder) / "lustre-events" / "images"
    assert shipped.own_images() == REPOSITORY / "images"
