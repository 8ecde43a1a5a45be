"""What the demo shows of actions in containers: each picture that comes gets a thumbnail, as its owner."""

from __future__ import annotations

import os
import pwd
import struct
import sys
import zlib
from pathlib import Path

from lustre_events import subprocesses
from lustre_events.catalog import shipped
from lustre_events.config.settings import WorkerSettings
from lustre_events.errors import LustreEventsError
from lustre_events.node.sandbox import Sandbox, Say

IMAGE = "science"
"""The image of the action, which is that of the extractors that read pictures."""
ACTION = "thumbnail"
FOLDER = "pictures"
PICTURES = {"beach.png": (1200, 800), "tower.png": (600, 900)}
"""Width and height."""
SECONDS = 60.0
APPROVE_SECONDS = 60.0
RULES = f"""
[[rule]]
name = "thumbnails"
directories = ["/{FOLDER}"]
extensions = ["png", "jpg"]
action = "{ACTION}"
with = {{ name = "{{name}}", pixels = 160 }}
outputs = "."
"""
_HEAD = struct.Struct(">8s8xII")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BANDS = 8


def settings() -> str:
    """Return the lines of `[actions]` that name the shipped actions."""
    return f'folders = ["{shipped.deploy() / "actions"}"]\n'


def show(box: Sandbox, say: Say) -> None:
    """Write pictures, wait for their thumbnails, and say what there is then."""
    _approve(box)
    folder = box.files / FOLDER
    _write_pictures(folder)
    box.wait(
        lambda: all((folder / f".{name}.{ACTION}.done").exists() for name in PICTURES),
        "each picture has its thumbnail", SECONDS,
    )  # fmt: skip
    say("\nTwo pictures are written. A container adds a thumbnail to each, as its owner:")
    for path in sorted(folder.glob("[!.]*")):
        _, width, height = _HEAD.unpack(path.read_bytes()[: _HEAD.size])
        say(f"  /{FOLDER}/{path.name}  {width} x {height} pixels")


def _approve(box: Sandbox) -> None:
    """Let the action run as the owner of each file; a worker that is not root needs no approval."""
    if os.geteuid() != 0:
        return
    workers = [sys.executable, "-P", "-m", "workers", "--config", str(box.settings)]
    done = subprocesses.run([*workers, "approve", "--kind", "action", ACTION], APPROVE_SECONDS)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise LustreEventsError(f"the action {ACTION} could not be approved: {said}")


def _write_pictures(folder: Path) -> None:
    """Write them into a folder as an ordinary user's: containers run as no system user, such as root."""
    owner = pwd.getpwnam(WorkerSettings().run_as) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    folder.mkdir()
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    for number, (name, (width, height)) in enumerate(PICTURES.items()):
        with (folder / name).open("wb") as file:
            os.fchown(file.fileno(), owner.pw_uid, owner.pw_gid)  # before it is closed, which is what fires
            file.write(picture(width, height, number))


def picture(width: int, height: int, shade: int) -> bytes:
    """Return a picture of coloured bands, as PNG."""
    rows = [_row(width, band, shade) for band in range(_BANDS)]
    pixels = b"".join(rows[_BANDS * y // height] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return _SIGNATURE + _part(b"IHDR", head) + _part(b"IDAT", zlib.compress(pixels, 1)) + _part(b"IEND", b"")


def _row(width: int, band: int, shade: int) -> bytes:
    left, right = 32 * band, 255 - 96 * shade
    return b"\0" + bytes(each for x in range(width) for each in (255 * x // width, left, right))


def _part(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
