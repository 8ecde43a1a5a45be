"""Fixtures of the tests that copy files: each way of copying, and a site that copies in it.

A test module imports those that it uses. No conftest has them, since they load the workers.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.rsync import Daemon, rsync_daemon
from tests.support.service.copy_site import OWNER, CopySite
from tests.support.service.copy_ways import Way, daemon_way, folder_way, rclone_way


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """An rsync daemon whose copies belong to the owner."""
    folder = Path(tempfile.mkdtemp(prefix="lustre-events-test-"))
    folder.chmod(0o755)
    with rsync_daemon(folder, OWNER.uid, OWNER.gid) as found:
        yield found
    shutil.rmtree(folder)


@pytest.fixture(params=["folder", "daemon", "rclone"])
def way(request: pytest.FixtureRequest, open_folder: Path) -> Way:
    """Each way of copying."""
    if request.param == "folder":
        return folder_way(open_folder)
    if request.param == "rclone":
        return rclone_way(open_folder)
    return daemon_way(open_folder, request.getfixturevalue("daemon"))


@pytest.fixture
def site(way: Way, open_folder: Path) -> CopySite:
    """A site that copies in each way."""
    return CopySite(open_folder, way.endpoint)


@pytest.fixture
def plain(open_folder: Path) -> CopySite:
    """A site that copies to a folder by rsync."""
    return CopySite(open_folder, folder_way(open_folder).endpoint)
