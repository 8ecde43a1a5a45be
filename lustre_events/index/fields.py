"""The search fields that are not keys of documents: one row for each, the only place where they are listed.

The parser (query/parser.py) makes a node of a field by its type, the search (search/search.py, search/facets.py)
sorts and counts by it, and the reference (docs/fields.md) lists it. A new field of what the index has already is a
row here; one of type GLOB or BOOLEAN also has a node of its own in a table of the parser, and one that tells of the
content has it among ABOUT_CONTENT (query/tree.py). For a new column of objects see CONTRIBUTING.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class FieldType(Enum):
    """What may be written behind the colon of a field."""

    SIZE = "size: 1000, 1k, 1.5M, 2G (factors of 1024)"
    COUNT = "number"
    TIME = "time: 2026-11-22, 2026-11-22T10:00 (UTC) or now-7d"
    USER = "user: a name or a uid"
    GROUP = "group: a name or a gid"
    GLOB = "text with * and ?"
    WORDS = "words"
    FACT_WORDS = "a word, with * and ?"
    EXTENSION = "extension, with or without its dot"
    FILE_TYPE = "file, dir, link, fifo, socket, block or char"
    FID = "FID"
    BOOLEAN = "true or false"


class Visibility(Enum):
    """Who sees the values of a field, where a viewer does not see everything."""

    NAME = "who can list the name"
    CONTENT = "who can read the file"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the query language.

    Args:
        name: as it is written in a query.
        type: what may be written behind it.
        source: where the index has it: a column of the table `object`, or the table's own name.
        visibility: who sees its values.
        help: one line for the reference.
        sortable: `--sort` takes it.
        countable: facets and `du --by` take it.
    """

    name: str
    type: FieldType
    source: str
    visibility: Visibility
    help: str
    sortable: bool = False
    countable: bool = False

    @property
    def ranged(self) -> bool:
        """Whether its values have an order, so that it takes ranges and comparisons."""
        return self.type in _RANGED


_RANGED = frozenset({FieldType.SIZE, FieldType.COUNT, FieldType.TIME, FieldType.USER, FieldType.GROUP})

NUMBERS = frozenset({FieldType.USER, FieldType.GROUP, FieldType.COUNT, FieldType.BOOLEAN})
"""Types of which the index counts numbers; of the others it counts words."""
DOCUMENTS = "document"
"""The source of a field that tells of documents, which are looked at one by one."""

_T, _V = FieldType, Visibility

FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("name", _T.GLOB, "link", _V.NAME, "a name of the file, without case and accents"),
        Field("name.exact", _T.GLOB, "link", _V.NAME, "a name of the file, with case and accents"),
        Field("exact", _T.WORDS, "fulltext", _V.CONTENT, "words of a document, with case and accents"),
        Field(
            "path",
            _T.GLOB,
            "link",
            _V.NAME,
            "a path below the mount point; ** stands for any number of directories",
        ),
        Field("ext", _T.EXTENSION, "link", _V.NAME, "the end of a name behind a dot", countable=True),
        Field("type", _T.FILE_TYPE, "type", _V.NAME, "what kind of object it is", countable=True),
        Field("size", _T.SIZE, "size", _V.NAME, "bytes", sortable=True),
        Field("mtime", _T.TIME, "mtime_ns", _V.NAME, "when the content last changed", sortable=True),
        Field("ctime", _T.TIME, "ctime_ns", _V.NAME, "when content or attributes last changed", sortable=True),
        Field("atime", _T.TIME, "atime_ns", _V.NAME, "when it was last read", sortable=True),
        Field("owner", _T.USER, "uid", _V.NAME, "who owns it", countable=True),
        Field("uid", _T.USER, "uid", _V.NAME, "the same as owner", countable=True),
        Field("group", _T.GROUP, "gid", _V.NAME, "which group it belongs to", countable=True),
        Field("gid", _T.GROUP, "gid", _V.NAME, "the same as group", countable=True),
        Field("links", _T.COUNT, "nlink", _V.NAME, "how many hard links it has"),
        Field("fid", _T.FID, "fid", _V.NAME, "the object with this FID"),
        Field("jobid", _T.GLOB, "jobid", _V.CONTENT, "the job that last changed it, as the changelog names it"),
        Field("released", _T.BOOLEAN, "released", _V.NAME, "whether its content is on tape only", countable=True),
        Field("mdt", _T.COUNT, "mdt", _V.NAME, "Lustre: the number of the MDT that has it", countable=True),
        Field(
            "stripe_count",
            _T.COUNT,
            "stripe_count",
            _V.NAME,
            "Lustre: on how many OSTs it is (its last component that has been made)",
            countable=True,
        ),
        Field("stripe_size", _T.SIZE, "stripe_size", _V.NAME, "Lustre: size of a stripe in bytes"),
        Field("mirror_count", _T.COUNT, "mirror_count", _V.NAME, "Lustre: how many copies", countable=True),
        Field(
            "projid", _T.COUNT, "projid", _V.NAME, "Lustre: the project whose quota it counts for", countable=True
        ),
        Field("pool", _T.FACT_WORDS, "pool", _V.NAME, "Lustre: the pool of OSTs", countable=True),
        Field(
            "layout", _T.FACT_WORDS, "layout", _V.NAME, "Lustre: raid0, dom, overstriped, pfl, flr", countable=True
        ),
        Field(
            "hsm",
            _T.FACT_WORDS,
            "hsm",
            _V.NAME,
            "Lustre: exists, dirty, released, archived, norelease, noarchive, lost",
            countable=True,
        ),
        Field("mime", _T.GLOB, "mime", _V.CONTENT, "what it is by its content", countable=True),
        Field("extractor", _T.GLOB, "document", _V.CONTENT, "an extractor that found something", countable=True),
        Field("failed", _T.GLOB, "document", _V.CONTENT, "an extractor whose last attempt failed"),
    )
}
"""By name, in the order of the reference. Every other field of a query is a key of documents."""
