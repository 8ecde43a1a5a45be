"""Actions that run in a container: a folder each, like an extractor's, with a JSON Schema of what `with` may say.

NAME/manifest.toml      as an extractor's, with contract = "action" and, if it likes, [outputs]
NAME/with.schema.json   what a rule's `with` may say; not there: nothing
NAME/...                the program, which a run sees as /extractor

Users have their own ones, without a schema: what a rule's `with` says is for the program to check. To compile a
schema runs code that is made of it, and opens what it refers to: no user can ask that of the dispatcher.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastjsonschema

from lustre_events.catalog import manifest, own_extractors
from lustre_events.catalog.manifest import ACTION, Manifest
from lustre_events.config.tables import Location
from lustre_events.domain.rules import templates
from lustre_events.errors import ConfigError, ManifestError

SCHEMA = "with.schema.json"
NOTHING = {"type": "object", "additionalProperties": False}
MARGIN_SECONDS = 30.0
"""What an attempt may take beside its program: to look for leftovers, to check what was made, to publish it."""
AT_ONCE = 4
"""Runs of one action that file workers have, where its manifest says no number of jobs."""

Check = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class ContainerAction:
    """One such action: its manifest, and what checks its settings and adds their defaults."""

    manifest: Manifest
    check: Check

    def read_with(self, location: Location, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what `with` says; what depends on a file is checked later. Raises `location.error`."""
        templates.check(table, location)
        if templates.asks_anything(table):
            return dict(table)
        try:
            return self.settings(table)
        except ConfigError as exc:
            raise location.refusal(f"is not what the action accepts: {exc}") from exc

    def settings(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return settings with their defaults. Raises ConfigError: the action's schema refuses them."""
        try:
            found: Mapping[str, Any] = self.check(json.loads(json.dumps(given)))
        except fastjsonschema.JsonSchemaValueException as exc:
            raise ConfigError(str(exc).replace("data", "with", 1)) from exc
        return found


def load(folder: Path) -> ContainerAction:
    """Return the action of a folder. Raises ManifestError: it is wrong, or is an extractor."""
    found = manifest.load(folder)
    if found.contract != ACTION:
        raise ManifestError(
            f"{folder / manifest.FILE_NAME}: contract is {found.contract!r}; that of an action is {ACTION!r}, and"
            " extractors lie in [worker] extractors"
        )
    return ContainerAction(found, _check(folder / SCHEMA))


def own(found: Manifest) -> ContainerAction:
    """Return a user's own action, which takes any settings."""
    return ContainerAction(found, _anything)


def _anything(given: Any) -> Any:
    return given


def load_own(folder: Path | None, identity: str) -> ContainerAction:
    """Return a user's own action, USER/NAME. Raises ManifestError: there is none, or it is wrong."""
    if folder is None:
        raise ManifestError(
            f"{identity!r}: no user's action runs here; set [actions] user_actions on this node, too"
        )
    return own(own_extractors.load_user(folder, identity, actions=True))


def _check(path: Path) -> Check:
    try:
        schema = json.loads(path.read_text(encoding="utf-8")) if path.exists() else NOTHING
        made: Check = fastjsonschema.compile(schema)
    except (OSError, ValueError, TypeError, AttributeError, fastjsonschema.JsonSchemaDefinitionException) as exc:
        raise ManifestError(f"{path}: is not a JSON Schema ({exc}); correct it") from exc
    return made


def load_all(folders: tuple[Path, ...]) -> dict[str, ContainerAction]:
    """Return the actions of `folders` by name. Raises ManifestError: one is wrong, or two have the same name."""
    found: dict[str, ContainerAction] = {}
    for folder in folders:
        if not folder.is_dir():
            raise ManifestError(f"{folder}: no such folder; name folders with actions in [actions] folders")
        for path in sorted(folder.glob(f"*/{manifest.FILE_NAME}")):
            action = load(path.parent)
            if action.manifest.name in found:
                raise ManifestError(f"{path}: another action has the same name; rename one of them")
            found[action.manifest.name] = action
    return found


def at_once(found: Manifest) -> int:
    """Return how many runs of an action file workers have at the same time; of a user's own no more than usual."""
    return min(found.limits.jobs or AT_ONCE, AT_ONCE) if found.owner else found.limits.jobs or AT_ONCE


def seconds_of(found: Manifest) -> float:
    """Return how long one attempt of an action may take, all in all."""
    return found.limits.seconds + MARGIN_SECONDS
