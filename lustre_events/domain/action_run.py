"""Runs: one execution of an action's rule for one object and one thing that happened to it. Values only.

    settling     something happened; the rule is asked when the object has rested
    waiting      the rule holds, and what will be sent is fixed; due at `due_ns`
    sent         somebody has it until `due_ns`, the end of its lease; or its job goes on, and is looked at then
    held         a guard stopped it, or no record told of it; a person releases or drops it
    done         the endpoint has taken it
    dead         its tries are used up, or the endpoint refuses it; a person tries it again or drops it
    superseded   newer content came before it was delivered
    cancelled    its rule is gone, or a person stopped it
    expired      it became too old before it could be sent
    dropped      a person dropped it

`done` and all below it are ends. A run that was settling and whose rule does not hold then is forgotten.
"""

from __future__ import annotations

import hashlib

import msgspec

from lustre_events.changelog.fid import FID
from lustre_events.domain.namespace import OrderKey
from lustre_events.domain.triggers import AFTER, DIRECTORY

SETTLING, WAITING, SENT, HELD = "settling", "waiting", "sent", "held"
DONE, DEAD, SUPERSEDED, CANCELLED, EXPIRED, DROPPED = (
    "done",
    "dead",
    "superseded",
    "cancelled",
    "expired",
    "dropped",
)
OPEN = (SETTLING, WAITING, SENT, HELD)
ENDS = (DONE, DEAD, SUPERSEDED, CANCELLED, EXPIRED, DROPPED)
STATES = (*OPEN, *ENDS)

BY_BURST, BY_QUERY, BY_ENDPOINT = "burst", "query", "endpoint"
"""Guards: more runs in a minute than `burst`; the query cannot be asked; the endpoint says that it is wrong."""


