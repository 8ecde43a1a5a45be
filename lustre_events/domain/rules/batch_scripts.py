"""Rules of `slurm`: what they may say, and the job scripts of the site that they may name.

A script is a file in the folder `[actions] slurm_scripts`. Each node has its own copy: the dispatcher looks at its
names alone, and the worker submits what lies in its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lustre_events.config.tables import Location
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.domain.rules.grants import Author
from lustre_events.domain.rules.job_grants import check_options
from lustre_events.domain.triggers import AFTER, CONTENT, CREATED, DIRECTORY, DOCUMENT, RENAMED
from lustre_events.errors import ConfigError

KIND = "slurm"
SECONDS = 60.0
"""Longest time that one attempt to submit a job, or one look at jobs, may take."""
AT_ONCE = 4
SCRIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
_TRIGGERS = frozenset({CONTENT, CREATED, RENAMED, DOCUMENT, DIRECTORY, AFTER})
_ELSEWHERE = ("endpoint", "body", "batch", "audience", "outputs")


def endpoint_name(script: str) -> str:
    """Return what stands for a script where an endpoint has its name; no endpoint is named so."""
    return f"{KIND}:{script}"


def script_of(endpoint: str) -> str:
    """Return the script that `endpoint_name` was given; empty: this is another endpoint."""
    return endpoint.removeprefix(f"{KIND}:") if endpoint.startswith(f"{KIND}:") else ""


def endpoint(script: str) -> Endpoint:
    """Return the endpoint that stands for the file workers which submit a script."""
    return Endpoint(endpoint_name(script), KIND, f"{KIND}://{script}", timeout_seconds=SECONDS, at_once=AT_ONCE)


def endpoints(folder: Path | None) -> dict[str, Endpoint]:
    """Return the endpoints of all scripts in a folder, by name. Raises ConfigError: it cannot be read."""
    if folder is None:
        return {}
    try:
        names = sorted(each.name for each in folder.iterdir() if SCRIPT.match(each.name) and each.is_file())
    except OSError as exc:
        raise ConfigError(
            f"{folder}: the job scripts cannot be listed ({exc.strerror}); correct [actions] slurm_scripts"
        ) from exc
    return {endpoint_name(name): endpoint(name) for name in names}


def check(location: Location, table: Mapping[str, Any], on: frozenset[str]) -> None:
    """Refuse what a rule of `slurm` cannot say. Raises `location.error`."""
    for name in _ELSEWHERE:
        if name in table:
            raise location.at(name).refusal("is not for slurm, whose job takes `with`; remove it")
    if not on <= _TRIGGERS:
        raise location.at("on").refusal(
            f"has {', '.join(sorted(on - _TRIGGERS))}; a job works on what is there:"
            f" {', '.join(sorted(_TRIGGERS - {AFTER}))}"
        )
    if tuple(table.get("types", ("f",))) != ("f",):
        raise location.at("types").refusal(
            f"has more than f; a job works on files, or on a directory with on = {DIRECTORY!r}"
        )


def granted(location: Location, settings: Mapping[str, Any], author: Author | None) -> tuple[str, ...]:
    """Return where a rule for a script may hold; nothing: everywhere. Raises `location.error`: not granted."""
    if author is None:
        return ()
    script, may = str(settings["script"]), author.allowance.scripts
    if script not in may:
        raise location.refusal(
            f"names the script {script!r}, which the site does not grant to {author.name}; granted are:"
            f" {', '.join(sorted(may)) or 'none'}"
        )
    check_options(location, settings["options"], author.allowance.jobs)
    return may[script]


def endpoint_of(location: Location, settings: Mapping[str, Any], known: Mapping[str, Endpoint]) -> str:
    """Return the endpoint of the script that `with` names. Raises `location.error`: there is none of this name."""
    name = endpoint_name(str(settings["script"]))
    if name not in known:
        scripts = [found for each in known if (found := script_of(each))]
        raise location.unknown(f"script {settings['script']!r}", str(settings["script"]), scripts)
    return name
