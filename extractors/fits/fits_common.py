"""What the keywords of FITS say under the keys of `common` (FITS standard 4.0, sections 4.4 and 9)."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

import extractor_facts as facts

# The first keyword that has a value counts; those of a list all count
TEXTS = {
    "title": ("TITLE",),
    "creator": ("OBSERVER", "AUTHOR", "ORIGIN"),
    "instrument": ("INSTRUME", "TELESCOP"),
    "sample": ("OBJECT",),
    "technique": ("OBSTYPE", "OBS_TYPE", "EXP_TYPE", "OBSMODE", "OBS_MODE"),
    "software": ("CREATOR", "PROGRAM", "SOFTWARE"),
}
ALL = ("instrument", "software")
PROGRAMS = re.compile(r"\bFITS Image Kernel\b|STSDAS|\bIRAF\b|\bAIPS")  # that write their names into ORIGIN
DOIS = ("DOI", "REFERENC")
OLD_DATE = re.compile(r"(\d\d)/(\d\d)/(\d\d)")  # of the twentieth century, DD/MM/YY
MJD_OF_1970 = 40587
J2000 = 2451545.0  # as a Julian date
# Directions of axes of the galaxy in ICRS coordinates (Hipparcos catalogue, 1.5.3); the obliquity of J2000
GALAXY = (
    (-0.0548755604, -0.8734370902, -0.4838350155),
    (0.4941094279, -0.4448296300, 0.7469822445),
    (-0.8676661490, -0.1980763734, 0.4559837762),
)
EQUINOXES = (1800, 2100)  # the years of catalogues; others are errors
OBLIQUITY = math.radians(23.4392911)


def from_keywords(headers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the headers of all units say, that of the first unit first."""
    headers = list(headers)
    found: dict[str, Any] = {}
    for key, names in TEXTS.items():
        values = [value for name in names if (value := _first(headers, name)) and isinstance(value, str)]
        if key == "creator":
            values = [value for value in values if not PROGRAMS.search(value)]
        if key == "software" and PROGRAMS.search(str(_first(headers, "ORIGIN"))):
            values.append(str(_first(headers, "ORIGIN")))
        if values:
            found[key] = values if key in ALL else values[0]
    found["doi"] = [value for name in DOIS if isinstance(value := _first(headers, name), str)]
    zone = "" if str(_first(headers, "TIMESYS") or "UTC").strip().upper() not in {"UTC", "UT", "GMT"} else "Z"
    for key, names in (("start", ("DATE-BEG", "DATE-OBS", "DATE_OBS", "MJD-BEG", "MJD-OBS")),
                       ("end", ("DATE-END", "MJD-END"))):  # fmt: skip
        for name in names:
            if when := moment(headers, name, zone):
                found[key] = when
                break
    found["created"] = moment(headers, "DATE", "Z")  # which is in UTC by the standard
    return found


def _first(headers: Iterable[Mapping[str, Any]], name: str) -> Any:
    for header in headers:
        value = header.get(name)
        if value is not None and value != "" and not (isinstance(value, str) and not value.strip()):
            return value
    return None


def moment(headers: list[Mapping[str, Any]], name: str, zone: str) -> str | None:
    """Return a time: a date of the standard or the old one, with a time of its own; or a day's modified number."""
    value = _first(headers, name)
    if name.startswith("MJD"):
        is_day = isinstance(value, (int, float)) and not isinstance(value, bool)
        when = facts.epoch((value - MJD_OF_1970) * 86400) if is_day else None
        return when if when is None or zone else when.removesuffix("Z")
    if not isinstance(value, str):
        return None
    word = value.strip()
    if old := OLD_DATE.fullmatch(word):
        word = f"19{old[3]}-{old[2]}-{old[1]}"
    clock = next(
        (clock for key in ("TIME-OBS", "UTC-OBS", "UT") if isinstance(clock := _first(headers, key), str)), ""
    )
    if name == "DATE-OBS" and "T" not in word and facts.moment(f"{word}T{clock.strip()}"):
        word = f"{word}T{clock.strip()}"
    return facts.moment(word + zone) if "T" in word else facts.moment(word)


