"""What pages show of a document's preview: of our extractors all of it, of hostile ones only what is safe."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from PIL import Image

from lustre_events.catalog import shipped
from lustre_events.web import thumbnails
from lustre_events.web.highlight import marked, words_in
from lustre_events.web.previews import MOST_BRANCHES, MOST_POINTS, Line, Preview, preview_of
from tests.support.rows import each_row
from tests.support.service.pictures import jpeg, png, with_picture


def shown_lines(*lines: Any) -> tuple[Line, ...]:
    """Return what is shown of lines."""
    return preview_of({"preview": {"lines": list(lines)}}).lines


def test_previews_of_our_extractors_are_shown() -> None:
    """Each part of the preview of each of their documents is shown, and every picture is one for a browser."""
    seen = set()
    for golden in sorted(shipped.extractors().glob("*/golden/*.json")):
        body = json.loads(golden.read_text())
        parts = body.get("preview", {})
        shown = preview_of(body)
        lines = {line.name for line in shown.lines}
        lines |= {line.name for _, line in shown.table.columns if line} if shown.table else set()
        assert shown.picture == ("thumbnail" in parts), golden
        assert lines == {line["name"] for line in parts.get("lines", ())}, golden
        assert len(shown.tree) == len(parts.get("tree", ())), golden
        assert shown.excerpt == parts.get("excerpt", ""), golden
        assert (shown.table is not None) == ("table" in parts), golden
        seen |= parts.keys()
    assert seen == {"thumbnail", "table", "lines", "tree", "excerpt"}


@each_row("odd", [None, 7, "text", [], {}, [None, 7, "a", [], {}, [[]], {"path": 7, "low": "x"}]])
def test_a_preview_of_another_shape_is_not_shown(odd: object) -> None:
    """Whatever stands where a part should stand, the page has nothing to show of it, and no error."""
    assert preview_of({"preview": odd}) == Preview()
    parts = {"thumbnail": odd, "table": odd, "lines": odd, "tree": odd, "excerpt": None}
    assert preview_of({"preview": parts}) == Preview()
    table = preview_of({"preview": {"table": {"columns": ["a"], "rows": odd}}}).table
    assert table is not None
    assert all(len(row) <= 1 for row in table.rows)


@each_row("numbers", [[1e999], [float("nan")], [10**400], ["1"], [None, 1], []])
def test_a_line_that_cannot_be_drawn_is_left_out(numbers: list[Any]) -> None:
    """Infinite, too large and missing numbers give no line; the others beside it stay."""
    assert [line.name for line in shown_lines({"name": "bad", "low": numbers}, {"name": "good", "low": [1]})] == [
        "good"
    ]


def test_a_line_stays_inside_its_drawing() -> None:
    """The lowest number is at the bottom, the highest at the top, also where their distance is no float."""
    (wide,) = shown_lines({"name": "x", "low": [-1.7e308, 0, 1.7e308]})
    assert wide.points == "0.0,24.0 50.0,12.0 100.0,0.0"
    (band,) = shown_lines({"name": "x", "unit": "K", "low": [1, 1], "high": [2, 3]})
    assert (band.area, band.points) == (True, "0.0,24.0 100.0,24.0 100.0,0.0 0.0,12.0")
    (flat,) = shown_lines({"name": "x", "low": [5]})
    assert flat.points == "0.0,12.0 100.0,12.0"


def test_a_huge_preview_is_cut() -> None:
    """A page is never longer than what a preview may have."""
    tree = [{"path": "a/" * 400 + "b", "about": "x" * 5_000}] * 1_000
    shown = preview_of({"preview": {"tree": tree, "excerpt": "y" * 10**6, "lines": [{"low": [1] * 10**5}]}})
    assert (len(shown.tree), len(shown.excerpt), len(shown.lines[0].points.split())) == (
        MOST_BRANCHES,
        2_000,
        MOST_POINTS,
    )
    assert max(branch.depth for branch in shown.tree) == 8
    assert max(len(branch.about) for branch in shown.tree) == 200


@pytest.mark.parametrize(("content", "mime"), [(png(200, 100), "image/png"), (jpeg(200, 100), "image/jpeg")])
def test_a_picture_is_what_its_bytes_are(content: bytes, mime: str) -> None:
    """The type comes from the bytes, whatever the document says."""
    for said in ("image/png", "text/html"):
        found = thumbnails.of(with_picture(content, said))
        assert found is not None
        assert (found.mime, found.content) == (mime, content)


@each_row(
    "content",
    [
        b"",
        b"<html><script>alert(1)</script>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"GIF89a" + bytes(20),
        png(100_000, 1),
        png(0, 5),
        jpeg(20_000, 20_000),
        jpeg(200, 100)[:12],
        b"\xff\xd8\xff" + b"\xff\xe0\x00\x00" * 5_000,
        png(10, 10) + bytes(60_000),
    ],
)
def test_what_is_no_small_picture_is_refused(content: bytes) -> None:
    """Markup, other formats, torn pictures, those that unpack to gigabytes and those too long are not given out."""
    assert thumbnails.of(with_picture(content)) is None


def test_a_picture_has_the_size_that_a_decoder_finds() -> None:
    """Behind a marker without a length a decoder goes on at once, and finds another frame than who takes one."""
    frame = b"\xff\xc0\x00\x0b\x08" + 2 * (5_000).to_bytes(2) + b"\x01\x01\x11\x00"
    begun = b"\xff\xd8\xff\xd0\x00\x40" + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
    content = begun.ljust(4 + 0x40, b"\0") + jpeg(200, 100)[2:]
    with Image.open(io.BytesIO(content)) as decoded:
        assert decoded.size == (5_000, 5_000)
    assert thumbnails.of(with_picture(content)) is None


def test_base64_that_is_none_is_refused() -> None:
    """Characters that are no base64 make no picture."""
    for text in ("!!", "iVBOR", "\ud800", 5):
        assert thumbnails.of({"preview": {"thumbnail": {"mime": "image/png", "base64": text}}}) is None


@each_row(
    ("query", "text", "found"),
    [
        ("température", "La Temperature, TEMPÉRATURES", ["Temperature"]),
        ("name:x AND title:Müller", "Muller und müller", ["Muller", "müller"]),
        ("temp*", "the temperature of tempera", ["temperature", "tempera"]),
        ("温度", "表面温度です", ["温", "度"]),
        ("columns:net_radiation", "net_radiation in W", ["net", "radiation"]),
        ("NOT noise AND size:>5", "noise 5", []),
        ("size:[1 TO", "1 TO", []),
        ("", "text", []),
    ],
)
def test_words_of_a_query_are_marked(query: str, text: str, found: list[str]) -> None:
    """Words are found as the search finds them, and no character of the text is lost."""
    pieces = marked(text, words_in(query))
    assert [piece for piece, is_marked in pieces if is_marked] == found
    assert "".join(piece for piece, _ in pieces) == text
