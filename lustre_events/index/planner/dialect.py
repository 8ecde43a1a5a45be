"""What SQLite and PostgreSQL say differently: small pieces of SQL, and what is quick on which.

Templates are for `Clause.of`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar

from lustre_events.index.planner.clause import MANY, Clause, SqlCondition, Stream, in_a_row
from lustre_events.index.query.key_values import KeyNode

Lookup = tuple[str, Clause]
"""A table of values (see `values.TABLES`) and the condition on them."""


class Effort(IntEnum):
    """What is counted before a search begins. What is not counted is taken as very many."""

    QUICK = 0
    """Not where words stand: in a large index that takes long, and a first page is often found without it."""
    USUAL = 1
    """Objects below a path only up to FEW_PATHS: they are found by a walk."""
    THOROUGH = 2
    """All up to what is quickly collected."""


@dataclass(frozen=True, slots=True)
class Words:
    """Where some words stand: a SELECT of the objects' ids with its size, a probe, and streams (see Condition)."""

    source: Clause
    size: int
    probe: Clause
    streams: tuple[Stream, ...] = ()


class Dialect(ABC):
    """One database."""

    mark: ClassVar[str]
    """The placeholder of a parameter."""
    plus: ClassVar[str] = ""
    """Before a column: an index of it is not to be used."""
    position: ClassVar[str]
    """The function that finds a text in a text."""
    exists: ClassVar[str]
    """The condition that FROM ... WHERE, which refers to `o`, has a row."""
    member: ClassVar[str]
    """The condition that an object's id is in a set, which is made once and drives nothing."""
    drives: ClassVar[str]
    """The condition that a column is in a set, by which rows are looked up."""
    part_of_union: ClassVar[str]
    """A SELECT as a part of UNION ALL."""
    indexed: ClassVar[frozenset[str]]
    """The columns of `object` by which objects that match are quickly found."""
    link_by_name: ClassVar[str] = "link"
    """The table `link`, where folded names are looked up."""
    documents_of_object: ClassVar[str]
    """The documents of `o`: a table with a condition."""
    key_join: ClassVar[str] = "JOIN"
    """Joins the rows of a key with their objects."""
    ending: ClassVar[str]
    """What is behind the last dot of `link.name`, ASCII letters in lower case."""

    root: ClassVar[str]
    """The root's FID, a parameter."""
    kept: ClassVar[str] = ""
    """Before a step of a path that is not the last one."""
    in_directory: ClassVar[str]
    """A SELECT of the FIDs in the directories of a table that meet a condition on `link`."""
    upwards: ClassVar[str]
    """Behind FROM: joins, by a name, those links of a joined link's directory that meet a condition."""
    above: ClassVar[str]
    """A SELECT of some directories (a SELECT of their FIDs) and of all directories above them."""

    def __init__(self, run: Callable[[Clause], Sequence[tuple[Any, ...]]]) -> None:
        """Take the function that gives the rows of a statement."""
        self.run = run

    @abstractmethod
    def among(self, column: str, ids: Collection[int]) -> Clause:
        """Return the condition that a column is one of these numbers."""

    @abstractmethod
    def text_like(self, column: str, glob: str) -> Clause:
        """Return the condition that a column of text matches a glob."""

    @abstractmethod
    def name_like(self, column: str, glob: str) -> Clause:
        """Return the condition that a column of bytes, of any encoding, matches a glob."""

    @abstractmethod
    def name_ends(self, text: str) -> tuple[Clause, bool]:
        """Return the condition that `link.name` ends with a dot and a text, and whether that reads all names."""

    @abstractmethod
    def name_words(
        self, words: str, *, prefix: bool, few: int, effort: Effort, seen: Clause | None
    ) -> SqlCondition | None:
        """Return the condition that words follow each other in a name (that is seen); None: in no name."""

    @abstractmethod
    def words(self, words: str, *, prefix: bool, few: int, effort: Effort) -> Words | None:
        """Return where words stand that follow each other; None: nowhere."""

    def documents_by_extractor(self, column: str) -> str:  # noqa: ARG002 - for those that need it
        """Return the table `document`, where rows with a `column` are looked up by their extractor."""
        return "document"

    def body_probe(self, node: KeyNode) -> Clause | None:  # noqa: ARG002 - for those that need it
        """Return a condition that looks into the object's documents for a key's values; None: into the tables."""
        return None

    def key_streams(self, lookups: Sequence[Lookup], keys: Sequence[int]) -> tuple[Stream, ...]:  # noqa: ARG002
        """Return the stream of the objects that have one value; none where pages are not found by streams."""
        return ()

    def number(self, value: Any) -> Any:
        """Return a number as a parameter that is compared with stored ones; what is no number as it is."""
        return value

    def value(self, expression: str, *, number: bool) -> str:  # noqa: ARG002 - for those that need it
        """Return the columns of a value that is counted."""
        return f"{expression} AS value"

    def enough(self, few: int) -> int:
        """Return how far it is worth counting what an index gives."""
        return few

    def counted(self, source: Clause, limit: int) -> int:
        """Return how many rows a SELECT has, counted to a little beyond the limit."""
        most = Clause(self.mark, (limit + 1,))
        few = Clause.of("SELECT count(*) FROM (SELECT 1 FROM ({}) AS source LIMIT {}) AS few", source, most)
        return int(self.run(few)[0][0])

    def collected(self, source: Clause, type_: str, limit: int) -> tuple[Clause, int]:  # noqa: ARG002
        """Return a SELECT of what another one finds that is dear, and its size, counted up to the limit."""
        size = self.counted(source, limit)
        return source, size if size <= limit else MANY

    def union(self, sources: Iterable[Clause]) -> Clause:
        """Return one SELECT of all rows of several."""
        return in_a_row([Clause.of(self.part_of_union, source) for source in sources], " UNION ALL ")
