"""What each way of sending promises, and the secrets that it signs or logs in with."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.run_transitions import Attempt
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError

MOST_SECRET_BYTES = 4_096


class Sender(Protocol):
    """Sends to one endpoint, one batch after the other. Not for two threads at once.

    `send` returns one Attempt per event, in their order, within the endpoint's time and whatever happens: what is
    wrong is an outcome, never an exception, and no sentence of it has a secret in it.
    """

    def send(self, batch: Sequence[Parcel]) -> list[Attempt]:
        """Send events together, or one after the other, as this way of sending can."""

    def check(self) -> str:
        """Connect and send nothing; return what was reached, as a sentence. Raises ConfigError, OSError."""

    def close(self) -> None:
        """End connections."""


MakeSender = Callable[[Endpoint], Sender]


class Deadline:
    """A moment by which everything must be over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left. Raises TimeoutError: none are."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for this attempt has run out")
        return left


def without_secrets(endpoint: Endpoint, attempts: Sequence[Attempt]) -> list[Attempt]:
    """Return attempts whose sentences have none of the endpoint's secrets, which its answer may repeat."""
    if not any(each.error for each in attempts):
        return list(attempts)
    try:
        words = {word for secret in secrets_of(endpoint) for word in _parts(secret)}
    except ConfigError:
        return list(attempts)
    return [replace(each, error=_hidden(each.error, words)) for each in attempts]


def _parts(secret: str) -> Iterator[str]:
    yield secret
    yield secret.removeprefix("whsec_")
    yield secret.partition(":")[2]


def _hidden(text: str, words: set[str]) -> str:
    for word in sorted(words - {""}, key=len, reverse=True):
        text = text.replace(word, "***")
    return text


def secrets_of(endpoint: Endpoint) -> list[str]:
    """Return the secrets of an endpoint, one a line of its file; [] where it names none.

    Raises:
        ConfigError: the file cannot be read, is empty, or others may read it. What stands in it is never said.
    """
    if not endpoint.secret:
        return []
    path = Path(endpoint.secret)
    try:
        mode = path.stat().st_mode
        with path.open("rb") as file:
            data = file.read(MOST_SECRET_BYTES + 1)
        lines = [line.strip() for line in data.decode("ascii").splitlines() if line.strip()]
    except OSError as exc:
        raise ConfigError(
            f"{path}: the secret of endpoint {endpoint.name!r} cannot be read ({exc.strerror}); let the account of "
            "the courier read it"
        ) from exc
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the secret of endpoint {endpoint.name!r} is not ASCII text") from None
    if mode & stat.S_IRWXO:
        raise ConfigError(f"{path}: others may read the secret of endpoint {endpoint.name!r}; chmod 0640 {path}")
    if not lines or len(data) > MOST_SECRET_BYTES:
        raise ConfigError(f"{path}: the secret of endpoint {endpoint.name!r} is empty, or far too long")
    return lines
