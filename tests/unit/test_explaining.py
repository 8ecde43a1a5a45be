"""What `explain` says of a file: each sentence is true, and names what it waits for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.rules.rule_file import parse
from lustre_events.domain.rules.rules import Rules
from lustre_events.index.search.hits import Document, Failure, ObjectFacts, ObjectView, PendingWork
from lustre_events.inspect.explain import Circumstances, Sentence, sentences, unknown
from lustre_events.inspect.status import Status
from lustre_events.jobs.queues import JobState
from tests.support.records.builders import fid_of
from tests.support.rows import each_row
from tests.support.service.statuses import status_of

NOW_NS = 1_800_000_000 * 10**9
MDT = "x-MDT0000"
RULES = parse('[[rule]]\nname = "tables"\nextensions = ["csv"]\nextractor = "tabular"\n', "rules", ("tabular",))
CAUSE = OrderKey(NOW_NS, 0, 9, 77).pack()


def facts(**changed: Any) -> ObjectFacts:
    """Return the facts of a file that is fine."""
    told = {
        "type": "f", "size": 2048, "mtime_ns": NOW_NS, "ctime_ns": NOW_NS, "atime_ns": NOW_NS, "uid": 1, "gid": 1,
        "mode": 0o644, "nlink": 1, "jobid": None, "mime": "text/csv", "released": 0, "acl": None, "generation": 4,
        "content": 4, "facts_generation": 4, "cause": CAUSE, "mdt": None, "stripe_count": None, "stripe_size": None,
        "mirror_count": None, "projid": None, "pool": None, "layout": None, "hsm": None,
    }  # fmt: skip
    return ObjectFacts(**{**told, **changed})


def view(*pending: PendingWork, paths: tuple[bytes, ...] = (b"d/a.csv",), **changed: Any) -> ObjectView:
    """Return what the index knows of a file."""
    parts = {
        "documents": (),
        "failures": (),
        **{name: changed.pop(name) for name in ("documents", "failures") if name in changed},
    }
    return ObjectView(fid_of(1), paths, facts(**changed), parts["documents"], parts["failures"], pending)


def row(**changed: Any) -> PendingWork:
    """Return a pending row of `tabular`."""
    told = {"extractor": "tabular", "generation": 4, "due_ns": NOW_NS, "attempts": 0, "reason": "write",
            "rule": "tables", "queue": "default", "job": None}  # fmt: skip
    return PendingWork(**{**told, **changed})


def status(**changed: Any) -> Status:
    """Return the status of a service that is fine."""
    stream = {"epoch": 9, "committed": 0, "first_index": 70, "last_index": 80, "blocks": 1, "bytes": 1}
    return status_of({
        "time_ns": NOW_NS, "problems": [], "dispatcher": {"alive_ns": str(NOW_NS)}, "extractors": {},
        "mdts": {MDT: {"behind": 0, "losses": [], "streams": [stream]}},
        "rq": {"queues": {}, "workers": [{"queues": ["default"]}]}, **changed,
    })  # fmt: skip


def lines(
    seen: ObjectView, *, rules: Rules | None = RULES, jobs: dict[str, JobState] | None = None, **changed: Any
) -> str:
    """Return all that is said, a line each."""
    known = Circumstances(status(**changed), jobs or {}, rules, "no such key")
    return "\n".join(each.line() for each in sentences(seen, known))


def test_a_file_is_told_from_record_to_document() -> None:
    """Names, the record and whether it is still there, facts, rules and the document with its origin."""
    told = {"version": "2", "host": "n1", "job": "j", "record": 77, "mdt": "MDT0000", "duration_ms": 40, "files": 8,
            "time_ns": NOW_NS, "image": ""}  # fmt: skip
    said = lines(view(documents=(Document("tabular", 4, 1, {"rows": 3, "partial": "its end"}, told),))).splitlines()

    assert said[0] == "[0x200000401:0x1:0x0] is a file, at /d/a.csv"
    assert said[1] == (
        "generation 4, the present one, comes from record 77 of x-MDT0000 (epoch 9) of 2027-01-15T08:00:00Z; "
        "the record is still in the stream"
    )
    assert said[2] == (
        "stat has seen its present state: 2.0 KiB, owner 1, group 1, mode 0644, written 2027-01-15T08:00:00Z, "
        "content text/csv"
    )
    assert said[3] == (
        "/d/a.csv: rule 'tables' gives it tabular, queue default: events content, name (what happened is content); "
        "extensions csv (the name is a.csv)"
    )
    assert said[4] == (
        "tabular 2 found 2 keys in its present content, on n1, at 2027-01-15T08:00:00Z, in job j, "
        "for record 77 of MDT0000, in 40 ms (files in this run: 8), not whole (its end)"
    )
    assert len(said) == 5


@each_row(
    ("pending", "jobs", "changed", "waits"),
    [
        (row(due_ns=NOW_NS + 5 * 10**9), {}, {}, "due in 5 s; it waits for that time"),
        (
            row(attempts=1, error="OSError: \x1b[2J", due_ns=NOW_NS + 5 * 10**9),
            {},
            {},
            "try 2, rule 'tables'), after a try that failed (OSError: \\x1b[2J), due in 5 s; it waits for",
        ),
        (row(), {}, {}, "room in queue default: one of 1 workers of queue default"),
        (row(), {}, {"rq": {"workers": []}}, "none serves queue default"),
        (
            row(),
            {},
            {"extractors": {"tabular": {"suspended": "no image"}}},
            "lustre-events extractor resume tabular",
        ),
        (row(), {}, {"extractors": {"tabular": {"disabled": True}}}, "lustre-events extractor enable tabular"),
        (row(job="j", due_ns=NOW_NS + 9 * 10**9), {}, {}, "its lease to end in 9 s; then it is given out again"),
        (row(job="j"), {}, {}, "since its lease has ended"),
        (row(job="j"), {"j": JobState("queued", "", 3)}, {}, "queued at place 3 of queue default"),
        (
            row(job="j"),
            {"j": JobState("started", "n1.7", None)},
            {},
            "runs on worker n1.7; it waits for its result",
        ),
    ],
)
def test_pending_work_says_what_it_waits_for(
    pending: PendingWork, jobs: dict[str, JobState], changed: dict[str, Any], waits: str
) -> None:
    """Time, a place in a queue, a worker, somebody's command, or a lease."""
    assert waits in lines(view(pending), jobs=jobs, **changed).splitlines()[-1]


