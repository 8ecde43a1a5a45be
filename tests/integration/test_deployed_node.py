"""deploy/systemd on a node that has every role: what systemd's own programs make of it below a root folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lustre_events.config.settings import Settings
from lustre_events.index.urls import sqlite_path
from lustre_events.node import setup_login
from lustre_events.node.doctor import FAILURE
from lustre_events.node.doctor.extractor_images import open_to, open_to_all
from lustre_events.node.setup import KNOWN, Node, instances, settings
from tests.support.need import need
from tests.support.service.command import REPOSITORY

SYSTEMD = REPOSITORY / "deploy" / "systemd"


@pytest.fixture
def root(open_folder: Path) -> Path:
    """A root folder with the files that install.sh puts there for all roles."""
    top = open_folder / "root"
    units = top / "usr" / "lib" / "systemd" / "system"
    units.mkdir(parents=True)
    (top / "etc").mkdir()
    for unit in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.target")):
        shutil.copy(unit, units)
    for kind in ("sysusers", "tmpfiles"):
        folder = top / "usr" / "lib" / f"{kind}.d"
        folder.mkdir()
        shutil.copy(SYSTEMD / f"lustre-events.{kind}", folder / "lustre-events.conf")
    for folder in (top, *top.rglob("*")):
        folder.chmod(0o755)
    return top


def run(*words: str | Path) -> None:
    """Run a command that must do well."""
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def wanted(root: Path, unit: str) -> set[str]:
    """Return the units that `unit` starts, and those that they start, as systemd follows the links."""
    found = {path.name for path in (root / "etc" / "systemd" / "system" / f"{unit}.wants").glob("*")}
    return found.union(*(wanted(root, each) for each in found))


def test_what_was_enabled_starts_after_a_reboot(root: Path) -> None:
    """What `setup` enables hangs below multi-user.target, which a booting node reaches."""
    node = Node(KNOWN, root, changed={"filesystem": {"mdts": ["lustre-MDT0000", "lustre-MDT0001"]}})
    units = {unit.removesuffix(".service") for unit in instances(node, settings(node))}
    run(need("systemctl"), f"--root={root}", "enable", *sorted(units))

    assert wanted(root, "multi-user.target") >= {f"{unit}.service" for unit in units}
    kinds = {re.sub("@.*", "@", unit) for unit in units}
    by_socket = {Path(unit).stem for unit in setup_login.UNITS}
    assert kinds == {path.stem for path in SYSTEMD.glob("*.service")} - by_socket


def unit_settings(unit: Path) -> dict[str, str]:
    """Return the KEY=VALUE lines of a unit."""
    return dict(re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE))


def owner_of(root: Path, account: str) -> tuple[int, int]:
    """Return uid and gid of an account that systemd-sysusers made below `root`."""
    lines = [line.split(":") for line in (root / "etc" / "passwd").read_text().splitlines()]
    return next(((int(line[2]), int(line[3])) for line in lines if line[0] == account), (0, 0))


def start_everything(root: Path) -> None:
    """Make accounts and folders as the installation does, then the folders of each unit as its start does."""
    run(need("systemd-sysusers"), f"--root={root}")
    run(need("systemd-tmpfiles"), f"--root={root}", "--create", "lustre-events.conf")
    for unit in sorted(SYSTEMD.glob("*.service")):
        found = unit_settings(unit)
        for kind, place in (("State", "var/lib"), ("Cache", "var/cache")):
            for name in found.get(f"{kind}Directory", "").split():
                folder = root / place / name
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(int(found.get(f"{kind}DirectoryMode", "0755"), 8))
                os.chown(folder, *owner_of(root, found.get("User", "root")))


def reads(path: Path, uid: int, gid: int, groups: tuple[int, ...] = ()) -> bool:
    """Return whether an account can read a file."""
    who: dict[str, Any] = {"user": uid, "group": gid, "extra_groups": list(groups)}
    return subprocess.run([need("cat"), path], capture_output=True, timeout=60, check=False, **who).returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of others")
def test_containers_can_read_the_images_where_all_roles_are_on_one_node(root: Path) -> None:
    """By the defaults `nobody` reads images, but neither the index nor its folder; the console reads the index."""
    start_everything(root)
    settings = Settings()
    image = root / settings.worker.images.lstrip("/") / "base.sif"
    image.write_text("image")
    image.chmod(0o666 & ~int(unit_settings(SYSTEMD / "lustre-events-worker@.service")["UMask"], 8))
    index = root / str(sqlite_path(settings.index.url)).lstrip("/")
    index.write_text("index")
    index.chmod(0o666 & ~int(unit_settings(SYSTEMD / "lustre-events-dispatcher.service")["UMask"], 8))
    dispatcher, web = owner_of(root, "lustre-events"), owner_of(root, "lustre-events-web")
    os.chown(index, *dispatcher)
    nobody = (65534, 65534)

    assert reads(image, *nobody)
    assert list(open_to_all(image.parent)) == []
    assert list(open_to("nobody", image.parent)) == []
    image.chmod(0o600)
    assert [finding.fix for finding in open_to_all(image.parent)] == [f"chmod o+r {image}"]
    assert [finding.fix for finding in open_to("nobody", image.parent)] == [f"chmod o+r {image}"]
    os.chown(image, *nobody)
    assert list(open_to("nobody", image.parent)) == []
    image.chmod(0o644)
    assert not reads(index, *nobody)
    assert [finding.level for finding in open_to_all(index.parent)] == [FAILURE]
    assert [finding.text.split()[0] for finding in open_to("nobody", index.parent)] == [str(index.parent)]
    assert not reads(index, *web)
    assert reads(index, *web, groups=(dispatcher[1],))
    index.parent.chmod(0o755)
    assert not reads(index, *nobody)


def test_every_folder_of_a_unit_goes_with_a_purge() -> None:
    """What systemd makes for a unit is among the folders that setup makes, gives to their accounts and purges."""
    shipped = (SYSTEMD / "lustre-events.tmpfiles").read_text()
    for unit in SYSTEMD.glob("*.service"):
        own = unit_settings(unit)
        user = own.get("User", "root")
        for kind, place in (("State", "/var/lib"), ("Cache", "/var/cache")):
            for name in own.get(f"{kind}Directory", "").split():
                mode = own.get(f"{kind}DirectoryMode", "0755")
                assert re.search(rf"^d {place}/{name} +{mode} {user} +{user} ", shipped, re.MULTILINE), unit.name


def test_images_have_one_place() -> None:
    """The folder that tmpfiles.d makes is the one that settings, demo and guides name."""
    place = Settings().worker.images
    assert re.search(
        rf"^d {place} +0755 root +root ", (SYSTEMD / "lustre-events.tmpfiles").read_text(), re.MULTILINE
    )
    for path in ("extractors/README.md", "deploy/README.md", "docs/settings.md"):
        text = (REPOSITORY / path).read_text()
        assert set(re.findall(r"/var/[\w/-]*/images\b", text)) == {place}, path
