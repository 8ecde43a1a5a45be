"""rq-dashboard as a process of its own, made harmless: it reads, as JSON, and shows what it reads as text.

By itself it unpickles what is in Redis (its calls name no serializer), changes queues on a GET, and builds
its pages from names as if they were markup. Here RQ's default serializer is JSON's, unpickling is refused in the
whole process, only its pages that look are reachable, its connection sends only commands that read, and every
string in its answers is escaped. Run it with the login `le-dashboard`, which can do nothing but read `rq:*`.
"""

from __future__ import annotations

import html
import json
import logging
import re
import secrets
import sys
import zlib
from collections.abc import Mapping
from typing import Any, cast

import flask
import redis
import rq.job
import rq.results
import rq.serializers
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from lustre_events.jobs.packed import unpacked
from lustre_events.web.login import Login

log = logging.getLogger(__name__)

LOOKS = frozenset({
    "queues_overview", "workers_overview", "jobs_overview", "job_view", "list_queues", "list_jobs", "job_info",
    "list_workers", "static",
})  # fmt: skip
"""The functions of rq-dashboard 0.9 that only look."""
READS = frozenset({
    "EXISTS", "GET", "HEXISTS", "HGET", "HGETALL", "HLEN", "HMGET", "LLEN", "LPOS", "LRANGE", "PING", "SCARD",
    "SISMEMBER", "SMEMBERS", "TTL", "TYPE", "XREVRANGE", "XRANGE", "ZCARD", "ZCOUNT", "ZRANGE", "ZRANGEBYSCORE",
    "ZREVRANGE", "ZSCORE",
})  # fmt: skip
_PLAIN = re.compile(r"[\w.:@=-]{1,300}", re.ASCII)
_TIMEOUT_SECONDS = 10.0
UNPACKED_BYTES = 16 << 20
"""Most bytes that one value unpacks to; a page has some tens of them."""


