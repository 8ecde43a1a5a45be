"""Feeds of saved searches: what they find now with their user's own view, as Atom (RFC 4287) and as JSON Feed."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import Element, SubElement, tostring

from lustre_events.domain.bounds import within
from lustre_events.domain.times import SECOND_NS
from lustre_events.index.mount import Mount
from lustre_events.index.search.hits import Hit, hit_json
from lustre_events.index.visibility import Viewer
from lustre_events.web.rendering import path_text

ATOM = "http://www.w3.org/2005/Atom"
MOST_TOLD = 16 << 10
"""Characters of a file's documents in a feed; longer ones are on the file's page."""
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Item:
    """One content of one file."""

    fid: str
    mtime_ns: int
    path: bytes
    told: str

    @property
    def address(self) -> str:
        """The file's page in the console."""
        return f"/file/{quote(self.fid, safe='')}"

    @property
    def when(self) -> str:
        """When its content was written."""
        return _time(self.mtime_ns)


def newest(site: Any, query: str, viewer: Viewer, limit: int) -> list[Item]:
    """Return what a query finds now, the newest first."""
    mount = Mount.at(site.mount)
    with site.search() as index:
        page = index.page(mount.query(query), limit=limit, sort="-mtime", visible_to=viewer)
    return [_item(mount.placed(hit)) for hit in page.hits]


def _item(hit: Hit) -> Item:
    documents = json.dumps(hit_json(hit)["documents"], ensure_ascii=False)
    told = documents if len(documents) <= MOST_TOLD else ""
    return Item(str(hit.fid), hit.mtime_ns or 0, hit.paths[0], told)


def _time(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(within(time_ns) // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%SZ}"


def json_feed(name: str, items: Sequence[Item]) -> dict[str, Any]:
    """Return items as a JSON Feed."""
    told = [
        {"id": f"{each.fid}:{each.mtime_ns}", "url": each.address, "title": path_text(each.path),
         "content_text": each.told, "date_modified": each.when}
        for each in items
    ]  # fmt: skip
    return {"version": "https://jsonfeed.org/version/1.1", "title": name, "items": told}


@dataclass(frozen=True, slots=True)
class Heading:
    """What an Atom feed says of itself. `root`: the console's address, `id`: the same for ever."""

    title: str
    root: str
    id: str
    made_ns: int


def atom(heading: Heading, items: Sequence[Item]) -> bytes:
    """Return items as an Atom feed; its ids name neither the console's address nor a path."""
    feed = Element("feed", xmlns=ATOM)
    _add(feed, "id", _id(heading.id))
    _add(feed, "title", heading.title)
    _add(feed, "updated", max((each.when for each in items), default=_time(heading.made_ns)))
    _add(SubElement(feed, "author"), "name", "lustre-events")
    for each in items:
        entry = SubElement(feed, "entry")
        _add(entry, "id", _id(f"{heading.id}\0{each.fid}\0{each.mtime_ns}"))
        _add(entry, "title", path_text(each.path))
        _add(entry, "updated", each.when)
        SubElement(entry, "link", href=heading.root.rstrip("/") + each.address)
        _add(entry, "content", each.told)
    return bytes(tostring(feed, encoding="utf-8", xml_declaration=True))


def _id(text: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"lustre-events:{text}").urn


def _add(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = _NO_XML.sub("\ufffd", text)
