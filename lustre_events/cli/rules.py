"""`lustre-events rules`: check a file of rules, and ask it about files."""

from __future__ import annotations

import json
import os
import pwd
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from lustre_events import services
from lustre_events.cli.main import with_settings
from lustre_events.config import Settings
from lustre_events.errors import ConfigError
from lustre_events.index.hits import printable
from lustre_events.rule_review import Condition, File, Verdict, explain, unreachable
from lustre_events.rules import EVENTS, Rules

F = TypeVar("F", bound=Callable[..., Any])


@click.group("rules")
def rules_command() -> None:
    """Check the rules, and ask them about files."""


@rules_command.command("check")
@click.argument("path", metavar="[FILE]", required=False)
@with_settings
def check(path: str | None, *, settings: Settings) -> None:
    """Check a file of rules: keys, types, and rules that no file can reach. Default: [dispatcher] rules."""
    rules, origin = _load(settings, path)
    sentences = unreachable(rules)
    for sentence in sentences:
        click.echo(sentence)
    if sentences:
        raise ConfigError(f"{origin}: {len(sentences)} of {len(rules.rules)} rules can never be reached")
    click.echo(f"{origin}: ok, {len(rules.rules)} rules for {', '.join(sorted(rules.extractors)) or 'nothing'}")


@rules_command.command("test")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--rules", "rules_path", metavar="FILE", help="The rules. Default: [dispatcher] rules.")
@click.option("--owner", metavar="USER", help="User name or uid. Default: the file's, if it is there.")
@click.option("--event", "event", type=click.Choice(list(EVENTS)), default="content", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per path.")
@with_settings
def test(
    paths: tuple[str, ...],
    *,
    settings: Settings,
    rules_path: str | None,
    owner: str | None,
    event: str,
    as_json: bool,
) -> None:
    """Say which rules a file meets, and why or why not. PATH need not exist; it is below the mount point."""
    rules, _ = _load(settings, rules_path)
    for path in paths:
        file = _file(os.fsencode(path), os.fsencode(settings.filesystem.mount), owner, event)
        verdicts = explain(rules, file)
        click.echo(_json(file, verdicts) if as_json else _text(file, verdicts))


def _load(settings: Settings, path: str | None) -> tuple[Rules, str]:
    named = path or settings.dispatcher.rules
    if not named:
        raise ConfigError("there are no rules; name a file, or set [dispatcher] rules")
    return services.load_rules(replace(settings, dispatcher=replace(settings.dispatcher, rules=named))), named


def _file(path: bytes, mount: bytes, owner: str | None, event: str) -> File:
    """Return what rules ask about the file at `path`, which is absolute or relative to the mount point."""
    top = mount.rstrip(b"/") + b"/"
    below = path.removeprefix(top) if path.startswith(top) else path.lstrip(b"/")
    uid: int | None = None
    if owner is not None:
        uid = _uid(owner)
    elif os.path.lexists(top + below):
        uid = os.lstat(top + below).st_uid
    return File(below, uid, (EVENTS[event],))


def _uid(owner: str) -> int:
    try:
        return int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    except KeyError as exc:
        raise ConfigError(f"--owner {owner}: no such user on this node; give the uid instead") from exc


def _text(file: File, verdicts: list[Verdict]) -> str:
    given = [verdict.rule.work for verdict in verdicts if verdict.chosen]
    chosen = ", ".join(f"{work.extractor} (queue {work.queue}, rule {work.rule!r})" for work in given)
    lines = [f"/{printable(file.path)}: {chosen or 'no extractor'}"]
    for verdict in verdicts:
        work = verdict.rule.work
        lines.append(f"  rule {work.rule!r} -> {work.extractor}: {verdict.why or 'holds'}")
        lines += [f"    {_line(condition)}" for condition in verdict.conditions]
    return "\n".join(lines)


def _line(condition: Condition) -> str:
    why = printable(condition.why.encode("utf-8", "surrogateescape"))
    return f"{'yes' if condition.met else 'NO '} {condition.key} {', '.join(condition.written)}: {why}"


def _json(file: File, verdicts: list[Verdict]) -> str:
    rules = [
        {
            "rule": verdict.rule.work.rule,
            "extractor": verdict.rule.work.extractor,
            "queue": verdict.rule.work.queue,
            "chosen": verdict.chosen,
            "why": verdict.why,
            "conditions": [
                {"key": each.key, "written": list(each.written), "met": each.met, "why": each.why}
                for each in verdict.conditions
            ],
        }
        for verdict in verdicts
    ]
    return json.dumps({"path": "/" + printable(file.path), "owner": file.owner, "rules": rules})
