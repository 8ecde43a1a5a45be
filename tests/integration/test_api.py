"""`/api/v1` as a program meets it: its description, who comes in, what is refused, and what the console keeps."""

from __future__ import annotations

import random
import re
import stat
import time
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import fastjsonschema
import pytest
from flask.testing import FlaskClient
from werkzeug.security import generate_password_hash

from lustre_events.cli.run_asking import ask_server, by_server
from lustre_events.config.settings import WebSettings
from lustre_events.domain.action_run import DEAD, HELD
from lustre_events.errors import ConfigError, NotAllowed
from lustre_events.index.remote.client import PREFIX
from lustre_events.index.visibility import Viewer
from lustre_events.web.api.routes import OPERATIONS
from lustre_events.web.feed_addresses import FeedAddresses
from lustre_events.web.personal_tokens import DAY_NS, MOST_OF_A_USER, Tokens
from lustre_events.web.rate_limit import Pace
from lustre_events.web.store import Store
from tests.support.history import keep
from tests.support.index.tables import node
from tests.support.records import builders as b
from tests.support.service.api import OTHER, OWNER, make_api, remote, secret_of
from tests.support.service.runs import answers, run_of
from tests.support.service.web import Console, enter, token_in


@pytest.fixture
def console(tmp_path: Path) -> Console:
    console = make_api(tmp_path)
    console.users.write_text(f"{OWNER}:{generate_password_hash('secret ' + OWNER)}\n")
    console.users.chmod(0o640)
    keep(tmp_path / "history", {"lustre-MDT0000": GONE}, random.Random(1))
    console.past = tmp_path / "history"
    console.settings = WebSettings(admins=(OWNER,))
    console.answers = answers(
        run_of(2, b"open/map.csv", DEAD), run_of(3, b"open/secret.csv", trigger="document"),
        run_of(5, b"own/run.csv"), run_of(77, b"gone.csv", trigger="removed"),
    )  # fmt: skip
    console.answer = {"rows": 1, "dropped": 1, "taken": 2, "pending": 1, "waits": ""}
    return console


def call(client: FlaskClient, token: str, path: str, method: str = "GET", **more: Any) -> tuple[int, Any]:
    """Return the status and the JSON of a call."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = client.open(PREFIX + path, method=method, headers=headers | more.pop("headers", {}), **more)
    return answer.status_code, answer.get_json()


GONE = [
    b.create(9, name=b"gone.csv", index=1, time_ns=10**18),
    b.unlink(9, name=b"gone.csv", index=2, time_ns=10**18 + 1, last=True),
]

CALLS: dict[str, tuple[str, dict[str, Any] | None]] = {
    "openapi": ("/openapi.json", None),
    "about": ("/", None),
    "search": ("/search?q=columns:*&limit=2&sort=-size", None),
    "count": ("/count?q=colums:temperature", None),
    "facets": ("/facets?q=*&field=owner&field=rows&field=none&limit=3", None),
    "hints": ("/hints?q=none:1", None),
    "fields": ("/fields?prefix=col&limit=9", None),
    "complete": ("/complete?q=columns:te", None),
    "files": (f"/files?fid={node(4)}&path=/open/map.csv&path=/none", None),
    "file": (f"/files/{node(4)}", None),
    "du": ("/du?path=/open&by=ext", None),
    "report": ("/report?path=/open&q=type:f&limit=2", None),
    "history": ("/history?path=/gone.csv", None),
    "former": ("/former?path=/&at=2001-09-09", None),
    "failures": ("/failures?extractor=h*&since=&limit=5", None),
    "retry": ("/failures/retry", {"works": [[str(node(4)), "hdf5"]]}),
    "drop": ("/failures/drop", {"works": [[str(node(4)), "hdf5"]]}),
    "reprocess": ("/reprocess", {"extractor": "tabular"}),
    "runs": ("/runs?rule=tell&state=dead&limit=9", None),
    "run": (f"/runs/{2:040x}", None),
    "retry_runs": ("/runs/retry", {"keys": [f"{2:040x}"]}),
    "release_runs": ("/runs/release", {"keys": [f"{2:040x}"]}),
    "drop_runs": ("/runs/drop", {"keys": [f"{2:040x}"]}),
    "actions": ("/actions", None),
    "hold": ("/actions/hold", {"name": "tell"}),
    "release": ("/actions/release", {"name": "tell", "kind": "rule"}),
    "save": ("/saved/run%207", {"query": "columns:own"}),
    "saved": ("/saved", None),
    "feed": ("/saved/run%207/feed", None),
    "make_feed": ("/saved/run%207/feed", None),
    "end_feed": ("/saved/run%207/feed", None),
    "subscribe": ("/saved/run%207/subscription", {"endpoint": "myself"}),
    "subscriptions": ("/subscriptions", None),
    "unsubscribe": ("/saved/run%207/subscription", None),
    "forget": ("/saved/run%207", None),
    "tokens": ("/tokens", None),
    "create": ("/tokens", {"label": "laptop"}),
    "revoke": ("/tokens/{id}", None),
}
"""A call of each operation, by its name."""


ACTS = {
    "retry", "drop", "reprocess", "retry_runs", "release_runs", "drop_runs", "hold", "release", "save", "make_feed",
    "end_feed", "subscribe", "unsubscribe", "forget", "revoke",
}  # fmt: skip
"""The operations that need a token of the scope `act`; all others that a token opens need `read`."""


def closed(schema: Any) -> Any:
    """Return a schema in which an object has no other members than those it names."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(each) for name, each in schema.items()}
    return found | ({"additionalProperties": False} if "properties" in schema else {})


