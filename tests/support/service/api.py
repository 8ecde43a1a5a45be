"""`/api/v1` over a small index, for tests: asked without a network, as one user or another."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.remote.transport import HttpReply, Pairs, target
from lustre_events.index.sqlite.database import APPLICATION_ID
from lustre_events.index.sqlite.database import _schemas as schemas
from lustre_events.web.personal_tokens import Tokens
from lustre_events.web.store import Store
from tests.support.index.tables import add_file, add_object, make_index
from tests.support.service.web import Console

OWNER = "daemon"
OTHER = "nobody"
USERS = ("root", OWNER, OTHER)
OWNER_ID = 1
"""Of `daemon`, on every Debian."""
TORN = b"open/torn\xff.csv"


class ClientTransport:
    """Gives requests to an application in this process."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    def __call__(
        self, method: str, path: str, query: Pairs = (), body: Mapping[str, Any] | None = None
    ) -> HttpReply:
        """Send a request."""
        answer = self._client.open(target(path, query), method=method, json=body, headers=self._headers)
        return HttpReply(answer.status_code, json.loads(answer.data))

    def close(self) -> None:
        """Close nothing."""


def make_api(folder: Path) -> Console:
    """Return a console over an index with files for everybody, for one user, and for root, and one left out."""
    connection = make_index(str(folder / "index.db"))
    facts: dict[str, Any] = {"mtime_ns": 10**18 + 7, "ctime_ns": 10**18, "atime_ns": 5, "gid": 0, "nlink": 1}
    add_object(connection, 0, type="d", mode=0o755, uid=0, **facts)
    table = {"tabular": {"columns": ["temperature"], "rows": 3, "run": 2**62 + 1}}
    add_file(connection, 2, b"open/map.csv", table, uid=0, mode=0o644, size=100, mime="text/csv", **facts)
    add_file(connection, 3, b"open/secret.csv", table, uid=0, mode=0o600, size=5, mime="text/csv", **facts)
    add_file(
        connection, 4, TORN, {"tabular": {"columns": ["pressure"]}}, uid=OWNER_ID, mode=0o640, size=7,
        jobid=b"job\xfe.7", cause=bytes(7) + b"\1" + b"\0\2" + bytes(7) + b"\3" + bytes(7) + b"\4", **facts,
    )  # fmt: skip
    add_file(connection, 5, b"own/run.csv", {"tabular": {"columns": ["own"]}}, uid=OWNER_ID, mode=0o644, **facts)
    add_file(connection, 6, b"left/out.csv", {}, uid=OWNER_ID, mode=0o644, **facts)
    connection.execute("INSERT INTO left_out (glob) VALUES ('/left')")
    for name, owner, mode in ((b"left", 0, 0o755), (b"open", 0, 0o755), (b"own", OWNER_ID, 0o700)):
        connection.execute(
            "UPDATE object SET uid = ?, gid = 0, mode = ? WHERE fid = (SELECT fid FROM link WHERE name = ?)",
            (owner, mode, name),
        )
    connection.execute(
        "INSERT INTO document (object, extractor, failure, failure_generation, failure_serial)"
        " SELECT id, 'hdf5', ?, 1, 1 FROM object WHERE uid = ? AND type = 'f'",
        ('{"error": "no HDF5", "attempts": 3}', OWNER_ID),
    )
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(schemas())}")
    connection.close()
    return Console(folder / "index.db", folder / "users")


def secret_of(console: Console, user: str, scopes: Iterable[str] = ("read", "act")) -> str:
    """Return a new token of a user."""
    return Tokens(Store(console.store), 30).create(user, scopes=tuple(scopes))[0]


def remote(console: Console, user: str, scopes: Iterable[str] = ("read", "act")) -> RemoteSearch:
    """Return the index as the API gives it to a user."""
    return RemoteSearch(ClientTransport(console.app().test_client(), secret_of(console, user, scopes)))
