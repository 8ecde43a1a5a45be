"""Mail over SMTP: each message has a Message-ID of its events' keys, so that mail programs see repetitions.

With `secret` (a file with USER:PASSWORD) it logs in, over TLS only. A server may take a message for some recipients
only: then the others are tried again alone, as long as this process remembers who has it.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

from lustre_events.actions.delivery import Parcel
from lustre_events.actions.endpoints.addresses import AddressRefused
from lustre_events.actions.endpoints.connecting import Guarded, connected, login_of, secured, tls_context
from lustre_events.actions.endpoints.interface import Deadline
from lustre_events.actions.endpoints.mail_message import Letter, letters_of
from lustre_events.actions.run_transitions import AGAIN, ENDPOINT, OK, REFUSED, UNTRIED, Attempt
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError

MOST_ANSWER = 200
MOST_REMEMBERED = 10_000
"""Messages that some of their recipients have."""
_LOGIN_REFUSED = {530, 534, 535, 538}


class _Connection(smtplib.SMTP):
    """SMTP over an address that was judged, each step of which ends with the attempt."""

    def __init__(self, endpoint: Endpoint, deadline: Deadline, guarded: Guarded) -> None:
        self._endpoint = endpoint
        self._deadline = deadline
        self._guarded = guarded
        parts = urlsplit(endpoint.url)
        self._name = parts.hostname or ""
        self._tls = parts.scheme == "smtps"
        super().__init__(self._name, parts.port or (465 if self._tls else 25), timeout=deadline.left())

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        plain = connected(self._endpoint, port, self._deadline)
        self._guarded.watch(plain)
        return secured(self._endpoint, plain) if self._tls else plain

    def putcmd(self, cmd: str, args: str = "") -> None:
        self._bound()
        super().putcmd(cmd, args)

    def getreply(self) -> tuple[int, bytes]:
        self._bound()
        return super().getreply()

    def _bound(self) -> None:
        if self.sock is not None:
            self.sock.settimeout(self._deadline.left())


class _Reached:
    """Which recipients have a message that others have not; all senders of this process share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()

    def of(self, endpoint: str, key: str) -> frozenset[str]:
        """Return who has the message with a key."""
        with self._lock:
            return self._known.get((endpoint, key), frozenset())

    def note(self, endpoint: str, keys: Iterable[str], recipients: Collection[str]) -> None:
        """Remember that these have them now, too."""
        with self._lock:
            for key in keys:
                self._known[endpoint, key] = self._known.pop((endpoint, key), frozenset()) | frozenset(recipients)
                if len(self._known) > MOST_REMEMBERED:
                    self._known.popitem(last=False)

    def forget(self, endpoint: str, keys: Iterable[str]) -> None:
        """Forget messages that all have."""
        with self._lock:
            for key in keys:
                self._known.pop((endpoint, key), None)


class MailSenders:
    """Makes senders for mail (`sender.MakeSender`), which share what is known of messages that few have."""

    def __init__(self) -> None:
        self._reached = _Reached()

    def __call__(self, endpoint: Endpoint) -> SmtpSender:
        """Return a sender for an endpoint."""
        return SmtpSender(endpoint, self._reached)