def test_the_description_is_what_the_code_does(console: Console) -> None:
    """Each route is described and each description has a route; each answer has the shape that is described."""
    app = console.app()
    client, token = app.test_client(), secret_of(console, OWNER)
    told = client.get(f"{PREFIX}/openapi.json").get_json()
    routes = {
        (re.sub(r"<(\w+)>", r"{\1}", rule.rule.removeprefix(PREFIX)), method.lower())
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routes == {(path, method) for path, methods in told["paths"].items() for method in methods}
    assert {each["operationId"] for methods in told["paths"].values() for each in methods.values()} == set(CALLS)

    components = closed(told["components"])
    for operation in OPERATIONS:
        path, body = CALLS[operation.name]
        password = {"Authorization": "Basic " + b64encode(f"{OWNER}:secret {OWNER}".encode()).decode()}
        headers = password if operation.how == "password" else {}
        ended = Tokens(Store(console.store), 9).create(OWNER)[1].id if "{id}" in path else ""
        status, answer = call(
            client, token, path.format(id=ended), operation.method, headers=headers,
            **({} if body is None else {"json": body}),
        )  # fmt: skip
        assert status == 200, (operation.name, answer)
        described = told["paths"][operation.path][operation.method.lower()]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        fastjsonschema.compile({**schema, "components": components})(answer)
        assert {each["name"] for each in described["parameters"]} == {each.name for each in operation.parameters}
        assert (body is not None) == ("requestBody" in described)


def test_runs_are_those_of_files_that_one_may_see(console: Console) -> None:
    """Runs of files that are hidden, gone or whose documents one may not read do not show; nor do endpoints."""
    client = console.app().test_client()
    seen = {user: call(client, secret_of(console, user), "/runs")[1]["runs"] for user in ("root", OWNER, OTHER)}
    assert {user: [run["paths"] for run in found] for user, found in seen.items()} == {
        "root": [["/mnt/lustre/open/map.csv"], ["/mnt/lustre/open/secret.csv"], ["/mnt/lustre/own/run.csv"],
                 ["/mnt/lustre/gone.csv"]],
        OWNER: [["/mnt/lustre/open/map.csv"], ["/mnt/lustre/own/run.csv"]],
        OTHER: [["/mnt/lustre/open/map.csv"]],
    }  # fmt: skip
    assert [run["there"] for run in seen["root"]] == [True, True, True, False]
    assert "418" in seen[OWNER][0]["error"]
    assert (seen[OTHER][0]["error"], seen[OTHER][0]["endpoint"], seen[OTHER][0]["jobid"]) == ("", "", None)
    assert call(client, secret_of(console, OTHER), f"/runs/{5:040x}")[1]["error"].startswith("there is no run")


def test_only_admins_change_runs_of_the_site_and_only_those_that_they_see(console: Console) -> None:
    """Who is no admin sees no endpoints, and changes nothing of others; an admin's hidden runs are left out."""
    client, other = console.app().test_client(), secret_of(console, OTHER)
    assert call(client, other, "/actions/hold", "POST", json={"name": "t"})[0] == 401
    assert console.asked == []
    seen = {"keys": [f"{2:040x}"]}
    for change in ("retry", "release", "drop"):
        assert call(client, other, f"/runs/{change}", "POST", json=seen) == (200, {"runs": 0})
    assert {action for action, _ in console.asked} == {"runs"}
    chosen = [f"{number:040x}" for number in (2, 3, 77)]
    assert call(client, secret_of(console, OWNER), "/runs/drop", "POST", json={"keys": chosen})[1] == {"runs": 1}
    assert console.asked[-1] == ("drop_runs", {"keys": chosen[:1]})


def test_runs_of_ones_own_rules_are_ones_own(console: Console) -> None:
    """A user changes runs of own rules, also of what is gone; not those of another's, nor of a former uid's."""
    uid = Viewer.of_user(OTHER).uid
    mine: dict[str, Any] = {"rule": f"{OTHER}/tell", "uid": uid}
    console.answers = answers(
        run_of(2, b"open/map.csv", DEAD, **mine), run_of(77, b"gone.csv", HELD, trigger="removed", **mine),
        run_of(3, b"open/secret.csv", DEAD, rule=f"{OWNER}/tell", uid=uid),
        run_of(78, b"a.csv", DEAD, rule=f"{OTHER}/tell", uid=uid + 1),
    )  # fmt: skip
    client, token = console.app().test_client(), secret_of(console, OTHER)
    shown = {run["key"]: run for run in call(client, token, "/runs")[1]["runs"]}
    here, gone = (shown.get(f"{number:040x}", {}) for number in (2, 77))
    assert (here["endpoint"], here["error"], here["there"]) == ("beamline", "", True)
    assert (gone["paths"], gone["there"], gone["jobid"]) == ([], False, None)
    assert f"{78:040x}" not in shown
    keys = [f"{number:040x}" for number in (2, 3, 77, 78)]
    for change in ("retry", "release", "drop"):
        assert call(client, token, f"/runs/{change}", "POST", json={"keys": keys})[1] == {"runs": 1}
        wanted = {"keys": [keys[0], keys[2]], "user": OTHER, "uid": uid}
        assert console.asked[-1] == (f"{change}_runs", wanted)
    with remote(console, OTHER) as server:
        assert by_server(server).change("release_runs", "", f"{OTHER}/tell") == 1
        assert console.asked[-1] == ("release_runs", {**wanted, "keys": [keys[2], keys[0]]})
        assert by_server(server).change("drop_runs", keys[0], "") == 1
        assert console.asked[-1] == ("drop_runs", {**wanted, "keys": keys[:1]})


def test_a_user_is_told_of_own_rules_and_releases_them(console: Console) -> None:
    """Who is no admin asks the dispatcher about own rules only, over the API and with the command."""
    client, token = console.app().test_client(), secret_of(console, OTHER)
    me = {"user": OTHER, "uid": Viewer.of_user(OTHER).uid}
    found = call(client, token, "/actions")[1]
    assert ([rule["may_release"] for rule in found["rules"]], found["endpoints"]) == ([True, False, False], [])
    assert call(client, token, "/actions/release", "POST", json={"name": "burst/mine"})[0] == 200
    assert console.asked == [("own_rules", me), ("release_own_rule", {"name": "burst/mine", "kind": "", **me})]
    with remote(console, OTHER) as server:
        assert len(ask_server(server, "actions", {})["rules"]) == 3
        assert ask_server(server, "release_action", {"name": "burst/mine", "kind": ""})["released"]
    assert console.asked[2:] == console.asked[:2]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/runs?state=ded", "one of"),
        ("/search", "q is missing"),
        ("/search?q=*&limt=3", "did you mean 'limit'|limit"),
        ("/search?q=*&limit=1001", "from 1 to 1000"),
        ("/search?q=*&limit=x", "whole number"),
        ("/search?q=*&q=size:1", "once"),
        ("/search?q=size:[1", r"\^"),
        ("/facets?q=*" + "&field=a" * 21, "20 times"),
        ("/files/nonsense", "FID"),
        ("/du?path=/none", "no such path"),
        ("/nowhere", "not found"),
    ],
)
def test_what_is_wrong_is_one_sentence(console: Console, path: str, sentence: str) -> None:
    """A parameter that is missing, unknown or out of its bounds is named; nothing is guessed or passed over."""
    status, answer = call(console.app().test_client(), secret_of(console, OWNER), path)
    assert status in {400, 404}
    assert re.search(sentence, answer["error"]), answer


