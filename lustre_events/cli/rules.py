"""`lustre-events rules`: check files of rules, and ask them about files."""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.cli.options import here, index_of, with_index, with_settings
from lustre_events.config.settings import Settings
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.domain.rules.complete import Complete
from lustre_events.domain.rules.conditions import EVENTS, Condition, File
from lustre_events.domain.rules.review import ActionVerdict, Verdict, explain, explain_actions, unreachable
from lustre_events.domain.rules.rules import Rules
from lustre_events.errors import ConfigError
from lustre_events.index.mount import Mount
from lustre_events.index.opening import open_search
from lustre_events.index.search.hits import printable
from lustre_events.node import wiring

F = TypeVar("F", bound=Callable[..., Any])


def asking(command: F) -> F:
    """Give a command the options of who asks the rules what."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="One JSON object per file."),
        click.option("--event", type=click.Choice(list(EVENTS)), default="content", show_default=True),
        click.option(
            "--rules", "rules_path", metavar="FILE", help="The site's rules. Default: [dispatcher] rules."
        ),
    ):
        command = option(command)
    return command


@click.group("rules")
def rules_command() -> None:
    """Check the rules, and ask them about files."""


@rules_command.command("check")
@click.argument("path", metavar="[FILE]", required=False)
@click.option("--user", is_flag=True, help="FILE holds a user's own rules, and is named USER.toml.")
@with_settings
def check(path: str | None, *, user: bool, settings: Settings) -> None:
    """Check rules: keys, types, and rules that no file can reach. Default: [dispatcher] rules and user_rules."""
    if user and path is not None:
        rules, origin = wiring.catalog(settings).user_file(Path(path)), path
        problems: tuple[str, ...] = ()
    else:
        settings, origin = _named(settings, path)
        found = wiring.catalog(settings).load()
        rules, problems = found.rules, found.problems
    wrong = [*problems, *unreachable(rules)]
    for sentence in wrong:
        click.echo(sentence)
    count = len(list(rules.all()))
    if wrong:
        raise ConfigError(
            f"{origin}: {len(wrong)} problem{'s' * (len(wrong) > 1)} with {count} rules, listed above"
        )
    click.echo(f"{origin}: ok, {_counted(rules, count)}")


def _counted(rules: Rules, count: int) -> str:
    """Say what there is; nothing of what there is none."""
    actions = len(rules.actions.by_name)
    parts = [f"{count} rule{'s' * (count != 1)} for {', '.join(sorted(rules.extractors))}"] if count else []
    parts += [f"{actions} rule{'s' * (actions != 1)} of actions"] if actions else []
    return ", and ".join(parts) or "no rules"


@rules_command.command("test")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True)
@click.option("--owner", metavar="USER", help="User name or uid. Default: the file's, if it is there.")
@click.option("--user", "own", metavar="FILE", help="A user's own rules instead: FILE is named USER.toml.")
@asking
@with_settings
def test(
    paths: tuple[str, ...],
    *,
    settings: Settings,
    rules_path: str | None,
    owner: str | None,
    own: str | None,
    event: str,
    as_json: bool,
) -> None:
    """Say which rules a file meets, and why or why not. PATH need not exist; with --user it is then that user's."""
    if own is not None:
        rules = wiring.catalog(settings).user_file(Path(own))
    else:
        rules = wiring.load_rules(_named(settings, rules_path)[0])
    mount = Mount.at(settings.filesystem.mount)
    author = _author(rules) if own is not None else None
    for path in paths:
        file = _file(os.fsencode(path), mount, owner, event)
        if author is not None and file.uid is None:
            file = msgspec.structs.replace(file, uid=author)
        there = Path(os.fsdecode(mount.whole(file.path)))
        is_directory = there.is_dir() and not there.is_symlink()
        _say(rules, file, "d" if is_directory else "f", there if is_directory else there.parent, as_json=as_json)
        if author not in {None, file.uid} and not as_json:
            click.echo(f"  it belongs to uid {file.uid}; these rules are about files of uid {author} only")


@rules_command.command("explain")
@click.argument("fids", metavar="FID...", nargs=-1, required=True)
@asking
@with_index
@with_settings
def explain_command(
    fids: tuple[str, ...],
    *,
    settings: Settings,
    index_url: str | None,
    rules_path: str | None,
    event: str,
    as_json: bool,
) -> None:
    """Say which rules an object in the index meets.

    It uses the names and facts that the index has.
    """
    rules = wiring.load_rules(_named(settings, rules_path)[0])
    with open_search(index_of(settings, index_url)) as search:
        for view in search.show_many([FID.parse(text) for text in fids]):
            facts = view.facts
            if facts is None:
                raise ConfigError(f"{view.fid}: not in the index")
            if facts.type not in {"f", "d", None}:
                raise ConfigError(f"{view.fid}: rules apply to files and directories, and it is neither")
            for path in view.paths:
                file = File(
                    path, (EVENTS[event],), True, facts.uid, facts.gid, facts.size, facts.mtime_ns, facts.mime,
                    time.time_ns(),
                )  # fmt: skip
                _say(rules, file, facts.type or "f", as_json=as_json)


def _named(settings: Settings, path: str | None) -> tuple[Settings, str]:
    """Return settings with the site's rules that the command line names, and what they are called."""
    own = settings.dispatcher
    if not (path or own.rules or own.user_rules):
        raise ConfigError("there are no rules; name a file, or set [dispatcher] rules")
    named = own if path is None else replace(own, rules=path, user_rules="")
    return replace(settings, dispatcher=named), named.rules or named.user_rules


