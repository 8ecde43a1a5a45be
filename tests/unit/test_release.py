"""What is released: the version stands once, and the versions of all dependencies are written down."""

from __future__ import annotations

import platform
import re
import tomllib
from collections.abc import Collection
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.service.command import REPOSITORY, lustre_events

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
CONSTRAINTS = REPOSITORY / "deploy" / "constraints.txt"
WHEELHOUSE = REPOSITORY / "deploy" / "wheelhouse.txt"


def pinned() -> dict[str, str]:
    """Return the versions that constraints.txt gives, by name of the package."""
    lines = [line for line in CONSTRAINTS.read_text("ascii").splitlines() if not line.startswith("#")]
    pairs = [line.split("==") for line in lines]
    return {canonicalize_name(name): version for name, version in pairs}


def counts(one: Requirement, extra: str, python: str) -> bool:
    """Return whether a requirement counts with any patch of a version of Python."""
    patches = range(30 if "python_full_version" in str(one.marker) else 1)
    return one.marker is None or any(
        one.marker.evaluate({"extra": extra, "python_version": python, "python_full_version": f"{python}.{patch}"})
        for patch in patches
    )


def closure(python: str, extras: Collection[str] = PROJECT["optional-dependencies"]) -> set[str]:
    """Return the names of all packages that these extras ask for, directly or by others that are installed."""
    optional = [each for extra in extras for each in PROJECT["optional-dependencies"][extra]]
    waiting = [Requirement(each) for each in PROJECT["dependencies"] + optional]
    seen: set[tuple[str, str]] = set()
    while waiting:
        one = waiting.pop()
        for extra in {"", *one.extras}:
            key = (canonicalize_name(one.name), extra)
            if key in seen:
                continue
            seen.add(key)
            try:
                needs = metadata.requires(one.name) or []
            except metadata.PackageNotFoundError:  # an extra that this environment goes without
                continue
            waiting += [each for each in map(Requirement, needs) if counts(each, extra, python)]
    return {name for name, _ in seen}


@pytest.mark.long
def test_every_dependency_has_an_exact_version() -> None:
    """What any extra needs, directly or not, is in constraints.txt, and nothing that nobody needs."""
    here, oldest = ".".join(platform.python_version_tuple()[:2]), PROJECT["requires-python"].removeprefix(">=")

    assert closure(here) - set(pinned()) == set()
    assert set(pinned()) - closure(here) - closure(oldest) == set()


def test_the_environment_of_the_tests_has_these_versions() -> None:
    """The tests run with the versions that are written down."""
    here: dict[str, str] = {canonicalize_name(each.name): each.version for each in metadata.distributions()}

    assert {name: here[name] for name in pinned() if name in here} == {
        name: version for name, version in pinned().items() if name in here
    }
    assert len(set(pinned()) & set(here)) > 80


def pips(script: str) -> list[str]:
    """Return the commands of a script that install or make wheels."""
    commands = re.findall(r'(?:/pip"|-m pip) (?:[^\\\n]|\\\n)+', (REPOSITORY / script).read_text("utf-8"))
    assert commands
    return commands


def test_what_installs_packages_keeps_to_the_constraints() -> None:
    """Each pip that installs from an index is given constraints.txt."""
    assert all("constraints.txt" in each for each in pips("deploy/bootstrap.sh"))


def test_the_wheelhouse_takes_nothing_without_a_hash() -> None:
    """Each pip asks for hashes, or asks no index; what nodes need is listed, in the version of the constraints."""
    text = WHEELHOUSE.read_text("ascii")
    entries = re.findall(r"^([^\s#][^=\n]*)==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", text, re.MULTILINE)
    listed = {canonicalize_name(name): version for name, version, _ in entries}
    here = ".".join(platform.python_version_tuple()[:2])
    script = (REPOSITORY / "deploy" / "install.sh").read_text("utf-8")
    extras = re.findall(r'"\$wheel\[([a-z,-]+)\]"', script)[0].split(",")

    assert len(entries) == text.count("==")
    assert listed.items() <= pinned().items()
    assert closure(here, extras) - set(listed) == set()
    assert all("--require-hashes" in each or "--no-index" in each for each in pips("deploy/package/wheelhouse.sh"))
    assert ["--no-index" in each for each in pips("deploy/install.sh")] == [True]


@pytest.mark.long
def test_the_version_stands_once() -> None:
    """Only pyproject.toml has it; programs, packages and documents ask for it."""
    version = PROJECT["version"]
    literal = re.compile(rf"(?<![\d.]){re.escape(version)}(?![\d.])".encode())
    folders = ("deploy", "lustre_events", "workers", "docs", "tests", "bench", ".ci")
    files = [path for folder in folders for path in (REPOSITORY / folder).rglob("*") if path.is_file()]
    files += [path for path in REPOSITORY.iterdir() if path.is_file() and path.name != "CHANGELOG.md"]

    assert lustre_events("--version").stdout.decode().split()[-1] == version
    assert [str(path.relative_to(REPOSITORY)) for path in files
            if path not in {CONSTRAINTS, WHEELHOUSE} and path.suffix not in {".pyc", ".bin"}
            and literal.search(path.read_bytes())
            ] == ["pyproject.toml"]  # fmt: skip