def test_what_is_sent_is_checked(console: Console) -> None:
    """A body of another type, another shape or too many files reaches nobody."""
    client, token = console.app().test_client(), secret_of(console, OWNER)
    bodies: list[dict[str, Any]] = [
        {"data": "works=1"}, {"json": {"works": [["a"]]}}, {"json": {"works": [], "more": 1}},
        {"data": "[" * 100_000, "content_type": "application/json"},
    ]  # fmt: skip
    for body in bodies:
        assert call(client, token, "/failures/retry", "POST", **body)[0] == 400
    assert console.asked == []


def test_only_a_token_comes_in(console: Console) -> None:
    """Without a token, with a changed, revoked or old one, all is refused; the store has no secret."""
    client, token = console.app().test_client(), secret_of(console, OWNER)
    tokens = Tokens(Store(console.store), 30)
    revoked, made = tokens.create(OWNER)
    tokens.revoke(made.id, OWNER)
    old, _ = Tokens(Store(console.store), 30, clock=lambda: 10**18).create(OWNER, days=1)
    for shown in ("", "le_", token[:-1], token.swapcase(), revoked, old):
        for operation in OPERATIONS:
            if operation.how != "anybody":
                path, body = CALLS[operation.name]
                assert call(client, shown, path.format(id="x"), operation.method, json=body or {})[0] in {
                    401,
                    429,
                }, path
    assert token.split("_", 2)[2].encode() not in console.store.read_bytes()
    assert stat.S_IMODE(console.store.stat().st_mode) == 0o600


