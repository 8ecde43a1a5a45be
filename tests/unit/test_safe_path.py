"""Nothing that this project starts looks for modules in the current directory, which may be anybody's."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.support.kept import by_file
from tests.support.service.command import REPOSITORY

FOLDERS = ("lustre_events", "workers", "bench", "deploy", "docs", "extractors", "tests")
SAFE = {"-P", "-I"}
SHELL = re.compile(r"""python[0-9.]*["']?\s+(?!-[PI]\b)-[mc]\b|"\$(?:python|each|pip)"\s+(?!-[PI]\b)-[mc]\b""")


def unsafe(source: str) -> list[int]:
    """Return the lines that start this Python with options of which the first is not a safe one."""
    return list(_unsafe(source)) if "executable" in source else []


def _unsafe(source: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.List | ast.Tuple):
            for word, after in pairwise(node.elts):
                if "sys.executable" in ast.unparse(word) and _option(after) not in {"", *SAFE}:
                    yield word.lineno
        if isinstance(node, ast.JoinedStr) and re.search(r"\{sys\.executable\}\W* -(?![PI]\b)", ast.unparse(node)):
            yield node.lineno


def _option(word: ast.expr | None) -> str:
    given = isinstance(word, ast.Constant) and isinstance(word.value, str) and word.value.startswith("-")
    return word.value if given else ""


def test_what_is_looked_for_is_found() -> None:
    """A list, a tuple and a string that start Python unsafely are each found, and safe ones are not."""
    bad = 'a = [sys.executable, "-m", x]\nb = (sys.executable, "-c", x)\nc = f"exec {sys.executable} -m x"\n'

    assert unsafe(bad) == [1, 2, 3]
    assert unsafe(bad.replace('"-', '"-P", "-').replace("} -m", "} -P -m")) == []
    assert SHELL.search("python3 -m venv x") and SHELL.search('"$python" -c x')  # noqa: PT018 - one pattern
    assert not SHELL.search("python3 -I -m venv x")


def test_every_python_child_is_started_safely() -> None:
    """Wherever this Python is started with -m or -c, -P or -I comes first; so it does in scripts and units."""
    paths = [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).rglob("*"))]
    programs = [
        path for path in paths if path.suffix == ".py" and "samples" not in path.parts and path != Path(__file__)
    ]
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path, lines in by_file(unsafe, list[int], programs).items()
        for line in lines
    ]
    found += [
        f"{path.relative_to(REPOSITORY)}: {match[0]}"
        for path in paths
        if path.suffix in {".sh", ".service", ".sbatch", ".spec"}
        for match in SHELL.finditer(path.read_text("utf-8"))
    ]

    assert len(programs) > 900
    assert found == []
