"""The answers of `/api/v1` about the user: saved searches, feeds, subscriptions, tokens; see answers.py."""

from __future__ import annotations

import msgspec


class SavedSearchAnswer(msgspec.Struct, frozen=True):
    """A search that a user has saved under a name."""

    name: str
    query: str
    sort: str
    made_ns: int


class SavedSearchesAnswer(msgspec.Struct, frozen=True):
    """The user's own saved searches, by name."""

    saved: list[SavedSearchAnswer]


class FeedItem(msgspec.Struct, frozen=True):
    """One file of a feed. The same id: the same content of the same file."""

    id: str
    url: str
    title: str
    content_text: str
    date_modified: str


class FeedAnswer(msgspec.Struct, frozen=True):
    """A saved search as https://jsonfeed.org/version/1.1 has it: the files that were written last come first."""

    version: str
    title: str
    items: list[FeedItem]


class FeedAddressAnswer(msgspec.Struct, frozen=True):
    """Where an Atom feed is, below the console's address. Whoever has it can read the feed; it is shown once."""

    address: str


class EndedAnswer(msgspec.Struct, frozen=True):
    """Whether there was anything to end."""

    ended: bool


class SubscriptionAnswer(msgspec.Struct, frozen=True):
    """A search, and the endpoint that is notified of each new document it finds. `wrong`: why it is not now."""

    name: str
    query: str
    endpoint: str
    wrong: str


class GrantedEndpoint(msgspec.Struct, frozen=True):
    """An endpoint that the user's own rules and subscriptions may name."""

    endpoint: str
    kind: str


class SubscriptionsAnswer(msgspec.Struct, frozen=True):
    """The user's own subscriptions, and what the site grants."""

    subscriptions: list[SubscriptionAnswer]
    endpoints: list[GrantedEndpoint]


class TokenAnswer(msgspec.Struct, frozen=True):
    """A personal token, without its secret. `expires_ns` in the past, or `revoked`: it no longer works."""

    id: str
    user: str
    label: str
    scopes: list[str]
    made_ns: int
    expires_ns: int
    used_ns: int | None
    per_minute: int
    revoked: bool


class TokensAnswer(msgspec.Struct, frozen=True):
    """The user's own tokens, the newest first."""

    tokens: list[TokenAnswer]


class NewTokenAnswer(msgspec.Struct, frozen=True):
    """A token that was just made; `secret` is shown only now."""

    secret: str
    token: TokenAnswer


class SiteAnswer(msgspec.Struct, frozen=True):
    """Which server answers, for which user, and where the file system is mounted there."""

    version: str
    user: str
    scopes: list[str]
    mount: str
