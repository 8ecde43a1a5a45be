"""`slurm`: a job of the site's scripts for each file. What `with` may say, and what a file worker is told of a run.

    with = { script = "reduce.sh", arguments = ["{fid}"], partition = "short", time = "00:30:00" }

The script gets the path of the file, or directory, as its first argument, and `arguments` behind it; `{outputs}` is
one for each of the files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, quote_from_bytes

import msgspec

from lustre_events.actions.kinds.kind import Subject
from lustre_events.config.nearest import nearest
from lustre_events.config.tables import Location
from lustre_events.domain.rules import batch_scripts, templates
from lustre_events.errors import ConfigError

OPTIONS = {
    "partition": "partition", "account": "account", "qos": "qos", "time": "time", "cpus": "cpus-per-task",
    "memory": "mem", "constraint": "constraint", "output": "output",
}  # fmt: skip
"""Keys of `with`, and the options of sbatch that they are. No field is filled in: they are the rule's own words."""
MOST_ARGUMENTS = 50
_PLAIN = re.compile(r"[A-Za-z0-9%/][A-Za-z0-9._,:/@%&|*+=\[\]-]{0,199}\Z")


class JobOrder(msgspec.Struct, frozen=True, gc=False):
    """What a file worker is told: the file (`path` is a hint, percent-encoded), arguments, options of sbatch.

    An argument that is a list has paths, percent-encoded from the mount point on, and becomes one for each of them.
    `author`: the uid of the user whose own rule it is, who must own the file; None: the rule is the site's.
    """

    fid: str
    path: str
    arguments: list[str | list[str]]
    options: dict[str, str]
    author: int | None = None


def read_with(location: Location, table: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `with` says. Raises `location.error`."""
    known = ("script", "arguments", *OPTIONS)
    for name in table:
        if name not in known:
            raise location.unknown(f"key {name}", name, known)
    script = table.get("script")
    if not isinstance(script, str) or not batch_scripts.SCRIPT.match(script):
        raise location.refusal("needs `script`, the name of a file in [actions] slurm_scripts")
    arguments = table.get("arguments", [])
    texts = isinstance(arguments, list) and all(isinstance(each, str) for each in arguments)
    if not texts or len(arguments) > MOST_ARGUMENTS or any("\0" in each for each in arguments):
        raise location.refusal(f"has arguments that are not a list of at most {MOST_ARGUMENTS} texts")
    templates.check(arguments, location)
    return {"script": script, "arguments": arguments, "options": _options(location, table)}


def _options(location: Location, table: Mapping[str, Any]) -> dict[str, str]:
    found = {OPTIONS[name]: value for name, value in table.items() if name in OPTIONS}
    for name, value in found.items():
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not whole and not (isinstance(value, str) and _PLAIN.match(value)):
            raise location.refusal(f"has {value!r}, which sbatch cannot take as --{name}")
    if "output" in found and not str(found["output"]).startswith("/"):
        raise location.refusal('has an output that is not an absolute path, such as "/proj/logs/%j.out"')
    return {name: str(value) for name, value in found.items()}


def rendered(subject: Subject) -> bytes:
    """Return the order of one run."""
    known: Mapping[str, Any] = subject.known
    path = known["path"] if known["encoding"] else quote(known["path"])
    arguments = [_argument(each, subject) for each in subject.rule.settings["arguments"]]
    if any("\0" in each for each in arguments):
        raise ConfigError("an argument of the job has a zero byte in it, which no program can be given")
    order = {
        "fid": known["fid"], "path": path, "arguments": arguments, "options": subject.rule.settings["options"],
    }  # fmt: skip
    if subject.rule.author is not None:
        order["author"] = subject.rule.author.uid
    return json.dumps(order).encode()


def _argument(template: str, subject: Subject) -> str | list[str]:
    """Return an argument; paths of outputs keep all bytes of their names."""
    if templates.asks(template, "outputs"):
        return [quote_from_bytes(path) for path in subject.run.outputs or ()]
    value = templates.filled(template, subject.known, subject.rule.most_body)
    return "" if value is None else str(value)


def read(body: bytes) -> JobOrder:
    """Return the order that `rendered` made. Raises ConfigError."""
    try:
        found = msgspec.json.decode(body, type=JobOrder)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise ConfigError(f"not an order of a job: {exc}; dispatcher and worker may differ in version") from exc
    for name in found.options:
        if name not in OPTIONS.values():
            raise ConfigError(f"an order with the option --{name[:40]}{nearest(name, [*OPTIONS.values()])}")
    return found
