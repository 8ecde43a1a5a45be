"""The house stays one in which a stranger finds the room of any change: few rooms, each name with one meaning."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import click

from lustre_events.cli.main import cli
from tests.support.kept import by_file
from tests.support.service.command import REPOSITORY

PACKAGES = ("lustre_events", "workers", "bench")
MOST_ENTRIES, MOST_MODULES = 24, 5
DATABASES = {"index.sqlite", "index.postgresql"}
"""One room here: each module of the one does what its namesake in the other does."""

SHARED = {
    "actions": (
        "actions: command, their part in a step, page, measured",
        {"bench", "cli", "dispatcher", "web.pages"},
    ),
    "changelog": ("an MDT's changelog: its users, its health, its device", {"cli", "node.doctor", "llapi"}),
    "continuity": ("lost records: noticed, kept, shown", {"cli", "dispatcher", "reader", "streams"}),
    "courier": ("the courier: command, process", {"actions", "cli"}),
    "dashboard": ("rq-dashboard as a process of its own: command, application", {"cli", "web"}),
    "demo": ("the demo: command, what it does", {"cli", "node"}),
    "dialect": ("what a database says in its own way: promised, given", {"index.databases", "index.planner"}),
    "directory": ("a directory: as a source of records, its page", {"sources", "web.pages"}),
    "documents": ("documents: rows, statements, on their way in Redis", {"index", "index.databases", "streams"}),
    "endpoints": ("where actions send to: command, values", {"cli", "domain.rules"}),
    "explain": ("why a file is as it is: command, sentences", {"cli", "inspect"}),
    "failures": ("failed attempts: asked of the index, their page", {"index.search", "web.pages"}),
    "fields": ("what a query can ask for: command, list, page", {"cli", "index", "web.pages"}),
    "groups": ("groups of subscribers: command, keys", {"cli", "streams"}),
    "heal": ("names asked of the file system: asking, answering", {"dispatcher", "workers"}),
    "keys": ("keys: of Redis, of documents on each database", {"streams", "index.databases"}),
    "history": (
        "who did what to a file: command, what is asked, page, measured",
        {"bench", "cli", "inspect", "web.pages"},
    ),
    "indexer": ("an indexer: command, loop", {"cli", "dispatcher"}),
    "interface": ("what a room promises to who uses it", {"actions.endpoints", "index", "sources", "streams"}),
    "jobs": ("jobs: made, run", {"dispatcher", "workers"}),
    "listing": ("directories listed on this node: asked for, done", {"repair", "workers"}),
    "login": ("logging in: how, its page", {"web", "web.pages"}),
    "loop": ("the loop of a process", {"dispatcher", "reader"}),
    "metrics": ("Prometheus metrics: command, text", {"cli", "inspect"}),
    "options": ("what is given on the command line", {"bench", "cli"}),
    "names": ("how names are found: the rule, the table that follows them", {"index", "index.databases"}),
    "paths": ("paths from links: the rule, the statements", {"index", "index.databases"}),
    "pending": ("pending work: what it means, its table", {"domain", "index.databases"}),
    "queues": ("RQ's queues: used, shown", {"jobs", "web.pages"}),
    "reader": ("the reader: command, measured", {"bench", "cli"}),
    "records": ("records: read from Redis, taken into the index, made up", {"bench", "dispatcher", "streams"}),
    "replay": ("recorded changelogs: command, source, the whole way", {"cli", "repair", "sources"}),
    "requests": ("requests of people: as JSON, in Redis, carried out", {"dispatcher", "jobs", "streams"}),
    "results": ("results of workers: in Redis, taken into the index", {"dispatcher", "streams"}),
    "rules": ("rules: command, values", {"cli", "domain.rules"}),
    "run_table": ("runs of actions: what is asked for, their tables", {"index", "index.databases"}),
    "runs": ("runs: of actions to look at, of programs in containers", {"cli", "workers"}),
    "scan": ("scan: command, request, walk, look, measured", {"bench", "cli", "dispatcher", "repair", "workers"}),
    "search": (
        "search: command, page, pages of hits, statements",
        {"cli", "index.databases", "index.search", "web.pages"},
    ),
    "tally": ("counted values: which they are, the statements", {"index.databases", "index.planner"}),
    "setup": ("what a node needs: command, plan", {"cli", "node"}),
    "tail": ("records as they come: command, looking", {"cli", "inspect"}),
    "text": ("values as text for a person", {"changelog", "inspect.status"}),
    "verify": ("verify: command, comparison", {"cli", "repair"}),
    "visibility": (
        "what a user may see: the rule, the statements, of the past",
        {"history", "index", "index.databases"},
    ),
    "web": ("the console: command, measured", {"bench", "cli"}),
    "wildcards": ("patterns: read, as statements", {"index.databases", "index.query"}),
    "wiring": ("from settings to parts", {"web", "workers"}),
    "worker": ("the worker: command, process", {"cli", "workers"}),
}
"""Basenames that several rooms have, the job that they share, and who has which part of it."""


def rooms_by_basename() -> dict[str, set[str]]:
    """Return the rooms that have a module of a name, by name."""
    found = defaultdict(set)
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            room = ".".join(path.relative_to(REPOSITORY).parent.parts).removeprefix("lustre_events.")
            if not path.stem.startswith("__"):
                found[path.stem].add("index.databases" if room in DATABASES else room)
    return found


def test_the_top_has_few_entries() -> None:
    """lustre_events/ has at most 24 entries, at most five of them modules: what is new goes into a room."""
    entries = {path.name for path in (REPOSITORY / "lustre_events").iterdir()} - {"__pycache__"}

    assert len(entries) <= MOST_ENTRIES
    assert len([name for name in entries if name.endswith(".py")]) <= MOST_MODULES


def test_modules_of_one_name_share_one_job() -> None:
    """Two rooms have modules of one name only where SHARED names the job that they share."""
    shared = {name: rooms for name, rooms in rooms_by_basename().items() if len(rooms) > 1}

    assert shared == {name: rooms for name, (_, rooms) in SHARED.items()}


def test_the_ways_through_the_house_are_short() -> None:
    """DESIGN.md leads a record through 12 files, a search and a job through 10; test_ways.py follows them."""
    rows = [row.split("|")[2:5] for row in (REPOSITORY / "DESIGN.md").read_text().splitlines() if _STEP.match(row)]
    ways = [[found[1] for cell in column if (found := _FILE.match(cell))] for column in zip(*rows, strict=True)]

    assert [len(way) for way in ways] == [12, 10, 10]
    for path in {path for way in ways for path in way}:
        assert (REPOSITORY / path).is_file() or (REPOSITORY / "lustre_events" / path).is_file(), path


_NAMED = re.compile(r"(?<![\w./{}*\-])((?:\w+/)*\w+\.py)\b")
NOT_OURS = {"rq.py", "program.py", "conf.py", "hostile.py", "make_samples.py"}
"""Files of others, and of extractors, that the code speaks of."""


def test_modules_that_the_code_speaks_of_are_there() -> None:
    """A module that docstrings, comments and messages of the packages name by its file exists."""
    there = {path.relative_to(REPOSITORY).as_posix() for path in modules()}
    gone = {
        (path.relative_to(REPOSITORY).as_posix(), name)
        for path in modules()
        for name in _NAMED.findall(path.read_text())
        if name not in NOT_OURS and not any(f"/{each}".endswith(f"/{name}") for each in there)
    }

    assert not gone


_PART = re.compile(r"<\w+>|{\w+}")


def test_each_key_of_redis_is_described() -> None:
    """The table at the head of keys.py has each key that the module names, and no other but those of pools."""
    _, table, code = (REPOSITORY / "lustre_events" / "streams" / "keys.py").read_text().split('"""', 2)
    described = {_PART.sub("*", key) for key in re.findall(r"^    (le:\S+)", table, re.MULTILINE)}
    named = {_PART.sub("*", key) for key in re.findall(r'(?:= |return f)"(le:[^"]+)"', code)}

    assert len(named) > 20
    assert described == {*named, "le:pool:*"}


