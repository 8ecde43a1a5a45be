"""What can be said about rules: which are never reached, and why one holds for a file or does not."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from lustre_events.pending import Kind
from lustre_events.rules import EVENTS, Rule, Rules
from lustre_events.work import STAT

_EVERYTHING = {"globs": {"*"}, "directories": {"**", "/**", "/**/"}}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a rule, as it is written, and whether a file meets it; `why` says what the file has."""

    key: str
    written: tuple[str, ...]
    met: bool
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says about a file. `chosen`: the file gets the rule's extractor; else `why` says why not."""

    rule: Rule
    conditions: tuple[Condition, ...]
    chosen: bool
    why: str


@dataclass(frozen=True, slots=True)
class File:
    """What rules ask about a file; `path` is relative to the mount point."""

    path: bytes
    owner: int | None
    events: Collection[Kind]


def unreachable(rules: Rules) -> list[str]:
    """Return a sentence for each rule that no file can ever reach, in their order."""
    found = []
    for place, rule in enumerate(rules.rules):
        for earlier in rules.rules[:place]:
            if sentence := _shadow(rules, earlier, rule):
                found.append(sentence)
                break
    return found


def _shadow(rules: Rules, earlier: Rule, rule: Rule) -> str:
    """Return why `rule` is never reached behind `earlier`; empty: it can be."""
    name, before = repr(rule.work.rule), repr(earlier.work.rule)
    same = earlier.work.extractor == rule.work.extractor
    if same and rule.work.extractor == STAT:
        return f"rule {name}: of the rules for {STAT} only the first counts, which is {before}; remove one"
    if not _covers(earlier, rule) or not (rules.first_only or same):
        return ""
    if same and _covers(rule, earlier):
        return f"rule {name}: it has the conditions and the extractor of {before}, which comes first; remove one"
    if rules.first_only:
        return (
            f"rule {name}: {before} comes first and holds for every file that it could hold for, and match is "
            '"first"; put it before, or narrow the conditions of the other'
        )
    return (
        f"rule {name}: {before} comes first, holds for every file that it could hold for, and has the same "
        f"extractor ({rule.work.extractor}); put it before, or remove it"
    )


def _covers(wide: Rule, narrow: Rule) -> bool:
    """Whether `wide` surely holds for every file that `narrow` holds for (globs are compared as written)."""
    return (
        wide.events >= narrow.events
        and (
            wide.extensions is None
            or (narrow.extensions is not None and all(each.endswith(wide.extensions) for each in narrow.extensions))
        )
        and _written_covers(wide, narrow, "globs")
        and _written_covers(wide, narrow, "directories")
        and (wide.owners is None or (narrow.owners is not None and wide.owners >= narrow.owners))
    )


def _written_covers(wide: Rule, narrow: Rule, key: str) -> bool:
    wider, narrower = (frozenset(dict(rule.written).get(key, ())) for rule in (wide, narrow))
    if not wider or wider & _EVERYTHING[key]:
        return True
    return bool(narrower) and narrower <= wider


def explain(rules: Rules, file: File) -> list[Verdict]:
    """Return what each rule says about a regular file, in their order; chosen are those of `Rules.match`."""
    verdicts: list[Verdict] = []
    for rule in rules.rules:
        conditions = tuple(_conditions(rule, file))
        taken = [verdict.rule.work for verdict in verdicts if verdict.chosen]
        why = ""
        if not all(condition.met for condition in conditions):
            why = "not all of its conditions are met"
        elif taken and rules.first_only:
            why = f'match is "first", and rule {taken[0].rule!r} holds'
        elif other := next((work for work in taken if work.extractor == rule.work.extractor), None):
            why = f"rule {other.rule!r} gives it {other.extractor} already"
        verdicts.append(Verdict(rule, conditions, not why, why))
    return verdicts


def _conditions(rule: Rule, file: File) -> list[Condition]:
    """Return the conditions of a rule in the order of `Rule.holds`; that of events even where it is not written."""
    directory, _, name = file.path.strip(b"/").rpartition(b"/")
    place = b"/" + directory if directory else b""
    names = {kind: event for event, kind in EVENTS.items()}
    happened = [names[kind] for kind in EVENTS.values() if kind in file.events]
    written = dict(rule.written)
    text = name.decode(errors="surrogateescape")
    found = [
        Condition(
            "events",
            written.get("events", tuple(names[kind] for kind in EVENTS.values() if kind in rule.events)),
            not rule.events.isdisjoint(file.events),
            f"what happened is {', '.join(happened)}",
        )
    ]
    if rule.extensions is not None:
        met = name.lower().endswith(rule.extensions)
        found.append(Condition("extensions", written["extensions"], met, f"the name is {text}"))
    if rule.globs is not None:
        found.append(Condition("globs", written["globs"], bool(rule.globs.match(name)), f"the name is {text}"))
    if rule.directories is not None:
        where = place.decode(errors="surrogateescape") or "/"
        met = bool(rule.directories.match(place))
        found.append(Condition("directories", written["directories"], met, f"the directory is {where}"))
    if rule.owners is not None:
        who = "the owner is not known" if file.owner is None else f"the owner is {file.owner}"
        found.append(Condition("owners", written["owners"], file.owner in rule.owners, who))
    return found
