"""What systemd is told: that a process is up, that it is alive, that it stops (sd_notify(3), systemd.service(5)).

Datagrams to the socket that $NOTIFY_SOCKET names. Without one, as on a laptop, nothing is sent. A message that
cannot be sent is dropped: the worst is a restart by the watchdog, and restarts are harmless.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping

_MICROSECONDS = 1e6
STATUS_SECONDS = 1.0
ANSWER_SECONDS = 20.0


class Notifier:
    """Tells systemd about this process. Cheap enough to be called at every turn of a loop."""

    def __init__(
        self, environment: Mapping[str, str] = os.environ, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the variables that systemd sets (NOTIFY_SOCKET, WATCHDOG_USEC) and a clock in seconds."""
        address = environment.get("NOTIFY_SOCKET", "")
        # An @ stands for the NUL of an abstract address.
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog = environment.get("WATCHDOG_USEC", "")
        # Twice as often as systemd asks for, as sd_watchdog_enabled(3) advises.
        self._interval = int(watchdog) / _MICROSECONDS / 2 if watchdog.isdecimal() else None
        self._clock = clock
        self._ready = False
        self._beaten = 0.0
        self._status, self._told = "", 0.0

    def beat(self, status: str = "") -> None:
        """Say that the loop turns: ready at the first call, alive at later ones, as often as the watchdog needs.

        `status` is shown by `systemctl status`; it is told when it has changed, once a second at most.
        """
        if not self._address:
            return
        now = self._clock()
        if status and status != self._status and (not self._ready or now - self._told >= STATUS_SECONDS):
            self._status, self._told = status, now
            self._send(b"STATUS=" + " ".join(status.split()).encode("utf-8", "backslashreplace"))
        if not self._ready:
            self._ready, self._beaten = True, now
            self._send(b"READY=1")
        elif self._interval is not None and now - self._beaten >= self._interval:
            self._beaten = now
            self._send(b"WATCHDOG=1")

    def watch(self, status: str, answers: Callable[[], bool]) -> None:
        """Say that a server is up, and from now on, in a thread, that it is alive as long as it `answers`."""
        self.beat(status)
        if self._address and self._interval is not None:
            threading.Thread(target=self._keep_asking, args=(answers,), daemon=True, name="watchdog").start()

    def _keep_asking(self, answers: Callable[[], bool]) -> None:
        while True:
            time.sleep((self._interval or 1.0) / 2)
            if answers():
                self.beat()

    def stopping(self) -> None:
        """Say that this process is about to end."""
        if self._address:
            self._send(b"STOPPING=1")

    def _send(self, message: bytes) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as endpoint:
            endpoint.setblocking(False)
            endpoint.sendto(message, self._address)


def answers_http(listen: str, path: str) -> bool:
    """Return whether a server at ADDRESS:PORT or unix:PATH answers a request for `path`, whatever it says."""
    name, unix = listen.removeprefix("unix:"), listen.startswith("unix:")
    address, _, port = name.rpartition(":")
    try:
        with (
            socket.socket(socket.AF_UNIX)
            if unix
            else socket.create_connection((_reachable(address.strip("[]")), int(port)), ANSWER_SECONDS) as endpoint
        ):
            endpoint.settimeout(ANSWER_SECONDS)
            if unix:
                endpoint.connect(name)
            endpoint.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            return endpoint.recv(5) == b"HTTP/"
    except (OSError, ValueError):
        return False


def _reachable(address: str) -> str:
    return {"": "127.0.0.1", "*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
