"""A worker node's images: those that rules need are there, signed where they must be, and open to who runs them."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from lustre_events import subprocesses
from lustre_events.catalog import shipped
from lustre_events.catalog.manifest import Manifest
from lustre_events.node.doctor.findings import Finding, failure, info, ok, warning

LOOK_SECONDS = 20.0

May = Callable[[str, Path], bool]
"""Whether an account has a right, `r` or `x`, on a path."""


def images(
    manifests: Mapping[str, Manifest],
    folder: Path,
    default: str,
    verify: Callable[[Path], str] | None = None,
    used: Collection[str] | None = None,
) -> Iterator[Finding]:
    """Look whether the image of each extractor is there, and signed where that is required.

    Args:
        manifests: the extractors that are installed here, by name.
        folder: where images are.
        default: the image of those that name none.
        verify: returns why a signature is not accepted, or nothing; None: images need not be signed.
        used: the extractors that rules name; None: this node has no rules, so any may be needed.
    """
    needing: dict[Path, list[str]] = {}
    for name, each in manifests.items():
        needing.setdefault(folder / (each.image or default), []).append(name)
    needed = {path: names for path, names in needing.items() if used is None or not set(used).isdisjoint(names)}
    if verify is not None:
        yield from _unsigned(sorted(filter(None, map(_image_at, needed))), verify)
    yield from _found(needed, folder, used)
    yield from _spare(folder, filter(None, map(_image_at, needing.keys() - needed.keys())))
    yield from _not_installed(set(used or ()) - manifests.keys())


def _found(needed: Mapping[Path, list[str]], folder: Path, used: Collection[str] | None) -> Iterator[Finding]:
    missing = [path for path in needed if _image_at(path) is None]
    for path in missing:
        yield _not_there(path, needed[path], used)
    if not needed:
        yield ok("images", "no rule names an extractor, so none is needed")
    elif not missing:
        yield ok("images", f"all images that rules need are in {folder}: {len(needed)}")


def _spare(folder: Path, images: Iterable[Path]) -> Iterator[Finding]:
    names = ", ".join(sorted(path.name for path in images))
    if names:
        yield info("images", f"no rule of this site needs {names} in {folder}",
                   "add rules for them to [dispatcher] rules, or remove them")  # fmt: skip


def _not_there(path: Path, names: Iterable[str], used: Collection[str] | None) -> Finding:
    text = f"{path}.sif, the image of {', '.join(names)}, is not there"
    build = f"{shipped.build_script()} {path.parent} {path.name}, or copy it there"
    if used is None:
        return warning("images", f"{text}; this node has no rules to say whether it is needed", build)
    return failure("images", f"{text}, and a rule needs it", build)


def _not_installed(names: Iterable[str]) -> Iterator[Finding]:
    for name in sorted(each for each in names if "/" not in each):  # users' own come and go
        yield failure("extractors", f"a rule names {name}, which is not installed on this node",
                      "copy its folder into one of [worker] extractors, or correct the rule")  # fmt: skip


def _image_at(path: Path) -> Path | None:
    return next((each for each in (path, path.with_name(path.name + ".sif")) if each.exists()), None)


def _unsigned(images: Iterable[Path], verify: Callable[[Path], str]) -> Iterator[Finding]:
    for path in images:
        reason = verify(path)
        if reason:
            yield failure("images", f"{path} must be signed and is not: {reason}", f"apptainer sign {path}")


def open_to_all(folder: Path) -> Iterator[Finding]:
    """Look whether every account may read images: root's workers start containers as the owner of each file."""
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


def open_to(account: str, folder: Path, may: May | None = None) -> Iterator[Finding]:
    """Look whether the account that containers run as reaches the images in a folder.

    `may` is asked for each folder on the way, then for each image; None: the kernel is, which
    knows lists and groups.
    """
    try:
        may = may or partial(_may, pwd.getpwnam(account))
        for each in reversed([folder, *folder.parents]):
            if each.exists() and not may("x", each):
                yield failure(
                    "images",
                    f"{each} is closed to {account}, so containers cannot read the images in {folder}",
                    f"chmod o+x {each}, or move the images and set [worker] images",
                )
                return
        for image in sorted(folder.glob("*.sif")):
            if not may("r", image):
                yield failure("images", f"{image} is closed to {account} ([worker] run_as): no container can be "
                              "started from it", f"chmod o+r {image}")  # fmt: skip
    except KeyError:
        yield failure("images", f"[worker] run_as names {account!r}, which is not a user on this node",
                      "name one of /etc/passwd")  # fmt: skip
    except (OSError, subprocess.SubprocessError) as exc:
        yield failure("images", f"whether {account} can read the images in {folder} cannot be checked: {exc}",
                      f"su -s /bin/sh -c 'ls {folder}' {account}")  # fmt: skip


def _may(account: pwd.struct_passwd, right: str, path: Path) -> bool:
    groups = os.getgrouplist(account.pw_name, account.pw_gid)
    who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": groups}
    return subprocesses.run(["test", f"-{right}", path], LOOK_SECONDS, **who).returncode == 0
