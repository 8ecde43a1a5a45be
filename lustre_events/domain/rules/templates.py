"""Templates of bodies: JSON whose texts may name what is known of a file, as `{path}` or `{doc.hdf5.temperature}`.

Only leaves are filled in, after everything was parsed, so no value can change the shape of a body. A text that is
one field alone becomes the field's own value, a number for example; within a longer text it becomes text. `{{` and
`}}` stand for brackets. What is not known is null, or empty within a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Location
from lustre_events.errors import ConfigError

FIELDS = (
    "path", "old_path", "name", "encoding", "fid", "type", "size", "mtime", "owner", "group", "mode", "mime",
    "jobid", "trigger", "rule", "time", "key", "files", "outputs",
)  # fmt: skip
"""What a text may name, beside `doc.EXTRACTOR.KEY`."""
LISTS = frozenset({"outputs"})
"""Those that are lists, and a text of their own: within a longer one nobody could tell where an entry ends."""

DOCUMENT = "doc"
MOST_LEAVES = 200
_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_DOCUMENT_FIELD = re.compile(rf"{DOCUMENT}\.([A-Za-z0-9_/-]+)\.(.+)\Z")


def check(template: Any, location: Location) -> None:
    """Refuse a template that names what nobody knows. Raises `location.error`."""
    leaves = list(_texts(template))
    if len(leaves) > MOST_LEAVES:
        raise location.refusal(f"has more than {MOST_LEAVES} texts; make it shorter")
    for text in leaves:
        for part in _PART.finditer(text):
            name = part[1]
            if part[0] in {"{", "}"}:
                raise location.refusal(f"has {text!r} with a bracket that stands alone; write {{{{ or }}}} for one")
            if name in LISTS and part[0] != text:
                raise location.refusal(f"has {text!r}, and {part[0]} is a list; give it a text of its own")
            if name is not None and name not in FIELDS and not _DOCUMENT_FIELD.match(name):
                raise location.refusal(
                    f"names an unknown field {{{name}}}{nearest(name, (*FIELDS, 'doc.EXTRACTOR.KEY'))}"
                )


def asks_documents(template: Any) -> bool:
    """Whether a template names a key of a document."""
    return any(
        part[1] and _DOCUMENT_FIELD.match(part[1]) for text in _texts(template) for part in _PART.finditer(text)
    )


def asks(template: Any, field: str) -> bool:
    """Whether a template names a field."""
    return any(part[1] == field for text in _texts(template) for part in _PART.finditer(text))


def asks_anything(template: Any) -> bool:
    """Whether a template names anything that is known of a file."""
    return any(part[1] for text in _texts(template) for part in _PART.finditer(text))


def filled(template: Any, known: Mapping[str, Any], most: int) -> Any:
    """Return a body: the template with its texts filled in. `known["doc"]` has documents by extractor.

    Raises:
        ConfigError: what is filled in has more than `most` characters, or as many entries.
    """
    return _Filling(known, most).fill(template)


class _Filling:
    """Fills a template in, with what is known, as long as there is room: a value may be long, and named often."""

    def __init__(self, known: Mapping[str, Any], most: int) -> None:
        self._known = known
        self._most = most
        self._left = most

    def fill(self, template: Any) -> Any:
        if isinstance(template, str):
            return self._text(template)
        if isinstance(template, Mapping):
            return {key: self.fill(value) for key, value in template.items()}
        if isinstance(template, list | tuple):
            return [self.fill(value) for value in template]
        return template

    def _text(self, text: str) -> Any:
        alone = _PART.fullmatch(text)
        if alone is not None and alone[1] is not None:
            return self._value(alone[1])
        return _PART.sub(self._as_text, text)

    def _as_text(self, part: re.Match[str]) -> str:
        if part[1] is None:
            return part[0][0]
        value = self._value(part[1])
        return "" if value is None else str(value)

    def _value(self, name: str) -> Any:
        value = _value(name, self._known)
        for size in _sizes(value):
            self._left -= size
            if self._left < 0:
                raise ConfigError(
                    f"the values that it names have more than {self._most / 1024:g} KiB, so name less in it"
                )
        return value


def _value(name: str, known: Mapping[str, Any]) -> Any:
    match = _DOCUMENT_FIELD.match(name)
    if match is None:
        return known.get(name)
    found = known.get(DOCUMENT, {}).get(match[1])
    for step in match[2].split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _sizes(value: Any) -> Iterator[int]:
    """Yield how many characters each part of a value has at least."""
    left = [value]
    while left:
        each = left.pop()
        yield len(each) if isinstance(each, str) else 1
        if isinstance(each, Mapping):
            left += (*each.keys(), *each.values())
        elif isinstance(each, list | tuple):
            left += each


def _texts(template: Any) -> Iterator[str]:
    if isinstance(template, str):
        yield template
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from _texts(value)
    elif isinstance(template, list | tuple):
        for value in template:
            yield from _texts(value)
