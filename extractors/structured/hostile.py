"""Structured texts that nobody would write on purpose: bombs of aliases and entities, deep nests, endless names."""

from __future__ import annotations

import gzip
from pathlib import Path

ALIASES = b"a0: &a0 [x, x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (n, n, b",".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 30)
)
MERGES = b"m0: &m0 {k: 1}\n" + b"".join(
    b"m%d: &m%d {<<: [%s], k%d: 1}\n" % (n, n, b",".join(b"*m%d" % (n - 1) for _ in range(50)), n)
    for n in range(1, 400)
)
LAUGHS = b"<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]><x>&b;</x>"


def hostile(folder: Path) -> None:
    """Write them into `folder`."""
    makers = {
        "aliases.yaml": ALIASES,
        "merges.yaml": MERGES,
        "itself.yaml": b"a: &a\n  b: *a\n  <<: *a\n",
        "tag.yaml": b"!!python/object/apply:os.system ['true']\n",
        "tags.yaml": b"a: !!python/name:os.system x\nb: !!binary aGk=\nc: !x {d: !y [1]}\n",
        "lists.yaml": b"[" * 100_000,
        "deep.yaml": b"".join(b" " * n + b"k:\n" for n in range(1500)),
        "keys.yaml": b"".join(b"k%d: %d\n" % (n, n) for n in range(150_000)),
        "key.yaml": b"? [1, {a: b}]\n: c\n? {d: e}\n: f\n",
        "numbers.yaml": b"a: " + b"9" * 100_000 + b"\nb: 1e99999\nc: 0x" + b"f" * 5000 + b"\nd: .inf\n",
        "word.yaml": b"a: '" + b"x" * 5_000_000 + b"'\n",
        "documents.yaml": b"---\na: 1\n" * 50_000,
        "nothing.yaml": b"---\n...\n---\n",
        "latin.yaml": b"a: \xe9\n",
        "bomb.yaml.gz": gzip.compress(b"a: b\n" + b"# \n" * 20_000_000, 1),
        "lists.toml": b"a = " + b"[" * 100_000,
        "tables.toml": b"".join(b"[t%d.a.b]\nc = 1\n" % n for n in range(5_000)),
        "dots.toml": b".".join([b"a"] * 2000) + b" = 1\n",
        "number.toml": b"a = " + b"9" * 4000 + b"\n",
        "large.toml": b"a = '''" + b"x" * 5_000_000 + b"'''\n",
        "laughs.xml": LAUGHS,
        "outside.xml": b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x>&a;</x>",
        "deep.xml": b"<x>" * 60_000,
        "names.xml": b"<x>" + b"".join(b"<n%d/>" % n for n in range(50_000)) + b"</x>",
        "attributes.xml": b"<x " + b" ".join(b"a%d='%d'" % (n, n) for n in range(200_000)) + b"/>",
        "attribute.xml": b"<x a='" + b"x" * 20_000_000 + b"'/>",
        "words.xml": b"<p>" * 300 + b"".join(b"%d<b/>" % n for n in range(100_000)) + b"</p>" * 300,
        "text.xml": b"<x>" + b"word " * 4_000_000 + b"</x>",
        "svg.svg": b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<path d='M0 0'/>" * 60_000 + b"</svg>",
        "odd.ome": b"<OME xmlns='http://www.openmicroscopy.org/'><Image>"
        b"<Pixels SizeX='99999999999999999999' SizeY='-1'/></Image></OME>",
        "odd.mzML": b"<mzML><run><spectrumList count='99999999999999999999'/></run></mzML>",
        "box.xml": b"<MD_Metadata><EX_GeographicBoundingBox><westBoundLongitude>1e999</westBoundLongitude>"
        b"</EX_GeographicBoundingBox></MD_Metadata>",
        "nothing.xml": b"<?xml version='1.0'?>\n<!-- -->",
        "bytes.asdf": b"#ASDF 1.0.0\n%YAML 1.1\n--- !core/asdf\nasdf_library: {}\n...\n\xd3BLK" + bytes(99),
    }  # fmt: skip
    for name, content in makers.items():
        (folder / name).write_bytes(content)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one XML file of `size_bytes`, of many elements."""
    path = folder / "large.xml"
    part = b"".join(b"<row id='%d'><v>%d.5</v></row>\n" % (n, n) for n in range(30_000))
    with path.open("wb") as file:
        file.write(b"<rows>\n")
        for _ in range(size_bytes // len(part)):
            file.write(part)
        file.write(b"</rows>\n")
    return path
