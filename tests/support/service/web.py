"""A console over a small index, for tests: its adapters are values that a test can look at."""

from __future__ import annotations

import os
import pwd
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flask
import redis
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from lustre_events.config.settings import WebSettings
from lustre_events.index import open_search
from lustre_events.index.sqlite.database import APPLICATION_ID
from lustre_events.index.sqlite.database import _schemas as schemas
from lustre_events.inspect.status import Status, with_rates
from lustre_events.jobs.queue_view import QueueView
from lustre_events.web import Site, make_app
from lustre_events.web.charts import History, StatusSample
from lustre_events.web.login import Login, by_file
from lustre_events.web.pages.queues import viewed
from lustre_events.web.store import Store
from tests.support.index.tables import add_file, add_object, make_index
from tests.support.records.builders import fid_of
from tests.support.service.statuses import status_of

SCRIPT = b"<img src=x onerror=alert(1)>.csv"
READER = pwd.getpwuid(os.geteuid()).pw_name
OTHER = "nobody"
"""A user of this machine who may read what everybody may."""


@dataclass
class Console:
    """The application, and what it asked the dispatcher."""

    index: Path
    users: Path
    login: Login | None = None
    settings: WebSettings = field(default_factory=lambda: WebSettings(admins=(READER,)))
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    redis_url: str = ""
    answer: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By what is asked for; else it is `answer`."""
    past: Path | None = None
    samples: list[StatusSample] = field(
        default_factory=lambda: [
            StatusSample(10**18 + number * 15 * 10**9, 1000 * number, 900 * number, 100 * number, 5, number)
            for number in range(5)
        ]
    )
    """What the console has seen of the status."""

    @property
    def store(self) -> Path:
        """The console's own store."""
        return self.index.with_name("store.db")

    def app(self) -> flask.Flask:
        """Return the application."""
        history = History(self.status)
        for sample in self.samples:
            history.add(sample)
        login = self.login or Login(by_file(self.users) if self.users.exists() else None)
        site = Site(
            self.settings, login, lambda: open_search(f"sqlite:///{self.index}"), self.status, self.ask, history,
            b"0" * 32, self.queues, Store(self.store), "/mnt/lustre", past=self.past,
        )  # fmt: skip
        return make_app(site)

    def ask(self, action: str, arguments: Mapping[str, Any], /) -> dict[str, Any]:
        """Keep what is asked for."""
        self.asked.append((action, dict(arguments)))
        return self.answers.get(action, self.answer)

    def queues(self) -> QueueView:
        """Return what is in the queues of `redis_url`."""
        with redis.Redis.from_url(self.redis_url) as client:
            return viewed(client)

    def status(self) -> Status:
        """Return a small status."""
        index = {"objects": 3, "links": 3, "tombstones": 0, "pending": {}, "documents": {"tabular": 2, "secret": 1},
                 "failures": {"hdf5": 1, "secret": 1}, "counters": {"records": 9}, "cursors": [],
                 "oldest_due_ns": {}, "bytes": 4096}  # fmt: skip
        return with_rates(status_of({"time_ns": 10**18, "index": index, "mdts": {}}), None)


def make_console(folder: Path) -> Console:
    """Return a console over an index with a file for everybody, one that only root may read, and a failed one."""
    database = folder / "index.db"
    connection = make_index(str(database))
    fill(connection)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {len(schemas())}")
    connection.close()
    users = folder / "users"
    users.write_text(
        "".join(f"{name}:{generate_password_hash('secret ' + name)}\n" for name in {READER, OTHER, "no-such-user"})
    )
    users.chmod(0o640)
    return Console(database, users)


def fill(connection: sqlite3.Connection) -> None:
    """Write the objects."""
    facts: dict[str, Any] = {"mtime_ns": 10**18, "ctime_ns": 10**18, "gid": 0, "uid": 0}
    add_object(connection, 0, type="d", mode=0o755, **facts)
    documents = {"tabular": {"columns": ["temperature", "<b>bold</b>"], "rows": 3}}
    add_file(connection, 2, SCRIPT, documents, mode=0o644, size=100, **facts)
    add_file(connection, 3, b"private.csv", documents, mode=0o600, size=5, **facts)
    failed = add_file(connection, 4, b"torn\x1b[31m\xff.h5", mode=0o644, size=7, **facts)
    connection.execute(
        "INSERT INTO document (object, extractor, failure, failure_generation, failure_serial)"
        " VALUES (?, ?, ?, 1, 1)",
        (failed, "hdf5", '{"error": "no HDF5 <i>superblock</i>", "stderr": "</pre><script>", "attempts": 3}'),
    )
    connection.execute(
        "INSERT INTO pending (fid, extractor, generation, due_ns, changed_ns, attempts, reason, queue, error)"
        " VALUES (?, 'image', 1, 1, 1, 1, 'retry', 'default', 'OSError: torn <b>off</b>')",
        (fid_of(4).pack(),),
    )


TOKEN = re.compile(r'name="csrf" value="([^"]+)"')


def token_in(page: str) -> str:
    """Return the token of the form that a page has."""
    found = TOKEN.search(page)
    assert found is not None
    return found[1]


def enter(app: flask.Flask, user: str) -> FlaskClient:
    """Return a browser of somebody who has logged in."""
    client = app.test_client()
    page = client.get("/login").text
    answer = client.post(
        "/login", data={"user": user, "password": f"secret {user}", "csrf": token_in(page), "next": "/"}
    )
    assert answer.status_code == 302, answer.text
    return client
