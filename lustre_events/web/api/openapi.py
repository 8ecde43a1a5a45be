"""The description of the API (OpenAPI 3.1), made from its operations."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from lustre_events.index.remote import answers
from lustre_events.index.remote.client import PREFIX
from lustre_events.web.api.operation import Operation
from lustre_events.web.personal_tokens import SCOPES

_REF = "#/components/schemas/{name}"
_SECURITY: dict[str, list[dict[str, list[str]]]] = {
    "token": [{"token": []}],
    "password": [{"password": []}],
    "anybody": [{}],
}


def description(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the description of operations as JSON types."""
    bodies = [each.body for each in operations if each.body is not None]
    types = [
        answers.RefusalAnswer,
        *dict.fromkeys([*(each.answer for each in operations if each.answer is not dict), *bodies]),
    ]
    found, components = msgspec.json.schema_components(types, ref_template=_REF)
    schemas = dict(zip(types, found, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "lustre-events",
            "version": version("lustre-events"),
            "description": "The search of lustre-events. Each token sees what its owner may see.",
        },
        "servers": [{"url": PREFIX}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer",
                          "description": "; ".join(f"{name}: {help_}" for name, help_ in SCOPES.items())},
                "password": {"type": "http", "scheme": "basic", "description": "Name and password of the console."},
            },
        },
    }  # fmt: skip


def _operation(each: Operation, schemas: dict[type, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": each.name,
        "summary": each.help,
        "security": _SECURITY[each.how],
        "x-scope": each.scope,
        "parameters": [
            {"name": of.name, "in": "path" if of.in_path else "query", "required": of.needed,
             "description": of.help, "schema": of.schema()}
            for of in each.parameters
        ],
        "responses": {
            "200": _content("The answer.", schemas.get(each.answer, {"type": "object"})),
            "default": _content("Why there is no answer.", schemas[answers.RefusalAnswer]),
        },
    }  # fmt: skip
    if each.body is not None:
        told["requestBody"] = _content("", schemas[each.body]) | {"required": True}
        del told["requestBody"]["description"]
    return told


def _content(text: str, schema: Any) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