class SmtpSender:
    """See `interface.Sender`."""

    def __init__(self, endpoint: Endpoint, reached: _Reached) -> None:
        self._endpoint = endpoint
        self._reached = reached

    def send(self, batch: Sequence[Parcel]) -> list[Attempt]:
        """Send each event as a message, and all that a search has matched as one, over one connection."""
        letters, found = letters_of(batch, self._endpoint, partial(self._reached.of, self._endpoint.name))
        try:
            with self._connection() as connection:
                self._greet(connection)
                for letter in letters:
                    attempt = self._sent(connection, letter)
                    found |= dict.fromkeys(letter.places, attempt)
                    if attempt.outcome in {AGAIN, ENDPOINT}:
                        break
        except Exception as exc:  # noqa: BLE001 - whatever a stranger's server does is one sentence
            untried = next((letter for letter in letters if letter.places[0] not in found), None)
            if untried is not None:
                found |= dict.fromkeys(untried.places, self._failed(exc))
        return [found.get(place, Attempt(UNTRIED)) for place in range(len(batch))]

    def check(self) -> str:
        """Greet the server, log in where that is set, and send nothing. Raises ConfigError."""
        try:
            with self._connection() as connection:
                self._greet(connection)
        except (OSError, smtplib.SMTPException, AddressRefused) as exc:
            raise ConfigError(f"endpoint {self._endpoint.name!r}: {self._failed(exc).error}") from exc
        return f"{self._endpoint.where} takes mail"

    def close(self) -> None:
        """Nothing stays open."""

    @contextlib.contextmanager
    def _connection(self) -> Iterator[_Connection]:
        deadline = Deadline(self._endpoint.timeout_seconds)
        guarded = Guarded(deadline)
        with guarded.until_deadline(), _Connection(self._endpoint, deadline, guarded) as connection:
            yield connection

    def _greet(self, connection: _Connection) -> None:
        connection.ehlo()
        if urlsplit(self._endpoint.url).scheme == "smtp" and connection.has_extn("starttls"):
            connection.starttls(context=tls_context(self._endpoint))
            connection.ehlo()
        login = login_of(self._endpoint)
        if login:
            if not isinstance(connection.sock, ssl.SSLSocket):
                raise ConfigError(f"{self._endpoint.where} has no TLS, so the password is not sent; use smtps://")
            connection.login(*login)

    def _sent(self, connection: _Connection, letter: Letter) -> Attempt:
        name, together, everybody = self._endpoint.name, len(letter.keys) - 1, letter.everybody
        left = [each for each in everybody if each not in letter.reached]
        try:
            refused = connection.send_message(letter.message, self._endpoint.sender, left)
        except smtplib.SMTPRecipientsRefused as exc:
            refused = exc.recipients
        except smtplib.SMTPResponseException as exc:
            return replace(self._answered(exc.smtp_code, exc.smtp_error), together=together)
        if not refused:
            self._reached.forget(name, letter.keys)
            return Attempt(OK, 250, together=together)
        self._reached.note(name, letter.keys, [each for each in left if each not in refused])
        # One that may be taken later decides: the message is sent again, to those who do not have it.
        code, text = min(refused.values(), key=lambda answer: answer[0] >= 500)
        answered = replace(self._answered(code, text), together=together)
        some = f"{len(everybody) - len(refused)} of {len(everybody)} recipients have it; of another one "
        return replace(answered, error=some + answered.error) if len(refused) < len(everybody) else answered

    def _answered(self, code: int, text: bytes | str) -> Attempt:
        shown = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        clean = "".join(each if each.isprintable() else " " for each in shown)[:MOST_ANSWER]
        outcome = REFUSED if 500 <= code < 600 else AGAIN
        return Attempt(outcome, code, f"{self._endpoint.where} answered {code} ({clean})")

    def _failed(self, exc: Exception) -> Attempt:
        where = self._endpoint.where
        if isinstance(exc, ConfigError | AddressRefused | ssl.SSLCertVerificationError):
            return Attempt(ENDPOINT, error=str(exc))
        if isinstance(exc, smtplib.SMTPAuthenticationError):
            return Attempt(ENDPOINT, exc.smtp_code, f"{where} does not accept the login of the secret's file")
        if isinstance(exc, TimeoutError):
            return Attempt(AGAIN, error=f"{where}: no answer in time")
        if isinstance(exc, smtplib.SMTPResponseException):
            return self._answered(exc.smtp_code, exc.smtp_error)
        return Attempt(AGAIN, error=f"{where}: {exc if isinstance(exc, OSError) else type(exc).__name__}")
