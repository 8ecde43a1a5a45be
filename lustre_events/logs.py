"""How all processes write their log: one line per event, for people and for `grep action=`."""

from __future__ import annotations

import json
import logging


class FieldFormatter(logging.Formatter):
    """One line: time, level, process, sentence, then the fields given as `extra` as key=value."""

    _plain = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line (and the traceback, if there is one)."""
        fields = {key: value for key, value in record.__dict__.items() if key not in self._plain}
        line = f"{self.formatTime(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        if fields:
            line += " " + " ".join(f"{key}={json.dumps(value, default=str)}" for key, value in fields.items())
        return line + ("\n" + self.formatException(record.exc_info) if record.exc_info else "")