def test_a_token_is_for_its_scopes_and_its_user(console: Console) -> None:
    """A token to look changes nothing; one whose user's name has gone to somebody else opens nothing."""
    client = console.app().test_client()
    looks = secret_of(console, OWNER, ["read"])
    assert call(client, looks, "/count?q=*")[0] == 200
    status, answer = call(client, looks, "/failures/retry", "POST", json={"works": []})
    assert (status, "not for 'act'" in answer["error"]) == (401, True)
    acts = secret_of(console, OWNER, ["act"])
    status, answer = call(client, acts, "/count?q=*")
    assert status == 401
    assert "not for 'read', only for 'act'; make one for both:" in answer["error"]
    assert answer["error"].endswith("lustre-events token create --scope read --scope act")
    with Store(console.store).opened() as connection:
        connection.execute("UPDATE token SET uid = 4242")
    assert call(client, looks, "/count?q=*")[0] == 401


def test_each_operation_wants_its_scope(console: Console) -> None:
    """What changes something needs a token to act, all else one to look; with the other nothing is done."""
    client = console.app().test_client()
    given = {scope: secret_of(console, OWNER, [scope]) for scope in ("read", "act")}
    other = Tokens(Store(console.store), 30).create(OWNER)[1].id
    for operation in OPERATIONS:
        assert (operation.name in ACTS) == (operation.method != "GET" and operation.how == "token"), operation.name
        if operation.how != "token":
            continue
        wanted, shown = ("act", "read") if operation.name in ACTS else ("read", "act")
        path, body = CALLS[operation.name]
        status, answer = call(client, given[shown], path.format(id=other), operation.method, json=body or {})
        assert (status, f"not for {wanted!r}" in answer["error"]) == (401, True), operation.name
    assert console.asked == []
    assert all(each.revoked_ns is None for each in Tokens(Store(console.store), 30).list(OWNER))


def test_a_token_has_an_end_and_a_user_few_tokens(console: Console) -> None:
    """Its life is bounded by the site, and so is how many a user has; those that are over do not count."""
    now = [10**18]
    tokens = Tokens(Store(console.store), 30, clock=lambda: now[0])
    with pytest.raises(Exception, match="at most 30 days"):
        tokens.create(OWNER, days=31)
    with pytest.raises(Exception, match="not for everything"):
        tokens.create(OWNER, scopes=["everything"])
    secret, _ = tokens.create(OWNER, days=1)
    for _ in range(MOST_OF_A_USER - 1):
        tokens.create(OWNER, days=1)
    with pytest.raises(Exception, match="revoke one"):
        tokens.create(OWNER)
    now[0] += DAY_NS
    with pytest.raises(NotAllowed, match="expired"):
        tokens.known(secret)
    tokens.create(OWNER)
    now[0] += 365 * DAY_NS
    tokens.create(OWNER)
    assert len(tokens.list(OWNER)) == 1


