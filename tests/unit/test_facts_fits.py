"""Facts of FITS: what was written is what the document says, in any unit and within gzip."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import Later
from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS

fits, u, coordinates = Later("astropy.io.fits"), Later("astropy.units"), Later("astropy.coordinates")
extractor, common = Later("fits", "fits"), Later("fits_common", "fits")
quick = examples(30, HealthCheck.function_scoped_fixture)
CARDS = st.dictionaries(
    st.text("ABCXYZ_", min_size=1, max_size=8).filter(lambda key: not key.startswith(("SIMPLE", "END"))),
    st.one_of(
        st.booleans(), st.integers(-(1 << 70), 1 << 70), st.text("abc .-", max_size=60).map(str.rstrip),
        st.floats(-1e30, 1e30).map(lambda number: float(f"{number:.10G}")),
    ),
    max_size=300,
)  # fmt: skip


@pytest.mark.long
@quick
@given(
    cards=CARDS, rows=st.lists(st.tuples(st.integers(-1000, 1000), st.floats(-1e3, 1e3)), min_size=1, max_size=80)
)
def test_a_random_file_is_told_as_it_was_written(
    tmp_path: Path, cards: dict[str, Any], rows: list[tuple[int, float]]
) -> None:
    """Every keyword is there, whole numbers exactly; so are the rows of a table, within gzip too."""
    header = fits.Header(list(cards.items()))
    columns = [fits.Column("n", "K", unit="m", array=[n for n, _ in rows]),
               fits.Column("x", "D", array=[x for _, x in rows])]  # fmt: skip
    table = fits.BinTableHDU.from_columns(columns, name="ROWS")
    fits.HDUList([fits.PrimaryHDU(header=header), table]).writeto(tmp_path / "a.fits", overwrite=True)
    (tmp_path / "a.gz").write_bytes(gzip.compress((tmp_path / "a.fits").read_bytes()))

    found = extractor.extract(str(tmp_path / "a.fits"))

    assert {**found, "compression": "gzip"} == extractor.extract(str(tmp_path / "a.gz"))
    assert found["header"] == {
        key: str(value) if type(value) is int and abs(value) >= 1 << 63 and value != -(1 << 63) else value
        for key, value in cards.items()
    }
    assert found["unit"]["ROWS"]["rows"] == len(rows)
    assert found["preview"]["table"] == {"columns": ["n", "x"], "rows": [list(row) for row in rows[:10]]}
    for line, place in zip(found["preview"].get("lines", []), (0, 1), strict=False):
        assert line["count"] == len(rows)
        assert min(line["low"]) == pytest.approx(min(row[place] for row in rows), rel=1e-5)
    assert found["common"]["units"] == ["m"]
    assert "partial" not in found


@quick
@given(
    frame=st.sampled_from([("G", "galactic"), ("E", "barycentrictrueecliptic")]), longitude=st.floats(0, 360),
    latitude=st.floats(-89, 89),
)  # fmt: skip
def test_places_on_the_sky_are_those_of_astropy(frame: tuple[str, str], longitude: float, latitude: float) -> None:
    """Galactic coordinates are converted to a tenth of an arcsecond, ecliptic ones to some arcseconds."""
    place = coordinates.SkyCoord(longitude * u.deg, latitude * u.deg, frame=frame[1])
    ra, dec = common.equatorial(frame[0], longitude, latitude)
    away = place.icrs.separation(coordinates.SkyCoord(ra * u.deg, dec * u.deg)).arcsec
    assert away < (0.1 if frame[0] == "G" else 30)


@each_row(
    ("cards", "start"),
    [
        ({"DATE-OBS": "2026-01-02T03:04:05.5"}, "2026-01-02T03:04:05.5Z"),
        ({"DATE-OBS": "2026-01-02"}, "2026-01-02"),
        ({"DATE-OBS": "31/12/98", "UT": "23:59:59"}, "1998-12-31T23:59:59Z"),
        ({"DATE-OBS": "2026-01-02T03:04:05", "TIMESYS": "TT"}, "2026-01-02T03:04:05"),
        ({"DATE-OBS": "2026-01-02", "DATE-BEG": "2026-01-02T01:00:00"}, "2026-01-02T01:00:00Z"),
        ({"MJD-OBS": 51544.5}, "2000-01-01T12:00:00Z"), ({"DATE-OBS": "some day"}, None), ({"DATE-OBS": 7}, None),
    ],
)  # fmt: skip
def test_times_are_those_of_the_standard(cards: dict[str, Any], start: str | None) -> None:
    """Dates of all forms are read; they are in UTC unless TIMESYS says else; none is guessed."""
    assert common.from_keywords([{}, cards]).get("start") == start


def test_instrument_and_sample_may_stand_in_any_unit_and_long_lists_are_named(tmp_path: Path) -> None:
    """Keywords of an extension fill `common`; keywords and columns beyond the room are counted in `partial`."""
    header = fits.Header([("OBJECT", "M 31"), ("INSTRUME", "WFC"), ("TELESCOP", "HST"), ("CREATOR", "pipe 7")])
    header.extend([(f"KEY{number}", number) for number in range(1100)])
    picture = fits.ImageHDU(np.arange(64.0).reshape(8, 8), header, name="SCI")
    fits.HDUList([fits.PrimaryHDU(), picture]).writeto(tmp_path / "a.fits")

    found = extractor.extract(str(tmp_path / "a.fits"))

    assert found["common"] == {"sample": ["M 31"], "instrument": ["WFC", "HST"], "software": ["pipe 7"]}
    assert found["unit"]["SCI"]["header"]["KEY900"] == 900
    assert found["partial"] == "105 keywords of SCI are cut or left out"
    assert found["preview"]["thumbnail"]["mime"] == "image/jpeg"


def test_random_groups_are_no_image(tmp_path: Path) -> None:
    """Groups are told by their number and the axes of one, as astropy has them."""
    data = fits.GroupData(np.zeros((3, 1, 4, 2), np.float32), parnames=["UU"], pardata=[np.zeros(3)], bitpix=-32)
    fits.GroupsHDU(data).writeto(tmp_path / "a.fits")
    (unit,) = extractor.extract(str(tmp_path / "a.fits"))["unit"].values()

    assert (unit["type"], unit["axes"], unit["groups"]) == (
        "groups",
        [2, 4, 1],
        len(fits.getdata(tmp_path / "a.fits")),
    )


def test_a_blank_keyword_says_nothing(tmp_path: Path) -> None:
    """A unit, axis or system whose keyword is there but blank is absent, as it is for astropy."""
    table = fits.BinTableHDU.from_columns([fits.Column("flux", "D", array=[1.0])], name="ROWS")
    table.header.insert("TFORM1", ("TUNIT1", ""), after=True)
    cards = {"CTYPE1": "", "CRVAL1": 1.0, "CUNIT1": "  ", "RADESYS": "", "EQUINOX": 2000.0}
    fits.HDUList([fits.PrimaryHDU(np.zeros((2, 2)), fits.Header(cards)), table]).writeto(tmp_path / "a.fits")

    first, rows = extractor.extract(str(tmp_path / "a.fits"))["unit"].values()

    assert rows["column"] == {"flux": {"format": "D"}}
    assert first["wcs"] == {"axis1": {"crval": 1.0}, "equinox": 2000.0}
    with fits.open(tmp_path / "a.fits") as file:
        assert not file["ROWS"].columns["flux"].unit


def test_a_program_in_origin_is_no_creator() -> None:
    """Programs write their own names where the standard has the institution; people come before it."""
    kernel = "NOAO-IRAF FITS Image Kernel July 2003"
    assert common.from_keywords([{"ORIGIN": kernel}]) | {"created": None} == {
        "software": [kernel], "doi": [], "created": None,
    }  # fmt: skip
    assert common.from_keywords([{"ORIGIN": "ESO", "OBSERVER": "Noether"}])["creator"] == "Noether"


@each_row("kind", ["uint16", "uint32", "uint64", "int8", "int16", "float32"])
def test_types_are_those_that_astropy_reads(tmp_path: Path, kind: str) -> None:
    """Whole numbers that a shift gives another sign have the type that is meant, compressed or not."""
    data = np.arange(100).reshape(10, 10).astype(kind)
    hdus = [fits.PrimaryHDU(data), fits.CompImageHDU(data, name="PACKED")]
    fits.HDUList(hdus[: 1 if kind in {"uint64", "int8"} else 2]).writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits") as file:
        expected = [str(hdu.data.dtype.name) for hdu in file if hdu.data is not None]
    found = extractor.extract(str(tmp_path / "a.fits"))
    assert [one["dtype"] for one in found["unit"].values()] == expected
    assert expected[0] == kind


def test_a_compressed_table_is_the_table_that_it_was(tmp_path: Path) -> None:
    """Rows and formats of a compressed table are those before it was compressed (FITS standard 4.0, 10.3)."""
    packed = fits.BinTableHDU.from_columns([fits.Column("flux", "1PB", array=[np.arange(3)])], name="PACKED").header
    for key, value in (("ZTABLE", True), ("ZNAXIS1", 8), ("ZNAXIS2", 1000), ("ZPCOUNT", 0), ("ZFORM1", "1D"),
                       ("ZCTYP1", "GZIP_2"), ("ZTILELEN", 1000)):  # fmt: skip
        packed[key] = value
    hdu = fits.BinTableHDU.from_columns([fits.Column("flux", "1PB", array=[np.arange(3)])], header=packed)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    found = extractor.extract(str(tmp_path / "a.fits"))["unit"]["PACKED"]
    assert (found["rows"], found["column"]["flux"]["format"], found["compression"]) == (1000, "1D", "GZIP_2")


@pytest.mark.parametrize(
    ("cards", "frame"),
    [
        ({"EQUINOX": 1950.0}, "fk4"), ({"RADECSYS": "FK4", "EPOCH": 1950.0}, "fk4"), ({"RADESYS": "FK5"}, "fk5"),
        ({"EQUINOX": 2024.25}, "J2024.25"), ({"RADESYS": "FK5", "EQUINOX": "J2010.5"}, "J2010.5"),
        ({"RADESYS": "ICRS", "EQUINOX": 1950.0}, "icrs"),
    ],
)  # fmt: skip
@quick
@given(ra=st.floats(0, 359.99), dec=st.floats(-89, 89))
def test_places_of_other_equinoxes_are_those_of_j2000(
    cards: dict[str, Any], frame: str, ra: float, dec: float
) -> None:
    """Right ascension and declination are in ICRS within an arcsecond, whatever equinox a header is in."""
    header = fits.Header({"CTYPE1": "RA---TAN", "CRVAL1": ra, "CTYPE2": "DEC--TAN", "CRVAL2": dec} | cards)
    found = common.place_on_sky(extractor.wcs(extractor.Keywords(header)))
    known = coordinates.FK5(equinox=frame) if frame.startswith("J") else frame
    expected = coordinates.SkyCoord(ra * u.deg, dec * u.deg, frame=known).icrs
    assert (
        coordinates.SkyCoord(found["ra_deg"] * u.deg, found["dec_deg"] * u.deg).separation(expected) < 1 * u.arcsec
    )


def test_a_place_in_an_unknown_system_is_not_guessed() -> None:
    """Apparent places, and those of FK4 at another equinox, have no right ascension in J2000."""
    header = {"CTYPE1": "RA---TAN", "CRVAL1": 10.0, "CTYPE2": "DEC--TAN", "CRVAL2": 20.0}
    for cards in ({"RADESYS": "GAPPT"}, {"RADESYS": "FK4", "EQUINOX": 1975.0}, {"EQUINOX": "of date"}):
        assert common.place_on_sky(extractor.wcs(extractor.Keywords(fits.Header(header | cards)))) == {}


@each_row("equinox", ["nan", "inf", "-inf", 20000.0, 0.0, 1799.9, "of date"])
def test_an_equinox_that_is_no_year_gives_no_place(tmp_path: Path, equinox: Any) -> None:
    """A file whose EQUINOX is not a year from 1800 to 2100 keeps its document, without a place, and says why."""
    cards = {"CTYPE1": "RA---TAN", "CRVAL1": 10.0, "CTYPE2": "DEC--TAN", "CRVAL2": 20.0, "EQUINOX": equinox}
    fits.PrimaryHDU(header=fits.Header(cards)).writeto(tmp_path / "a.fits")
    found = extractor.extract(str(tmp_path / "a.fits"))
    assert not {"ra_deg", "dec_deg"} & set(found)
    assert found["header"]["CRVAL1"] == 10.0
    assert found["partial"] == (
        f"its place on the sky is left out: the equinox {equinox} is not a year from 1800 to 2100"
    )


@pytest.mark.long
def test_reading_starts_without_what_reaches_the_net() -> None:
    """The program imports neither astropy's units nor TLS, and who imports astropy's downloads later has them."""
    places = [str(EXTRACTORS / "base"), str(EXTRACTORS / "fits")]
    code = f"""
import sys
sys.path += {places!r}
import fits
assert not {{"astropy.units", "ssl"}} & set(sys.modules), "they are imported"
import http.client
import astropy.utils.data
assert http.client.HTTPSConnection and astropy.utils.data.download_file.__module__ == "astropy.utils.data"
from astropy.io import fits as known
assert known is fits.fits
"""
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
