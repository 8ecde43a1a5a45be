"""The index: names, pending work and documents, and the search over them."""

from lustre_events.index.opening import make_folder, open_search, open_writer
from lustre_events.index.search.search import Search

__all__ = ["Search", "make_folder", "open_search", "open_writer"]
