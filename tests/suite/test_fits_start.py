"""The extractor `fits` imports a part of astropy only, and reads with it what the whole of it reads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import astropy.io.fits

from tests.support.service.images import EXTRACTORS

FILES = sorted((Path(astropy.io.fits.__file__).parent / "tests" / "data").glob("*.fits"))
TELL = """
def told(fits, path):
    found = []
    with fits.open(path, memmap=False, disable_image_compression=True) as units:
        for unit in units:
            found.append((type(unit).__name__, unit.name, unit.header.tostring()))
    return found

import sys, warnings
warnings.simplefilter("ignore")
for path in sys.argv[1:]:
    try:
        print(path, told(fits, path))
    except (OSError, ValueError, fits.VerifyError) as exc:
        print(path, type(exc).__name__)
"""
PART = f"""
import sys
sys.path += [{str(EXTRACTORS / "fits")!r}, {str(EXTRACTORS / "base")!r}]
from fits_astropy import fits
assert not {{"astropy.units", "astropy.logger", "importlib.metadata", "ssl"}} & set(sys.modules), "more is imported"
"""
WHOLE = "from astropy.io import fits\n"


def test_a_part_of_astropy_reads_what_the_whole_reads() -> None:
    """Types, names and headers of all units of astropy's own test files are the same."""
    assert len(FILES) > 20
    part, whole = (
        subprocess.run(
            [sys.executable, "-P", "-c", code + TELL, *map(str, FILES)],
            check=True, stdout=subprocess.PIPE, timeout=120,
        ).stdout
        for code in (PART, WHOLE)
    )  # fmt: skip
    assert part == whole


def test_who_imports_astropy_afterwards_gets_all_of_it() -> None:
    """Nothing stays in the place of astropy's packages, or of Python's."""
    code = f"{PART}import http.client, astropy.units\nprint(http.client.HTTPSConnection.__name__, astropy.units.m)"
    said = subprocess.run([sys.executable, "-P", "-c", code], check=True, stdout=subprocess.PIPE, timeout=120)
    assert said.stdout.split() == [b"HTTPSConnection", b"m"]
