"""Operations on a user's tokens and saved searches, and on the site itself."""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import msgspec

from lustre_events.index.remote import account_answers as answers
from lustre_events.web import subscribing
from lustre_events.web.api.calls import Call
from lustre_events.web.api.operation import Operation, Parameter
from lustre_events.web.feeds import json_feed, newest
from lustre_events.web.personal_tokens import PersonalToken


class WantedToken(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A token to be made. `days` 0: as long as the site allows."""

    label: str = ""
    scopes: tuple[str, ...] = ("read",)
    days: float = 0


class Kept(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A search to be kept. `sort` empty: any order."""

    query: str
    sort: str = ""


class Told(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which endpoint is notified of what a search finds."""

    endpoint: str


def about(call: Call) -> dict[str, Any]:
    """Answer with what this is, and who asks."""
    return {
        "version": version("lustre-events"), "user": call.user, "scopes": sorted(call.scopes),
        "mount": call.site.mount,
    }  # fmt: skip


def saved(call: Call) -> dict[str, Any]:
    """Answer with the user's saved searches."""
    return {"saved": [asdict(each) for each in call.site.saved.list(call.user)]}


def feed(call: Call) -> dict[str, Any]:
    """Answer with what a saved search finds now, as a feed of the user's own view."""
    kept = call.site.saved.one(call.user, call.given["name"])
    return json_feed(kept.name, newest(call.site, kept.query, call.viewer, call.given["limit"]))


def make_feed(call: Call) -> dict[str, Any]:
    """Make the address of an Atom feed of a saved search."""
    return {"address": call.site.feeds.make(call.user, call.given["name"])}


def end_feed(call: Call) -> dict[str, Any]:
    """Revoke the address of an Atom feed."""
    return {"ended": call.site.feeds.end(call.user, call.given["name"])}


def subscriptions(call: Call) -> dict[str, Any]:
    """Answer with the user's subscriptions, and the endpoints that the site grants."""
    found = subscribing.known(call.site, call.user, call.viewer)
    return {"subscriptions": [*found.subscriptions.values()], "endpoints": found.endpoints}


def subscribe(call: Call) -> dict[str, Any]:
    """Have an endpoint told of what a saved search finds from now on."""
    subscribing.begin(call.site, call.user, call.viewer, call.given["name"], call.body.endpoint)
    return subscriptions(call)


def unsubscribe(call: Call) -> dict[str, Any]:
    """End a subscription."""
    return {"ended": subscribing.end(call.site, call.user, call.viewer, call.given["name"])}


def save(call: Call) -> dict[str, Any]:
    """Keep a search."""
    return asdict(call.site.saved.save(call.user, call.given["name"], call.body.query, call.body.sort))


def forget(call: Call) -> dict[str, Any]:
    """Forget a search; answer with those that are left."""
    call.site.saved.forget(call.user, call.given["name"])
    return saved(call)


def tokens(call: Call) -> dict[str, Any]:
    """Answer with the user's tokens."""
    return {"tokens": [token_json(each) for each in call.site.tokens.list(call.user)]}


def create(call: Call) -> dict[str, Any]:
    """Make a token for a user who has just given the password."""
    wanted = call.body
    secret, made = call.site.tokens.create(call.user, wanted.label, scopes=wanted.scopes, days=wanted.days)
    return {"secret": secret, "token": token_json(made)}


def revoke(call: Call) -> dict[str, Any]:
    """Revoke one of the user's tokens; answer with all of them."""
    call.site.tokens.revoke(call.given["id"], call.user)
    return tokens(call)


def token_json(token: PersonalToken) -> dict[str, Any]:
    """Return a token as JSON types."""
    return {
        "id": token.id, "user": token.user, "label": token.label, "scopes": sorted(token.scopes),
        "made_ns": token.made_ns, "expires_ns": token.expires_ns, "used_ns": token.used_ns,
        "per_minute": token.per_minute, "revoked": token.revoked_ns is not None,
    }  # fmt: skip


NAME = Parameter("name", "the name of a saved search", needed=True, in_path=True)

OPERATIONS = (
    Operation("GET", "/", "about", "What this is, and who you are here.", answers.SiteAnswer, about),
    Operation("GET", "/saved", "saved", "Your saved searches.", answers.SavedSearchesAnswer, saved),
    Operation(
        "PUT", "/saved/{name}", "save", "Keep a search under a name.", answers.SavedSearchAnswer, save, (NAME,),
        Kept,
        "act",
    ),
    Operation(
        "GET", "/saved/{name}/feed", "feed", "A saved search as a JSON Feed, the newest documents first.",
        answers.FeedAnswer, feed, (NAME, Parameter("limit", "most files", 50, least=1, most=200)),
    ),
    Operation(
        "POST", "/saved/{name}/feed", "make_feed",
        "Make the address of an Atom feed, which opens it without a token; the earlier one stops working.",
        answers.FeedAddressAnswer, make_feed, (NAME,), scope="act",
    ),
    Operation(
        "DELETE", "/saved/{name}/feed", "end_feed", "Revoke the address of an Atom feed.", answers.EndedAnswer,
        end_feed, (NAME,), scope="act",
    ),
    Operation(
        "GET", "/subscriptions", "subscriptions", "Your subscriptions, and the endpoints that the site grants you.",
        answers.SubscriptionsAnswer, subscriptions,
    ),
    Operation(
        "PUT", "/saved/{name}/subscription", "subscribe",
        "Notify an endpoint of each new document that a saved search finds.", answers.SubscriptionsAnswer,
        subscribe, (NAME,), Told, "act",
    ),
    Operation(
        "DELETE", "/saved/{name}/subscription", "unsubscribe", "End a subscription.", answers.EndedAnswer,
        unsubscribe, (NAME,), scope="act",
    ),
    Operation(
        "DELETE", "/saved/{name}", "forget", "Forget a saved search.", answers.SavedSearchesAnswer, forget, (NAME,),
        scope="act",
    ),
    Operation("GET", "/tokens", "tokens", "Your tokens, without their secrets.", answers.TokensAnswer, tokens),
    Operation(
        "POST", "/tokens", "create", "Make a token, by name and password.", answers.NewTokenAnswer, create,
        body=WantedToken,
        how="password",
    ),
    Operation("DELETE", "/tokens/{id}", "revoke", "Revoke a token.", answers.TokensAnswer, revoke, (
        Parameter("id", "the token's id", needed=True, in_path=True),
    ), scope="act"),
)  # fmt: skip
