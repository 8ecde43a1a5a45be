"""One index, asked inside and over the API: the same questions have the same answers, for everybody."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote_plus, urlencode

import pytest

from lustre_events.changelog.fid import FID
from lustre_events.errors import ConfigError, LustreEventsError, QueryError
from lustre_events.history.losses import LossBook
from lustre_events.index import open_search
from lustre_events.index.remote.client import RemoteSearch
from lustre_events.index.search.asking import Asking, pages
from lustre_events.index.search.failures import Choice, find
from lustre_events.index.search.search import Search
from lustre_events.index.visibility import Viewer
from lustre_events.inspect import history, inventory
from lustre_events.inspect.history import ChosenDeeds
from lustre_events.streams.interface import Loss
from lustre_events.web.api.routes import OPERATIONS
from tests.support.history import keep
from tests.support.index.tables import node
from tests.support.records import builders as b
from tests.support.service.api import OTHER, OWNER, TORN, USERS, make_api, remote, secret_of
from tests.support.service.web import Console

Ask = Callable[[Asking, Viewer | None], Any]


def _pages(index: Asking, who: Viewer | None) -> Any:
    found = list(pages(index, "ext:csv OR type:d", sort="-size", visible_to=who, portion=1))
    return [(page.hits, page.cursor is None) for page in found]


def _past(path: bytes, **narrowed: str) -> Ask:
    def ask(index: Asking, who: Viewer | None) -> Any:
        if isinstance(index, RemoteSearch):
            return index.history(path, narrowed, visible_to=who)
        with history.teller(HISTORY[0], cast("Search", index), who) as teller:
            return history.happened(teller, path, ChosenDeeds.of(**{**UNCHOSEN, **narrowed}), 1000)

    return ask


def _former(path: bytes, at: str) -> Ask:
    def ask(index: Asking, who: Viewer | None) -> Any:
        if isinstance(index, RemoteSearch):
            return index.former(path, at, visible_to=who)
        with history.teller(HISTORY[0], cast("Search", index), who) as teller:
            return history.stood(teller, path, history.moment("at", at)[1] - 1)

    return ask


def _report(path: bytes, query: str) -> Ask:
    return lambda index, who: inventory.take(index, path, query, 2, who)


UNCHOSEN = dict.fromkeys(("since", "until", "user", "job", "types"), "")
HISTORY: list[Path] = []
"""The folder of the history, when there is one."""

QUESTIONS: dict[str, Ask] = {
    "hits": lambda index, who: index.page("columns:* AND run:>1", visible_to=who).hits,
    "all": lambda index, who: index.page("*", limit=3, visible_to=who).hits,
    "pages": _pages,
    "bytes": lambda index, who: index.page("name:torn\udcff.csv", visible_to=who),
    "count": lambda index, who: index.count("type:f", visible_to=who),
    "hidden": lambda index, who: index.count("columns:temperature", visible_to=who),
    "facets": lambda index, who: index.facets("*", ["owner", "mime", "columns", "rows", "none"], visible_to=who),
    "hints": lambda index, who: index.hints("colums:own", visible_to=who),
    "hints of a field": lambda index, who: index.hints("*", fields=["colums"], visible_to=who),
    "fields": lambda index, who: index.fields("ro", visible_to=who),
    "all fields": lambda index, who: index.fields(visible_to=who, limit=1000),
    "fields to come": lambda index, who: index.complete("type:f AND col", visible_to=who),
    "values to come": lambda index, who: index.complete("columns:", visible_to=who),
    "owners to come": lambda index, who: index.complete("(owner:", visible_to=who),
    "du": lambda index, who: index.du(b"open", "owner", visible_to=who),
    "du of all": lambda index, who: index.du(b"/", "ext", visible_to=who),
    "du of nothing": lambda index, who: index.du(b"/own/run.csv", "ext", visible_to=who),
    "report": _report(b"", "columns:*"),
    "report of a part": _report(b"open", ""),
    "report of what is hidden": _report(b"own", ""),
    "report of a wrong query": _report(b"", "size:[1"),
    "files": lambda index, who: index.show_many([node(number) for number in (4, 2, 3, 5, 6, 999)], visible_to=who),
    "root": lambda index, who: index.show(node(0), visible_to=who),
    "path": lambda index, who: index.fid_of_path(TORN, visible_to=who),
    "hidden path": lambda index, who: index.fid_of_path(b"own/run.csv", visible_to=who),
    "openable path": lambda index, who: index.du(b"open", "ext", visible_to=who),
    "no path": lambda index, who: index.fid_of_path(b"none", visible_to=who),
    "wrong query": lambda index, who: index.count("size:[1 TO", visible_to=who),
    "wrong order": lambda index, who: index.page("*", sort="name", visible_to=who),
    "history": _past(b"gone.csv"),
    "history of what is hidden": _past(b"own/mine.csv"),
    "history of all": _past(b"**", types="UNLNK"),
    "history of nobody": _past(b"gone.csv", user="0"),
    "history of nothing": _past(b"never.csv"),
    "history at a wrong time": _past(b"gone.csv", since="soon"),
    "former": _former(b"/", "2001-09-09"),
    "former of what is hidden": _former(b"own", "2001-09-09"),
    "wrong cursor": lambda index, who: index.page("*", cursor="forged", visible_to=who),
}


OWN = node(1004)
"""The directory `own`."""
PAST = [
    b.create(9, name=b"gone.csv", index=1, time_ns=10**18),
    b.mkdir(OWN, name=b"own", index=2, time_ns=10**18),
    b.create(10, OWN, b"mine.csv", index=3, time_ns=10**18 + 1, uid=0, gid=0, extra_flags=1),
    b.unlink(10, OWN, b"mine.csv", index=4, time_ns=10**18 + 2, last=True, uid=0, gid=0, extra_flags=1),
    b.unlink(9, name=b"gone.csv", index=5, time_ns=10**18 + 3, last=True, uid=0, gid=0, extra_flags=1),
]


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    folder = tmp_path_factory.mktemp("api")
    console = make_api(folder)
    with open_search(f"sqlite:///{console.index}") as index:
        assert index.fid_of_path(b"own") == OWN
    HISTORY[:] = [folder / "history"]
    keep(HISTORY[0], {"lustre-MDT0000": PAST}, random.Random(1))
    LossBook(HISTORY[0]).note([Loss("lustre-MDT0000", 1, 20, 0, 10**18, "a test")], 0)
    console.past = HISTORY[0]
    return console


def told(ask: Ask, index: Asking, who: Viewer | None) -> Any:
    """Return an answer, or what is wrong."""
    try:
        return ask(index, who)
    except LustreEventsError as exc:
        return type(exc), str(exc)


def outside(console: Console, user: str, names: Iterable[str]) -> dict[str, Any]:
    """Return what the API answers a user."""
    with remote(console, user) as index:
        return {name: told(QUESTIONS[name], index, None) for name in names}


@pytest.mark.parametrize("user", [*(pytest.param(user, marks=pytest.mark.long) for user in USERS[:-1]), USERS[-1]])
def test_the_same_questions_have_the_same_answers(user: str, console: Console) -> None:
    """Over the API a user gets what `visible_to` gives inside: value for value, refusal for refusal."""
    answers = outside(console, user, QUESTIONS)
    with open_search(f"sqlite:///{console.index}") as index:
        who = Viewer.of_user(user)
        for name, ask in QUESTIONS.items():
            assert answers[name] == told(ask, index, who), (user, name)


def test_who_asks_matters(console: Console) -> None:
    """The questions tell users apart: what one may not see is neither found, counted, summed nor hinted at."""
    answers = {user: outside(console, user, ["hidden", "count", "hidden path", "hints"]) for user in USERS}

    assert [answers[user]["hidden"] for user in USERS] == [2, 1, 1]
    assert [answers[user]["count"] for user in USERS] == [4, 4, 3]
    assert answers[OTHER]["hidden path"] is None
    assert answers[OWNER]["hidden path"] == node(5)
    assert "own" not in str(answers[OTHER]["hints"])


def _addresses(path: str, fid: FID) -> Iterable[str]:
    """Yield an address for each operation that looks for a path, a FID or a query, with each of these."""
    values = {
        "path": [f"/{path}", str(fid)],
        "fid": [str(fid)],
        "q": [f"path:/{path}", f"name:{path.rpartition('/')[2]}", f"fid:{fid}"],
    }
    needed = {"at": "2001-09-09", "field": "owner"}
    for operation in OPERATIONS:
        names = {each.name for each in operation.parameters}
        if (
            operation.method != "GET" or operation.path == "/runs"
        ):  # whose runs are whose is the dispatcher's answer
            continue
        more = {name: value for name, value in needed.items() if name in names}
        for name in values.keys() & names:
            for value in values[name]:
                if "{" in operation.path:
                    yield f"/api/v1{operation.path.format(**{name: value})}"
                else:
                    yield f"/api/v1{operation.path}?{urlencode({**more, name: value})}"


def test_what_is_hidden_is_answered_as_what_never_was(console: Console) -> None:
    """No operation tells a viewer by its answer whether there is such a name or object out of sight."""
    client = console.app().test_client()
    headers = {"Authorization": f"Bearer {secret_of(console, OTHER)}"}

    def answers(path: str, fid: FID) -> dict[str, tuple[int, str]]:
        found = {}
        for address in _addresses(path, fid):
            reply, place = client.get(address, headers=headers), unquote_plus(address)
            said = [reply.get_data(as_text=True), place]
            for word in (path, path.rpartition("/")[2], str(fid)):
                said = [each.replace(word, "WORD") for each in said]
            found[said[1]] = (reply.status_code, said[0])
        return found

    hidden = answers("own/run.csv", node(5))
    assert hidden == answers("own/nor.csv", FID(node(5).seq, 987_654, 0))
    assert len(hidden) > 25
    assert {status for status, _ in hidden.values()} == {200, 400}


def test_failures_are_those_of_files_that_one_may_see(console: Console) -> None:
    """`failed` works over a server as it does on an index, with the viewer's own files only."""
    seen = {}
    for user in USERS:
        with remote(console, user) as index:
            seen[user] = {each.fid for each in find(index, Choice())}

    assert seen == {"root": {node(4), node(5)}, OWNER: {node(4), node(5)}, OTHER: set()}


