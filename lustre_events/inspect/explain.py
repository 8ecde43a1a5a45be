"""All that happened to one file, from record to document, as sentences: `lustre-events explain`.

Everything comes as values: what the index knows, what a status says without its index, the rules, RQ's jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lustre_events.domain.namespace import OrderKey, mdt_number
from lustre_events.domain.rules.conditions import EVENTS, File
from lustre_events.domain.rules.review import Verdict, explain
from lustre_events.domain.rules.rules import Rules
from lustre_events.index.documents import TRUNCATED
from lustre_events.index.search.hits import (
    Document,
    Failure,
    ObjectFacts,
    ObjectView,
    PendingWork,
    printable,
    printable_line,
)
from lustre_events.index.search.left_out import WHY_LEFT_OUT, globs_over
from lustre_events.inspect.status import SECOND_NS, Status, size_text, span_text, time_text
from lustre_events.jobs.messages import STAT
from lustre_events.jobs.queues import JobState

SILENT_SECONDS = 30.0
"""The dispatcher says every second that it lives."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is so, and what it waits for (empty: nothing)."""

    text: str
    waits_for: str = ""

    def line(self) -> str:
        """Return it on one line, safe for a terminal."""
        whole = f"{self.text}; it waits for {self.waits_for}" if self.waits_for else self.text
        return printable_line(whole)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is known besides the index: a status without it (status.collect), RQ's jobs by id, the rules.

    `rules` None: they cannot be read, and `problem` says why. `jobs` None: RQ cannot be asked from here.
    """

    status: Status
    jobs: Mapping[str, JobState] | None
    rules: Rules | None
    problem: str = ""


MOST_OTHERS = 3
"""Rules for files of other names that are told one by one; of more only their number is: a site has dozens."""

FROM_OUTSIDE = "rules, queues and workers are shown only on a node of the service"


def sentences(view: ObjectView, known: Circumstances) -> Iterator[Sentence]:
    """Yield what happened to an object and what is still to come, from record to document."""
    facts = view.facts
    yield _names(view)
    yield from service(known.status)
    if facts is None:
        return
    yield _cause(facts, known.status)
    yield _facts(view, facts)
    yield from _left_out(view, known.rules)
    wanted: dict[str, str] = {}
    if facts.type == "f":
        yield from _rules(view, facts, known, wanted)
    for document in view.documents:
        yield _document(document, facts, known.status)
    for failure in view.failures:
        yield _failure(failure, facts)
    for row in view.pending:
        yield _pending(row, known)
    seen = {each.extractor for each in view.documents} | {each.extractor for each in view.failures}
    seen |= {each.extractor for each in view.pending}
    for name in sorted(wanted.keys() - seen):
        yield _missing(name, wanted[name], facts, view, known.status)


def unknown(path: bytes, status: Status, *, there: bool = True) -> Iterator[Sentence]:
    """Yield why the index may not know a path. Not `there`: the file system, which is mounted here, has none."""
    if there:
        waits_for = "a record that names it, or lustre-events scan of its directory"
        yield Sentence(f"{_quoted(path)}: no such path in the index", waits_for)
    else:
        yield Sentence(
            f"{_quoted(path)}: no such path, neither in the index nor in the file system; check its spelling"
        )
    yield from service(status)


def service(status: Status) -> Iterator[Sentence]:
    """Yield what holds everything up; nothing where all is well."""
    for problem in status.problems:
        yield Sentence(problem, "that to be fixed")
    if status.dispatcher is not None:
        alive = status.dispatcher.alive_ns
        silent = (status.time_ns - alive) / SECOND_NS
        if silent > SILENT_SECONDS:
            since = f"has been silent for {span_text(silent)}" if alive else "has never run"
            yield Sentence(f"the dispatcher {since}, so nothing new comes into the index", "a dispatcher that runs")
    for mdt, state in (status.mdts or {}).items():
        if state.behind:
            yield Sentence(
                f"{mdt}: up to {state.behind} records are stored but not in the index yet", "the dispatcher"
            )
        if state.waiting:
            yield Sentence(f"{mdt}: its reader does not read: {state.waiting}", "that to end")
        if state.open_losses:
            yield Sentence(f"{mdt}: records were lost, perhaps those of this file",
                           f"lustre-events continuity reconcile {mdt}")  # fmt: skip


def _names(view: ObjectView) -> Sentence:
    if view.facts is None and not view.paths:
        return Sentence(f"{view.fid}: not in the index: it is gone, or no record has named it yet",
                        "a record that names it, or a scan")  # fmt: skip
    if not view.paths:
        return Sentence(f"{view.fid}: the index knows no name of it: it was removed, or a record is still to come",
                        "the sweeper, or `heal`")  # fmt: skip
    kind = _KINDS.get((view.facts.type if view.facts else None) or "", "object of unknown type")
    names = ", ".join(map(_quoted, view.paths))
    return Sentence(f"{view.fid} is a {kind}, at {names}")


def _cause(facts: ObjectFacts, status: Status) -> Sentence:
    if not facts.cause:
        return Sentence(
            "no changelog record mentions a change of it: it is known from other records, or from a scan"
        )
    key = OrderKey.unpack(facts.cause)
    at = time_text(key.eff_time)
    if not key.index:
        return Sentence(f"generation {facts.generation}, the present one, is what a scan found at {at}")
    mdt, where = f"MDT{key.mdt_number:04x}", ""
    for name, state in (status.mdts or {}).items():
        if mdt_number(name) == key.mdt_number:
            mdt = name
            rows = [row for row in state.streams if row.epoch == key.epoch]
            kept = any(row.first_index <= key.index <= row.last_index for row in rows)
            where = "; the record is still in the stream" if kept else "; the record is no longer in the stream"
    return Sentence(f"generation {facts.generation}, the present one, comes from record {key.index} of {mdt} "
                    f"(epoch {key.epoch}) of {at}{where}")  # fmt: skip


def _facts(view: ObjectView, facts: ObjectFacts) -> Sentence:
    waiting = any(row.extractor == STAT for row in view.pending)
    if not facts.facts_generation:
        return Sentence(f"{STAT} has not looked at it yet", STAT if waiting else "its next change")
    age = "its present state"
    if facts.facts_generation < facts.generation:
        age = f"generation {facts.facts_generation} of it, not the present {facts.generation}"
    text = f"{STAT} has seen {age}: {', '.join(_seen(facts))}"
    return Sentence(text, STAT if waiting and facts.facts_generation < facts.generation else "")


def _seen(facts: ObjectFacts) -> Iterator[str]:
    yield "size not known" if facts.size is None else size_text(facts.size)
    yield f"owner {facts.uid}, group {facts.gid}, mode {facts.mode or 0:04o}"
    if facts.rights > facts.facts_generation:
        yield "hidden from all but root until its rights are known again"
    if facts.mtime_ns is not None:
        yield f"written {time_text(facts.mtime_ns)}"
    if facts.mime:
        yield f"content {facts.mime}"
    if facts.released:
        yield "on tape only"


def _left_out(view: ObjectView, rules: Rules | None) -> Iterator[Sentence]:
    globs = {*view.left_out, *(rules.left_out if rules is not None else ())}
    for path in view.paths:
        if over := globs_over(path, sorted(globs)):
            yield Sentence(f"{_quoted(path)}: left out ({', '.join(over)}), by {WHY_LEFT_OUT}: no search finds it")


def _rules(
    view: ObjectView, facts: ObjectFacts, known: Circumstances, wanted: dict[str, str]
) -> Iterator[Sentence]:  # fmt: skip
    """Yield what the rules say of each name, and note in `wanted` which extractor is to run by which rule."""
    if known.rules is None:
        if known.problem:
            yield Sentence(f"the rules cannot be read: {known.problem}", "that to be fixed")
        return
    if not known.rules.can_judge(facts.generation, facts.facts_generation or 0, facts.uid):
        yield Sentence(f"the rules are not asked before {STAT} has looked at its present state", STAT)
        return
    for path in view.paths:
        file = File(path, (EVENTS["content"],), True, facts.uid, facts.gid, facts.size, facts.mtime_ns, facts.mime,
                    known.status.time_ns)  # fmt: skip
        verdicts = explain(known.rules, file)
        yield from (Sentence(f"{_quoted(path)}: {said}") for said in _rules_of(verdicts))
        for verdict in verdicts:
            if verdict.chosen:
                wanted.setdefault(verdict.rule.work.extractor, verdict.rule.work.rule)


def _rules_of(verdicts: list[Verdict]) -> Iterator[str]:
    """Yield what each rule says of one name; of many rules for other names only how many they are."""
    others = [verdict for verdict in verdicts if _of_other_names(verdict)]
    several = len(others) > MOST_OTHERS
    yield from (_verdict(verdict) for verdict in verdicts if not (several and verdict in others))
    if several:
        yield f"{len(others)} rules are for files of other names; lustre-events rules test PATH shows each of them"
    if not any(verdict.chosen for verdict in verdicts):
        yield f"no rule gives it an extractor, so only {STAT} looks at it"


def _of_other_names(verdict: Verdict) -> bool:
    return any(not met and each.key in {"extensions", "globs"} for each, met, _ in verdict.conditions)


def _verdict(verdict: Verdict) -> str:
    work = verdict.rule.work
    conditions = [
        f"{each.text} ({printable(why.encode('utf-8', 'surrogateescape'))})"
        for each, met, why in verdict.conditions
        if met == verdict.chosen
    ]
    because = f": {'; '.join(conditions)}" if conditions else ""
    if verdict.chosen:
        return f"rule {work.rule!r} gives it {work.extractor}, queue {work.queue}{because}"
    return f"rule {work.rule!r} does not give it {work.extractor}, because {verdict.why}{because}"


def _document(document: Document, facts: ObjectFacts, status: Status) -> Sentence:
    told, name = document.provenance, document.extractor
    of = "its present content"
    if document.generation < facts.content:
        since = "a change of its content is logged since"
        if facts.released:
            since = "what is logged since may be its release to tape alone"
        of = f"generation {document.generation} of it; {since}, in generation {facts.content}"
    text = f"{name} {told.get('version', '')} found {len(document.body)} keys in {of}".replace("  ", " ")
    partial = [f"not whole ({document.body['partial']})"] if document.body.get("partial") else []
    if told.get(TRUNCATED):
        partial.append(f"not searched as a whole (it is too large, or uid {facts.uid} has too many keys of {name})")
    text = ", ".join([text, *_provenance(told), *partial])
    installed = status.extractor(name).version
    if installed is not None and "version" in told and told["version"] != installed:
        return Sentence(f"{text}; version {installed} is installed now",
                        f"its next change, or lustre-events extractor reprocess {name} --where ...")  # fmt: skip
    return Sentence(text)


def _provenance(told: Mapping[str, Any]) -> Iterator[str]:
    """Yield who made a document, in what, and for which record, as far as it says."""
    at = told.get("time_ns")
    shown = {**told, "time_ns": time_text(at) if isinstance(at, int) else ""}
    for key, words in _PROVENANCE.items():
        if shown.get(key, "") not in {"", None}:
            yield words.format(shown[key], told.get(_BESIDE.get(key, ""), "?"))


def _failure(failure: Failure, facts: ObjectFacts) -> Sentence:
    told: dict[str, Any] = failure.failure.get("provenance") or {}
    at = f" at {time_text(told['time_ns'])}" if isinstance(told.get("time_ns"), int) else ""
    where = f" on {told['host']}" if "host" in told else ""
    old = "" if failure.generation >= facts.content else ", an older content"
    tries = f" after {failure.failure['attempts']} tries" if "attempts" in failure.failure else ""
    tries = ", and another try cannot help" if failure.failure.get("final") else tries
    return Sentence(
        f"{failure.extractor} failed for generation {failure.generation}{old}{at}{where}{tries}: "
        f"{failure.failure.get('error', 'nothing was told')}",
        f"its next change, or lustre-events failed retry --extractor {failure.extractor}",
    )


def _pending(row: PendingWork, known: Circumstances) -> Sentence:
    status, name = known.status, row.extractor
    state = status.extractor(name)
    text = f"{name} is pending for generation {row.generation} (reason {row.reason}, try {row.attempts + 1}"
    text += f", rule {row.rule!r})" if row.rule else ")"
    text += f", after a try that failed ({row.error})" if row.error else ""
    left = (row.due_ns - status.time_ns) / SECOND_NS
    if row.job is not None:
        return _given_out(row, f"{text}, in job {row.job}", known)
    if state.disabled:
        return Sentence(f"{text}, and {name} is disabled", f"lustre-events extractor enable {name}")
    if state.suspended is not None:
        return Sentence(f"{text}, and {name} is suspended: {state.suspended}",
                        f"lustre-events extractor resume {name}")  # fmt: skip
    if left > 0:
        return Sentence(f"{text}, due in {span_text(left)}", "that time: files settle, failures rest")
    return Sentence(
        f"{text}, due {span_text(-left)} ago", f"room in queue {row.queue}: {_worker_for(row.queue, status)}"
    )


def _given_out(row: PendingWork, text: str, known: Circumstances) -> Sentence:
    if known.jobs is None:
        return Sentence(text, "a worker, or its result")
    job = known.jobs.get(row.job or "")
    if job is None:
        left = (row.due_ns - known.status.time_ns) / SECOND_NS
        until = (
            f"its lease to end in {span_text(left)}" if left > 0 else "the dispatcher, since its lease has ended"
        )
        return Sentence(f"{text}, which RQ does not know", f"{until}; then it is given out again")
    if job.state == "started":
        return Sentence(f"{text}, which runs on worker {job.worker}", "its result")
    place = f" at place {job.place} of queue {row.queue}" if job.place else ""
    return Sentence(f"{text}, which is {job.state}{place}", _worker_for(row.queue, known.status))


def _worker_for(queue: str, status: Status) -> str:
    if status.rq is None:
        return f"a worker of queue {queue}"
    serving = sum(queue in worker.queues for worker in status.rq.workers)
    return f"one of {serving} workers of queue {queue}" if serving else f"a worker: none serves queue {queue}"


def _missing(name: str, rule: str, facts: ObjectFacts, view: ObjectView, status: Status) -> Sentence:
    if status.extractor(name).disabled:
        return Sentence(f"{name} is wanted by rule {rule!r} and is disabled, so changes make no work for it",
                        f"lustre-events extractor enable {name}, then reprocess")  # fmt: skip
    if facts.released:
        return Sentence(f"{name} is wanted by rule {rule!r}, and the content is on tape only", "its restore")
    return Sentence(
        f"{name} is wanted by rule {rule!r}, and nothing is pending: no change came since that rule was written",
        f"its next change, or lustre-events extractor reprocess {name} --where 'fid:\"{view.fid}\"'",
    )


_PROVENANCE = {
    "host": "on {0}",
    "time_ns": "at {0}",
    "run_as": "as {0}",
    "image": "with image {0}",
    "job": "in job {0}",
    "record": "for record {0} of {1}",
    "duration_ms": "in {0} ms (files in this run: {1})",
}
_BESIDE = {"record": "mdt", "duration_ms": "files"}
"""What is said beside a member of a provenance."""

_KINDS = {"f": "file", "d": "directory", "l": "symbolic link", "p": "pipe", "s": "socket", "b": "block device",
          "c": "character device"}  # fmt: skip


def _quoted(path: bytes) -> str:
    return "/" + printable(path.strip(b"/"))