def _author(rules: Rules) -> int | None:
    """Return whose rules these are that one user's file has; None: it has none."""
    return next(iter({**rules.users, **rules.actions.users}), None)


def _file(path: bytes, mount: Mount, owner: str | None, event: str) -> File:
    """Return what rules ask about the file at `path`, typed as in a search: see Mount.inside."""
    below = mount.inside(path, here())
    file = File(below, (EVENTS[event],), now_ns=time.time_ns())
    there = mount.whole(below)
    if os.path.lexists(there):
        facts = os.lstat(there)
        file = msgspec.structs.replace(
            file, uid=facts.st_uid, gid=facts.st_gid, size=facts.st_size, mtime_ns=facts.st_mtime_ns
        )  # fmt: skip
    return file if owner is None else msgspec.structs.replace(file, uid=_uid(owner))


def _uid(owner: str) -> int:
    try:
        return int(owner) if owner.isdecimal() else pwd.getpwnam(owner).pw_uid
    except KeyError as exc:
        raise ConfigError(f"--owner {owner}: no such user on this node; give the uid instead") from exc


def _say(rules: Rules, file: File, type_: str, directory: Path | None = None, *, as_json: bool) -> None:
    """Say what rules say of a file, or of a directory; `directory` is it, or where the file is, if it is here."""
    verdicts, actions = explain(rules, file) if type_ == "f" else [], explain_actions(rules, file, type_)
    if as_json:
        click.echo(_json(file, verdicts, actions))
        return
    click.echo(_text(file, verdicts) if type_ == "f" else f"/{printable(file.path.strip(b'/'))}: a directory")
    for verdict in actions:
        click.echo(_action_text(verdict, directory, file.uid))


def _action_text(verdict: ActionVerdict, directory: Path | None, owner: int | None) -> str:
    rule = verdict.rule
    start = f"starts {_trigger_text(rule)}" if verdict.holds else "starts no run"
    start += f", since rule {verdict.waits_for!r} before it starts none" if verdict.waits_for else ""
    lines = [f"  rule {rule.name!r} -> {rule.action} to {rule.endpoint}: {start}"]
    lines += [f"    {_line(*each)}" for each in verdict.conditions]
    if rule.author is not None and owner is None:
        lines.append(f"    NO  files of {rule.author.name}: it is not known who owns this file; give --owner")
    if rule.complete is not None and verdict.holds and directory is not None and directory.is_dir():
        lines.append(f"    {_complete_text(rule.complete, directory)}")
    return "\n".join(lines)


def _trigger_text(rule: ActionRule) -> str:
    """Say when a rule starts that holds."""
    if rule.after:
        return f"after a run of rule {rule.after!r} has succeeded"
    on = ", ".join(sorted(rule.on)) if rule.complete is None else f"a complete directory: {rule.complete.text}"
    return f"on {on}"


def _complete_text(complete: Complete, directory: Path) -> str:
    """Say what a directory has of what is asked for, but whether it is quiet."""
    try:
        with os.scandir(directory) as entries:
            names = [os.fsencode(each.name) for each in entries if each.is_file(follow_symlinks=False)]
    except OSError as exc:
        return f"NO  complete: its files cannot be listed here ({exc.strerror})"
    met, why = complete.says(names)
    return f"{'yes' if met else 'NO '} complete: {why}"


def _text(file: File, verdicts: list[Verdict]) -> str:
    given = [verdict.rule.work for verdict in verdicts if verdict.chosen]
    chosen = ", ".join(f"{work.extractor} (queue {work.queue}, rule {work.rule!r})" for work in given)
    lines = [f"/{printable(file.path)}: {chosen or 'no extractor'}"]
    for verdict in verdicts:
        work = verdict.rule.work
        lines.append(f"  rule {work.rule!r} -> {work.extractor}: {verdict.why or 'holds'}")
        lines += [f"    {_line(*each)}" for each in verdict.conditions]
    return "\n".join(lines)


def _line(condition: Condition, met: bool, why: str) -> str:
    said = printable(why.encode("utf-8", "surrogateescape"))
    return f"{'yes' if met else 'NO '} {condition.text}: {said}"


def _json(file: File, verdicts: list[Verdict], actions: list[ActionVerdict]) -> str:
    rules = [
        {
            "rule": verdict.rule.work.rule,
            "extractor": verdict.rule.work.extractor,
            "queue": verdict.rule.work.queue,
            "chosen": verdict.chosen,
            "why": verdict.why,
            "conditions": _conditions_json(verdict.conditions),
        }
        for verdict in verdicts
    ]
    runs = [
        {
            "rule": verdict.rule.name,
            "on": sorted(verdict.rule.on),
            "after": verdict.rule.after,
            "action": verdict.rule.action,
            "endpoint": verdict.rule.endpoint,
            "holds": verdict.holds,
            "conditions": _conditions_json(verdict.conditions),
        }
        for verdict in actions
    ]
    return json.dumps({"path": "/" + printable(file.path), "owner": file.uid, "rules": rules, "actions": runs})


def _conditions_json(conditions: Iterable[tuple[Condition, bool, str]]) -> list[dict[str, Any]]:
    return [
        {"key": each.key, "written": list(each.written), "met": met, "why": why} for each, met, why in conditions
    ]
