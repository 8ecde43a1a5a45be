"""The rules: which extractor runs on which files. rule_file.py reads them, conditions.py knows what they ask.

A rule holds if each of its conditions does. Only regular files are asked about; the built-in `stat` needs no rule
(the first one for it, whatever its conditions, sets its queue, priority and settling). All rules that hold count,
in their order, up to the first that is marked as the last one; of several for the same extractor the first.

A user's rules come behind those of the site, on their own, and are asked about that user's files only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lustre_events.domain.record_meaning import Kind
from lustre_events.domain.rules.action_rules import ActionRules
from lustre_events.domain.rules.conditions import EVENTS, Condition, File, excluding, top_of
from lustre_events.domain.rules.directories import Reach, segments_of

__all__ = ["DEFAULT_QUEUE", "EVENTS", "File", "Rule", "Rules", "Work"]

DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True)
class Work:
    """What a rule asks for. `settle_ns` None: as set for the dispatcher.

    `min_age_ns`: it waits until the file's last change is so long ago. `recall`: the worker may read a file that
    HSM has released, which brings it back from tape.
    """

    extractor: str
    queue: str
    priority: int
    settle_ns: int | None
    rule: str
    min_age_ns: int = 0
    recall: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions, the work for files that meet them, and whether no later rule is asked then.

    `reach`: its directories; `left_out`: those that it leaves out.
    """

    work: Work
    conditions: tuple[Condition, ...]
    reach: Reach
    last: bool = False
    left_out: Reach = field(default_factory=lambda: Reach(()))

    def holds(self, file: File) -> bool:
        """Whether a file meets every condition."""
        for condition in self.conditions:  # noqa: SIM110 - asked for every file: a generator would cost more
            if not condition.holds(file):
                return False
        return True

    @property
    def asks_for_names(self) -> bool:
        """Whether a new name is a reason to ask it."""
        return any(Kind.NAME in each.value for each in self.conditions if each.key == "events")

    def needs(self, what: str) -> bool:
        """Whether a condition needs that of a file (conditions.ConditionKind)."""
        return any(each.kind.needs == what for each in self.conditions)


@dataclass(frozen=True, slots=True)
class Rules:
    """The ordered rules of a site, and those of its users by uid."""

    rules: tuple[Rule, ...] = ()
    users: Mapping[int, tuple[Rule, ...]] = field(default_factory=dict)
    actions: ActionRules = field(default_factory=ActionRules)
    needs_owner: bool = field(init=False)
    """Whether a file must not be asked about before its owner and group are known."""
    needs_facts: bool = field(init=False)
    """Whether it must not be asked about before all facts of its present content are known."""
    _works: Mapping[str, Work] = field(init=False)
    left_out: tuple[str, ...] = ()
    """Globs of paths from the root on that none of them reaches, and no search finds."""

    def __post_init__(self) -> None:
        rules = list(self.all())
        put = object.__setattr__
        put(self, "needs_owner", bool(self.users) or any(rule.needs("owner") for rule in rules))
        put(self, "needs_facts", any(rule.needs("facts") or rule.work.min_age_ns for rule in rules))
        put(self, "_works", {rule.work.rule: rule.work for rule in rules})

    def can_judge(self, generation: int, known: int, uid: int | None) -> bool:
        """Whether a file of this generation can be judged, whose facts are those of generation `known`."""
        if self.needs_facts:
            return known >= generation
        return not self.needs_owner or uid is not None

    def leaving_out(self, globs: Sequence[str], *, written: bool = True) -> Rules:
        """Return these rules, of which none holds for what a glob of paths matches, or for what is below it.

        `written`: somebody wrote the globs, so brackets are refused; else `[*]` is a star that stands for itself.
        """
        if not globs:
            return self
        condition = excluding(globs, written=written)
        reach = tuple(segments_of(glob.encode("utf-8", "surrogateescape") + b"/**") for glob in globs)

        def narrowed(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
            return tuple(
                replace(rule, conditions=(*rule.conditions, condition), left_out=Reach(rule.left_out.globs + reach))
                for rule in rules
            )

        users = {uid: narrowed(rules) for uid, rules in self.users.items()}
        left_out = tuple(dict.fromkeys((*self.left_out, *map(top_of, globs))))
        return Rules(narrowed(self.rules), users, self.actions.leaving_out(condition), left_out=left_out)

    def all(self) -> Iterator[Rule]:
        """Yield all rules, those of the site first."""
        yield from self.rules
        for rules in self.users.values():
            yield from rules

    def lists(self, uid: int | None) -> tuple[tuple[Rule, ...], ...]:
        """Return the lists of rules that are asked about the files of a user."""
        return self.rules, self.users.get(-1 if uid is None else uid, ())

    @property
    def queues(self) -> frozenset[str]:
        """All queues that rules name."""
        return frozenset(rule.work.queue for rule in self.all())

    @property
    def extractors(self) -> frozenset[str]:
        """All extractors that rules name."""
        return frozenset(rule.work.extractor for rule in self.all())

    def work_of(self, rule: str) -> Work | None:
        """Return the work of the rule with this name, or None if there is none any more."""
        return self._works.get(rule)

    def work_of_extractor(self, extractor: str) -> Work | None:
        """Return the work of the first rule for this extractor, or None if there is none."""
        return next((each.work for each in self.all() if each.work.extractor == extractor), None)

    @property
    def ask_for_directories(self) -> bool:
        """Whether the place of a file matters to a rule that is asked when a file gets a new name."""
        return any((rule.reach.globs or rule.left_out.globs) and rule.asks_for_names for rule in self.all())

    def may_differ(self, before: Collection[bytes], after: Collection[bytes]) -> bool:
        """Whether files below a directory that had the paths `before` may have other work now, with `after`."""
        for rule in self.all():
            # Who leaves directories out does not hold where it is not known which one it is.
            if rule.left_out.globs and (
                bool(before) != bool(after) or rule.left_out.places(before) != rule.left_out.places(after)
            ):
                return True
            was, is_ = rule.reach.places(before), rule.reach.places(after)
            if is_ - was or (rule.last and was != is_):
                return True
        return False

    def match(self, file: File) -> tuple[Work, ...]:
        """Return the work for a regular file, one per extractor, in the order of the rules."""
        found: dict[str, Work] = {}
        for rules in self.lists(file.uid):
            for rule in rules:
                if rule.holds(file):
                    found.setdefault(rule.work.extractor, rule.work)
                    if rule.last:
                        break
        return tuple(found.values())
