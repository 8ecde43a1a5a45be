"""FITS files that nobody would write on purpose, for the tests of the suite."""

from __future__ import annotations

import gzip
from pathlib import Path

BLOCK = 2880


def _header(*cards: str) -> bytes:
    text = "".join(f"{card:<80}" for card in cards)
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode()


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    simple = "SIMPLE  =                    T"
    (folder / "no-end.fits").write_bytes(_header(simple) * 7000)
    huge = [f"NAXIS{place}  =  9223372036854775807" for place in (1, 2, 3)]
    (folder / "huge-axes.fits").write_bytes(_header(simple, "BITPIX  = 64", "NAXIS   = 3", *huge, "END"))
    many = [f"NAXIS{place:<3}= 2" for place in range(1, 1000)]
    (folder / "many-axes.fits").write_bytes(_header(simple, "BITPIX  = 8", "NAXIS   = 999", *many, "END"))
    negative = ["BITPIX  = -7", "NAXIS   = 2", "NAXIS1  = -5", "NAXIS2  = abc", "END"]
    (folder / "negative.fits").write_bytes(_header(simple, *negative))
    empty = _header(simple, "BITPIX  = 8", "NAXIS   = 0", "EXTEND  = T", "END")
    extension = _header("XTENSION= 'IMAGE   '", "BITPIX  = 8", "NAXIS   = 0", "PCOUNT  = 0", "GCOUNT  = 1", "END")
    (folder / "many-units.fits").write_bytes(empty + extension * 3000)
    fields = ["XTENSION= 'BINTABLE'", "BITPIX  = 8", "NAXIS   = 2", "NAXIS1  = 1", "NAXIS2  = 99999999999",
              "PCOUNT  = 0", "GCOUNT  = 1", "TFIELDS = 99999999"]  # fmt: skip
    (folder / "many-fields.fits").write_bytes(empty + _header(*fields, "END"))
    (folder / "bomb.fits.gz").write_bytes(gzip.compress(_header(simple) + bytes(60_000_000)))
    (folder / "torn.fits.gz").write_bytes(gzip.compress(empty + extension * 300)[:-20])
    cards = [f"K{number:07}= '{'x' * 60}'" for number in range(60_000)]
    (folder / "many-cards.fits").write_bytes(_header(simple, "BITPIX  = 8", "NAXIS   = 0", *cards, "END"))
    (folder / "loop.fits").write_bytes(
        _header(simple, "BITPIX  = 8", "NAXIS   = 0", "K = 'x&'") + b"CONTINUE" * 40_000
    )


def large(folder: Path, size_bytes: int) -> Path:
    """Write one image of `size_bytes`, sparse."""
    path = folder / "large.fits"
    rows = size_bytes // 4096
    with path.open("wb") as file:
        axes = [f"NAXIS1  = {4096:20}", f"NAXIS2  = {rows:20}"]
        file.write(
            _header("SIMPLE  =                    T", f"BITPIX  = {8:20}", f"NAXIS   = {2:20}", *axes, "END")
        )
        file.truncate(-(-(file.tell() + rows * 4096) // BLOCK) * BLOCK)
    return path