class Seen(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was known of an object when something happened, where the index does not know it later."""

    paths: tuple[bytes, ...] = ()
    type: str | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    mime: str | None = None


class Run(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """One run.

    Attributes:
        id: the index's own name for it.
        key: the idempotency key, the same in all attempts.
        rule, digest: the rule's name, and what it said when the run was made of it.
        trigger: why.
        fid: the object, by its present FID.
        stamp: the packed key of the record that is the reason.
        event_ns: that record's time. `first_ns`: the time of the first one that was taken together with it.
        generation: of the object's content, 0 for none.
        made_ns: when the row was made. `due_ns`: see the states. `ended_ns`: when it ended.
        ready_ns: when what is sent was fixed. `failed_ns`: when the first attempt failed; 0: none has.
        attempts: how often it was handed out. `attempt`: the name of the last one.
        merged: how often it has taken in that the same happened once more.
        alone: it is sent alone, since a batch that it was in was refused.
        body: what is sent. `place`: a digest of the path under which that was.
        before: what was known before: of what was renamed or removed, or whose content may be the same.
        jobid: who did it, as far as the record says.
        error, status: of the last attempt; of a run that is done `error` is a remark.
        handle: the job that does it outside, in the words of who submitted it; empty: none is known.
        again: how many such jobs before this one ended in vain; with the key it names the job.
        depth: how many runs in a row, each woken by the one before, have led to it.
        hold: why it is held as soon as its rule holds; empty: it is not.
        members: a digest of what was in the directory that was complete. `files`: how many files.
        parent: the key of the run that has succeeded, for one that is made `after` it; else empty.
        because: the trigger with which its chain began; empty: it has no run before it.
        outputs: paths of what a container has made, in this run or the last one before it in its chain, from the
            mount point on; `made`: how many there are, more than are named perhaps. None: nobody has said.
        arrived: of a run that copies many files: the most of them that were there after an attempt.
    """

    id: str
    key: str
    rule: str
    digest: str
    trigger: str
    endpoint: str
    action: str
    fid: FID
    state: str = SETTLING
    stamp: bytes = b""
    event_ns: int = 0
    first_ns: int = 0
    generation: int = 0
    made_ns: int = 0
    due_ns: int = 0
    ready_ns: int = 0
    failed_ns: int = 0
    ended_ns: int = 0
    attempts: int = 0
    attempt: str = ""
    merged: int = 0
    alone: bool = False
    body: bytes = b""
    place: bytes = b""
    uid: int | None = None
    before: Seen | None = None
    jobid: bytes | None = None
    error: str = ""
    status: int = 0
    depth: int = 0
    hold: str = ""
    handle: str = ""
    again: int = 0
    members: str = ""
    files: int | None = None
    parent: str = ""
    because: str = ""
    outputs: tuple[bytes, ...] | None = None
    made: int = 0
    arrived: int = 0

    @property
    def began(self) -> str:
        """The trigger with which it, or its chain, began."""
        return self.because or self.trigger

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state in OPEN


class Hold(msgspec.Struct, frozen=True, gc=False):
    """Why nothing goes out of a rule or to an endpoint, since when. `kind` is `rule` or `endpoint`.

    `guard`: which guard holds it; empty: a person does.
    """

    kind: str
    name: str
    why: str
    since_ns: int
    guard: str = ""


def key_of(rule: str, trigger: str, stamp: bytes, again: str = "") -> str:
    """Return the idempotency key of what a record means to a rule; `again` tells deliberate repetitions apart.

    A record is about one object, and its index and time stay the same when it is read again under another epoch.
    """
    found = OrderKey.unpack(stamp) if stamp else None
    record = f"{found.mdt_number}:{found.index}:{found.eff_time}" if found is not None else ""
    return hashlib.sha256(f"{rule}\0{trigger}\0{record}\0{again}".encode()).hexdigest()[:40]


def key_of_found(rule: str, trigger: str, found: str) -> str:
    """Return the idempotency key of what a listing has found, and no record told: `found` says what that was."""
    return hashlib.sha256(f"{rule}\0{trigger}\0found\0{found}".encode()).hexdigest()[:40]


def key_of_directory(rule: str, fid: FID, members: str) -> str:
    """Return the idempotency key of a directory that was complete with these members."""
    return hashlib.sha256(f"{rule}\0{DIRECTORY}\0{fid}\0{members}".encode()).hexdigest()[:40]


def key_after(rule: str, parent: str) -> str:
    """Return the idempotency key of the run of a rule after the run with the key `parent`."""
    return hashlib.sha256(f"{rule}\0{AFTER}\0{parent}".encode()).hexdigest()[:40]


_MADE_BY = "/made by "


class Maker(msgspec.Struct, frozen=True, gc=False):
    """Which run has put an object into the file system: its key and its rule; `generation`: of the content then."""

    key: str
    rule: str
    generation: int


def mark_of_maker(run: Run) -> str:
    """Return what stands beside what has fired for an object that a run has made. No rule is named so."""
    return f"{_MADE_BY}{run.key} {run.rule}"


def maker_of(mark: str, generation: int) -> Maker | None:
    """Return what `mark_of_maker` says; None: it is something else that has fired."""
    if not mark.startswith(_MADE_BY):
        return None
    key, _, rule = mark.removeprefix(_MADE_BY).partition(" ")
    return Maker(key, rule, generation)


class RunsWanted(msgspec.Struct, frozen=True, gc=False):
    """Which runs somebody asks for: all that fit everything that is given. `key`: how a key begins."""

    rule: str = ""
    states: tuple[str, ...] = ()
    fid: FID | None = None
    key: str = ""


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Run)


def encode_run(run: Run) -> bytes:
    """Return a run as the index keeps it. A field with a default may be added; none may change its meaning.

    What has its default is left out: most of a run.
    """
    return _encoder.encode(run)


def decode_run(data: bytes) -> Run:
    """Return the run that `encode_run` made."""
    return _decoder.decode(data)


def fits(wanted: RunsWanted, run: Run) -> bool:
    """Whether a run that was found by its key or object is wanted."""
    return (
        (not wanted.rule or run.rule == wanted.rule)
        and (not wanted.states or run.state in wanted.states)
        and (wanted.fid is None or run.fid == wanted.fid)
    )
