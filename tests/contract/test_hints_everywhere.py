"""What is said of a search that finds nothing is the same on a terminal, over the API, and in the console."""

from __future__ import annotations

import html
import os
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from lustre_events.cli import cli
from lustre_events.index.remote.client import PREFIX
from lustre_events.index.search.hints.hint import counted
from tests.support.service.api import secret_of
from tests.support.service.web import OTHER, Console, enter, make_console

QUERIES = {
    "a field that no document has": (
        "colunms:temperature",
        "did you mean columns (1 file)?",
        "columns:temperature",
    ),
    "a value of another type": ("columns:>3", "with text, not numbers", "columns:*"),
    "an extractor that does not exist": (
        "extractor:tabluar",
        "did you mean tabular (1 file)?",
        "extractor:tabular",
    ),
    "a user without files": ("owner:99", "no file that you may see is owned by 99; there are", "owner:root"),
    "a user that does not exist": ("owner:rooot", "this machine knows no user rooot; there are root", "owner:root"),
    "and in lower case": ("columns:* and rows:3", "write AND, OR, NOT in capitals", "columns:* AND rows:3"),
    "or in lower case": ("rows:3 or rows:4", "write AND, OR, NOT in capitals", "rows:3 OR rows:4"),
    "not in lower case": ("not rows:4", "write AND, OR, NOT in capitals", "NOT rows:4"),
    "= for :": ("rows=3", "joined by a colon", "rows:3"),
    "a word that is only inside of a name": ("rivat", "with it in the name", "name:*rivat*"),
    "a prefix that would match": ("temp", "with words that begin like it", "temp*"),
    "a word that is like one": ("tmeperature", "did you mean temperature (1 file)?", "temperature"),
    "a mistyped path": ("path:/privat.csv", "did you mean private.csv (1 file)?", "path:/private.csv"),
}


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    return make_console(tmp_path_factory.mktemp("console"))


@pytest.fixture(scope="module")
def person(console: Console) -> FlaskClient:
    """A browser of somebody who is not root."""
    return enter(console.app(), OTHER)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may search as another user")
@pytest.mark.parametrize("kind", QUERIES)
def test_hints_are_the_same_everywhere(console: Console, person: FlaskClient, kind: str) -> None:
    """A slip gets the same sentence, repaired query and count on stderr, in the API, and in the console."""
    query, said, better = QUERIES[kind]
    bearer = {"Authorization": f"Bearer {secret_of(console, OTHER)}"}
    told = person.application.test_client().get(f"{PREFIX}/search", query_string={"q": query}, headers=bearer)
    hint = next(each for each in told.get_json()["hints"] if said in each["text"])
    assert hint["query"] == better
    assert hint["files"] > 0

    asked = CliRunner().invoke(cli, ["search", query, "--as", OTHER, "--index", f"sqlite:///{console.index}"])
    assert asked.stdout == ""
    assert asked.exit_code != 0
    assert f"lustre-events: {hint['text']}\n  {counted(hint['files'])}: {better}\n" in asked.stderr

    page = person.get("/", query_string={"q": query}).text
    assert hint["text"] in html.unescape(page)
    links = [html.unescape(each) for each in re.findall(r'<a href="([^"]+)"', page)]
    repaired = next(each for each in links if parse_qs(urlsplit(each).query).get("q") == [better])
    assert 'class="path"' in person.get(repaired).text
