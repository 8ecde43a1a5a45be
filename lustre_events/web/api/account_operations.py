"""Operations on what belongs to a user: tokens and saved searches; and about the site itself."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import msgspec

from lustre_events.domain.pending import SECOND_NS
from lustre_events.index.remote import answers
from lustre_events.index.search.hits import Hit, hit_json
from lustre_events.web.api.calls import Call
from lustre_events.web.api.operation import Operation, Parameter
from lustre_events.web.personal_tokens import PersonalToken

MOST_TOLD = 16 << 10
"""Characters of a file's documents in a feed; longer ones are on the file's page."""


class WantedToken(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A token to be made. `days` 0: as long as the site allows."""

    label: str = ""
    scopes: tuple[str, ...] = ("read",)
    days: float = 0


class Kept(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A search to be kept. `sort` empty: any order."""

    query: str
    sort: str = ""


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
    name = call.given["name"]
    kept = call.site.saved.one(call.user, name)
    with call.search() as index:
        query = call.mount.query(kept.query)
        page = index.page(query, limit=call.given["limit"], sort="-mtime", visible_to=call.viewer)
    items = [_feed_item(call.mount.placed(hit)) for hit in page.hits]
    return {"version": "https://jsonfeed.org/version/1.1", "title": name, "items": items}


def _feed_item(hit: Hit) -> dict[str, str]:
    found, when = hit_json(hit), hit.mtime_ns or 0
    documents = json.dumps(found["documents"], ensure_ascii=False)
    return {
        "id": f"{hit.fid}:{when}",
        "url": f"/file/{quote(str(hit.fid), safe='')}",
        "title": found["paths"][0],
        "content_text": documents if len(documents) <= MOST_TOLD else "",
        "date_modified": f"{datetime.fromtimestamp(when // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


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
    """Make a token for who has just shown a password."""
    wanted = call.body
    secret, made = call.site.tokens.create(call.user, wanted.label, scopes=wanted.scopes, days=wanted.days)
    return {"secret": secret, "token": token_json(made)}


def revoke(call: Call) -> dict[str, Any]:
    """End a token of the user's; answer with all."""
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
        "GET", "/saved/{name}/feed", "feed", "A saved search as a JSON Feed: what was written last comes first.",
        answers.FeedAnswer, feed, (NAME, Parameter("limit", "most files", 50, least=1, most=200)),
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
    Operation("DELETE", "/tokens/{id}", "revoke", "End a token for ever.", answers.TokensAnswer, revoke, (
        Parameter("id", "the token's id", needed=True, in_path=True),
    ), how="token"),
)  # fmt: skip
