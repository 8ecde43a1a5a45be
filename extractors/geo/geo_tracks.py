"""GPX and KML: tracks and places in XML."""

from __future__ import annotations

from typing import Any

import extractor_facts as facts
from extractor_batch import OutOfTime
from extractor_xml import Refused, Walk
from geo_crs import Box

COUNTED = {"wpt", "trk", "rte", "Placemark", "Point", "LineString", "Polygon", "Track"}
NAMED = {"name", "desc", "time", "description"}


class Tracks:
    """What a GPX or KML file has."""

    def __init__(self) -> None:
        self.format = ""
        self.counts: dict[str, int] = {}
        self.box = Box()
        self.path: list[str] = []
        self.said: dict[str, str] = {}
        self.text: list[str] = []
        self.times: list[str] = []
        self.rest = ""  # of coordinates, whose end is still to come
        self.points = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """Take the beginning of an element."""
        if not self.path:
            self.format = name.lower()
            if self.format not in {"gpx", "kml"}:
                raise Refused("it is XML, but neither GPX nor KML")
            if creator := facts.text(attributes.get("creator", "")):
                self.said["software"] = creator
        self.path.append(name)
        self.text = []
        if name in {"wpt", "trkpt", "rtept"}:
            self._point(attributes.get("lon", ""), attributes.get("lat", ""))
        if name in COUNTED:
            self.counts[name] = self.counts.get(name, 0) + 1

    def end(self, name: str, _: str) -> None:
        """Take the end of an element."""
        text = "".join(self.text)
        self.text = []
        if name == "coordinates":
            self._places(self.rest + " ")
            self.rest = ""
        elif name == "coord" and self.path[-2:-1] == ["Track"]:  # of Google's extension, blanks between the numbers
            self._point(*[*text.split(), "", ""][:2])
        elif name in {"time", "when", "begin", "end"} and "metadata" not in self.path:
            self._time(text)
        elif len(self.path) == 3 and self.path[1] in {"metadata", "Document"} and name in NAMED:
            self.said.setdefault(name, facts.text(text))
        elif self.path[-2:] == ["author", "name"] and "metadata" in self.path:
            self.said.setdefault("author", facts.text(text))
        self.path.pop()

    def characters(self, text: str) -> None:
        """Take text."""
        if self.path[-1:] == ["coordinates"]:
            whole = self.rest + text
            cut = max(whole.rfind(" "), whole.rfind("\n"), whole.rfind("\t"))
            if cut >= 0:
                self._places(whole[:cut])
            self.rest = whole[cut + 1 :][:1000]
        elif len(self.text) < 100:
            self.text.append(text[:4000])

    def _places(self, text: str) -> None:
        for place in text.split():
            self._point(*[*place.split(","), "", ""][:2])

    def _point(self, longitude: str, latitude: str) -> None:
        try:
            x, y = float(longitude), float(latitude)
        except ValueError:
            return
        if abs(x) <= 360 and abs(y) <= 90:
            self.points += 1
            self.box.add(x, y)

    def _time(self, text: str) -> None:
        """Keep the first and the last time; of one length and in UTC they sort as texts."""
        if moment := facts.moment(text):
            self.times = sorted([*self.times, moment])
            self.times = [self.times[0], self.times[-1]]

    def document(self) -> dict[str, Any]:
        """Return what was found."""
        found: dict[str, Any] = {"format": self.format, "points": self.points, "crs": "EPSG:4326", "degrees": True}
        names = {"wpt": "waypoints", "trk": "tracks", "rte": "routes", "Placemark": "features"}
        found |= {names[key]: count for key, count in self.counts.items() if key in names}
        kinds = {
            key: count for key, count in self.counts.items() if key in {"Point", "LineString", "Polygon", "Track"}
        }
        found |= {"geometries": kinds} if kinds else {}
        for key, name in (("name", "title"), ("desc", "description"), ("description", "description"),
                          ("software", "software"), ("author", "author")):  # fmt: skip
            if text := self.said.get(key):
                found.setdefault(name, text)
        if extent := self.box.extent():
            found["extent"] = extent
        if self.times:
            found |= {"start": self.times[0], "end": self.times[1]}
        return found


def tracks(stream: Any, reasons: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a GPX or KML file holds.

    Raises:
        ValueError: it is none.
    """
    found = Tracks()
    try:
        Walk(found.start, found.end, found.characters).read(stream)
    except Refused:
        raise
    except OutOfTime:
        reasons.append("time was up: points are counted as far as it went")
    except ValueError as exc:
        if found.format not in {"gpx", "kml"}:
            raise
        reasons.append(facts.text(str(exc)))
    return found.document(), {}