_STEP = re.compile(r"\| \d+ \| `\w+/")
_FILE = re.compile(r" `([\w/]+\.py)`: \w")

SAME_CLASSES = {
    "Continuity": "lost records: what a reader notices, what the dispatcher keeps",
}
"""Classes that several rooms name alike, and what all of them are."""


class Function(NamedTuple):
    """A function: where it is, how many ways lead through it, and whether the line above says why they are many."""

    line: int
    name: str
    branches: int
    explained: bool


class Module(NamedTuple):
    """The public classes of a module and its functions."""

    classes: list[str]
    functions: list[Function]


def read(source: str) -> Module:
    """Return what a module defines."""
    module, lines = ast.parse(source), source.splitlines()
    classes = [
        node.name for node in module.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    functions = [_function(node, lines) for node in ast.walk(module) if isinstance(node, ast.FunctionDef)]
    return Module(classes, functions)


def _function(node: ast.FunctionDef, lines: Sequence[str]) -> Function:
    first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
    reason = lines[first - 2].strip()
    return Function(
        node.lineno, node.name, branches(node), reason.startswith(WHY_MORE) and len(reason) > len(WHY_MORE)
    )


@cache
def modules() -> dict[Path, Module]:
    """Return the modules of the packages."""
    return by_file(read, Module, (path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")))


def rooms_by_class() -> dict[str, list[str]]:
    """Return the rooms that have a public class of a name, by name; one room is there once per class."""
    found = defaultdict(list)
    for path, module in modules().items():
        room = ".".join(path.relative_to(REPOSITORY).parent.parts).removeprefix("lustre_events.")
        for name in module.classes:
            found[name].append("index.databases" if room in DATABASES else room)
    return found


def test_classes_of_one_name_are_one_thing() -> None:
    """A public class has a name of its own, but for the two databases and where SAME_CLASSES gives a reason."""
    found = rooms_by_class()

    assert len(found) > 300
    shared = {name for name, rooms in found.items() if len(rooms) > 1 and rooms != ["index.databases"] * 2}
    assert shared == set(SAME_CLASSES)


MOST_BRANCHES = 12
WHY_MORE = "# Branches: "
"""What begins the line above a function that has more, and says why."""


def branches(function: ast.AST) -> int:
    """Count the ways through a function, `and`, `or` and comprehensions too; what is defined in it counts alone."""
    return 1 + sum(map(_branches, ast.iter_child_nodes(function)))


def _branches(node: ast.AST) -> int:
    if isinstance(node, ast.FunctionDef):
        return 0
    one = isinstance(node, ast.If | ast.For | ast.While | ast.ExceptHandler | ast.IfExp | ast.match_case)
    more = len(node.values) - 1 if isinstance(node, ast.BoolOp) else 0
    more += 1 + len(node.ifs) if isinstance(node, ast.comprehension) else 0
    return one + more + sum(map(_branches, ast.iter_child_nodes(node)))


def test_what_has_many_branches_is_counted() -> None:
    """A condition, its `and`, a loop and a comprehension with its own condition are five ways more."""
    (function,) = ast.parse("def f(a):\n for b in a:\n  if b and a:\n   [c for c in a if c]").body

    assert branches(function) == 6


def test_each_function_can_be_read_at_once() -> None:
    """A function has few branches, or the line above it says why it has more: a long one is steps with names."""
    found = [
        (f"{path.relative_to(REPOSITORY)}:{each.line} {each.name}", each.branches > MOST_BRANCHES, each.explained)
        for path, module in modules().items()
        for each in module.functions
    ]

    assert len(found) > 2000
    assert [where for where, many, why in found if many and not why] == []
    assert [where for where, many, why in found if why and not many] == []


AVOIDED = (
    "mend",
    "mends",
    "mended",
    "mending",
    "wishes",
    "roster",
    "so many",
    "at a time",
    "whom",
    "aloud",
    "shall",
    "befall",
    "befalls",
    "at hand",
    "as ever",
)
"""Words that stop a reader; CONTRIBUTING.md says what to write instead."""
_AVOIDED = re.compile(rf"\b(?:{'|'.join(AVOIDED)})\b", re.IGNORECASE)
PROSE = (".py", ".md", ".toml", ".html", ".json", ".yml", ".sql", ".lua", ".sh", ".service", ".c")


def avoided(text: str) -> list[str]:
    """Return the words of a text that the house avoids."""
    return _AVOIDED.findall(text)


def test_prose_has_none_of_the_words_that_the_house_avoids() -> None:
    """Messages, help, settings, docstrings and pages say things plainly; the list of words to avoid is short."""
    tops = ("lustre_events", "workers", "extractors", "bench", "deploy", "docs", "tests")
    paths = [
        path
        for top in tops
        for path in (REPOSITORY / top).rglob("*")
        if path.suffix in PROSE
        and path != Path(__file__)
        and not {"samples", "golden", "expected"} & set(path.parts)
    ]
    paths += [REPOSITORY / name for name in ("README.md", "DESIGN.md", "SECURITY.md")]

    found = by_file(avoided, list[str], paths)

    assert len(found) > 700
    assert [f"{path.relative_to(REPOSITORY)}: {word}" for path, words in found.items() for word in words] == []


def test_lists_of_commands_show_whole_sentences() -> None:
    """What a list of commands says of each fits into a line of 80 characters, so none ends in dots."""

    def cut(group: click.Group, name: str) -> Iterator[str]:
        context = click.Context(group)
        commands = {each: group.get_command(context, each) for each in group.list_commands(context)}
        room = 80 - len("    ") - 2 - max(map(len, commands))
        for each, command in commands.items():
            assert command is not None
            if command.get_short_help_str(room).endswith("..."):
                yield f"{name} {each}"
            if isinstance(command, click.Group):
                yield from cut(command, f"{name} {each}")

    assert list(cut(cli, "lustre-events")) == []


PROSE_WIDTH = 100


def test_lines_of_prose_break_at_100_characters() -> None:
    """Pages are read in terminals and diffs, too: only tables, code, headings and pictures have longer lines."""
    pages = [
        REPOSITORY / name for name in ("README.md", "DESIGN.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
    ]
    pages += [page for top in ("docs", "examples", "deploy") for page in (REPOSITORY / top).rglob("*.md")]
    pages += [REPOSITORY / "extractors" / "README.md"]
    long = [
        f"{page.relative_to(REPOSITORY)}:{number}"
        for page in pages
        for number, line in _prose(page.read_text())
        if len(line) > PROSE_WIDTH and " " in line[:PROSE_WIDTH].strip()
    ]

    assert len(pages) > 50
    assert long == []


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page that are prose, with their numbers; what is made from the code is none."""
    if "made by docs/generate.py" in text:
        return
    code = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            code = not code
        elif not code and not line.startswith(("|", "#", "    ", "![", "<!--")):
            yield number, line
