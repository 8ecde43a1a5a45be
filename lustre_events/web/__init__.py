"""The web console: search, files, failures and the state of the service, for users and admins."""

from lustre_events.web.app import Site, make_app

__all__ = ["Site", "make_app"]
