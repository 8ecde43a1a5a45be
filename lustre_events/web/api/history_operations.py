"""Operations that look at the history: who did what, and what stood in a directory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec

from lustre_events.errors import ConfigError
from lustre_events.history.lookup import Teller
from lustre_events.index.remote import answers
from lustre_events.index.remote.client import MOST_DEEDS
from lustre_events.inspect import history
from lustre_events.inspect.history import ChosenDeeds
from lustre_events.web.api.calls import Call
from lustre_events.web.api.operation import Operation, Parameter

SECONDS = 30.0
"""How long a history may hold one of the console's threads."""


@contextlib.contextmanager
def _teller(call: Call) -> Iterator[Teller]:
    if call.site.past is None:
        raise ConfigError("no history is kept here; an administrator sets [history] days")
    with call.search() as index, history.teller(call.site.past, index, call.viewer, SECONDS) as teller:
        yield teller


def happened(call: Call) -> dict[str, Any]:
    """Answer with what happened at a path, in a directory, or to an object."""
    given = call.given
    choice = ChosenDeeds.of(*(given[name] for name in ("since", "until", "user", "job", "types")))
    with _teller(call) as teller:
        return _json(history.happened(teller, call.path(given["path"]), choice, given["limit"]))


def stood(call: Call) -> dict[str, Any]:
    """Answer with what stood in a directory at a given time."""
    at_ns = history.moment("at", call.given["at"])[1] - 1
    with _teller(call) as teller:
        found = history.stood(teller, call.path(call.given["path"]), at_ns)
    if len(found.entries) > MOST_DEEDS:
        raise ConfigError(
            f"{len(found.entries)} names were there, more than a server returns ({MOST_DEEDS}); an administrator "
            "can ask with `lustre-events history --as-of`"
        )
    return _json(found)


def _json(answer: answers.HistoryAnswer | answers.FormerAnswer) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(answer)
    return found


PATH = Parameter("path", "a path, also one that is gone, a FID, or DIRECTORY/**", needed=True)

OPERATIONS = (
    Operation("GET", "/history", "history", "Who did what to files, and when.", answers.HistoryAnswer, happened, (
        PATH,
        Parameter("since", "a time, as in a query", ""),
        Parameter("until", "a time, as in a query", ""),
        Parameter("user", "only what this user did: a name or a UID", ""),
        Parameter("job", "only what this job did (* and ?)", ""),
        Parameter("types", "only these record types, e.g. UNLNK,RENME", ""),
        Parameter("limit", "the most entries to return; the newest are kept", 1000, least=1, most=MOST_DEEDS),
    )),
    Operation("GET", "/former", "former", "What a directory held at a given time.", answers.FormerAnswer, stood, (
        Parameter("path", "a directory's path, also of one that is gone, or its FID", needed=True),
        Parameter("at", "a time, as in a query", needed=True),
    )),
)  # fmt: skip
