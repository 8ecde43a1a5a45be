"""The tree of Debian 12 that a machine begins with, made once and kept, and what an administrator brings along.

Packages come from the mirror in this machine's apt sources. The machine has no network: packages that it will be
told to install lie in its apt cache already.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.service.command import REPOSITORY, clean_environment

RELEASE = "bookworm"
SYSTEM = ("systemd", "systemd-sysv", "dbus", "procps")
BROUGHT = ("redis-server", "openssl", "python3", "python3-venv", "sqlite3", "postgresql")
"""Packages that blocks of the README install."""
APPTAINER = Path("/var/cache/apptainer-bookworm")
"""Where deploy/setup-apptainer.sh keeps Apptainer's package."""
SOURCES = ("/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list")
LEFT_OUT = ("doc", "man", "locale", "info")
MAKE_SECONDS = 600.0
LEFT, RIGHT = (
    re.compile(r"^URIs: *(\S+)", re.MULTILINE),
    re.compile(rf"^deb (?:\[.*?\] )?(\S+) {RELEASE} ", re.MULTILINE),
)


def mirror() -> str:
    """Return the address of this machine's Debian mirror; nothing, if there is none."""
    texts = [Path(each).read_text(encoding="utf-8") for each in SOURCES if Path(each).is_file()]
    return next((found[1] for text in texts for kind in (LEFT, RIGHT) if (found := kind.search(text))), "")


def place() -> Path:
    """Return the folder of trees that are kept."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("LUSTRE_EVENTS_FIELD_TREE") or cache / "lustre-events" / "field")


def tree() -> Path:
    """Return the tree, made if it is not there or was made of something else."""
    package = max(APPTAINER.glob("apptainer_*.deb"), default=None)
    words = _words(package)
    kept, stamp = place() / "debian12", place() / "debian12.made-by"
    sum_ = hashlib.sha256("\0".join(words).encode()).hexdigest()
    if kept.is_dir() and stamp.is_file() and stamp.read_text() == sum_:
        return kept
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    made = subprocess.run(
        [*words, RELEASE, kept, mirror()], capture_output=True, text=True, timeout=MAKE_SECONDS, check=False
    )
    assert made.returncode == 0, made.stderr[-4_000:]
    stamp.write_text(sum_)
    return kept


def _words(apptainer: Path | None) -> list[str]:
    hooks = [f"cp {apptainer} $1/root/apptainer.deb"] if apptainer else []
    wanted = " ".join([*BROUGHT, *(["/root/apptainer.deb"] if apptainer else [])])
    hooks += [
        f"chroot $1 apt-get install -qy --no-install-recommends --download-only {wanted}",
        "rm -f $1/root/apptainer.deb",
    ]
    return [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase", f"--include={','.join(SYSTEM)}",
        '--aptopt=APT::Install-Recommends "false"', "--skip=cleanup/apt/lists,cleanup/apt/cache",
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in LEFT_OUT),
        *(f"--customize-hook={hook}" for hook in hooks),
    ]  # fmt: skip


def checkout(target: Path, images: Path) -> None:
    """Put what an administrator brings along into a folder: checkout, wheelhouse, images, Apptainer's package."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=REPOSITORY, capture_output=True, timeout=60, check=True).stdout
    for name in names.decode().split("\0"):
        if (REPOSITORY / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, target / name)
    (target / "images").mkdir()
    for image in images.glob("*.sif"):
        shutil.copy(image, target / "images")
    for package in APPTAINER.glob("apptainer_*.deb"):
        shutil.copy(package, target)
    wheelhouse(target, "wheelhouse")


def wheelhouse(project: Path, name: str) -> None:
    """Make a wheelhouse in a checkout, as the README says."""
    done = subprocess.run(
        [project / "deploy/package/wheelhouse.sh", name], cwd=project, env=clean_environment({}), text=True,
        capture_output=True, timeout=MAKE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def older_wheelhouse(project: Path, work: Path, version: str, name: str) -> None:
    """Make a wheelhouse of the version before: nothing was released yet, so it is this code by another number.

    The packages that it needs are those of this version's wheelhouse.
    """
    shutil.copytree(project, work, ignore=shutil.ignore_patterns("wheelhouse", "images", "*.deb"))
    settings, made = work / "pyproject.toml", project / name
    for unit in (work / "deploy/systemd").glob("*.service"):
        unit.write_text(f"# of {version}\n{unit.read_text()}")
    text, count = re.subn(r'^version = "[^"]+"', f'version = "{version}"', settings.read_text(), flags=re.MULTILINE)
    assert count == 1
    settings.write_text(text)
    shutil.copytree(project / "wheelhouse", made, ignore=shutil.ignore_patterns("lustre_events-*", "SHA256SUMS"))
    pip = [sys.executable, "-P", "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", made, work],
        env=clean_environment({}), stdin=subprocess.DEVNULL, timeout=MAKE_SECONDS, check=True,
    )  # fmt: skip
    sums = [f"{hashlib.sha256(each.read_bytes()).hexdigest()}  {each.name}\n" for each in sorted(made.iterdir())]
    (made / "SHA256SUMS").write_text("".join(sums))
    shutil.rmtree(work)
