"""The JSON Schemas in extractors/schema: they say what the code does, and the README lists what they say."""

from __future__ import annotations

import dataclasses
import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from lustre_events.catalog import manifest, template
from lustre_events.catalog.manifest import Limits
from lustre_events.config.tables import keys
from lustre_events.errors import ManifestError
from tests.support.profiles import examples
from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS, extractors
from workers.contract import AnswerRefused, Answers, checked

SCHEMAS = {
    name: json.loads((EXTRACTORS / "schema" / f"{name}.json").read_text()) for name in ("manifest", "answer")
}
is_manifest: Callable[[Any], Any] = fastjsonschema.compile(SCHEMAS["manifest"])
is_answer: Callable[[Any], Any] = fastjsonschema.compile(SCHEMAS["answer"])

GOOD: dict[str, Any] = {
    "name": "ours", "version": "1", "description": "a test", "image": "base", "command": ["sh"],
    "contract": "batch", "accepts": ["csv"], "trusted": True, "gpu": False, "limits": {"seconds": 3},
}  # fmt: skip
VALUES = st.one_of(
    st.booleans(),
    st.integers(-2, 3),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "ours", "batch", "single", "bach", "/abs", "-x", "a/../b", "..", "a..b", "x/y.sif", "Bad"]
    ),
    st.lists(st.sampled_from(["csv", ".csv", "", "CSV", "x" * 17]), max_size=2),
    st.lists(st.integers(), min_size=1, max_size=1),
    st.dictionaries(
        st.sampled_from([field.name for field in dataclasses.fields(Limits)] + ["second"]),
        st.one_of(st.integers(-1, 9), st.booleans(), st.just("3")),
        max_size=2,
    ),
)


def accepts(check: Callable[[Any], Any], value: Any) -> bool:
    """Whether a schema accepts a value."""
    try:
        check(value)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def loads(folder: Path, table: dict[str, Any]) -> bool:
    """Whether the code accepts a manifest."""
    (folder / "ours").mkdir(exist_ok=True)
    lines = [f"{key} = {toml(value)}" for key, value in table.items()]
    (folder / "ours" / "manifest.toml").write_text("\n".join(lines))
    try:
        manifest.load(folder / "ours")
    except ManifestError as exc:
        assert str(folder / "ours") in str(exc)  # noqa: PT017 - the message of each refusal
        return False
    return True


def toml(value: Any) -> str:
    """Return a value as TOML has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(part)}" for key, part in value.items()) + "}"
    return json.dumps(value)


@examples(200, HealthCheck.function_scoped_fixture)
@given(
    change=st.dictionaries(st.sampled_from([*GOOD, "nmae"]), VALUES, max_size=2), drop=st.sampled_from(["", *GOOD])
)
def test_manifest_schema_and_code_agree(tmp_path: Path, change: dict[str, Any], drop: str) -> None:
    """A manifest is accepted by the schema if and only if the code accepts it."""
    table = {key: value for key, value in (GOOD | change).items() if key != drop}
    if table.get("name", "ours") != "ours":  # the folder's name is nothing that a schema knows
        table["name"] = "ours" if accepts(is_manifest, GOOD | {"name": table["name"]}) else table["name"]

    assert accepts(is_manifest, table) == loads(tmp_path, table)


def test_schema_has_all_keys_and_defaults() -> None:
    """Keys, contracts and the defaults of limits are the code's."""
    properties = SCHEMAS["manifest"]["properties"]

    assert set(properties) == set(keys(manifest.Written))
    assert tuple(properties["contract"]["enum"]) == manifest.CONTRACTS
    for name, values in (("limits", Limits()), ("outputs", manifest.OutputLimits())):
        assert {key: value["default"] for key, value in properties[name]["properties"].items()} == (
            dataclasses.asdict(values)
        )


def test_manifests_of_this_project_follow_the_schema() -> None:
    """What is shipped, what `init` writes and what the README shows are valid."""
    texts = [(one.folder / "manifest.toml").read_text() for one in extractors().values()]
    texts += [template.files("ours", contract)["manifest.toml"].decode() for contract in template.PROGRAMS]
    blocks = re.findall(r"```toml\n(.*?)```", (EXTRACTORS / "README.md").read_text(), re.DOTALL)
    shown = [block for block in blocks if "contract = " in block]

    assert shown
    for text in texts + shown:
        is_manifest(tomllib.loads(text))


def test_readme_explains_every_key() -> None:
    """The manifest in the README has every key and every limit, and links both schemas."""
    text = (EXTRACTORS / "README.md").read_text()
    known = {*keys(manifest.Written), *keys(Limits)} - {"limits", "outputs"}

    assert {key for key in known if not re.search(rf"^{key} = ", text, re.MULTILINE)} == set()
    assert "[limits]" in text
    assert "`[outputs]` is for actions" in text
    assert all(f"schema/{name}.json" in text for name in SCHEMAS)


SCALARS = st.one_of(
    st.none(), st.booleans(), st.text(max_size=5), st.integers(-(1 << 63), (1 << 63) - 1), st.floats()
)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(document=DOCUMENTS)
def test_answer_schema_and_code_agree(document: Any) -> None:
    """A document that JSON can hold is accepted by the schema if and only if the code accepts it."""
    try:
        text = json.dumps(document, allow_nan=False)
    except ValueError:
        with pytest.raises(AnswerRefused):
            checked(document)
        return
    answers = Answers(["0001"], 1_000_000)
    answers.line(f'{{"id": "0001", "document": {text}}}'.encode(), whole=True)

    assert bool("0001" in answers.documents) == accepts(is_answer, {"id": "0001", "document": json.loads(text)})


@each_row(
    ("line", "valid"),
    [
        ({"id": "0001", "error": "it is torn"}, True),
        ({"end": 2}, True),
        ({"id": "0001"}, False),
        ({"document": {}}, False),
        ({"id": 1, "document": {}}, False),
        ({"id": "0001", "document": [1]}, False),
    ],
)
def test_lines_of_a_program(line: dict[str, Any], valid: bool) -> None:
    """The schema takes an answer, an error and the end marker; of what it refuses the code takes nothing."""
    answers = Answers(["0001"], 1000)
    answers.line(json.dumps(line).encode(), whole=True)

    assert accepts(is_answer, line) is valid
    assert bool(answers.ended or answers.errors.get("0001") == "it is torn") is valid
    assert answers.documents == {}
