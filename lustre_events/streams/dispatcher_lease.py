"""The lease of the one dispatcher that is active; another one waits for it as a standby.

The lease only says whose turn it is. That a dispatcher which lost it writes nothing more is the index's doing: each
transaction asks for the token of who took over last. So a lease that comes and goes, with a Redis that lost its
data for example, costs a change of dispatchers and never a change of what is written.

    key                     type    meaning; lifetime
    le:dispatcher:lease     string  token of the active dispatcher; the lease time
    le:dispatcher:standby   hash    name of one that waits → when it said so last, in s by Redis's clock; a minute
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Iterator

from lustre_events.errors import LeaseLost, StreamError
from lustre_events.streams import keys
from lustre_events.streams.connection import Client, load_script, printable_text, publish, redis_errors

log = logging.getLogger(__name__)

MOST_POLL_SECONDS = 1.0
_POLLS = 4
"""So often within a lease it is renewed, or asked for."""
_STANDBY_SECONDS = 5
_STANDBY_LIFE_SECONDS = 60


class DispatcherLease:
    """Waits until no other dispatcher is active, then keeps the lease in a thread of its own.

    Args:
        client: a Redis client.
        seconds: a dispatcher that is silent for this long is replaced.
        token: names this dispatcher; empty: a new one.
    """

    def __init__(self, client: Client, seconds: float, token: str = "") -> None:
        self._client = client
        self._seconds = seconds
        self._token = token or keys.make_token()
        self._scripts = {name: load_script(client, name) for name in ("lease", "release")}
        self._ended = threading.Event()
        self._lost = threading.Event()
        self._poll_seconds = min(MOST_POLL_SECONDS, seconds / _POLLS)

    @property
    def name(self) -> str:
        """Host and process id, as `status` shows them."""
        return _name(self._token)

    def take(self) -> bool:
        """Take or renew the lease; False: another dispatcher holds it. Raises StreamError."""
        with redis_errors(self._client):
            arguments: list[str | int] = [self._token, int(self._seconds * 1000)]
            return bool(self._scripts["lease"]([keys.DISPATCHER_LEASE], arguments))

    def wait(self, stop: threading.Event, beat: Callable[[str], None]) -> bool:
        """Wait for the lease; False: `stop` was set before. `beat` is told at each look what is waited for.

        Raises StreamError that no repetition helps.
        """
        told = ""
        while not stop.is_set():
            try:
                if self.take():
                    return True
                waits = self._stand_by()
            except StreamError as exc:
                if not exc.retryable:
                    raise
                waits = str(exc)
            if waits != told:
                log.warning("%s", waits, extra={"action": "standby"})
                told = waits
            beat(waits)
            stop.wait(self._poll_seconds)
        return False

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Renew the lease until the end, then give it back."""
        thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            with contextlib.suppress(StreamError), redis_errors(self._client):
                self._scripts["release"]([keys.DISPATCHER_LEASE], [self._token])

    def check(self) -> None:
        """Raise LeaseLost where another dispatcher has taken the lease."""
        if self._lost.is_set():
            raise LeaseLost(
                "this dispatcher was silent for longer than [dispatcher] lease_seconds and another one has taken "
                "over, so this one stops; started again it is the standby"
            )

    def standbys(self) -> list[str]:
        """Return the names of the dispatchers that wait. Raises StreamError."""
        with redis_errors(self._client):
            now = int(self._client.time()[0])
            told = self._client.hgetall(keys.DISPATCHER_STANDBY)
            heard = {name: now - int(seconds) for name, seconds in told.items()}
        return sorted(printable_text(name) for name, ago in heard.items() if ago <= _STANDBY_SECONDS)

    def _stand_by(self) -> str:
        """Say that this one waits; return that as a sentence."""
        with redis_errors(self._client):
            holder = self._client.get(keys.DISPATCHER_LEASE) or b""
            with self._client.pipeline() as pipe:
                pipe.hset(keys.DISPATCHER_STANDBY, self.name, str(int(self._client.time()[0])))
                pipe.expire(keys.DISPATCHER_STANDBY, _STANDBY_LIFE_SECONDS)
                pipe.execute()
        return (
            f"standby: the dispatcher {_name(printable_text(holder))} is active; this one takes over when it ends"
        )

    def _keep(self) -> None:
        while not self._ended.wait(self._poll_seconds):
            try:
                if not self.take():
                    self._lost.set()
                    return
                with redis_errors(self._client):
                    self._client.hdel(keys.DISPATCHER_STANDBY, self.name)
                told = {"holder": self.name, "standbys": json.dumps(self.standbys())}
                publish(self._client, keys.DISPATCHER_STATE, told)
            except StreamError as exc:  # Redis is away: nobody else can take it either
                log.debug("the lease is not renewed: %s", exc)


def _name(token: str) -> str:
    return token.rpartition(":")[0]