class ReadingRedis(redis.Redis):
    """A client that sends only commands that read; any other does nothing, as RQ tidies up where it looks."""

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command that reads; else return 0."""
        if str(args[0]).upper() not in READS:
            return 0
        return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, *_: Any, **__: Any) -> Any:
        """Refuse: nothing that only looks needs one."""
        raise PermissionError("this connection only reads")


class _BoundedZlib:
    """What RQ uses of zlib to read, within bounds."""

    error = zlib.error

    @staticmethod
    def decompress(data: bytes) -> bytes:
        """Return what was packed. Raises zlib.error where that is too much: then RQ takes the bytes as they are."""
        found = unpacked(data, UNPACKED_BYTES)
        if found is None:
            raise zlib.error(f"it has more than {UNPACKED_BYTES} bytes")
        return found


def unpack_little() -> None:
    """Let no call of RQ in this process unpack more than UNPACKED_BYTES."""
    rq.job.zlib = rq.results.zlib = _BoundedZlib  # type: ignore[assignment,attr-defined]


def never_unpickle() -> None:
    """Make JSON the serializer of every call of RQ, and refuse unpickling in this process for good."""
    json_serializer = rq.serializers.JSONSerializer
    rq.serializers.DefaultSerializer.loads = staticmethod(json_serializer.loads)
    rq.serializers.DefaultSerializer.dumps = staticmethod(json_serializer.dumps)
    sys.addaudithook(_refuse_pickle)


def _refuse_pickle(event: str, _: tuple[Any, ...]) -> None:
    if event == "pickle.find_class":
        raise PermissionError("nothing is unpickled here")


def make_app(redis_url: str, login: Login, admins: tuple[str, ...]) -> flask.Flask:
    """Return the application, for the `admins` that `login` knows; `never_unpickle` comes first.

    Raises:
        ModuleNotFoundError: rq-dashboard is not installed.
    """
    import rq_dashboard.default_settings  # noqa: PLC0415 - it is optional, and unpickles unless told otherwise
    import rq_dashboard.web  # noqa: PLC0415

    client = ReadingRedis.from_url(
        redis_url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
    )
    app = _Escaping(__name__, static_folder=None)
    app.config.from_object(rq_dashboard.default_settings)
    # It would connect for each request, and show the URL.
    app.config.update(RQ_DASHBOARD_REDIS_URL="redis://redis", RQ_DASHBOARD_DISABLE_DELETE=True)
    rq_dashboard.web.from_url = lambda *_, **__: ("", client)  # type: ignore[attr-defined]
    rq_dashboard.web.config.serializer = rq.serializers.JSONSerializer  # type: ignore[assignment]
    rq_dashboard.web.setup_rq_connection(app)  # type: ignore[no-untyped-call]
    app.before_request(_only_look)
    app.before_request(lambda: _admit(login, admins))
    app.after_request(_escape)
    app.register_error_handler(Exception, _explain)
    app.register_blueprint(rq_dashboard.web.blueprint)
    app.add_url_rule("/favicon.ico", "static", lambda: flask.abort(404))
    return app


class _Escaping(flask.Flask):
    def select_jinja_autoescape(self, filename: str | None) -> bool:  # noqa: ARG002 - also in its scripts
        return True


def _only_look() -> None:
    """Refuse everything but its pages that look, and names in an address that could be more than a name."""
    if flask.request.method not in {"GET", "HEAD"}:
        flask.abort(405, "This dashboard is read-only; use lustre-events extractor and failed.")
    if (flask.request.endpoint or "").rpartition(".")[2] not in LOOKS:
        flask.abort(404, "There is no such page here: this dashboard is read-only.")
    arguments = flask.request.view_args or {}
    if flask.request.endpoint != "rq_dashboard.static" and not all(
        value is None or _PLAIN.fullmatch(str(value)) for value in arguments.values()
    ):
        flask.abort(404, "There is no lustre-events queue or job with this name.")


def _admit(login: Login, admins: tuple[str, ...]) -> Response | None:
    """Let in the user that the proxy names, or who gives the password of one of `admins`."""
    user = login.by_proxy(flask.request.remote_addr or "", cast("Mapping[str, str]", flask.request.headers))
    given = flask.request.authorization
    if login.check is not None and given is not None and given.type == "basic":
        name, password = str(given.username or ""), str(given.password or "")
        # Whoever names no admin costs no look at a password, and no memory of tries.
        if name in admins and _known(login, name, password):
            user = name
    if user in admins and user:
        return None
    if login.check is None:
        flask.abort(403, "The queues are for admins ([web] admins), named by the site's proxy.")
    return flask.Response("Log in as an admin ([web] admins).\n", 401, {"WWW-Authenticate": 'Basic realm="queues"'})


def _known(login: Login, name: str, password: str) -> bool:
    if login.check is None or not login.patience.admits(name):
        return False
    known = login.check(name, password)
    if known:
        login.patience.right(name)
    return known


def _escape(response: Response) -> Response:
    """Make markup in names text, and let no script run but those of the page itself."""
    nonce = secrets.token_urlsafe(16)
    response.direct_passthrough = False
    if response.mimetype == "application/json":
        response.set_data(json.dumps(_escaped(json.loads(response.get_data()))))
    elif response.mimetype == "text/html":
        response.set_data(response.get_data(as_text=True).replace("<script", f'<script nonce="{nonce}"'))
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return response


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return html.escape(value)
    if isinstance(value, dict):
        return {html.escape(key): _escaped(each) for key, each in value.items()}
    return [_escaped(each) for each in value] if isinstance(value, list) else value


def _explain(error: Exception) -> Response:
    """Answer in a sentence of plain text, whatever somebody stored."""
    if isinstance(error, HTTPException):
        return flask.Response(f"{error.description}\n", error.code or 500, content_type="text/plain; charset=utf-8")
    log.warning("a page failed: %s", type(error).__name__, extra={"action": "dashboard"})
    sentence = f"This cannot be shown ({type(error).__name__}): Redis holds something here that is not RQ's JSON.\n"
    return flask.Response(sentence, 502, content_type="text/plain; charset=utf-8")
