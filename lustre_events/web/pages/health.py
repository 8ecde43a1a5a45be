"""The answer for monitoring, at `/health`."""

from __future__ import annotations

import flask

pages = flask.Blueprint("health", __name__)


@pages.get("/health")
def health() -> str:
    """Answer that the console runs; for monitoring."""
    return "ok\n"