def test_tokens_take_little_room_however_many_are_made(console: Console) -> None:
    """Those that are revoked or over are shown up to a number, and a scope that is named often counts once."""
    tokens = Tokens(Store(console.store), 30)
    for number in range(MOST_OF_A_USER + 20):
        _, made = tokens.create(OWNER, f"{number}", scopes=("read",) * 1_000)
        tokens.revoke(made.id, OWNER)
    _, other = tokens.create(OTHER)
    kept = tokens.list(OWNER)
    assert len(kept) <= MOST_OF_A_USER + 1
    assert kept[0].label == f"{MOST_OF_A_USER + 19}"
    assert [each.id for each in tokens.list(OTHER)] == [other.id]
    with Store(console.store).opened() as connection:
        (longest,) = connection.execute("SELECT max(length(scopes)) FROM token").fetchone()
    assert longest == len("read")


def test_a_browser_that_has_logged_in_may_look_only(console: Console) -> None:
    """A session answers what is read, so that pages can ask; what changes something needs a token."""
    client = enter(console.app(), OWNER)
    assert call(client, "", "/")[1]["user"] == OWNER
    assert call(client, "", "/failures/drop", "POST", json={"works": [[str(node(4)), "hdf5"]]})[0] == 401
    assert call(client, "le_x_y", "/")[0] == 401
    assert console.asked == []


def test_passwords_make_tokens_and_cannot_be_guessed(console: Console) -> None:
    """Name and password give a token over the API, with the patience of the login; nothing else takes them."""
    client = console.app().test_client()

    def create(password: str, path: str = "/tokens", method: str = "POST") -> tuple[int, Any]:
        shown = {"Authorization": "Basic " + b64encode(f"{OWNER}:{password}".encode()).decode()}
        return call(client, "", path, method, headers=shown, json={"label": "laptop", "days": 1})

    status, made = create(f"secret {OWNER}")
    assert (status, made["token"]["label"]) == (200, "laptop")
    assert call(client, made["secret"], "/")[1]["scopes"] == ["read"]
    assert create(f"secret {OWNER}", "/", "GET")[0] == 401
    assert [create("guess")[0] for _ in range(6)] == [401] * 5 + [429]


def test_who_asks_too_often_waits(console: Console) -> None:
    """Each user has a number of requests a minute, whatever token is used; the answer says how long to wait."""
    console.settings = replace(console.settings, requests_per_minute=2)
    app = console.app()
    client, tokens = app.test_client(), [secret_of(console, OWNER), secret_of(console, OWNER)]
    assert [call(client, token, "/")[0] for token in tokens] == [200, 200]
    refused = client.get(f"{PREFIX}/", headers={"Authorization": f"Bearer {tokens[0]}"})
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
    assert call(client, secret_of(console, OTHER), "/")[0] == 200


def test_the_pace_lets_in_again() -> None:
    """What a minute allows comes back over a minute; 0 lets everybody in."""
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert [pace.wait("ada", 2) for _ in range(3)] == [0, 0, 30]
    now[0] = 31
    assert [pace.wait("ada", 2), pace.wait("ada", 2) > 0, pace.wait("ada", 0)] == [0, True, 0]


def test_without_a_store_the_console_still_searches(console: Console, tmp_path: Path) -> None:
    """Where the store cannot be opened, tokens say why, and pages that do not need it work."""
    client = enter(console.app(), OWNER)
    console.store.mkdir()
    assert client.get("/").status_code == 200
    assert client.get("/?q=*").status_code == 200
    assert "[web] store" in client.get("/tokens").text
    status, answer = call(client, "le_a_b", "/")
    assert (status, answer["kind"]) == (503, "StoreUnavailable")


