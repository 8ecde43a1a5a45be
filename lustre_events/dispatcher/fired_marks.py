"""What has fired for a directory that was complete: marks that live and move with it, a bounded number of them.

    /members/RULE              how often RULE (a digest of its name) has fired for the directory
    /members/RULE/DIGEST       for which members, or that it has fired at all; with how often it had fired then
    /complete/DIGEST           the same, written by versions before

An edited rule begins anew: its marks have other digests. Of each rule the last MOST_KEPT marks are kept: content
that comes again after as many others fires once more.
"""

from __future__ import annotations

import hashlib

from lustre_events.changelog.fid import FID
from lustre_events.dispatcher.turn import Turn
from lustre_events.domain.rules.action_rules import ActionRule

MOST_KEPT = 256
SAME, EARLIER = "same", "earlier"
"""A rule has fired for a directory with the same members; with any."""
_PREFIX, _FORMER = "/members", "/complete"
"""No rule can have such a name."""


def known(turn: Turn, rule: ActionRule, fid: FID, members: str) -> set[str]:
    """Return SAME, EARLIER, both or neither."""
    of_members, at_all = _digest(rule, members), _digest(rule, "")
    place = _place(rule)
    told = {
        f"{place}/{of_members}": SAME, f"{_FORMER}/{of_members}": SAME,
        f"{place}/{at_all}": EARLIER, f"{_FORMER}/{at_all}": EARLIER,
    }  # fmt: skip
    return {told[name] for _, name in turn.transaction.fired([fid], set(told))}


def put(turn: Turn, rule: ActionRule, fid: FID, members: str) -> None:
    """Remember that a rule has fired for a directory with these members."""
    place = _place(rule)
    count = turn.transaction.fired([fid], {place}).get((fid, place), 0) + 1
    names = (place, f"{place}/{_digest(rule, members)}", f"{place}/{_digest(rule, '')}")
    turn.transaction.put_fired({(fid, name): count for name in names})
    if count > MOST_KEPT:
        turn.transaction.forget_fired(fid, f"{place}/", count - MOST_KEPT)


def _place(rule: ActionRule) -> str:
    return f"{_PREFIX}/{hashlib.sha256(rule.name.encode()).hexdigest()[:16]}"


def _digest(rule: ActionRule, members: str) -> str:
    return hashlib.sha256(f"{rule.name}\0{rule.digest}\0{members}".encode()).hexdigest()[:32]
