"""The keys that a query can use, and completion while it is typed: `lustre-events fields`, `/fields`, the shell.

The fields of names and facts and the keys of the shipped schemas are anybody's to know. A key that only documents
have is told where a bounded look finds a file that the viewer may find; its count is what that look found.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from lustre_events.catalog import schemas
from lustre_events.index.backend import Order, Reading
from lustre_events.index.fields import FIELDS, FieldType
from lustre_events.index.query.slips import field_text, literal
from lustre_events.index.query.tree import Among, And, KeyExists, limited
from lustre_events.index.search.hints.known import FEW_DOCUMENTS, Known, number_text
from lustre_events.index.values import Flat, clean, flatten

LOOKED_AT = 500
"""Objects with a key, from either end of the index, of which one that the viewer may find is looked for."""
EXAMPLES = 3
LONGEST_EXAMPLE = 80
ALWAYS = ("ext", "owner", "group", "type", "mime", "extractor", "released")
"""Fields whose values are completed from a sample of all files."""


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A field or a key: what may be written before a colon.

    Args:
        name: as it is written; `*` stands for a part that files name.
        type: what its values are.
        unit: of its numbers; empty: none, or not known.
        extractors: who gives it; empty: it is a field of names and facts.
        examples: some values, the most frequent first.
        help: one line, where there is one.
        files: how many files have it, at least; 0: none was found, or it was not looked for.
    """

    name: str
    type: str
    unit: str = ""
    extractors: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    help: str = ""
    files: int = 0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A key of documents, and some objects that have it, whoever may find them.

    `of` is the extractor with which the name begins, where somebody typed an extractor's name; else empty.
    """

    name: str
    extractors: tuple[str, ...]
    ids: frozenset[int]
    of: str = ""


def keys_like(of_files: Iterable[KeyInfo], prefix: str, limit: int) -> tuple[KeyInfo, ...]:
    """Return fields and keys of which a step begins with `prefix`, those of files first.

    Args:
        of_files: keys of documents, as far as the viewer may know them.
        prefix: what was typed; empty: all.
        limit: most of them.
    """
    found = {each.name: each for each in (*_fields(prefix), *of_files)}
    told = _of_schemas(prefix)
    for name, info in told.items():
        have = found.get(name)
        if have is None:
            found[name] = info
        elif have.extractors:
            found[name] = replace(have, help=info.help, unit=have.unit or info.unit)
    return tuple(sorted(found.values(), key=lambda each: _rank(each, prefix)))[:limit]


def _rank(info: KeyInfo, prefix: str) -> tuple[bool, int, str]:
    """Return where a key stands: those that begin so, then those that files have, then by name."""
    kind = 0 if not info.extractors else 1 if info.files else 2
    return not info.name.lower().startswith(prefix.lower()), kind, info.name


def _fields(prefix: str) -> Iterable[KeyInfo]:
    for each in FIELDS.values():
        if each.name.startswith(prefix.lower()):
            yield KeyInfo(each.name, each.type.value, help=each.help)


def _of_schemas(prefix: str) -> dict[str, KeyInfo]:
    """Return the keys of all schemas that fit, each with all the extractors that have it."""
    found: dict[str, KeyInfo] = {}
    for key in schemas.all_keys():
        name = _written(key.extractor, key.name, prefix)
        if name is not None:
            have = found.get(name, KeyInfo(name, key.type, key.unit, (), (), key.help))
            extractors = (*have.extractors, key.extractor)
            found[name] = replace(have, extractors=extractors, help=have.help or key.help)
    return found


def _written(extractor: str, key: str, prefix: str) -> str | None:
    """Return a key as who typed `prefix` means it, with the extractor's name or without; None: it is not meant."""
    wanted, name = prefix.lower(), key.lower()
    if name.startswith(wanted) or f".{wanted}" in name:
        return key
    whole = f"{extractor}.{key}"
    return whole if "." in wanted and whole.lower().startswith(wanted) else None


