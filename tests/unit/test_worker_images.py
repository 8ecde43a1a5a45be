"""Which image an extractor gets: by name or by default, as expected, signed, unpacked or not."""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from lustre_events.catalog.manifest import Manifest
from lustre_events.errors import ExtractorRefused, ImageMissing
from tests.support.service.images import write_extractor
from workers.container import ContainerRuntime
from workers.images import Images
from workers.unpacked import KEEP_SECONDS, ImageCache


@pytest.fixture
def made(tmp_path: Path) -> Manifest:
    """An extractor that names the image `base`, which is there."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "base.sif").write_bytes(b"one")
    return write_extractor(tmp_path / "extractors", "ours", "")


def sha(content: bytes) -> str:
    """Return its SHA-256."""
    return hashlib.sha256(content).hexdigest()


def stand_in(folder: Path) -> Path:
    """Return a program that answers as Apptainer does when it is asked for its version."""
    program = folder / "apptainer"
    program.write_text("#!/bin/sh\necho apptainer version 1.4.0\n")
    program.chmod(0o755)
    return program


def test_default_image_is_for_those_that_name_none(tmp_path: Path, made: Manifest) -> None:
    """An extractor that names no image gets the worker's default one; one that names a missing image gets none."""
    (tmp_path / "images" / "site.sif").write_bytes(b"site")
    images = Images(tmp_path / "images", "site")

    assert images.find(replace(made, image="")).path.name == "site.sif"
    assert images.find(made).path.name == "base.sif"
    with pytest.raises(ImageMissing, match="the image of ours is not there"):
        images.find(replace(made, image="other"))


def test_image_that_changes_under_a_worker_is_noticed(tmp_path: Path, made: Manifest) -> None:
    """The digest follows the file, and an expected digest that does not hold any more is refused."""
    images = Images(tmp_path / "images")
    expecting = replace(made, image_digest=sha(b"one"))
    before = images.find(expecting).digest

    (tmp_path / "images" / "base.sif").write_bytes(b"two!")

    assert before == sha(b"one")
    assert images.find(made).digest == sha(b"two!")
    with pytest.raises(ExtractorRefused, match=r"wants the image 7692c3ad3540\.\.\., this is"):
        images.find(expecting)


def test_signature_is_asked_once_per_image(tmp_path: Path, made: Manifest) -> None:
    """An image is verified in its place and as the copy that runs, a changed one again; a directory never runs."""
    asked = []

    def verify(path: Path) -> str:
        asked.append(path.read_bytes())
        return "" if asked[-1] == b"one" else "not signed"

    images = Images(tmp_path / "images", verify=verify, copies=tmp_path / "copies")
    found = [images.find(made) for _ in range(2)]
    assert [(one.digest, one.root.read_bytes()) for one in found] == [(sha(b"one"), b"one")] * 2
    (tmp_path / "images" / "base.sif").write_bytes(b"two")
    for _ in range(2):
        with pytest.raises(ExtractorRefused, match="its signature does not hold: not signed"):
            images.find(made)
    (tmp_path / "images" / "base").mkdir()
    with pytest.raises(ExtractorRefused, match="an unpacked directory cannot be signed"):
        images.find(made)

    assert asked == [b"one", b"one", b"two"]
    assert [path.name for path in (tmp_path / "copies").iterdir()] == [f"{sha(b'one')}.sif"]


@pytest.mark.parametrize("how", ["link", "replaced", "written to", "of another user"])
def test_a_signature_counts_for_the_bytes_that_run(tmp_path: Path, made: Manifest, how: str) -> None:
    """An own image that its owner swaps behind the look at its signature is refused, or the signed bytes run."""
    own = tmp_path / "extractors" / "images" / "base.sif"
    own.parent.mkdir()
    (tmp_path / "signed.sif").write_bytes(b"signed")
    if how == "link":
        own.symlink_to(tmp_path / "signed.sif")
    else:
        own.write_bytes(b"signed")
    seen = []

    def verify(path: Path) -> str:
        reason = "" if path.read_bytes() == b"signed" else "not signed"
        seen.append(path)
        if len(seen) == 1 and how == "replaced":
            own.unlink()
        if len(seen) == 1 and how in {"replaced", "written to"}:
            own.write_bytes(b"evil!!")
        return reason

    images = Images(tmp_path / "images", verify=verify, copies=tmp_path / "copies")
    adas = replace(made, owner="ada", uid=os.getuid() + (how == "of another user"))

    def run() -> bytes:
        try:
            found = images.find(adas)
        except (ExtractorRefused, ImageMissing):
            return b"refused"
        assert found.digest == sha(found.root.read_bytes())
        return found.root.read_bytes()

    first = run()
    own.unlink()
    own.symlink_to(tmp_path / "images" / "base.sif")

    assert first == (b"signed" if how == "replaced" else b"refused")
    assert run() == b"refused"


@pytest.mark.parametrize(("size", "why"), [(10 << 40, "larger than 16 GB"), (1 << 30, "mostly holes")])
def test_an_own_image_that_costs_its_owner_nothing_is_refused_unread(
    tmp_path: Path, made: Manifest, size: int, why: str
) -> None:
    """A sparse image of a user's own is refused before anybody reads it, and the site's of any size is not."""
    own = tmp_path / "extractors" / "images" / "base.sif"
    own.parent.mkdir()
    own.touch()
    os.truncate(own, size)
    images = Images(tmp_path / "images")

    with pytest.raises(ExtractorRefused, match=why):
        images.find(replace(made, owner="ada", uid=os.getuid()))
    assert images.find(made).digest == sha(b"one")


