"""A machine that an administrator has set up by the page, from its first block to the last of "Start"."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.field import tree
from tests.support.field.machine import Machine, impossible
from tests.support.field.site import HERE, Site, files
from tests.support.field.truth import MOUNT, report


@pytest.fixture(scope="session")
def machine(all_images: Path) -> Iterator[Machine]:
    """A Debian that has just been installed, with what the administrator brought along."""
    reason = impossible()
    if reason:
        pytest.skip(f"no machine can be booted here: {reason}")
    kept = tree.tree()
    root = tree.place() / "root"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", kept, root], timeout=120, check=True)  # with its device nodes
    made = Machine(root, "lustre-events-field")
    try:
        tree.checkout(made.at(HERE), all_images)
        made.at(MOUNT).mkdir(parents=True)
        if console := made.boot():
            pytest.skip(f"systemd does not come up in a container of this machine: {console}")
        yield made
    finally:
        made.kill()
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def packages(machine: Machine) -> Site:
    """The machine with the packages; what lies on its disk then is what a removal must leave."""
    site = Site(machine)
    while "apt-get" in site.next("Packages"):
        site.step("Packages")
    site.before = files(machine.root)
    site.follow("Packages")
    return site


@pytest.fixture(scope="session")
def site(packages: Site) -> Site:
    """The machine with everything that runs on it, and one table that was found."""
    begun = time.monotonic()
    said = packages.follow("Setup")
    assert "FAILURE" not in said, said
    packages.follow("Images")
    packages.follow("Rules")
    packages.follow("Register")
    packages.follow("Start")
    table = packages.machine.at(MOUNT) / "first.csv"
    table.write_text("first_column,b\n1,2\n")
    packages.machine.run(
        "until lustre-events search columns:first_column 2>/dev/null; do sleep 0.2; done", seconds=120
    )
    packages.first_hit_seconds = time.monotonic() - begun
    return packages


@pytest.fixture
def other(site: Site) -> Iterator[Machine]:
    """A second node in the network of the first, with a client mount and the program."""
    root = tree.place() / "other"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "-a", tree.tree(), root], timeout=120, check=True)
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")  # as Debian's installer writes it
    binds = (f"--bind={site.machine.at(MOUNT)}:{MOUNT}", f"--bind-ro={site.machine.at(HERE)}:{HERE}")
    made = Machine(root, "lustre-events-other", site.machine.network(), *binds)
    try:
        assert made.boot() == ""
        made.run("apt-get install -y openssl sqlite3 python3 python3-venv")  # Redis is another node's
        made.run("deploy/install.sh wheelhouse", folder=HERE)
        yield made
    finally:
        made.kill()
        shutil.rmtree(root, ignore_errors=True)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say what the machine said, where a test of it has failed."""
    result = yield
    found = getattr(item, "funcargs", {}).get("site")
    if result.failed and found is not None and found.machine.leader() is not None:
        result.sections.append(("the machine", report(found.machine)))
    return result
