"""The tree of a query, which knows no database: the docstring of each node says which objects match it.

Globs are those of wildcards.py. "Matches" is about one object; objects without a name are never found.
"""

from __future__ import annotations

from dataclasses import dataclass

from lustre_events.changelog.fid import FID


@dataclass(frozen=True, slots=True)
class All:
    """Every object."""


@dataclass(frozen=True, slots=True)
class And:
    """Objects that match all of them."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Objects that match one of them."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Objects that do not match it."""

    node: Node


@dataclass(frozen=True, slots=True)
class Fact:
    """Objects whose fact (a column of the table object) is known and low <= fact < high (None: no bound)."""

    column: str
    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Type:
    """Objects of one type (a letter of the column type)."""

    letter: str


@dataclass(frozen=True, slots=True)
class HasFid:
    """The object of this FID."""

    fid: FID


@dataclass(frozen=True, slots=True)
class Among:
    """The objects of these ids (the index's own); no query can write this."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class JobId:
    """Objects last changed by a job whose id matches a glob."""

    glob: str


@dataclass(frozen=True, slots=True)
class Name:
    """Objects with a name that matches a glob (`*`, `?`; literal ones as `[*]`), without case and accents.

    `exact`: with them, but for how accents are encoded.
    """

    glob: str
    exact: bool = False


@dataclass(frozen=True, slots=True)
class NameWords:
    """Objects with these words, in this order, in a name; `prefix`: the last word may go on."""

    words: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Extension:
    """Objects with a name that ends with a dot and this, in whatever case of ASCII letters."""

    text: str


@dataclass(frozen=True, slots=True)
class Path:
    """Objects with a path that matches a glob; `**` as a component stands for any number of directories."""

    glob: str


@dataclass(frozen=True, slots=True)
class Inside:
    """These objects, those with a path that matches one of the globs, and all below: whoever looks."""

    globs: tuple[str, ...]
    fids: tuple[FID, ...]


@dataclass(frozen=True, slots=True)
class HasDocument:
    """Objects with a good document of an extractor whose name matches a glob."""

    glob: str


@dataclass(frozen=True, slots=True)
class Failed:
    """Objects for which the last attempt of an extractor whose name matches a glob failed."""

    glob: str


@dataclass(frozen=True, slots=True)
class Mime:
    """Objects whose MIME type is known and matches a glob, in whatever case of ASCII letters."""

    glob: str


@dataclass(frozen=True, slots=True)
class FactWord:
    """Objects with a word that matches a glob in a fact that is text (a column of the table object)."""

    column: str
    glob: str


@dataclass(frozen=True, slots=True)
class Released:
    """Objects whose content is on tape only (or is not); not known is not."""

    value: bool


@dataclass(frozen=True, slots=True)
class Readable:
    """Objects whose content the viewer of this reading can read (backend.py); no query can write this."""


@dataclass(frozen=True, slots=True)
class Text:
    """Objects with these words, in this order, in one text of a document; `prefix`: the last word may go on."""

    words: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class KeyEquals:
    """Objects with this number, or this folded word or run of words, under a key of a document.

    `time`: or with a time from its first nanosecond to the one before its second. `wild`, here and below: the key
    is a glob, and any key will do that matches it, alone or behind its extractor's name.
    """

    key: str
    word: str
    number: float | None
    time: tuple[int, int] | None = None
    wild: bool = False


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Objects with a number (bounds are numbers) or a whole folded value (strings) in a range under a key.

    `time`: where the bounds are also times, or only times (then strings): from the first nanosecond to the one
    before the second (None: no bound).
    """

    key: str
    low: float | str | None
    high: float | str | None
    include_low: bool
    include_high: bool
    time: tuple[int | None, int | None] | None = None
    wild: bool = False

    @property
    def textual(self) -> bool:
        """Whether its bounds are strings."""
        return isinstance(self.low, str) or isinstance(self.high, str)


@dataclass(frozen=True, slots=True)
class KeyGlob:
    """Objects with a folded word or whole value under a key that matches a glob."""

    key: str
    glob: str
    wild: bool = False


@dataclass(frozen=True, slots=True)
class KeyExists:
    """Objects with any value under a key."""

    key: str
    wild: bool = False


@dataclass(frozen=True, slots=True)
class Exact:
    """Objects that match `near`, with a value under a key ("": any) that has the text as it is written.

    A run of whole words, with case and accents; of a glob a whole value or word. No database knows it: exact.py
    makes the objects of it.
    """

    near: Node
    text: str
    key: str = ""
    wild: bool = False


Node = (
    All | And | Or | Not | Fact | Type | HasFid | Among | JobId | Name | Extension | Path | Inside | Mime | Released
    | FactWord | Readable
    | HasDocument | Failed | Text | NameWords | KeyEquals | KeyRange | KeyGlob | KeyExists
    | Exact
)  # fmt: skip

ABOUT_CONTENT = (JobId, Mime, HasDocument, Failed, Text, KeyEquals, KeyRange, KeyGlob, KeyExists, Exact)
"""The nodes that tell something of a file's content, or of the jobs that made it."""


def limited(node: Node) -> Node:
    """Return the tree in which content is only matched where it can be read."""
    match node:
        case And(nodes):
            return And(tuple(map(limited, nodes)))
        case Or(nodes):
            return Or(tuple(map(limited, nodes)))
        case Not(item):
            return Not(limited(item))
    return And((node, Readable())) if isinstance(node, ABOUT_CONTENT) else node
