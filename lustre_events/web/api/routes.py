"""The routes of the API: who asks, what is asked, the answer as JSON; and what is refused, as one sentence."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Collection, Sequence
from typing import Any
from urllib.parse import parse_qsl

import flask
import msgspec
from werkzeug.wrappers import Response

from lustre_events.errors import ConfigError, LustreEventsError, NotAllowed, QueryError, StoreUnavailable, TooOften
from lustre_events.index.remote.client import PREFIX
from lustre_events.index.visibility import Viewer
from lustre_events.web import signin, user_turns
from lustre_events.web.api import (
    account_operations,
    history_operations,
    request_operations,
    run_operations,
    search_operations,
)
from lustre_events.web.api.calls import Call, hints_json
from lustre_events.web.api.openapi import description
from lustre_events.web.api.operation import Operation

log = logging.getLogger(__name__)
pages = flask.Blueprint("api", __name__, url_prefix=PREFIX)

MOST_BODY = 1 << 20
NOBODY = Viewer(0xFFFFFFFE)


def _describe(_call: Call) -> dict[str, Any]:
    return description(OPERATIONS)


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/openapi.json", "openapi", "This description.", dict, _describe, how="anybody"),
    *account_operations.OPERATIONS,
    *search_operations.OPERATIONS,
    *history_operations.OPERATIONS,
    *request_operations.OPERATIONS,
    *run_operations.OPERATIONS,
)


def _route(operation: Operation) -> Callable[..., Response]:
    def answer(**in_path: str) -> Response:
        user, viewer, scopes, rate = _asks(operation)
        site = flask.current_app.extensions["site"]
        seconds = site.pace.wait(user, rate or site.settings.requests_per_minute) if user else 0.0
        if seconds:
            return _refused(429, f"too many requests; ask again in {int(seconds) + 1} s", "TooOften", seconds)
        if user:
            user_turns.take(flask.request.environ, viewer.uid)
        pairs = parse_qsl(
            flask.request.query_string.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"
        )
        call = Call(site, user, viewer, scopes, operation.read(in_path, pairs), _body(operation))
        if operation.method != "GET":
            log.info("%s: %s", user, operation.name, extra={"action": operation.name, "user": user})
        try:
            return _json(operation.run(call))
        except QueryError as exc:
            return explain(exc, _hints(call))

    return answer


def _hints(call: Call) -> list[dict[str, Any]]:
    """Return which names there are, where a query is wrong for one that is not known."""
    query = call.given.get("q")
    if query:
        with contextlib.suppress(LustreEventsError), call.search() as index:
            return hints_json(index.hints(call.mount.query(query), visible_to=call.viewer))
    return []


def _listed(scopes: Collection[str]) -> str:
    return " and ".join(repr(scope) for scope in sorted(scopes))


def _asks(operation: Operation) -> tuple[str, Viewer, frozenset[str], int]:
    """Return who asks, what this user sees, what for, and how often that may be. Raises NotAllowed."""
    if operation.how == "anybody":
        return "", NOBODY, frozenset(), 0
    if operation.how == "password":
        return _by_password()
    site = flask.current_app.extensions["site"]
    scheme, _, shown = flask.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        token = site.tokens.known(shown.strip())
        viewer = _viewer(token.user)
        if viewer.uid != token.uid:
            raise NotAllowed(f"{token.user} is not the account that this token was made for; make a new one")
        if operation.scope not in token.scopes:
            raise NotAllowed(
                f"this token is not for {operation.scope!r}, only for {_listed(token.scopes)}; make one for both: "
                "lustre-events token create --scope read --scope act"
            )
        return token.user, viewer, token.scopes, token.per_minute
    name = signin.named()
    # A page of another site could make a browser send a form, not this header.
    if not name or operation.method != "GET":
        raise NotAllowed("send a token: Authorization: Bearer TOKEN; make one with: lustre-events token create")
    return name, _viewer(name), frozenset({"read"}), 0


def _by_password() -> tuple[str, Viewer, frozenset[str], int]:
    site, shown = flask.current_app.extensions["site"], flask.request.authorization
    if site.login.check is None:
        raise NotAllowed(
            "this console does not know passwords (the site's proxy does); make a token in the console"
        )
    user = (shown.username or "") if shown is not None and shown.type == "basic" else ""
    password = (shown.password or "") if shown is not None and shown.type == "basic" else ""
    signin.admit(user, password)
    return user, _viewer(user), frozenset({"read"}), 0


def _viewer(name: str) -> Viewer:
    try:
        return Viewer.of_login(name)
    except ConfigError as exc:
        raise NotAllowed(str(exc)) from exc


def _body(operation: Operation) -> Any:
    """Return what was sent in the operation's type. Raises ConfigError."""
    if operation.body is None:
        return None
    if flask.request.mimetype != "application/json":
        raise ConfigError("send JSON, with Content-Type: application/json")
    try:
        return msgspec.convert(json.loads(flask.request.get_data(cache=False)), operation.body)
    except (ValueError, RecursionError, msgspec.ValidationError) as exc:
        raise ConfigError(f"the JSON that was sent is not what {operation.name} takes: {str(exc)[:300]}") from exc


def _json(answer: Any, status: int = 200) -> Response:
    return flask.Response(json.dumps(answer), status=status, mimetype="application/json")


def _refused(
    status: int, sentence: str, kind: str, seconds: float = 0.0, hints: Sequence[dict[str, Any]] = ()
) -> Response:
    response = _json({"error": sentence, "kind": kind, "hints": [*hints]}, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if seconds:
        response.headers["Retry-After"] = str(int(seconds) + 1)
    return response


_STATUS: tuple[tuple[type[LustreEventsError], int], ...] = (
    (NotAllowed, 401),
    (TooOften, 429),
    (StoreUnavailable, 503),
    (QueryError, 400),
    (ConfigError, 400),
)


def explain(error: LustreEventsError, hints: Sequence[dict[str, Any]] = ()) -> Response:
    """Return an expected failure as its sentence and its class."""
    status = next((code for kind, code in _STATUS if isinstance(error, kind)), 503)
    seconds = user_turns.AGAIN_SECONDS if isinstance(error, TooOften) else 0.0
    return _refused(status, str(error), type(error).__name__, seconds, hints)


def explain_http(code: int, sentence: str) -> Response:
    """Return what Flask refuses, e.g. an address that is not there."""
    return _refused(code, sentence, "ConfigError" if code < 500 else "IndexUnavailable")


for _each in OPERATIONS:
    pages.add_url_rule(
        _each.path.replace("{", "<").replace("}", ">"), _each.name, _route(_each), methods=[_each.method]
    )
