"""From a definition file to an image, without a registry: `lustre-events extractor build`.

A definition file is what Apptainer's users expect, but `apptainer build` cannot unpack or run anything where root
lacks capabilities, or a user has no subordinate ids. So there are two ways:

1. `apptainer build`, as it is;
2. for `Bootstrap: localimage`, where the first one fails: the image that it begins with is unpacked without its
   devices, Apptainer makes everything but %post in that folder, %post is run there (by chroot as root, else by
   Apptainer's own fakeroot), and Apptainer packs the folder.

`{{ IMAGES }}` in a definition file stands for the folder of images.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lustre_events import subprocesses
from lustre_events.errors import ConfigError, ContainerFailed, ImageMissing, RuntimeMissing

RUNTIMES = ("apptainer", "singularity")
SECONDS = 3_600
"""Longest time of one step."""
IMAGES = "{{ IMAGES }}"
_TAIL = 2_000
_PACK = ("--mksquashfs-args", "-comp zstd -Xcompression-level 3")
_SECTION = re.compile(r"^%(\w+)", re.MULTILINE)
_SQUASHFS = re.compile(r"\|(\d+)-\d+\s*\|FS \(Squashfs")


@dataclass(frozen=True, slots=True)
class Definition:
    """A definition file: where it begins (`From:` of a local image; None: elsewhere), its %post, and the rest."""

    base: Path | None
    post: str
    rest: str


def build(definition: Path, image: Path) -> str:
    """Make the image (a SIF) of a definition file, over one that is there, and return in which way that went.

    Raises:
        RuntimeMissing: neither Apptainer nor Singularity is installed.
        ImageMissing: the local image that it begins with is not there.
        ContainerFailed: no way works; the message has the last lines of what the runtime said.
        ConfigError: the definition file cannot be read.
    """
    runtime = next((found for name in RUNTIMES if (found := shutil.which(name))), None)
    if runtime is None:
        raise RuntimeMissing("neither apptainer nor singularity is installed; install one to build images")
    try:
        text = definition.read_text(encoding="utf-8").replace(IMAGES, str(image.parent.absolute()))
        image.parent.mkdir(parents=True, exist_ok=True)
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{definition}: the image cannot be made from it ({exc})") from exc
    parts = parse(text, definition.parent)
    if parts.base is not None and not parts.base.exists():
        raise ImageMissing(f"{definition}: it begins with {parts.base}, which is not there; build that image first")
    with tempfile.TemporaryDirectory(prefix=f".{image.name}-", dir=image.parent) as folder:
        work = Path(folder)
        whole, made = work / "whole.def", work / "new.sif"
        whole.write_text(text, encoding="utf-8")
        way, failure = "by apptainer build", _run([runtime, "-q", "build", *_PACK, made, whole], definition.parent)
        if failure and parts.base is not None:
            way = f"by unpacking {parts.base.name}"
            failure = _unpacked(runtime, parts, work, definition.parent)
        if failure:
            raise ContainerFailed(f"{definition}: the image cannot be built: {failure}")
        made.chmod(0o644)
        made.replace(image)
    return way


def parse(text: str, folder: Path) -> Definition:
    """Return the parts of a definition file that lies in `folder`."""
    header, *sections = _SECTION.split(text)
    found = dict(re.findall(r"^(\w+):\s*(\S+)", header, re.MULTILINE))
    keys = {key.lower(): value for key, value in found.items()}
    base = folder / keys.get("from", "") if keys.get("bootstrap", "").lower() == "localimage" else None
    named = list(zip(sections[::2], sections[1::2], strict=True))
    rest = header + "".join(f"%{name}{body}" for name, body in named if name.lower() != "post")
    return Definition(base, "".join(body for name, body in named if name.lower() == "post"), rest)


def _unpacked(runtime: str, parts: Definition, work: Path, folder: Path) -> str:
    """Build by unpacking; return why that failed, or nothing."""
    base, box = work / "base", work / "box"
    assert parts.base is not None  # noqa: S101 - the caller has looked
    without = work / "without-post.def"
    beginning = re.sub(r"^(from:\s*)\S+", rf"\g<1>{base}", parts.rest, count=1, flags=re.MULTILINE | re.IGNORECASE)
    without.write_text(beginning, encoding="utf-8")
    script = work / "post"
    script.write_text(parts.post, encoding="utf-8")
    enter: Sequence[str | Path] = ["chroot", box]
    if os.geteuid():
        enter = [runtime, "-q", "exec", "--writable", "--fakeroot", "--no-home", box]
    return (
        _unpack(runtime, parts.base, base)
        or _run([runtime, "-q", "build", "--sandbox", box, without], folder)
        or (_run([*enter, "/bin/sh", "-e"], folder, script) if parts.post.strip() else "")
        or _run([runtime, "-q", "build", *_PACK, work / "new.sif", box], folder)
    )


def _unpack(runtime: str, image: Path, folder: Path) -> str:
    if image.is_dir():
        shutil.copytree(image, folder, symlinks=True, ignore=shutil.ignore_patterns("dev"))
        return ""
    try:
        done = subprocesses.run([runtime, "sif", "list", image], SECONDS)
        done.check_returncode()
    except (OSError, subprocess.SubprocessError) as exc:
        return str(exc)
    found = _SQUASHFS.search(done.stdout.decode(errors="replace"))
    if found is None:
        return f"{image} has no file system that can be unpacked"
    unpack = ["unsquashfs", "-q", "-n", "-no-xattrs", "-no-exit-code", "-o", found[1], "-d", folder]
    return _run([*unpack, "-excludes", image, "dev"], image.parent)


def _run(argv: Sequence[str | Path], folder: Path, script: Path | None = None) -> str:
    """Run one step; return why it failed, with the last lines of what it said, or nothing."""
    try:
        with (script or Path(os.devnull)).open("rb") as stdin:
            done = subprocesses.run(argv, SECONDS, stdin=stdin, stderr=subprocess.STDOUT, cwd=folder)
    except (OSError, subprocess.SubprocessError) as exc:
        return str(exc)
    said = done.stdout[-_TAIL:].decode(errors="backslashreplace").strip()
    return "" if done.returncode == 0 else f"{argv[0]} ended with {done.returncode}: {said}"
