"""The tests themselves: each can fail, and none leans on another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from tests.support.kept import by_file
from tests.support.service.command import REPOSITORY

TESTS = REPOSITORY / "tests"
EXPECTS = {"raises", "fail"}
"""What of pytest fails a test by itself."""
HELPERS = {"tests.support.waiting": {"wait_for"}, "tests.suite.families": {"check_fates"},
           "tests.suite.test_families": {"check_batch"}, "tests.support.service.service": {"converge"},
           "tests.support.model.tree": {"check"}}  # fmt: skip
"""Functions of ours that assert, by their modules."""


class Function(NamedTuple):
    """A function or method: what it calls by name, whether it asserts or raises itself, whether it is described."""

    name: str
    calls: list[str]
    asserts: bool
    described: bool


class Module(NamedTuple):
    """Modules that a module imports, wherever it does, and its functions."""

    imported: list[str]
    functions: list[Function]


def read(source: str) -> Module:
    """Return what a module imports and defines."""
    nodes = list(ast.walk(ast.parse(source)))
    imported = [name for node in nodes for name in _imported(node)]
    return Module(imported, [_function(node) for node in nodes if isinstance(node, ast.FunctionDef)])


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ImportFrom):
        yield node.module or ""
        yield from (f"{node.module}.{name.name}" for name in node.names)
    elif isinstance(node, ast.Import):
        yield from (name.name for name in node.names)


def _function(function: ast.FunctionDef) -> Function:
    calls = set()
    asserts = False
    for node in ast.walk(function):
        asserts |= isinstance(node, ast.Assert | ast.Raise)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            calls.add(node.func.id)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            calls.add(node.func.attr)
    return Function(function.name, sorted(calls), asserts, bool(ast.get_docstring(function)))


@cache
def modules() -> dict[str, Module]:
    """Return the modules of the tests by their names."""
    return {
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts): module
        for path, module in by_file(read, Module, sorted(TESTS.rglob("*.py"))).items()
    }


def fails_by_itself(function: Function, helpers: set[str]) -> bool:
    """Whether a function asserts, raises, or calls what does."""
    return function.asserts or not (helpers | EXPECTS).isdisjoint(function.calls)


def weak(name: str, module: Module) -> list[str]:
    """Return the tests of a module that nothing can fail but an error."""
    near = {name, *module.imported}
    helpers = {helper for place, names in HELPERS.items() if place in near for helper in names}
    return [
        function.name
        for function in module.functions
        if function.name.startswith("test_") and not fails_by_itself(function, helpers)
    ]


def test_every_test_asserts_something() -> None:
    """A test has an assertion, an error that it expects, or a helper of HELPERS, which has one of them."""
    assert {name: found for name, module in modules().items() if (found := weak(name, module))} == {}
    helpers = {
        (name, function.name)
        for name, names in HELPERS.items()
        for function in modules()[name].functions
        if function.name in names and fails_by_itself(function, {"wait_for"})
    }
    assert helpers == {(name, helper) for name, names in HELPERS.items() for helper in names}


def test_a_test_without_an_assertion_is_noticed() -> None:
    """One that only calls something is weak; one that asserts, itself or by a helper, is not."""
    module = read(
        """
from tests.suite.families import check_fates
def test_nothing(): run()
def test_something(): assert run()
def test_refusal():
    with pytest.raises(OSError): run()
def test_by_a_helper(): check_fates(run())
def test_by_another_of_its_name(): wait_for(run())
"""
    )
    assert weak("tests.unit.test_x", module) == ["test_nothing", "test_by_another_of_its_name"]


def test_no_test_imports_another() -> None:
    """What tests share is in tests/support: a test can be read, moved or removed alone."""
    assert [
        (name, other)
        for name, module in modules().items()
        for other in module.imported
        if other.startswith("tests.") and Path(other.replace(".", "/")).name.startswith("test_")
    ] == []


def test_every_test_says_what_it_proves() -> None:
    """The rule stands in the test's docstring."""
    tests = [(name, function) for name, module in modules().items() for function in module.functions
             if function.name.startswith("test_") and name.split(".")[-1].startswith("test_")]  # fmt: skip
    assert len(tests) > 1000
    assert [f"{name}.{function.name}" for name, function in tests if not function.described] == []
