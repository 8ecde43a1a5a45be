"""A worker node's side: Apptainer, user namespaces, cgroups, the images of the extractors."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

from lustre_events import subprocesses
from lustre_events.catalog import shipped
from lustre_events.catalog.manifest import Manifest
from lustre_events.node.doctor.findings import Finding, failure, ok, warning

VERSION_SECONDS = 20
PROC = Path("/proc/sys")


def runtime(kind: str) -> Iterator[Finding]:
    """Look whether the runtime of `[worker] runtime` is there and answers."""
    if kind == "process":
        yield warning("runtime", "extractors run as plain processes, which isolates little",
                      'install Apptainer and set [worker] runtime = "apptainer"')  # fmt: skip
        return
    program = shutil.which("apptainer") or shutil.which("singularity")
    if program is None:
        yield failure("runtime", "neither apptainer nor singularity is on PATH", "dnf install apptainer (of EPEL)")
        return
    try:
        said = subprocesses.run([program, "--version"], VERSION_SECONDS)
        said.check_returncode()
    except (OSError, subprocess.SubprocessError) as exc:
        yield failure("runtime", f"{program} does not tell its version ({exc})", "repair the installation")
    else:
        yield ok("runtime", f"{said.stdout.decode(errors='replace').strip()} at {program}")


def kernel(proc: Path = PROC) -> Iterator[Finding]:
    """Look whether the kernel lets users make namespaces; the files are those of sysctl(8)."""
    for name, unwanted, wanted in _SYSCTLS:
        value = _read(proc / name.replace(".", "/"))
        if value in unwanted:
            yield failure("user namespaces", f"{name} is {value}, so containers cannot start",
                          f"sysctl -w {name}={wanted}; make it last in /etc/sysctl.d")  # fmt: skip
            return
    yield ok("user namespaces", "users may make them")


_SYSCTLS = (
    ("user.max_user_namespaces", ("0",), "15000"),
    ("kernel.unprivileged_userns_clone", ("0",), "1"),
    ("kernel.apparmor_restrict_unprivileged_userns", ("1",), "0"),
)


def cgroups(root: Path = Path("/sys/fs/cgroup")) -> Iterator[Finding]:
    """Look whether there is one tree of cgroups (version 2); limits here do not depend on it."""
    if (root / "cgroup.controllers").exists():
        yield ok("cgroups", "version 2")
    else:
        yield ok("cgroups", "version 1 or none; the limits of extractors do not depend on them")


def images(
    manifests: Iterable[Manifest],
    folder: Path,
    default: str,
    verify: Callable[[Path], str] | None = None,
    used: Collection[str] | None = None,
) -> Iterator[Finding]:
    """Look whether the image of each extractor is there, and signed where that is required.

    `verify` returns why a signature is not accepted, or nothing; None: images need not be signed. `used` are the
    extractors that rules name; None: all. A missing image that only others need is a warning.
    """
    needed: dict[Path, list[Manifest]] = {}
    for manifest in manifests:
        needed.setdefault(folder / (manifest.image or default), []).append(manifest)
    found = {path: _image_at(path) for path in needed}
    if verify is not None:
        yield from _unsigned(sorted({path for path in found.values() if path is not None}), verify)
    missing = [path for path, there in found.items() if there is None]
    for path in missing:
        yield _not_there(path, [each.identity for each in needed[path]], used)
    if not missing:
        count = sum(map(len, needed.values()))
        yield ok("images", f"the images of all {count} extractors are in {folder}")


def _not_there(path: Path, needing: Sequence[str], used: Collection[str] | None) -> Finding:
    is_used = used is None or not set(used).isdisjoint(needing)
    text = f"{path}.sif, the image of {', '.join(needing)}, is not there"
    text += "" if is_used else "; no rule here uses it"
    build = f"{shipped.build_script()} {path.parent} {path.name}, or copy it there"
    return (failure if is_used else warning)("images", text, build)


def _image_at(path: Path) -> Path | None:
    return next((each for each in (path, path.with_name(path.name + ".sif")) if each.exists()), None)


def _unsigned(images: Iterable[Path], verify: Callable[[Path], str]) -> Iterator[Finding]:
    for path in images:
        reason = verify(path)
        if reason:
            yield failure("images", f"{path} must be signed and is not: {reason}", f"apptainer sign {path}")


def open_to_all(folder: Path) -> Iterator[Finding]:
    """Look whether every account may look into the folder of images: root's workers start containers as another."""
    for each in filter(Path.exists, (folder, *folder.parents)):
        mode = stat.S_IMODE(each.stat().st_mode)
        if not mode & stat.S_IXOTH:
            yield failure(
                "images",
                f"{each} is closed to others (mode {mode:04o}): containers cannot read the images in {folder}",
                f"chmod o+x {each}, or move the images and set [worker] images",
            )  # fmt: skip
    for image in sorted(folder.glob("*.sif")):
        if not image.stat().st_mode & stat.S_IROTH:
            yield failure("images", f"{image} is closed to others: containers cannot be started from it",
                          f"chmod o+r {image}")  # fmt: skip


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