def test_a_saved_search_is_a_feed_of_ones_own_view(console: Console) -> None:
    """A feed has what its user finds, newest first; who may see less gets less; forgotten, it is gone."""
    client, query = console.app().test_client(), {"query": "*"}
    found = {}
    for user in (OWNER, OTHER):
        token = secret_of(console, user)
        assert call(client, token, "/saved/all", "PUT", json=query)[0] == 200
        status, feed = call(client, token, "/saved/all/feed?limit=200")
        seen = {each["fid"] for each in call(client, token, "/search?q=*&limit=200")[1]["hits"]}
        found[user] = {each["id"].rpartition(":")[0] for each in feed["items"]}
        times = [each["date_modified"] for each in feed["items"]]
        assert (status, found[user], times) == (200, seen, sorted(times, reverse=True))
        assert call(client, token, "/saved/all", "DELETE")[0] == 200
        assert call(client, token, "/saved/all/feed")[0] == 400
    assert found[OTHER] < found[OWNER]


def entries(answer: Any) -> list[tuple[str, str, str]]:
    """Return id, time and title of each entry of an Atom feed."""
    space = "{http://www.w3.org/2005/Atom}"
    found = ET.fromstring(answer.data).findall(f"{space}entry")  # noqa: S314 - ours
    return [tuple(str(each.findtext(space + tag)) for tag in ("id", "updated", "title")) for each in found]  # type: ignore[misc]


