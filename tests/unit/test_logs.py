"""Logs: a line for people, fields for journald."""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lustre_events.node.logs import FieldFormatter, JournalHandler, handler


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """The end of journald's socket that journald would hold."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(str(tmp_path / "journal"))
        endpoint.settimeout(5)
        yield endpoint


def fields(data: bytes) -> dict[str, str]:
    """Return the fields of a datagram, as journald reads them."""
    found = {}
    while data:
        name, data = data.split(b"\n", 1)
        (length,) = struct.unpack("<Q", data[:8])
        found[name.decode()] = data[8 : 8 + length].decode()
        data = data[8 + length + 1 :]
    return found


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": message, "name": "reader", "levelno": logging.WARNING,
                                  "levelname": "WARNING", **extra})  # fmt: skip


def test_journald_gets_sentence_priority_and_fields(journal: socket.socket, tmp_path: Path) -> None:
    """Each `extra` is a field; line ends in a value stay in it; lone surrogates do no harm."""
    own = JournalHandler(str(tmp_path / "journal"))
    own.emit(record("waiting:\nMESSAGE=forged", action="wait", mdt="lustre-MDT0000", blocks=3, name_="\udcff"))
    own.close()
    found = fields(journal.recv(10_000))
    assert found == {
        "MESSAGE": "waiting:\\nMESSAGE=forged", "PRIORITY": "4", "LOGGER": "reader",
        "SYSLOG_IDENTIFIER": "lustre-events", "LE_ACTION": "wait", "LE_MDT": "lustre-MDT0000", "LE_BLOCKS": "3",
        "LE_NAME_": "\\udcff",
    }  # fmt: skip


def test_only_a_process_of_systemd_writes_to_journald(journal: socket.socket, tmp_path: Path) -> None:
    """With another stderr than systemd's, or without journald, lines go to stderr."""
    address = str(tmp_path / "journal")
    stderr = os.fstat(2)
    here = {"JOURNAL_STREAM": f"{stderr.st_dev}:{stderr.st_ino}"}
    to_journal = handler(here, address)
    assert isinstance(to_journal, JournalHandler)
    to_journal.close()
    assert isinstance(handler({}, address), logging.StreamHandler)
    assert isinstance(handler(here, address + "-away"), logging.StreamHandler)
    assert isinstance(handler({"JOURNAL_STREAM": "1:1"}, address), logging.StreamHandler)


def test_a_line_has_the_sentence_and_the_fields() -> None:
    """One line per event, whatever the values are."""
    line = FieldFormatter().format(record("waiting", action="wait", why="a\nb"))
    assert line.endswith('warning reader: waiting action="wait" why="a\\nb"')
    assert "\n" not in line


def test_no_name_forges_a_line_or_moves_a_cursor() -> None:
    """Line ends, escape sequences and C1 bytes in a name, or in what an exception says, are written as escapes."""
    name = "a\n2026-01-01 error reader: forged\x1b[2J\x9b\u202e\r"
    try:
        raise ValueError(name)
    except ValueError:
        failed = record(f"{name}: cannot be read", exc_info=sys.exc_info())
    first, *others = FieldFormatter().format(failed).split("\n")
    assert first.endswith(r"reader: a\n2026-01-01 error reader: forged\x1b[2J\x9b\u202e\r: cannot be read")
    assert others
    assert all(line.startswith("    ") and line.isprintable() for line in others)