@pytest.mark.parametrize("signed", [False, True])
def test_a_worker_s_look_reads_a_bounded_part_of_users_images(
    tmp_path: Path, made: Manifest, monkeypatch: pytest.MonkeyPatch, *, signed: bool
) -> None:
    """Beyond that each own image is read by the jobs that run it; what was read once is known for nothing."""
    monkeypatch.setattr("workers.container.OWN_BYTES_AT_ONCE", 10)
    verify = (lambda _: "") if signed else None
    images = Images(tmp_path / "images", verify=verify, copies=tmp_path / "copies")
    (tmp_path / "extractors" / "images").mkdir()
    own = [replace(made, owner="ada", uid=os.getuid(), image=name) for name in ("one", "two", "three")]
    for manifest in own:
        (tmp_path / "extractors" / "images" / f"{manifest.image}.sif").write_bytes(b"six..." + os.urandom(2))

    runtime = ContainerRuntime(images, None, program=str(stand_in(tmp_path)))
    left = []
    for _ in range(3):
        runtime.prepare([made, *own])
        left.append(sum(images.unknown_bytes(manifest) for manifest in own))

    assert left == [16, 8, 0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only a worker that is root reads images of others")
def test_a_verified_copy_is_for_those_who_may_read_the_image(open_folder: Path) -> None:
    """A user's own image is copied for that user alone, and nobody but the worker can change a copy."""
    made = write_extractor(open_folder / "extractors", "ours", "", image='"x"')
    for place in (open_folder / "extractors" / "images" / "x.sif", open_folder / "images" / "x.sif"):
        place.parent.mkdir()
        place.write_bytes(b"an image")
    os.chown(open_folder / "extractors" / "images" / "x.sif", 4321, 4321)
    images = Images(open_folder / "images", verify=lambda _: "", copies=open_folder / "copies")

    adas, sites = images.find(replace(made, owner="ada", uid=4321)).root, images.find(made).root

    assert adas != sites
    assert [[may(uid, "-r", path) for uid in (4321, 4322)] for path in (adas, sites)] == [
        [True, False],
        [True, True],
    ]
    assert not any(may(uid, "-w", path) for uid in (4321, 4322) for path in (adas, sites, adas.parent))


def may(uid: int, right: str, path: Path) -> bool:
    """Whether a process of that user has a right to a file."""
    return not subprocess.run(["test", right, path], user=uid, group=uid, extra_groups=[], check=False).returncode


def test_unpacked_image_is_run_and_the_sif_is_recorded(tmp_path: Path, made: Manifest) -> None:
    """An image in the cache is what is started; path and digest stay the SIF's; a user's own runs from the SIF."""
    cache = tmp_path / "cache"
    (cache / sha(b"one")).mkdir(parents=True)
    images = Images(tmp_path / "images", cache=ImageCache(cache, "none"))

    found = images.find(made)

    assert (found.path.name, found.digest, found.root) == ("base.sif", sha(b"one"), cache / sha(b"one"))
    assert images.packed(made) == ""
    assert images.find(replace(made, owner="ada", uid=1)).root == found.path
    (tmp_path / "images" / "base.sif").write_bytes(b"two")
    assert images.packed(made) == sha(b"two")
    assert images.find(made).root == found.path


def test_own_image_lies_beside_own_extractors(tmp_path: Path, made: Manifest) -> None:
    """A user's image of the same name comes before the site's for that user's extractors, but not by a link."""
    own = tmp_path / "extractors" / "images"
    own.mkdir()
    (own / "base.sif").write_bytes(b"own")
    images = Images(tmp_path / "images")
    adas = replace(made, owner="ada", uid=os.getuid())

    assert (images.find(adas).digest, images.find(made).digest) == (sha(b"own"), sha(b"one"))
    (own / "base.sif").unlink()
    (own / "base.sif").symlink_to("/etc/shadow")
    assert images.find(adas).digest == ""


def test_cache_that_others_could_fill_is_not_used(tmp_path: Path) -> None:
    """A cache folder that others may write to is refused in a sentence, and nothing is unpacked there."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)

    said = ImageCache(tmp_path / "cache", "none").make(tmp_path / "x.sif", "0")

    assert "others may write to it" in said
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_that_nobody_uses_are_removed_in_the_end(tmp_path: Path) -> None:
    """What no worker has used for a week goes; what is used stays, and so does what another worker used lately."""
    for digest in ("used", "lately", "old"):
        (tmp_path / digest / "usr").mkdir(parents=True)
        (tmp_path / digest / "usr").chmod(0o555)
        (tmp_path / f"{digest}.lock").touch()
    now = time.time()
    for digest in ("used", "old"):
        os.utime(tmp_path / f"{digest}.lock", (0, now - KEEP_SECONDS - 1))

    assert ImageCache(tmp_path, "none").prune({"used"}, now) == ["old"]

    assert {path.name for path in tmp_path.iterdir()} == {"used", "used.lock", "lately", "lately.lock"}