def test_the_address_of_a_feed_is_all_that_a_reader_needs(console: Console) -> None:
    """Without any header an Atom feed has what its user finds, newest first, under ids that stay."""
    client, found = console.app().test_client(), {}
    for user in (OWNER, OTHER):
        token = secret_of(console, user)
        call(client, token, "/saved/all", "PUT", json={"query": "*"})
        address = call(client, token, "/saved/all/feed", "POST")[1]["address"]
        answer = client.get(address)
        items = entries(answer)
        assert (answer.status_code, answer.mimetype) == (200, "application/atom+xml")
        assert [when for _, when, _ in items] == sorted((when for _, when, _ in items), reverse=True)
        assert entries(client.get(address, headers={"Host": "another.example"})) == items
        assert client.get(address, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304
        found[user] = {title for _, _, title in items}
        asked = call(client, token, "/saved/all/feed?limit=50")[1]["items"]
        assert found[user] == {each["title"] for each in asked}
    assert found[OTHER] < found[OWNER]


def test_an_address_of_a_feed_opens_that_feed_until_it_ends(console: Console) -> None:
    """An old, forged, ended, forgotten or outlived address opens nothing; one that lives opens nothing else."""
    app = console.app()
    client, token, site = app.test_client(), secret_of(console, OWNER), app.extensions["site"]

    def made(name: str = "all") -> str:
        call(client, token, f"/saved/{name}", "PUT", json={"query": "*"})
        return str(call(client, token, f"/saved/{name}/feed", "POST")[1]["address"])

    first = made()
    second = made()
    other = made("other")
    assert [client.get(each).status_code for each in (first, second, other)] == [404, 200, 200]
    number = second.rpartition("_")[0]
    forged = [second[:-1], f"{number}_", f"{number}_{other.partition('_')[2]}", "/feed/x", "/feed/_", "/feed/%ff_"]
    assert {client.get(each).status_code for each in forged} == {404}
    shown = second.rpartition("/")[2]
    assert {call(client, each, "/saved/all/feed")[0] for each in (shown, f"le_{shown}")} == {401}
    assert shown.partition("_")[2].encode() not in site.store.path.read_bytes()
    outlived = FeedAddresses(site.store, 1.0, lambda: time.time_ns() + 2 * site.settings.token_days * DAY_NS)
    with pytest.raises(NotAllowed, match="opens no feed"):
        outlived.known(shown)
    assert call(client, token, "/saved/all/feed", "DELETE") == (200, {"ended": True})
    assert call(client, token, "/saved/other", "DELETE")[0] == 200
    call(client, token, "/saved/other", "PUT", json={"query": "*"})
    assert [client.get(each).status_code for each in (second, other)] == [404, 404]
    assert call(client, token, "/saved/none/feed", "POST")[0] == 400


def test_a_feed_of_a_name_that_went_to_somebody_else_opens_nothing(console: Console) -> None:
    """An address belongs to a name and its uid."""
    app = console.app()
    client, token = app.test_client(), secret_of(console, OWNER)
    call(client, token, "/saved/all", "PUT", json={"query": "*"})
    address = call(client, token, "/saved/all/feed", "POST")[1]["address"]
    with app.extensions["site"].store.opened() as connection:
        connection.execute("UPDATE feed SET uid = uid + 1")
    assert client.get(address).status_code == 404


def test_the_console_makes_the_address_of_a_feed_and_shows_it_once(console: Console) -> None:
    """The page of saved searches makes an address, and ends it; a form of another site does neither."""
    client = enter(console.app(), OWNER)
    csrf = token_in(client.get("/tokens").text)
    client.post("/saved", data={"csrf": csrf, "query": "*", "name": "<b>all"})
    found = re.search(r'id="address">https?://[^/]+(/feed/[^<]+)<', client.post(
        "/saved/feed", data={"csrf": csrf, "make": "<b>all"}).text)  # fmt: skip
    assert found is not None
    page = client.get("/saved").text
    assert "/feed/" not in page
    assert "<b>all" not in page
    assert client.post("/saved/feed", data={"end": "<b>all"}).status_code == 400
    assert client.get(found[1]).status_code == 200
    client.post("/saved/feed", data={"csrf": csrf, "end": "<b>all"})
    assert client.get(found[1]).status_code == 404


def test_the_console_subscribes_to_a_saved_search_for_who_has_logged_in(console: Console) -> None:
    """The dispatcher is asked with the name and uid of the session's user, and with the query as rules have it."""
    client, uid = enter(console.app(), OWNER), Viewer.of_user(OWNER).uid
    csrf = token_in(client.get("/tokens").text)
    client.post("/saved", data={"csrf": csrf, "query": "path:/mnt/lustre/open/**", "name": "<b>all"})
    page = client.get("/saved").text
    assert "Notify me" in page
    assert "<b>all" not in page
    mine = {"user": OWNER, "uid": uid, "name": "<b>all"}
    sent = {"csrf": csrf, "name": "<b>all", "endpoint": "myself", "user": OTHER, "uid": "0"}
    assert client.post("/saved/subscription", data={**sent, "csrf": ""}).status_code == 400
    assert client.post("/saved/subscription", data={**sent, "name": "none"}).status_code == 400
    assert "subscribe" not in {action for action, _ in console.asked}
    client.post("/saved/subscription", data=sent)
    assert console.asked[-1] == ("subscribe", {**mine, "query": "path:/open/**", "endpoint": "myself"})
    client.post("/saved/subscription", data={"csrf": csrf, "end": "<b>all"})
    assert console.asked[-1] == ("unsubscribe", mine)


def test_the_console_makes_tokens_and_keeps_searches(console: Console) -> None:
    """A token is shown once and works until it is revoked; a saved search is on the first page and in the API."""
    client = enter(console.app(), OWNER)
    csrf = token_in(client.get("/tokens").text)
    page = client.post("/tokens", data={"csrf": csrf, "label": "<b>", "days": "30", "scope": ["read"]}).text
    found = re.search(r'id="secret">([^<]+)<', page)
    assert found is not None
    assert "<b>" not in page
    assert call(client, found[1], "/count?q=*")[0] == 200
    number = re.search(r'name="revoke" value="(\w+)"', client.get("/tokens").text)
    assert number is not None
    assert found[1] not in client.get("/tokens").text
    client.post("/tokens", data={"csrf": csrf, "revoke": number[1]})
    assert call(client, found[1], "/count?q=*")[0] == 401
    assert client.post("/tokens", data={"label": "forged"}).status_code == 400

    client.post("/saved", data={"csrf": csrf, "query": "columns:own", "name": "mine"})
    assert "mine" in client.get("/").text
    with remote(console, OWNER) as index:
        assert [each["query"] for each in index.get(dict, "/saved")["saved"]] == ["columns:own"]
        feed = index.get(dict, "/saved/mine/feed")
        assert feed["version"] == "https://jsonfeed.org/version/1.1"
        assert feed["items"]
    with remote(console, OTHER) as index:
        assert index.get(dict, "/saved") == {"saved": []}
        with pytest.raises(ConfigError, match="there is no saved search 'mine'"):
            index.get(dict, "/saved/mine/feed")
    client.post("/saved", data={"csrf": csrf, "forget": "mine"})
    assert "mine" not in client.get("/").text