def test_what_keeps_a_document_away_is_said() -> None:
    """No rule, an old content, tape, a failure, and a rule that is newer than the file."""
    old = Document("tabular", 2, 1, {}, {"version": "1"})
    failed = Failure("tabular", 4, 1, {"error": "bad \x1b[2J", "attempts": 5})

    assert "no rule gives it an extractor" in lines(view(paths=(b"a.h5",)))
    assert "a change of its content is logged since, in generation 4" in lines(view(documents=(old,)))
    assert "may be its release to tape alone, in generation 4" in lines(view(documents=(old,), released=1))
    assert "version 2 is installed now" in lines(view(documents=(old,)), extractors={"tabular": {"version": "2"}})
    assert "the content is on tape only; it waits for its restore" in lines(view(released=1))
    final = Failure("tabular", 4, 1, {"error": "ValueError: no table", "attempts": 1, "final": True})
    assert "failed for generation 4, and another try cannot help: ValueError" in lines(view(failures=(final,)))
    assert "failed for generation 4 after 5 tries: bad \\x1b[2J; it waits for its next" in lines(
        view(failures=(failed,))
    )
    assert "reprocess tabular --where 'fid:\"[0x200000401:0x1:0x0]\"'" in lines(view())
    assert "the rules cannot be read: no such key" in lines(view(), rules=None)


def test_rules_that_need_facts_wait_for_them() -> None:
    """Before `stat` has seen the present state, nobody says that no rule wants a file, or that no work comes."""
    large = parse(
        '[[rule]]\nname = "large"\nmin_size = "1M"\nextractor = "tabular"\n'
        '[[rule]]\nname = "tables"\nextensions = ["csv"]\nextractor = "tabular"\n',
        "rules", ("tabular",),
    )  # fmt: skip
    waiting = row(extractor="stat", rule="", queue="builtin")

    said = lines(view(waiting, facts_generation=0, size=None), rules=large)

    assert "the rules are not asked before stat has looked at its present state; it waits for stat" in said
    assert "reprocess" not in said
    assert "no rule gives it" not in said
    assert "rule 'tables' gives it tabular" in lines(view(waiting, facts_generation=0, size=None))


