"""How all processes write their log: one line per event for people and for `grep action=`; fields for journald."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Mapping

from lustre_events.errors import one_line

JOURNAL = "/run/systemd/journal/socket"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
"""The priorities of syslog(3)."""


class FieldFormatter(logging.Formatter):
    """One line: time, level, process, sentence, then the fields given as `extra` as key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line (and the traceback, if there is one)."""
        fields = fields_of(record)
        said = one_line(record.getMessage())
        line = f"{self.formatTime(record)} {record.levelname.lower()} {record.name}: {said}"
        if fields:
            line += " " + " ".join(f"{key}={json.dumps(value, default=str)}" for key, value in fields.items())
        return line + (_traceback(record) if record.exc_info else "")


class JournalHandler(logging.Handler):
    """Sends records to journald with their fields (`journalctl LE_ACTION=clear LE_MDT=lustre-MDT0000`).

    The protocol: https://systemd.io/JOURNAL_NATIVE_PROTOCOL. What journald does not take goes to stderr as a line.
    """

    def __init__(self, address: str = JOURNAL) -> None:
        """Connect to journald's socket. Raises OSError: it is not there."""
        super().__init__()
        self._lines = logging.StreamHandler()
        self._lines.setFormatter(FieldFormatter())
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        text = one_line(record.getMessage())
        if record.exc_info:
            text += _traceback(record)
        priority = next(number for level, number in _PRIORITIES if record.levelno >= level)
        values = {
            "MESSAGE": text,
            "PRIORITY": str(priority),
            "LOGGER": record.name,
            "SYSLOG_IDENTIFIER": "lustre-events",
        }
        values |= {f"LE_{key.upper()}": _text(value) for key, value in fields_of(record).items()}
        try:
            self._socket.send(b"".join(_field(name, value) for name, value in values.items()))
        except OSError:
            self._lines.emit(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()


def handler(environment: Mapping[str, str] = os.environ, address: str = JOURNAL) -> logging.Handler:
    """Return where records go: to journald where stderr leads there anyway, else to stderr."""
    if in_journal(environment):
        try:
            return JournalHandler(address)
        except OSError:
            pass  # stderr leads there too, without fields
    lines = logging.StreamHandler()
    lines.setFormatter(FieldFormatter())
    return lines


def in_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether stderr leads to the journal."""
    stderr = os.fstat(2)
    # systemd.exec(5): device and inode of the stream, which children with another stderr inherit too.
    return environment.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return what was given as `extra`."""
    return {key: value for key, value in record.__dict__.items() if key not in _PLAIN}


def _traceback(record: logging.LogRecord) -> str:
    """Return a traceback whose lines cannot be taken for others: what an exception says may be anybody's."""
    lines = logging.Formatter().formatException(record.exc_info or (None, None, None)).splitlines()
    return "".join(f"\n    {one_line(line)}" for line in lines)


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _field(name: str, value: str) -> bytes:
    """Return one field; with its length, since a value may have several lines."""
    data = value.encode("utf-8", "backslashreplace")
    return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