def equatorial(system: str, longitude: float, latitude: float) -> tuple[float, float]:
    """Return right ascension and declination (ICRS, to some milliarcseconds) of a place on the sky, in degrees."""
    angle, height = math.radians(longitude), math.radians(latitude)
    x, y, z = math.cos(angle) * math.cos(height), math.sin(angle) * math.cos(height), math.sin(height)
    if system == "G":
        x, y, z = (sum(a * GALAXY[row][place] for row, a in enumerate((x, y, z))) for place in range(3))
    else:
        y, z = (
            y * math.cos(OBLIQUITY) - z * math.sin(OBLIQUITY),
            y * math.sin(OBLIQUITY) + z * math.cos(OBLIQUITY),
        )
    return round(math.degrees(math.atan2(y, x)) % 360, 7), round(math.degrees(math.asin(max(-1.0, min(1.0, z)))), 7)


def equinox_of(wcs: Mapping[str, Any]) -> float | None:
    """Return the year of the equinox; None where none is said.

    Raises:
        ValueError: it is not a year between 1800 and 2100.
    """
    if "equinox" not in wcs:
        return None
    said = str(wcs["equinox"]).strip()
    try:
        year = float(said.upper().lstrip("JB"))
    except ValueError:
        year = math.nan
    if not EQUINOXES[0] <= year <= EQUINOXES[1]:
        raise ValueError(
            f"its place on the sky is left out: the equinox {facts.text(said, 80)} is not a year from 1800 to 2100"
        )
    return year


def why_no_place(wcs: Mapping[str, Any]) -> str:
    """Return why a header with coordinates has no place, where its equinox is to blame; else nothing."""
    try:
        equinox_of(wcs)
    except ValueError as exc:
        without = {key: value for key, value in wcs.items() if key != "equinox"}
        return str(exc) if place_on_sky(without) and not place_on_sky(wcs) else ""
    return ""


def of_equinox(wcs: Mapping[str, Any], longitude: float, latitude: float) -> tuple[float, float] | None:
    """Return right ascension and declination in J2000; None for systems whose place in it is not known.

    Without RADESYS the equinox says which it is (FITS standard 4.0, 8.3).
    """
    system = str(wcs.get("radesys", "")).strip().upper()
    if system == "ICRS":  # which has no equinox
        return longitude, latitude
    try:
        equinox = equinox_of(wcs)
    except ValueError:
        return None
    old = equinox is not None and equinox < 1984
    system = system or ("FK4" if old else "FK5" if equinox else "ICRS")
    if system == "ICRS" or (system == "FK5" and equinox in (None, 2000.0)):
        return longitude, latitude
    if system not in {"FK4", "FK5"} or (system == "FK4" and equinox not in (None, 1950.0)):
        return None
    import erfa  # noqa: PLC0415 - few files need it

    angles = math.radians(longitude), math.radians(latitude)
    if system == "FK4":
        ra, dec = erfa.fk45z(*angles, 1950.0)
    else:
        zeta, z, theta = erfa.prec76(J2000, 0.0, J2000 + (equinox - 2000.0) * 365.25, 0.0)
        turn = erfa.rz(-z, erfa.ry(theta, erfa.rz(-zeta, erfa.ir())))
        ra, dec = erfa.c2s(erfa.trxp(turn, erfa.s2c(*angles)))
    return round(math.degrees(ra) % 360, 7), round(math.degrees(dec), 7)


def place_on_sky(wcs: Mapping[str, Any]) -> dict[str, float]:
    """Return right ascension and declination of the reference pixel; nothing where it has none in degrees."""
    found: dict[str, tuple[str, float]] = {}
    for axis in wcs.values():
        kind = axis.get("ctype") if isinstance(axis, dict) else None
        value = axis.get("crval") if isinstance(axis, dict) else None
        if not isinstance(kind, str) or not isinstance(value, (int, float)) or isinstance(value, bool):
            continue
        if str(axis.get("cunit", "deg")).strip().lower() not in {"deg", "degree", "degrees", ""}:
            continue
        for start, side, system in (("RA--", "lon", "R"), ("DEC-", "lat", "R"), ("GLON", "lon", "G"),
                                    ("GLAT", "lat", "G"), ("ELON", "lon", "E"), ("ELAT", "lat", "E")):  # fmt: skip
            if kind.ljust(4, "-")[:4] == start:
                found.setdefault(side, (system, float(value)))
    if len(found) != 2 or found["lon"][0] != found["lat"][0] or abs(found["lat"][1]) > 90:
        return {}
    system = found["lon"][0]
    if system == "E" and wcs.get("equinox", 2000.0) not in (2000, 2000.0):
        return {}
    longitude, latitude = found["lon"][1], found["lat"][1]
    place = of_equinox(wcs, longitude, latitude) if system == "R" else equatorial(system, longitude, latitude)
    return {"ra_deg": place[0], "dec_deg": place[1]} if place else {}