def test_somebody_else_cannot_be_named(console: Console) -> None:
    """Who asks is the owner of the token: even root's client does not choose another viewer."""
    with remote(console, "root") as index, pytest.raises(ConfigError, match="owner of the token"):
        index.count("*", visible_to=Viewer(4242))


def test_a_fid_is_a_fid(console: Console) -> None:
    """What is no FID is refused with a sentence, not with a fault."""
    with remote(console, "root") as index, pytest.raises(ConfigError, match="FID"):
        index.get(dict, "/files", [("fid", "nonsense")])
    assert isinstance(node(4), FID)


def test_works_of_others_are_not_for_the_dispatcher(tmp_path: Path) -> None:
    """Retry and drop are for failures that the user sees, reprocess for files that the user owns."""
    console = make_api(tmp_path)
    console.answer = {"rows": 1, "dropped": 1, "taken": 1, "pending": 1, "waits": ""}
    works = [(node(4), "hdf5"), (node(2), "tabular")]
    with remote(console, OTHER) as index:
        assert index.ask("retry", works) == 0
        assert console.asked == []
    with remote(console, OWNER) as index:
        assert index.ask("drop", works) == 1
        with pytest.raises(QueryError, match="cannot stand here"):
            next(index.reprocess("tabular", "columns:temperature) OR (columns:*"))
        with pytest.raises(QueryError, match="cannot stand here"):
            inventory.take(index, b"own", "columns:own) OR (columns:*", 10, None)
        portions = index.reprocess("tabular", "columns:*")
        assert [next(portions).more, next(portions).more] == [True, False]

    asked: list[Any] = [("drop", {"works": [[str(node(4)), "hdf5"]]})]
    asked += [("reprocess", {"name": "tabular", "fids": [str(node(4)), str(node(5))]})]
    assert console.asked == [*asked, ("reprocess", {"name": "tabular", "fids": [str(node(5))]})]
