"""Images in the node's cache: unpacked once, harmless, read-only to what runs in them; and signatures, for real."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lustre_events.catalog.manifest import Manifest
from lustre_events.catalog.signature import refusal
from lustre_events.errors import ExtractorRefused
from lustre_events.sources.local_fid import fid_of_fd
from tests.support.need import need
from tests.support.service.images import write_extractor, write_file
from workers.container import ContainerRuntime
from workers.files import Files
from workers.images import Images
from workers.privileges import account_for
from workers.runs import RunOutcome
from workers.unpacked import ImageCache

pytestmark = pytest.mark.apptainer

SPOIL = """["sh", "-c", 'ok=no; echo x 2>/dev/null >/open/new && ok=yes; printf "{\\"wrote\\": \\"%s\\"}" $ok']"""


@pytest.fixture(scope="module")
def place(tiny_image: Path) -> Iterator[Path]:
    """A folder that everybody may look into, with the tiny image in `images`."""
    folder = Path(tempfile.mkdtemp(prefix="lustre-events-test-"))
    folder.chmod(0o755)
    (folder / "images").mkdir(mode=0o755)
    shutil.copy(tiny_image, folder / "images" / "tiny.sif")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def spoiler(place: Path) -> Manifest:
    """An extractor that tries to write into its image, where everybody could write in the SIF."""
    return write_extractor(
        place / "extractors", "spoiler", "", image='"tiny"', contract='"single"', command=SPOIL
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(place: Path) -> ImageCache:
    """The cache, empty at first."""
    return ImageCache(place / "cache", need("apptainer"), account_for("nobody"))


def run(runtime: ContainerRuntime, manifest: Manifest, folder: Path) -> RunOutcome:
    """Run an extractor over one file."""
    file = Files(os.fsencode(folder), fid_of_fd).open(write_file(folder, b"file", b"x"))
    assert file is not None
    with file:
        return runtime.run(manifest, [file], 30)[0]


def test_image_is_unpacked_once_and_harmless(place: Path, spoiler: Manifest, cache: ImageCache) -> None:
    """Of two workers one unpacks; what is there is the worker's, sets no ID, and nobody else may add to it."""
    images = Images(place / "images", cache=cache)
    said: list[str] = []
    both = [threading.Thread(target=lambda: said.append(images.unpack(spoiler))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join(60)

    sif = place / "images" / "tiny.sif"
    digest = hashlib.sha256(sif.read_bytes()).hexdigest()
    found = images.find(spoiler, account_for("nobody"))
    facts = {path: path.lstat() for path in found.root.rglob("*") if not path.is_symlink()}
    assert said == ["", ""]
    assert sorted(path.name for path in (place / "cache").iterdir()) == [digest, f"{digest}.lock"]
    assert (found.path, found.digest, found.root) == (sif, digest, place / "cache" / digest)
    assert (found.root / "usr/bin/id").exists()
    assert {one.st_uid for one in facts.values()} == {os.geteuid()}
    assert not [path for path, one in facts.items() if one.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)]


def test_what_runs_in_it_cannot_change_it(place: Path, spoiler: Manifest, cache: ImageCache) -> None:
    """A container from the cache gives the SIF's answer and cannot write to its image; documents name the SIF."""
    images = Images(place / "images", cache=cache)
    assert images.unpack(spoiler) == ""
    packed = ContainerRuntime(Images(place / "images"), account_for("nobody"))
    unpacked = ContainerRuntime(images, account_for("nobody"))

    found = run(unpacked, spoiler, place)

    assert found == RunOutcome("ok", document={"wrote": "no"})
    assert found == run(packed, spoiler, place)
    assert unpacked.provenance(spoiler) == packed.provenance(spoiler)
    assert unpacked.packed([spoiler]) == set()


def test_damaged_image_is_said_and_leaves_nothing(place: Path, cache: ImageCache) -> None:
    """An image that cannot be unpacked is one sentence; nothing half unpacked stays."""
    (place / "damaged.sif").write_bytes((place / "images" / "tiny.sif").read_bytes()[:100_000])

    said = cache.make(place / "damaged.sif", "damaged")

    assert "damaged.sif cannot be unpacked, and so starts more slowly" in said
    assert not list((place / "cache").glob("*damaged*.new"))
    assert cache.find("damaged") is None


def test_only_signed_images_run(
    place: Path, spoiler: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unsigned image is refused in a sentence; signed by a known key it runs; changed after that it does not."""
    apptainer = need("apptainer")
    monkeypatch.setenv("APPTAINER_KEYSPATH", str(tmp_path / "keys"))
    (tmp_path / "keys").mkdir(mode=0o700)
    images = place / "signed"
    images.mkdir(mode=0o755)
    sif = images / "tiny.sif"
    shutil.copy(place / "images" / "tiny.sif", sif)

    def image() -> str:
        return Images(images, verify=partial(refusal, apptainer), copies=tmp_path / "copies").find(spoiler).digest

    with pytest.raises(ExtractorRefused, match=r"tiny\.sif: its signature does not hold"):
        image()
    new = ["key", "newpair", "--name", "Site", "--email", "site@example.org", "--comment", "", "--password", "",
           "--push=false", "--bit-length", "2048"]  # fmt: skip
    for words in (new, ["sign", "--keyidx", "0", str(sif)]):
        subprocess.run([apptainer, *words], check=True, capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert image() == hashlib.sha256(sif.read_bytes()).hexdigest()
    with sif.open("r+b") as file:
        file.seek(-200_000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    with pytest.raises(ExtractorRefused, match="its signature does not hold"):
        image()
