"""Subscriptions: a saved search becomes a rule of its user's own, within the grant, and ends again."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from lustre_events.actions.kinds import KINDS
from lustre_events.catalog.catalog import Catalog, Places
from lustre_events.catalog.subscriptions import SubscriptionFolder, SubscriptionRequests
from lustre_events.domain.rules.action_rules import ActionRule
from lustre_events.errors import ConfigError, QueryError
from lustre_events.node.action_parts import check_query

ME = pwd.getpwuid(os.geteuid())
OTHER = next(each for each in pwd.getpwall() if each.pw_uid not in {0, ME.pw_uid})
ENDPOINTS = f"""
[endpoint.myself]
kind = "webhook"
url = "https://hooks.example.org/me"
[endpoint.secret]
kind = "webhook"
url = "https://hooks.example.org/secret"
[grant.me]
users = ["{ME.pw_name}"]
endpoints = ["myself"]
rules = 2
runs = 7
"""
OWN = '[[rule]]\nname = "{name}"\naction = "webhook"\nendpoint = "myself"\n'


class Site:
    """What a catalog reads, and the dispatcher's folder of subscriptions."""

    def __init__(self, folder: Path) -> None:
        self.users, self.endpoints = folder / "users", folder / "endpoints.toml"
        self.users.mkdir()
        self.endpoints.write_text(ENDPOINTS)
        self.folder = SubscriptionFolder(folder / "subscriptions")
        kinds = {name: kind.read_with for name, kind in KINDS.items()}
        self.catalog = Catalog(
            Places(None, self.users, (), None, self.endpoints, kinds, check_query, subscriptions=self.folder)
        )
        self.catalog.load()
        self.handlers = SubscriptionRequests(self.folder, self.catalog.allowed).handlers()

    def ask(self, action: str, user: pwd.struct_passwd = ME, **more: Any) -> dict[str, Any]:
        """Ask as the console does."""
        return self.handlers[action](None, {"user": user.pw_name, "uid": user.pw_uid, **more})

    def subscribe(self, name: str, query: str = "rows:>2", endpoint: str = "myself", **more: Any) -> None:
        """Subscribe to a search."""
        self.ask("subscribe", name=name, query=query, endpoint=endpoint, **more)

    def rules(self) -> dict[str, ActionRule]:
        """Return the rules of actions that count now, once a change was noticed."""
        self.catalog.look()
        return dict(self.catalog.found.rules.actions.by_name)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_subscription_is_a_rule_of_the_users_own_until_it_ends(site: Site) -> None:
    """It counts from the next look on, has its user's view and quotas, is changed in its place, and ends."""
    assert site.rules() == {}
    site.subscribe("hot")
    rule = site.rules()[f"{ME.pw_name}/search hot"]
    author = rule.author
    assert author is not None
    assert (rule.on, rule.query, rule.endpoint, rule.viewers) == (
        frozenset({"document"}),
        "rows:>2",
        "myself",
        (str(ME.pw_uid),),
    )
    assert (author.uid, author.allowance.runs, rule.burst) == (ME.pw_uid, 7, 7)
    site.subscribe("hot", "rows:>4")
    assert [each.query for each in site.rules().values()] == ["rows:>4"]
    shown = site.ask("subscriptions")
    assert shown["subscriptions"] == [{"name": "hot", "query": "rows:>4", "endpoint": "myself", "wrong": ""}]
    assert shown["endpoints"] == [{"endpoint": "myself", "kind": "webhook"}]
    assert site.ask("unsubscribe", name="hot") == {"ended": True}
    assert site.ask("unsubscribe", name="hot") == {"ended": False}
    assert site.rules() == {}


def test_what_is_not_granted_or_cannot_be_asked_is_refused(site: Site) -> None:
    """An endpoint of others, a user without a grant, a query that time changes, no user: nothing is kept."""
    with pytest.raises(ConfigError, match="'secret', which the site does not grant; granted are: myself"):
        site.subscribe("hot", endpoint="secret")
    with pytest.raises(ConfigError, match="granted are: none"):
        site.subscribe("hot", user=OTHER)
    for query in ("mtime:>now-7d", "rows:["):
        with pytest.raises((ConfigError, QueryError), match="cannot be asked"):
            site.subscribe("hot", query)
    for name in ("", "x" * 81, "two\nlines"):
        with pytest.raises(ConfigError):
            site.subscribe(name)
    for user in ("../alice", "nobody here", ""):
        with pytest.raises(ConfigError, match="is not a user"):
            site.handlers["subscribe"](
                None, {"user": user, "uid": 0, "name": "a", "query": "*", "endpoint": "myself"}
            )
    with pytest.raises(ConfigError, match="another uid"):
        site.handlers["subscriptions"](None, {"user": ME.pw_name, "uid": ME.pw_uid + 1})
    assert not site.folder.path.exists()


def test_subscriptions_count_with_the_rules_of_the_users_file(site: Site) -> None:
    """Both together are as many as the site grants; what is beyond, or has a name twice, is a sentence."""
    path = site.users / f"{ME.pw_name}.toml"
    path.write_text(OWN.format(name="mine"))
    path.chmod(0o644)
    site.subscribe("one")
    site.subscribe("two")
    with pytest.raises(ConfigError, match="2 rules are granted"):
        site.subscribe("three")
    assert sorted(site.rules()) == [f"{ME.pw_name}/mine", f"{ME.pw_name}/search one"]
    assert "subscription 'two' is beyond the 2 rules" in " ".join(site.catalog.found.problems)
    path.write_text(OWN.format(name="search one"))
    assert sorted(site.rules()) == [f"{ME.pw_name}/search one", f"{ME.pw_name}/search two"]
    assert "is the name of a rule in the user's file" in " ".join(site.catalog.found.problems)


def test_what_the_site_takes_back_ends_and_says_why(site: Site) -> None:
    """Without its grant a subscription is no rule any more, and its user sees why; with it, it is again."""
    site.subscribe("hot")
    assert len(site.rules()) == 1
    site.endpoints.write_text(ENDPOINTS.replace(f'users = ["{ME.pw_name}"]', 'users = ["somebody"]'))
    assert site.rules() == {}
    assert "does not grant" in site.ask("subscriptions")["subscriptions"][0]["wrong"]
    assert "does not grant" in " ".join(site.catalog.found.problems)
    site.endpoints.write_text(ENDPOINTS)
    assert len(site.rules()) == 1


def test_a_file_of_subscriptions_that_is_not_that_users_counts_for_nobody(site: Site) -> None:
    """What a former user of the name left is nothing; a damaged file, or one of no user, harms nobody else."""
    site.subscribe("hot")
    path = site.folder.path / f"{ME.pw_name}.json"
    kept = path.read_bytes()
    path.write_bytes(kept.replace(f'"uid":{ME.pw_uid}'.encode(), b'"uid":4711'))
    assert site.rules() == {}
    assert site.ask("subscriptions")["subscriptions"] == []
    path.write_bytes(kept)
    for name, text in ((f"{OTHER.pw_name}.json", b'{"uid": "x"'), ("no-such-user-here.json", kept)):
        (site.folder.path / name).write_bytes(text)
    assert list(site.rules()) == [f"{ME.pw_name}/search hot"]
    problems = " ".join(site.catalog.found.problems)
    assert "cannot be read" in problems
    assert "no-such-user-here is not a user" in problems
