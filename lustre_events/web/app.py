"""The Flask application: what it is made of, who comes in, and the headers that every answer carries."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from lustre_events.config.settings import WebSettings
from lustre_events.errors import ConfigError, LustreEventsError, QueryError, TooOften
from lustre_events.index.mount import Mount
from lustre_events.index.search.search import Search
from lustre_events.inspect.status import Status
from lustre_events.jobs.queue_view import QueueView
from lustre_events.web import (
    api,
    forms,
    rendering,
    signin,
    user_turns,
)
from lustre_events.web.charts import History
from lustre_events.web.feed_addresses import FeedAddresses
from lustre_events.web.login import Login
from lustre_events.web.pages import (
    actions,
    again,
    directory,
    download,
    extractors,
    failures,
    feed,
    fields,
    file,
    health,
    history,
    login,
    overview,
    queues,
    saved,
    search,
    tokens,
)
from lustre_events.web.personal_tokens import Tokens
from lustre_events.web.rate_limit import Pace
from lustre_events.web.saved_searches import SavedSearches
from lustre_events.web.serving import BODY_BYTES
from lustre_events.web.store import Store

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but our own files: no inline script or style, so markup that came in with a name would do nothing."""

TITLE = "lustre-events"


class Ask(Protocol):
    """Asks the dispatcher; see streams.interface.Requests.ask."""

    def __call__(self, action: str, arguments: Mapping[str, Any], /) -> dict[str, Any]: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Site:
    """What the pages show, and from where.

    Args:
        settings: the section [web].
        login: authenticates users.
        search: opens the index, for one request; the caller closes it.
        status: what `lustre-events status --json` says.
        ask: puts a request to the dispatcher.
        history: samples of the status of the last hours.
        secret: signs the sessions.
        queues: what is in RQ's queues.
        store: tokens and saved searches.
        mount: where the file system is mounted.
        pace: how often users may ask the API.
        past: the folder of the history of files; None: none is kept.
    """

    settings: WebSettings
    login: Login
    search: Callable[[], Search]
    status: Callable[[], Status]
    ask: Ask
    history: History
    secret: bytes = field(repr=False, default_factory=lambda: secrets.token_bytes(32))
    queues: Callable[[], QueueView] = lambda: QueueView((), (), ())
    store: Store = field(default_factory=lambda: Store(Path(WebSettings().store)))
    mount: str = "/"
    pace: Pace = field(default_factory=Pace)
    past: Path | None = None

    @property
    def tokens(self) -> Tokens:
        """The personal tokens."""
        return Tokens(self.store, self.settings.token_days)

    @property
    def saved(self) -> SavedSearches:
        """The saved searches."""
        return SavedSearches(self.store)

    @property
    def feeds(self) -> FeedAddresses:
        """The addresses of feeds."""
        return FeedAddresses(self.store, self.settings.token_days)


def make_app(site: Site) -> flask.Flask:
    """Return the application; a WSGI server runs it."""
    app = flask.Flask(__name__)
    app.config.update(
        SECRET_KEY=site.secret,
        MAX_CONTENT_LENGTH=BODY_BYTES,
        SESSION_COOKIE_NAME="lustre_events",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=site.settings.https,
        PERMANENT_SESSION_LIFETIME=int(site.settings.session_hours * 3600),
    )
    app.extensions["site"] = site
    app.jinja_env.filters.update(rendering.FILTERS)
    app.jinja_env.filters["path"] = lambda path: rendering.path_text(Mount.at(site.mount).whole(path))
    app.jinja_env.globals.update(
        csrf=forms.token,
        title=TITLE,
        viewer=signin.current,
        past=site.past,
        warnings=site.history.warnings,
    )
    app.before_request(signin.require)
    app.before_request(forms.check)
    app.after_request(_headers)
    for each in (
        actions,
        again,
        api,
        directory,
        download,
        extractors,
        failures,
        feed,
        fields,
        file,
        health,
        history,
        login,
        overview,
        queues,
        saved,
        search,
        tokens,
    ):
        app.register_blueprint(each.pages)
    app.register_error_handler(LustreEventsError, _explain)
    app.register_error_handler(HTTPException, _explain_http)
    return app


def _headers(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers.setdefault("Cache-Control", "no-store")
    # Where an address has slashes too many, werkzeug leads to the host that the request names.
    if (response.location or "").startswith(flask.request.host_url):
        response.location = "/" + str(response.location).removeprefix(flask.request.host_url).lstrip("/\\")
    return response


def _explain(error: LustreEventsError) -> tuple[str, int] | Response:
    """Show an expected failure as its sentence."""
    if forms.for_programs():
        return api.explain(error)
    said = flask.render_template("error.html", sentence=str(error))
    if isinstance(error, TooOften):
        answer = flask.Response(said, 429, {"Retry-After": str(user_turns.AGAIN_SECONDS)})
        if flask.request.method == "GET":  # many tabs that are opened at once are shown one after the other
            answer.headers["Refresh"] = str(user_turns.AGAIN_SECONDS)
        return answer
    return said, 400 if isinstance(error, (QueryError, ConfigError)) else 503


def _explain_http(error: HTTPException) -> tuple[str, int] | Response:
    if forms.for_programs():
        return api.explain_http(error.code or 500, error.description or error.name)
    return flask.render_template("error.html", sentence=error.description or error.name), error.code or 500