def test_many_rules_and_long_lists_stay_readable() -> None:
    """Rules for other names are counted where they are many, and of many extensions the first ones are shown."""
    ends = ", ".join(f'"e{number}"' for number in range(20))
    other = f'[[rule]]\nname = "NAME"\nextensions = [{ends}]\nextractor = "NAME"\n'
    names = ("one", "two", "three", "four", "tabular")
    large = other.replace("NAME", "tabular") + 'min_size = "1M"\n'
    few, many = (
        lines(
            view(),
            rules=parse("".join(other.replace("NAME", each) for each in names[:count]) + large, "rules", names),
        )
        for count in (2, 4)
    )

    assert "extensions e0, e1, e2, e3, e4, e5, e6, e7 and 12 more (the name is a.csv); min_size 1M" in few
    assert (
        "/d/a.csv: 5 rules are for files of other names; lustre-events rules test PATH shows each of them" in many
    )
    assert "'one'" in few
    assert "'one'" not in many


def test_an_error_keeps_its_backslashes() -> None:
    r"""Names have their backslashes escaped, so that they are exact; what an extractor wrote is shown as it is."""
    failed = Failure("tabular", 4, 1, {"error": r"can't decode '\xff' " + "\x1b[2J"})

    said = lines(view(paths=(b"a\\b\xff.csv",), failures=(failed,)))

    assert r"at /a\\b\xff.csv" in said
    assert r"(the name is a\\b\xff.csv)" in said
    assert r"can't decode '\xff' \x1b[2J" in said


def test_what_holds_everything_up_is_said_first() -> None:
    """A silent dispatcher, records that wait, and records that were lost."""
    loss = {"epoch": 9, "first_index": 1, "last_index": 2, "time_ns": 1, "reason": "gap", "accepted": False}
    mdts = {MDT: {"behind": 7, "losses": [loss], "streams": [], "waiting": "Redis is full"}}
    said = lines(view(), mdts=mdts, dispatcher={"alive_ns": str(NOW_NS - 10**12)})

    assert "the dispatcher has been silent for 16.7 min" in said
    assert "up to 7 records are stored but not in the index yet" in said
    assert "its reader does not read: Redis is full" in said
    assert f"it waits for lustre-events continuity reconcile {MDT}" in said
    assert "the record is no longer in the stream" in said


def test_an_unknown_path_says_what_it_may_wait_for() -> None:
    """Nothing is known of it but that a record or a scan must come; a name is only text."""
    (only,) = unknown(b"\x1b.csv", status())
    assert only.line() == (
        "/\\x1b.csv: no such path in the index; it waits for a record that names it, "
        "or lustre-events scan of its directory"
    )
    (mistyped,) = unknown(b"x/.csv", status(), there=False)
    assert mistyped.line().endswith("neither in the index nor in the file system; check its spelling")
    gone = ObjectView(fid_of(1), (), None, (), (), ())
    assert "not in the index: it is gone" in lines(gone)
    assert Sentence("so it is").line() == "so it is"


def test_what_a_scan_found_has_no_record() -> None:
    """An object that only a scan has told of says so."""
    assert "is what a scan found at 2027" in lines(view(cause=OrderKey(NOW_NS, 0, 0, 0).pack()))
    assert "no changelog record mentions a change of it" in lines(view(cause=b""))
    assert "stat has not looked at it yet" in lines(view(facts_generation=0))


def test_what_is_not_searched_is_said() -> None:
    """A document of which not everything is searched says so, and why."""
    whole, cut = (
        view(documents=(Document("tabular", 4, 1, {}, told),)) for told in ({}, {"search_truncated": True})
    )
    assert "not searched as a whole" in lines(cut)
    assert "not searched as a whole" not in lines(whole)


def test_what_hides_a_file_is_said() -> None:
    """A file whose rights may have changed since `stat` saw it is said to be hidden; others are not."""
    hidden = "hidden from all but root until"
    assert hidden in lines(view(generation=5, facts_generation=4, rights=5))
    assert hidden not in lines(view(generation=5, facts_generation=4, rights=4))


def test_a_path_that_the_site_leaves_out_is_told() -> None:
    """Where `[filesystem] exclude` names a path, that is said with the globs, also where there are no rules."""
    for rules in (RULES, Rules()):
        said = lines(view(paths=(b"d/a.csv", b"e/b.csv")), rules=rules.leaving_out(["/d"]))
        assert "/d/a.csv: left out (/d), by [filesystem] exclude or a file .lustre-events-ignore" in said
        assert "/e/b.csv: left out" not in said


def test_what_the_index_leaves_out_is_told_without_rules() -> None:
    """Who knows no rules of the site, as over a server, is told the globs that match a path, and no others."""
    said = lines(replace(view(paths=(b"d/a.csv", b"e/b.csv")), left_out=("/d", "/**/*.csv")), rules=None)
    assert "/d/a.csv: left out (/**/*.csv, /d), by" in said
    assert "/e/b.csv: left out (/**/*.csv), by" in said
