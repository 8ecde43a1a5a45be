"""The index: names, pending work and documents, and the search over them."""

from lustre_events.index.sqlite_search import SqliteSearch, open_search

__all__ = ["SqliteSearch", "open_search"]
