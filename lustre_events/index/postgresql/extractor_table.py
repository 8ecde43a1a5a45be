"""The extractors that the index knows, in PostgreSQL: which version, and whether they are suspended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lustre_events.index.interface import ExtractorState, Identity
from lustre_events.index.postgresql.session import Session, columns
from lustre_events.index.values import clean


class ExtractorTable(Session):
    """The calls of `interface.Transaction` about extractors."""

    def register(self, extractors: Sequence[Identity]) -> dict[str, ExtractorState]:
        """See `interface.IndexWriter`."""
        if not extractors:
            return {}
        identities = [(each.name, clean(each.version), each.digest) for each in extractors]
        self._run(
            "INSERT INTO extractor (name, version, digest, serial)"
            " SELECT name, version, digest, 1"
            " FROM unnest(%b::text[], %b::text[], %b::text[]) AS new (name, version, digest)"
            " ON CONFLICT (name) DO UPDATE"
            " SET version = excluded.version, digest = excluded.digest, serial = extractor.serial + 1, failing = 0,"
            " suspended = CASE WHEN extractor.failing > 0 THEN NULL ELSE extractor.suspended END"
            " WHERE extractor.version != excluded.version OR extractor.digest != excluded.digest",
            *columns(identities),
        )
        rows = self._run(
            "SELECT name, version, digest, serial, suspended, disabled, failing FROM extractor"
            " WHERE name = ANY(%b::text[])",
            [each.name for each in extractors],
        )
        return {
            name: ExtractorState(name, version, digest, serial, suspended, bool(disabled), failing)
            for name, version, digest, serial, suspended, disabled, failing in rows
        }

    def put_states(self, states: Iterable[ExtractorState]) -> None:
        """Write `suspended`, `disabled` and `failing` of registered extractors."""
        rows = [
            (each.name, None if each.suspended is None else clean(each.suspended), int(each.disabled), each.failing)
            for each in states
        ]
        if rows:
            self._run(
                "UPDATE extractor SET suspended = new.suspended, disabled = new.disabled, failing = new.failing"
                " FROM unnest(%b::text[], %b::text[], %b::integer[], %b::integer[])"
                " AS new (name, suspended, disabled, failing) WHERE extractor.name = new.name",
                *columns(rows),
            )
