"""An indexer that kills itself at a given moment.

`python -m tests.support.service.mortal_indexer REDIS_URL INDEX_URL MOMENT`

Everything about it is real but the adapters, which are the real ones with a moment before or after a call. Without
a moment it lives on.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from lustre_events.dispatcher.indexer import Indexer
from lustre_events.index.postgresql.document_writer import PostgresqlDocumentWriter, _Writing
from lustre_events.jobs.messages import DocumentPortion
from lustre_events.streams.connection import connect
from lustre_events.streams.documents import RedisPortions

REDIS, INDEX, MOMENT = sys.argv[1:4]


def moment(name: str) -> None:
    """Die here, if it is the time."""
    if name == MOMENT:
        os.kill(os.getpid(), signal.SIGKILL)


class MortalPortions(RedisPortions):
    """Portions with a moment between all that happens to them in Redis."""

    def read(self) -> list[DocumentPortion]:
        """Read, and perhaps no more."""
        found = super().read()
        if found:
            moment("portions read")
        return found

    def acknowledge(self, portions: Sequence[DocumentPortion]) -> None:
        """Acknowledge between two moments."""
        moment("outcomes committed")
        super().acknowledge(portions)
        moment("portions acknowledged")


class MortalWriter(PostgresqlDocumentWriter):
    """An index with a moment before the commit."""

    @contextlib.contextmanager
    def _begun(self) -> Iterator[_Writing]:
        with super()._begun() as writing:
            yield writing
            moment("documents written")


if __name__ == "__main__":
    Indexer(MortalPortions(connect(REDIS, 5.0), "mortal"), MortalWriter(INDEX)).run()
