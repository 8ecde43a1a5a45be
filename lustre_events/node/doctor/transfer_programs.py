"""What transfers need of a node with workers for actions: programs that are approved as they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from lustre_events.actions import transfer_commands
from lustre_events.catalog import approved
from lustre_events.domain.rules import transfers
from lustre_events.domain.rules.endpoints import Endpoint
from lustre_events.errors import ConfigError
from lustre_events.node.doctor.findings import Finding, failure, ok


def look(endpoints: Mapping[str, Endpoint], approvals: Path) -> Iterator[Finding]:
    """Look whether files can be copied from this node to each endpoint of this kind; nothing is connected to."""
    found = [each for each in endpoints.values() if each.kind == transfers.KIND]
    if not found:
        yield failure(
            "transfers", "transfers are on, and no endpoint is of this kind",
            "write one into the file that [actions] endpoints names, or remove [actions] transfers",
        )  # fmt: skip
    for endpoint in found:
        try:
            transfer_commands.check_approved(endpoint, approved.read(approvals))
        except ConfigError as exc:
            yield failure("transfers", str(exc), f"lustre-events endpoints approve {endpoint.name}")
        else:
            yield ok("transfers", f"{endpoint.name}: its program is approved")
