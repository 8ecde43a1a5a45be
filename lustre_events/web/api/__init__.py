"""`/api/v1`: what the console knows, for programs. Operations are values; routes and OpenAPI are made from them."""

from lustre_events.web.api.routes import explain, explain_http, pages

__all__ = ["explain", "explain_http", "pages"]
