"""Requests to the dispatcher, carried out in the step's transaction.

A handler checks everything before it writes anything, and raises ConfigError to refuse: the sentence is the
answer. A crash between the commit and the answer makes it run again, so each one is idempotent.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lustre_events.config.nearest import nearest
from lustre_events.dispatcher.turn import Turn
from lustre_events.errors import ConfigError
from lustre_events.jobs.requests import Reply, Request
from lustre_events.streams.interface import Requests

log = logging.getLogger(__name__)

Handler = Callable[[Turn, Mapping[str, Any]], dict[str, Any]]
"""Takes the turn and the arguments, and returns the result; all are JSON types."""

AT_ONCE = 8
"""Most requests of one step: each may carry 1,000 FIDs."""


class RequestHandler:
    """Takes requests and gives the answers, by a table of handlers; `requests` None: nobody can ask."""

    def __init__(self, requests: Requests | None, handlers: Mapping[str, Handler]) -> None:
        self._requests = requests
        self._handlers = handlers
        self._answered: list[Reply] = []

    def read(self) -> list[Request]:
        """Return requests that wait, as far as they are not answered. Raises StreamUnavailable."""
        if self._requests is None:
            return []
        self.answer(())
        return self._requests.read(AT_ONCE)

    def answer(self, replies: Sequence[Reply]) -> None:
        """Give the answers to what is committed, and those that Redis did not take before."""
        self._answered += replies
        if self._answered and self._requests is not None:
            self._requests.answer(self._answered)
            self._answered = []

    def take(self, turn: Turn, request: Request) -> Reply:
        """Carry a request out, and return the answer to be given once this is committed."""
        handler = self._handlers.get(request.action)
        try:
            if request.refusal:
                raise ConfigError(request.refusal)
            if handler is None:
                raise ConfigError(f"this dispatcher knows no request {request.action!r}"
                                  f"{nearest(request.action, tuple(self._handlers))}")  # fmt: skip
            result = handler(turn, request.arguments)
        except ConfigError as exc:
            log.warning("refused the request %r: %s", request.action, exc, extra={"action": "refuse"})
            return Reply(request.id, error=str(exc))
        log.info(
            "carried out the request: %s", request.action, extra={"action": request.action, "request": request.id}
        )
        return Reply(request.id, result)
