"""XML as a tree of its first elements, with all of them counted: read piece by piece, in bounded memory."""

from __future__ import annotations

import collections
from collections.abc import Iterator
from typing import Any

import structured_papers
from extractor_batch import OutOfTime, within
from extractor_facts import first
from extractor_xml import Walk
from structured_values import Values, clean

SECONDS = 20  # of one file; then its counts are of what was read
MAX_NODES = 20_000
MAX_DEPTH = 400
MAX_NAMES = 2000  # different names of elements that are counted
TOLD_NAMES = 100
MAX_NAME = 200
MAX_WORDS = 20_000  # characters of one text that are kept
MAX_CHARACTERS = 8_000_000  # of all


class Node:
    """An element, or, without a name, a text that follows an element."""

    __slots__ = ("attributes", "children", "name", "text")

    def __init__(self, name: str, attributes: dict[str, str]) -> None:
        self.name, self.attributes, self.text = name, attributes, ""
        self.children: list[Node] = []

    def every(self, path: str) -> Iterator[Node]:
        """Yield the elements at a path of names below this one; `*` stands for any number of elements."""
        name, _, rest = path.partition("/")
        if name == "*":
            for one in self.below(rest.partition("/")[0]):
                further = rest.partition("/")[2]
                yield from one.every(further) if further else (one,)
            return
        for child in self.children:
            if child.name == name:
                yield from child.every(rest) if rest else (child,)

    def below(self, name: str) -> Iterator[Node]:
        """Yield all elements of a name below this one, in their order."""
        waiting = list(reversed(self.children))
        while waiting:
            node = waiting.pop()
            if node.name == name:
                yield node
            waiting += reversed(node.children)

    def words(self, *paths: str) -> list[str]:
        """Return the texts at the first of `paths` at which there are some."""
        for path in paths:
            if found := [text for node in self.every(path) if (text := node.said())]:
                return found
        return []

    def word(self, *paths: str) -> str:
        """Return the first of these texts, or an empty one."""
        return next(iter(self.words(*paths)), "")

    def said(self) -> str:
        """Return the text of this element and of those below it, in one line."""
        parts, waiting = [], [self]
        while waiting:
            node = waiting.pop()
            parts.append(node.text)
            waiting += reversed(node.children)
        return " ".join("".join(parts).split())

    def plain(self) -> Any:
        """Return it as nested dictionaries and lists, attributes by @ and their names."""
        if not self.children and not self.attributes:
            return self.text.strip()
        found: dict[str, Any] = {f"@{name}": value for name, value in self.attributes.items()}
        mixed = any(not child.name and child.text.strip() for child in self.children)
        if text := self.said() if mixed else self.text.strip():
            found["text"] = text
        for child in self.children:
            if child.name:
                found.setdefault(child.name, []).append(child.plain())
        return {name: one[0] if isinstance(one, list) and len(one) == 1 else one for name, one in found.items()}


class Tree(Walk):
    """The first elements of a document, and how many there are of each name."""

    def __init__(self) -> None:
        super().__init__(self._enter, self._leave, self._words, document_type=True)
        self.root: Node | None = None
        self.namespace = ""
        self.nodes = self.depth = 0
        self.counts: collections.Counter[str] = collections.Counter()
        self._open: list[Node | None] = []
        self._room = MAX_CHARACTERS

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        if self.root is None:
            self.namespace = name.rpartition(" ")[0]
        super()._begin(name, attributes)

    def _enter(self, name: str, attributes: dict[str, str]) -> None:
        self.nodes += 1
        if name in self.counts or len(self.counts) < MAX_NAMES:
            self.counts[name] += 1
        node = None
        if self.nodes <= MAX_NODES and len(self._open) < MAX_DEPTH and self._room > 0:
            short = {clean(key)[:MAX_NAME]: clean(value)[:MAX_WORDS] for key, value in attributes.items()}
            node = Node(clean(name)[:MAX_NAME], short)
            self._room -= sum(len(key) + len(value) for key, value in short.items())
        if node is not None and self._open and self._open[-1] is not None:
            self._open[-1].children.append(node)
        if self.root is None:
            self.root = node
        self._open.append(node)
        self.depth = max(self.depth, len(self._open))

    def _leave(self, _: str, __: str) -> None:
        self._open.pop()

    def tear(self) -> None:
        """Forget the texts of what is open: the document breaks there."""
        for node in self._open:
            if node is not None and not node.children:
                node.text = ""

    def _words(self, text: str) -> None:
        node = self._open[-1] if self._open else None
        if node is None or self._room <= 0:
            return
        if node.children:
            if node.children[-1].name:
                if not text.strip() and not self._inline(node):
                    return
                node.children.append(Node("", {}))
            node = node.children[-1]
        if len(node.text) < MAX_WORDS:
            node.text += clean(text)[:MAX_WORDS]
            self._room -= len(text)

    @staticmethod
    def _inline(node: Node) -> bool:
        """Whether an element has words of its own beside elements, so that a blank between these counts."""
        return bool(node.text.strip()) or any(child.text.strip() for child in node.children if not child.name)


def document(source: Any, reasons: list[str]) -> dict[str, Any]:
    """Return the document of an XML file. Raise ValueError where none of it can be read."""
    tree, whole = Tree(), False
    try:
        with within(SECONDS):
            tree.read(source)
        whole = not source.damage
    except OutOfTime:
        reasons.append(f"elements are those counted in {SECONDS} seconds")
    except ValueError as exc:
        if tree.nodes < 2:
            raise
        reasons.append(f"{exc}")
        tree.tear()
    if tree.root is None:
        raise ValueError("it has no element")
    found: dict[str, Any] = {"format": "xml", "root": tree.root.name, "elements": tree.nodes, "depth": tree.depth}
    if tree.namespace:
        found["namespace"] = clean(tree.namespace)[:MAX_NAME]
    names = tree.counts.most_common()
    kept = first(names, TOLD_NAMES, "names of elements")
    found["element"] = {clean(name)[:MAX_NAME]: count for name, count in kept}
    if tree.nodes > MAX_NODES:
        reasons.append(f"values are of its first {MAX_NODES} elements")
    said, is_data = structured_papers.facts(tree.root, tree.namespace, tree.counts if whole else {})
    if not is_data:
        values = Values()
        top = tree.root.plain()
        values.add(top if isinstance(top, dict) else {tree.root.name: top}, "")
        found |= values.describe(reasons)
    return found | said