def candidates_of(everything: Known, prefix: str, limit: int) -> Iterator[Candidate]:
    """Yield keys of documents of which a step begins with `prefix`, whoever may know them, until time is over."""
    names: dict[tuple[str, str], list[str]] = defaultdict(list)
    for extractor, key in everything.reading.keys_from(clean(prefix), 2 * limit):
        name = _written(extractor, key, clean(prefix)) or key
        names[name, "" if name == key else extractor].append(extractor)
    for (name, of), extractors in list(names.items())[:limit]:
        everything.in_time()
        node = everything.found(KeyExists(name))
        ids = {row.id for order in (Order(), Order(descending=True))
               for row in everything.reading.first(node, LOOKED_AT // 2, order)}  # fmt: skip
        yield Candidate(name, tuple(extractors), frozenset(ids), of)


def known_keys(known: Known, candidates: Iterable[Candidate]) -> Iterator[KeyInfo]:
    """Yield those keys of documents, of anybody's files, that the viewer may know, until time is over."""
    for each in candidates:
        known.in_time()
        info = _looked_up(known, each)
        if info is not None:
            yield info


def _looked_up(known: Known, candidate: Candidate) -> KeyInfo | None:
    """Return what is known of a key of documents; None: no file with it was found that the viewer may find."""
    name, ids = candidate.name, set(candidate.ids)
    node = KeyExists(name)
    if known.access is not None:
        hidden = known.found(limited(And((node, Among(tuple(ids))))))
        ids = {row.id for row in known.reading.first(hidden, LOOKED_AT)} if ids else set()
    if not ids:
        return None
    return _told(known.reading, candidate, sorted(ids), everything=known.access is None)


def _told(reading: Reading, candidate: Candidate, ids: Sequence[int], *, everything: bool) -> KeyInfo:
    """Return what the documents of the first objects say about a key; without `everything` only that it exists."""
    name, of, seen = candidate.name, candidate.of, _Seen()
    key = name.removeprefix(f"{of}.") if of else name
    for each in reading.documents(ids[:FEW_DOCUMENTS]):
        if each.body is not None and each.extractor == (of or each.extractor):
            seen.take(key, each.extractor, flatten(json.loads(each.body)))
    extractors = candidate.extractors if everything else tuple(sorted(seen.extractors))
    return KeyInfo(name, seen.type, seen.unit if seen.numbers else "", extractors, seen.examples, "", len(ids))


@dataclass(slots=True)
class _Seen:
    """What some documents say of a key."""

    numbers: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    times: int = 0
    unit: str = ""
    extractors: set[str] = field(default_factory=set)

    def take(self, key: str, extractor: str, flat: Flat) -> None:
        """Look at one document."""
        if key not in flat.names:
            return
        self.extractors.add(extractor)
        self.numbers.update(number_text(value) for name, value in flat.numbers if name == key)
        self.words.update(value for name, value in flat.words if name == key)
        self.times += sum(name == key for name, _ in flat.text_times)
        above = key.rpartition(".")[0]
        units = [
            value for name, value in sorted(flat.words) if above and name in {f"{above}.unit", f"{above}.units"}
        ]
        self.unit = self.unit or "".join(units[:1])

    @property
    def type(self) -> str:
        """What the values are."""
        text = bool(self.words) and not self.times
        kinds = [kind for kind, some in (("number", self.numbers), ("time", self.times), ("text", text)) if some]
        return " or ".join(kinds) or "text"

    @property
    def examples(self) -> tuple[str, ...]:
        """Some values, the most frequent first."""
        both = self.numbers + self.words
        ordered = sorted(both, key=lambda value: (-both[value], value))
        return tuple([value for value in ordered if len(value) <= LONGEST_EXAMPLE][:EXAMPLES])


def field_of(typed: str) -> str | None:
    """Return how a field begins that is being typed; None: it is the value behind a colon."""
    word = _last_word(typed)[1]
    return None if ":" in word else word


def fields_completed(of_files: Iterable[KeyInfo], typed: str, limit: int) -> tuple[str, ...]:
    """Return completions of a query whose last word is the beginning of a field; `of_files` as in `keys_like`."""
    head, word = _last_word(typed)
    found = keys_like(of_files, word, limit)
    return tuple(f"{head}{field_text(each.name)}" for each in found if each.name.lower().startswith(word.lower()))


def values_of(known: Known, typed: str) -> list[str]:
    """Return values for the field with a colon that a query ends with. Raises IndexUnavailable: time is over."""
    name = _last_word(typed)[1].partition(":")[0]
    field = FIELDS.get(name)
    if field is None:
        return known.values_of_key(name, FEW_DOCUMENTS)
    if field.type in _GIVEN:
        return _GIVEN[field.type]
    return known.names_of_values(name) if name in ALWAYS else []


_GIVEN = {FieldType.FILE_TYPE: ["file", "dir", "link"], FieldType.BOOLEAN: ["true", "false"]}


def values_completed(values: Iterable[str], typed: str, limit: int) -> tuple[str, ...]:
    """Return completions of a query whose last word is a field with a colon and the beginning of a value."""
    head, word = _last_word(typed)
    name, _, value = word.partition(":")
    fits = [each for each in values if each.lower().startswith(value.lower())]
    return tuple(f"{head}{field_text(name)}{literal(each)}" for each in fits[:limit])


def _last_word(typed: str) -> tuple[str, str]:
    """Return what stands before the last word of a query, and that word."""
    start = max(typed.rfind(" "), typed.rfind("(")) + 1
    return typed[:start], typed[start:]
