"""The web console, asked as a browser would ask it."""

from __future__ import annotations

import importlib.util
import re
import sqlite3
from contextlib import closing
from dataclasses import replace
from html import unescape
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
from flask.testing import FlaskClient

from lustre_events.domain.action_run import DEAD, Run, mark_of_maker
from lustre_events.errors import ConfigError
from lustre_events.index.visibility import Viewer
from lustre_events.inspect.status import Status, with_rates
from lustre_events.web.charts import StatusSample, sample_of
from lustre_events.web.login import Login
from lustre_events.web.pages.login import _inside
from lustre_events.web.pam import by_pam
from tests.support.index.tables import add_file, node
from tests.support.records.builders import fid_of
from tests.support.service.runs import answers, run_of
from tests.support.service.statuses import status_of
from tests.support.service.web import OTHER, READER, SCRIPT, Console, enter, make_console, token_in


@pytest.fixture
def console(tmp_path: Path) -> Console:
    return make_console(tmp_path)


@pytest.fixture
def reader(console: Console) -> FlaskClient:
    return enter(console.app(), READER)


def token(client: FlaskClient) -> str:
    return token_in(client.get("/").text)


def test_nobody_sees_anything_without_a_login(console: Console) -> None:
    """Every page but the login, the health check and our own static files leads to the login."""
    client = console.app().test_client()
    for path in ("/", "/?q=type:f", f"/file/{node(2)}", "/overview", "/extractors", "/failures", "/queues"):
        answer = client.get(path)
        assert answer.status_code in {302, 404}
        assert "temperature" not in answer.text
    assert client.get("/health").text == "ok\n"


@pytest.mark.parametrize("password", ["", "wrong", f"secret {OTHER}"])
def test_a_wrong_password_is_refused(console: Console, password: str) -> None:
    """Neither an empty nor another user's password lets anybody in, and the answer does not say which was wrong."""
    client = console.app().test_client()
    csrf = token_in(client.get("/login").text)
    for user in (READER, "unknown"):
        answer = client.post("/login", data={"user": user, "password": password, "csrf": csrf})
        assert answer.status_code == 403
        assert "Wrong user or password" in answer.text
    assert client.get("/?q=type:f").status_code == 302


def test_a_user_that_the_machine_does_not_know_is_refused(console: Console) -> None:
    """Without groups nobody can say what the user may see."""
    client = enter(console.app(), "no-such-user")
    answer = client.get("/?q=type:f")
    assert answer.status_code == 403
    assert "no such user" in answer.text


def test_a_search_shows_hits_facets_and_an_address_that_can_be_kept(reader: FlaskClient) -> None:
    """The address of the page is its whole state, so a link to it is the saved search."""
    page = reader.get("/?q=columns:temperature&facets=1&sort=-size").text
    assert "2 files" in page
    assert "tabular" in page
    assert 'value="columns:temperature"' in page


def test_the_first_page_shows_what_is_here(console: Console, reader: FlaskClient) -> None:
    """Before a query there are the last changed files, and examples that find something, as the viewer may know."""
    page = reader.get("/").text
    other = enter(console.app(), OTHER)

    for client in (reader, other):
        asked = re.findall(r'href="(/\?q=[^"]+)"><code>', client.get("/").text)
        assert asked
        for address in asked:
            assert "you may see matches" not in client.get(unescape(address)).text
    assert "3 files that you may see" in page
    assert "/mnt/lustre/private.csv" in page
    assert "/?q=ext:csv&amp;facets=1" in page


def test_parts_of_a_query_can_be_left_out(reader: FlaskClient) -> None:
    """Each part that must match is a chip whose link asks the same without it."""
    page = reader.get("/?q=columns:temperature+AND+(ext:csv+OR+ext:h5)+NOT+size:0").text
    chips = [unescape(each) for each in re.findall(r'<a href="([^"]+)" aria-label="without ', page)]

    assert [re.sub(r"&.*|/\?q=", "", each) for each in chips] == [
        "(ext:csv+OR+ext:h5)+AND+NOT+size:0", "columns:temperature+AND+NOT+size:0",
        "columns:temperature+AND+(ext:csv+OR+ext:h5)",
    ]  # fmt: skip
    assert "chips" not in reader.get("/?q=ext:csv+OR+ext:h5").text


def test_everybody_sees_only_what_the_file_system_allows(console: Console) -> None:
    """A document of a file that somebody may not read is neither found, counted nor shown to that user."""
    page = enter(console.app(), OTHER).get("/?q=columns:temperature&facets=1").text
    assert "1 file\n" in page
    assert "private.csv" not in page
    private = enter(console.app(), OTHER).get(f"/file/{node(3)}").text
    assert "temperature" not in private


def test_hostile_names_and_values_are_text(reader: FlaskClient) -> None:
    """Markup in names, documents, errors and queries never becomes markup; control characters are visible."""
    pages = [
        reader.get("/?q=type:f&facets=1"),
        reader.get("/?q=%3Cscript%3Ealert(1)%3C/script%3E"),
        reader.get(f"/file/{node(2)}"),
        reader.get(f"/file/{node(4)}"),
        reader.get("/failures"),
    ]
    for page in pages:
        assert "<script>" not in page.text
        assert "<b>bold" not in page.text
        assert "<i" not in re.sub(r"<input", "", page.text)
        assert "\x1b" not in page.text
    assert "torn\\x1b[31m\\xff.h5" in unescape(pages[3].text)


def test_every_page_forbids_foreign_and_inline_scripts(reader: FlaskClient) -> None:
    """The content security policy stands on every answer, and no page has an inline script or style."""
    for path in ("/", "/?q=type:f", f"/file/{node(2)}", "/overview", "/failures", "/extractors", "/nowhere"):
        answer = reader.get(path)
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
        assert not re.search(r"<script(?![^>]*\bsrc=)|<[^>]*\s(style|on\w+)=|https?://", answer.text)


def test_a_wrong_query_is_answered_with_its_sentence(reader: FlaskClient) -> None:
    """The page says what is wrong and where, and keeps what was typed."""
    answer = reader.get("/?q=size:[1 TO")
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert 'value="size:[1 TO"' in answer.text


def test_a_search_without_hits_links_to_a_better_one(console: Console, reader: FlaskClient) -> None:
    """Zero hits are explained, and the repaired query is a link to a page with hits."""
    page = reader.get("/?q=colunms:temperature&facets=1").text
    assert "no file has the key colunms; did you mean columns (2 files)?" in page
    link = re.search(r'<ul class="hints">.*?href="([^"]+)"', page, re.DOTALL)
    assert link
    assert "2 files" in reader.get(unescape(link[1])).text
    other = enter(console.app(), OTHER).get("/?q=colunms:temperature").text
    assert "no file that you may read has the key colunms; did you mean columns (1 file)?" in other


def test_fields_are_a_page(console: Console, reader: FlaskClient) -> None:
    """The page lists keys with their values, each a link to the files that have it; none that is hidden."""
    page = reader.get("/fields?prefix=col").text
    link = re.search(r'href="([^"]+)">columns</a>', page)
    assert link
    assert "at least 2" in page
    assert "2 files" in reader.get(unescape(link[1])).text
    assert "at least 1" in enter(console.app(), OTHER).get("/fields?prefix=col").text


def test_pages_follow_each_other(reader: FlaskClient, console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cursor leads through all hits, each once; a forged one is refused with a sentence."""
    monkeypatch.setattr("lustre_events.web.pages.search.PAGE", 2)
    first = reader.get("/?q=type:f").text
    more = unescape(re.findall(r'class="more" href="([^"]+)"', first)[0])
    links = re.compile(r'class="path" href="([^"]+)"')
    found = links.findall(first) + links.findall(reader.get(more).text)
    assert len(found) == len(set(found)) == 3
    assert reader.get("/?q=type:f&cursor=forged").status_code == 400


def test_a_file_page_tells_everything_of_the_file(reader: FlaskClient) -> None:
    """Facts, names, documents with their origin, failed attempts, also between two tries, and history are there."""
    page = reader.get(f"/file/{node(4)}").text
    assert "image is due (retry); its last try failed: OSError: torn &lt;b&gt;off&lt;/b&gt;" in page
    for part in ("no HDF5", "Try again", "History", "7 bytes", "0644"):
        assert part in page
    assert reader.get(f"/file/{node(2)}/tabular.json").get_json()["rows"] == 3


@pytest.mark.parametrize("fid", ["nonsense", "[0x200000401:0x999:0x0]"])
def test_a_file_that_is_not_there_is_a_sentence(reader: FlaskClient, fid: str) -> None:
    """What is no FID and what the index does not know give 404 and a sentence."""
    assert reader.get(f"/file/{fid}").status_code == 404


def test_extract_again_asks_the_dispatcher(reader: FlaskClient, console: Console) -> None:
    """The button asks for this file and this extractor; an extractor that never saw the file is refused."""
    form = {"csrf": token(reader), "extractor": "tabular"}
    assert reader.post(f"/file/{node(2)}/again", data=form).status_code == 302
    assert console.asked == [("retry", {"works": [[str(node(2)), "tabular"]]})]
    assert reader.post(f"/file/{node(2)}/again", data={**form, "extractor": "other"}).status_code == 400


def test_failures_are_tried_again_or_forgotten(reader: FlaskClient, console: Console) -> None:
    """Chosen rows go to the dispatcher; rows that the form has made up do not."""
    works = [f"{node(4)} hdf5", f"{node(2)} tabular", "made-up"]
    reader.post("/failures", data={"csrf": token(reader), "work": works, "action": "retry"})
    reader.post("/failures", data={"csrf": token(reader), "work": works[:1], "action": "drop"})
    mine = {"works": [[str(node(4)), "hdf5"]]}
    assert console.asked == [("retry", mine), ("drop", mine)]


def test_failures_of_files_that_the_viewer_may_not_see_are_not_counted(console: Console) -> None:
    """An extractor that failed only in files of others stands nowhere with a number, not even with its name."""
    with closing(sqlite3.connect(console.index, isolation_level=None)) as connection:
        hidden = add_file(connection, 9, b"hidden.dat", uid=0, gid=0, mode=0o600, size=9)
        connection.execute(
            "INSERT INTO document (object, extractor, failure, failure_generation, failure_serial)"
            " VALUES (?, 'secret', '{}', 1, 1)", (hidden,),
        )  # fmt: skip
    other = enter(console.app(), OTHER)
    assert [name in other.get("/failures").text for name in ("hdf5 1", "secret")] == [True, False]
    assert [name in other.get("/extractors").text for name in ("tabular", "secret")] == [True, False]


def test_failures_are_narrowed_as_hits_are(reader: FlaskClient, console: Console) -> None:
    """Beside failures stand the values that a search has, each narrows them, and a chip takes that back."""
    with closing(sqlite3.connect(console.index, isolation_level=None)) as connection:
        failed = add_file(connection, 9, b"other.dat", uid=0, gid=0, mode=0o644, size=9)
        connection.execute(
            "INSERT INTO document (object, extractor, failure, failure_generation, failure_serial)"
            " VALUES (?, 'text', '{}', 1, 1)", (failed,),
        )  # fmt: skip
    page = reader.get("/failures").text
    assert ("torn" in page, "other.dat" in page) == (True, True)
    assert '<a href="/failures?extractor=&amp;q=ext:h5">h5</a>' in page
    narrowed = reader.get("/failures?q=ext:h5").text
    assert ("torn" in narrowed, "other.dat" in narrowed) == (True, False)
    assert 'aria-label="without ext:h5"' in narrowed
    wrong = reader.get("/failures?q=size:[1")
    assert (wrong.status_code, 'class="mistake"' in wrong.text) == (400, True)
    sent = reader.post("/failures", data={"csrf": token_in(narrowed), "work": [], "q": "ext:h5"})
    assert sent.location.endswith("q=ext:h5")


def test_runs_are_narrowed_as_hits_are(console: Console, reader: FlaskClient) -> None:
    """Beside runs stand their rules, states and triggers, each narrows them, and a chip takes it back."""
    console.answers = answers(run_of(4, b"torn.h5", DEAD), run_of(2, SCRIPT, trigger="removed"))
    page = reader.get("/actions").text
    assert '<a href="/actions?rule=&amp;state=&amp;trigger=removed&amp;fid=">removed</a>' in page
    narrowed = reader.get("/actions?trigger=removed").text
    assert [f"/actions/runs/{key:040x}" in narrowed for key in (2, 4)] == [True, False]
    assert 'aria-label="without trigger:removed"' in narrowed


def test_runs_are_shown_tried_again_and_dropped(console: Console, reader: FlaskClient) -> None:
    """Admins see rules, endpoints, what is held and all runs, and change them; hostile names are text."""
    console.answers = answers(
        run_of(4, b"torn.h5", DEAD), run_of(2, SCRIPT), run_of(77, b"gone<b>.csv", trigger="removed")
    )
    page = reader.get("/actions").text
    assert "held: it answered 404" in page
    assert "7 done in the last minute, 99 % within 1.5 s" in page
    assert "it answered &lt;b&gt;418&lt;/b&gt;" in page
    assert "answered 418 (&lt;i&gt;no&lt;/i&gt;)" in page
    assert "<b>" not in page.replace("<strong>", "")
    assert "/mnt/lustre/gone&lt;b&gt;.csv" in page
    one = reader.get(f"/actions/runs/{4:040x}").text
    assert "record 4 of MDT0001" in one
    assert ">Retry</button>" in one
    sent = {"csrf": token_in(page), "action": "drop", "key": [f"{4:040x}", "none"]}
    assert reader.post("/actions/runs", data=sent).status_code == 302
    assert console.asked[-1] == ("drop_runs", {"keys": [f"{4:040x}"]})
    for action, asked in (("hold", "hold_action"), ("release", "release_action")):
        reader.post(
            "/actions/hold", data={"csrf": token_in(page), "action": action, "name": "tell", "kind": "rule"}
        )
        assert console.asked[-1][0] == asked


def test_a_file_leads_to_the_run_that_made_it_and_back(console: Console) -> None:
    """A file's page names the run that made it; the run's page has its files: those that the viewer may see."""
    made = run_of(
        2, SCRIPT, endpoint="container:calibrate", outputs=(b"closed/a.csv", b"torn.csv", b"gone"), made=3
    )
    console.answers = answers(made, run_of(5, b"torn.csv"))
    with closing(sqlite3.connect(console.index, isolation_level=None)) as connection:
        add_file(connection, 5, b"torn.csv", {}, uid=0, gid=0, mode=0o644, size=7, content=7)
        add_file(connection, 6, b"closed/a.csv", {}, uid=0, gid=0, mode=0o644, size=7, content=7)
        for number, content in ((6, 9), (5, 6)):
            mark = mark_of_maker(Run(id="2", key=made["key"], rule="<i>r</i>", digest="", trigger="", endpoint="",
                                     action="", fid=fid_of(2)))  # fmt: skip
            connection.execute("INSERT INTO fired VALUES (?, ?, ?)", (fid_of(number).pack(), mark, content))
    reader, other = (enter(console.app(), who) for who in (READER, OTHER))
    page = reader.get(f"/file/{node(5)}").text
    assert f'<a href="/actions/runs/{made["key"]}">run ' in page
    assert "&lt;i&gt;r&lt;/i&gt;" in page
    assert "it has been written since then" in page
    assert "Made by rule" not in reader.get(f"/file/{node(2)}").text
    run = f"/actions/runs/{made['key']}"
    listed = {who: re.findall(r'href="/file/([^"]+)">', client.get(run).text.partition('<ul id="outputs">')[2])
              for who, client in ((READER, reader), (OTHER, other))}  # fmt: skip
    assert {unquote(each) for each in listed[READER]} == {str(node(6)), str(node(5))}
    assert {unquote(each) for each in listed[OTHER]} == {str(node(5))}
    assert "The file itself was made by rule" in reader.get(f"/actions/runs/{5:040x}").text


def test_who_is_no_admin_sees_runs_of_visible_files_only(console: Console) -> None:
    """Others see neither endpoints nor others' rules, nor runs of what is gone, and cannot change anything."""
    console.answers = answers(run_of(2, SCRIPT, DEAD), run_of(77, b"gone.csv", trigger="removed"))
    other = enter(console.app(), OTHER)
    page = other.get("/actions").text
    assert "img src" in page
    for hidden in ("gone.csv", "beamline", "418", "Try the chosen"):
        assert hidden not in page
    sent = {"csrf": token_in(page), "action": "retry", "key": f"{2:040x}"}
    assert other.post("/actions/runs", data=sent).status_code == 403
    assert other.post("/actions/hold", data={**sent, "name": "tell"}).status_code == 403
    assert {action for action, _ in console.asked} == {"runs", "own_rules"}
    assert other.get(f"/actions/runs/{77:040x}").status_code == 404


def test_a_user_changes_runs_of_own_rules_in_the_console(console: Console) -> None:
    """One's own dead runs can be chosen and dropped; others on the same page cannot."""
    uid = Viewer.of_user(OTHER).uid
    mine = run_of(2, SCRIPT, DEAD, rule=f"{OTHER}/tell", uid=uid)
    console.answers = answers(mine, run_of(3, SCRIPT, DEAD))
    other = enter(console.app(), OTHER)
    page = other.get("/actions").text
    assert re.findall(r'name="key" value="(\w+)"', page) == [mine["key"]]
    assert ">Retry</button>" in other.get(f"/actions/runs/{mine['key']}").text
    sent = {"csrf": token_in(page), "action": "drop", "key": [mine["key"], f"{3:040x}"]}
    assert other.post("/actions/runs", data=sent).status_code == 302
    assert console.asked[-1] == ("drop_runs", {"keys": [mine["key"]], "user": OTHER, "uid": uid})


def test_a_user_releases_own_rules_in_the_console(console: Console) -> None:
    """Own rules are listed; one that a guard holds has a button, one that the site holds has none."""
    console.answers = answers()
    other = enter(console.app(), OTHER)
    page = other.get("/actions").text
    assert re.findall(r'name="name" value="([^"]+)"', page) == ["burst/mine"]
    assert "held: 3 runs &lt;b&gt;" in page
    sent = {"csrf": token_in(page), "action": "release", "name": "burst/mine", "kind": "rule"}
    assert other.post("/actions/hold", data=sent).status_code == 302
    asked = {"name": "burst/mine", "kind": "rule", "user": OTHER, "uid": Viewer.of_user(OTHER).uid}
    assert console.asked[-1] == ("release_own_rule", asked)


def test_a_form_of_another_site_changes_nothing(reader: FlaskClient, console: Console) -> None:
    """Without this session's token a change is refused, whatever cookies the browser sends along."""
    for form in ({}, {"csrf": ""}, {"csrf": "guessed"}):
        answer = reader.post(f"/file/{node(2)}/again", data={**form, "extractor": "tabular"})
        assert answer.status_code == 400
    assert console.asked == []
    assert reader.post("/logout").status_code == 400


def test_every_form_wants_the_token_of_its_session(reader: FlaskClient, console: Console) -> None:
    """Each address that takes a form refuses one without a token, with another session's, or by another method."""
    site, own, other = console.app().extensions["site"], token(reader), token(enter(console.app(), OTHER))
    assert own != other
    taken = {rule.rule for rule in console.app().url_map.iter_rules() if "POST" in (rule.methods or ())}
    forms = {re.sub(r"<\w+>", quote(str(fid_of(2))), path) for path in taken if not path.startswith("/api/")}
    assert len(forms) >= 10
    for path in forms:
        given = {"action": "drop", "extractor": "tabular", "make": "all", "revoke": "x", "name": "all", "q": "*"}
        for csrf in ({}, {"csrf": ""}, {"csrf": other}):
            answer = reader.post(path, data=given | csrf)
            assert (answer.status_code, "no longer valid" in answer.text) == (400, True), path
        for method in ("PUT", "DELETE", "PATCH"):
            assert reader.open(path, method=method, data=given).status_code == 400, path
    assert (console.asked, site.tokens.list(None), site.saved.list(READER)) == ([], [], [])


def test_a_form_without_the_cookie_of_a_session_changes_nothing(console: Console) -> None:
    """A browser sends another site's form without our cookie, but a proxy still names the user: no token fits."""
    console.login = Login(None, "X-Remote-User", by_socket=True)
    app, named = console.app(), {"X-Remote-User": OTHER}
    for guess in ("\0", "", "None"):
        form = {"csrf": guess, "work": f"{node(4)} hdf5", "action": "drop"}
        assert app.test_client().post("/failures", data=form, headers=named).status_code == 400
    assert console.asked == []


def test_a_number_is_the_login_of_nobody_else(console: Console) -> None:
    """A user whose login is a number is not taken for the one who has it as uid here, over the API neither."""
    console.login = Login(None, "X-Remote-User", by_socket=True)
    client = console.app().test_client()
    for name in ("0", str(Viewer.of_login(OTHER).uid), "1" * 5_000):
        page = client.get("/?q=type:f", headers={"X-Remote-User": name})
        assert (page.status_code, "no such user" in page.text) == (403, True)
        assert client.get("/api/v1/count?q=type:f", headers={"X-Remote-User": name}).status_code == 401


def test_the_cookie_is_kept_from_scripts_and_other_sites(console: Console) -> None:
    """HttpOnly and SameSite always; Secure where the proxy has TLS."""
    console.settings = replace(console.settings, https=True)
    client = console.app().test_client()
    cookie = client.get("/login", base_url="https://localhost").headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Lax", "Secure"} <= {part.strip() for part in cookie.split(";")}


def test_a_proxy_s_header_is_believed_from_the_proxy_only(console: Console) -> None:
    """Anybody can send a header; only who has the secret may name a user, from the addresses of [web] proxies."""
    console.login = Login(None, "X-Remote-User", ("127.0.0.1",), b"shared")
    client = console.app().test_client()
    named = {"X-Remote-User": OTHER, "X-Lustre-Events-Proxy": "shared"}
    assert client.get("/?q=type:f", headers={"X-Remote-User": OTHER}).status_code == 401
    assert client.get("/?q=type:f", headers=named).status_code == 200
    refused = client.get("/?q=type:f", headers=named, environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert refused.status_code == 401
    assert client.get("/?q=type:f").status_code == 401
    console.login = Login(None, "X-Remote-User", ("127.0.0.1",))
    for secret in ({}, {"X-Lustre-Events-Proxy": ""}):
        asked = console.app().test_client().get("/?q=type:f", headers={"X-Remote-User": OTHER, **secret})
        assert asked.status_code == 401, "without a secret of its own the console believes nobody"


def test_login_by_pam_needs_its_module() -> None:
    """Where python-pam is missing the sentence says how to get it; it is optional, and no part of the tests."""
    if importlib.util.find_spec("pam") is None:
        with pytest.raises(ConfigError, match=r"pip install 'lustre-events\[web-pam\]'"):
            by_pam("login")
    else:
        assert by_pam("login")("nobody", "wrong") is False


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "javascript:x",
        "",
        "//[evil",
        "https://[x]y/",
        "/\r\nX-Evil: 1",
        "/\t/evil.example",
        "/x\0y",
        "/x\x7f",
        "/x\x85y",
        "/x\udcffy",
    ],
)
def test_the_login_leads_nowhere_else(address: str) -> None:
    """After the login one stays in the console, whatever the form says."""
    assert _inside(address) == "/"


def test_the_overview_draws_the_last_hours(reader: FlaskClient) -> None:
    """Rates and lag stand as lines, with their last value as text."""
    page = reader.get("/overview").text
    assert page.count("<polyline") == 5
    assert "records read per second" in page
    assert "3 objects" in page


class Busy(Console):
    """A console whose status names what users have of their own."""

    def status(self) -> Status:
        """Return the status of a site on which somebody's extractor and rules are wrong."""
        told = {"alive_ns": "1", "extractors": '{"ada/secret": {"version": "1", "suspended": "why"}, "hdf5": {}}'}
        found = {
            "time_ns": 10**18, "dispatcher": told, "rules_problems": ["/rules/ada.toml: secret"],
            "index": {"documents": {"ada/secret": 7}, "pending": {"secret": 1}, "failures": {"secret": 1}},
            "actions": {"runs": {"ada/secret": {"dead": 1}}}, "mdts": {"lustre-MDT0000": {"read_index": "1"}},
        }  # fmt: skip
        return with_rates(status_of(found), None)


def test_only_admins_are_told_of_extractors_and_rules_of_others(console: Console) -> None:
    """Others see how far the records are, and which extractors the site has."""
    busy = Busy(console.index, console.users)
    pages = ("/overview", "/extractors", "/failures")
    other, admin = (enter(busy.app(), user) for user in (OTHER, READER))
    assert ["secret" in admin.get(page).text for page in pages] == [True, True, True]
    assert ["secret" in other.get(page).text for page in pages] == [False, False, False]
    assert "lustre-MDT0000" in other.get("/overview").text
    assert "hdf5" in other.get("/extractors").text


def test_what_is_lost_or_behind_stands_on_every_page(console: Console) -> None:
    """Who searches is told that records were lost, and that the index is far behind; else nothing is said."""
    reader = enter(console.app(), READER)
    assert 'class="banner"' not in reader.get("/").text
    console.samples = [StatusSample(10**18, 0, 0, 12_345, 0, 0, ("MDT0001",))]
    reader = enter(console.app(), READER)
    for path in ("/", "/?q=type:f", f"/file/{node(2)}", "/overview"):
        page = reader.get(path).text
        assert "Records of MDT0001 were lost" in page
        assert "The index is 12,345 records behind" in page
    assert 'class="banner"' not in console.app().test_client().get("/login").text


def test_a_sample_keeps_what_was_lost(console: Console) -> None:
    """Only losses that nobody has accepted are told."""
    losses = [{"epoch": 1, "first_index": 5, "last_index": 9, "time_ns": 1, "reason": "purged", "accepted": done}
              for done in (True, False)]  # fmt: skip
    mdts = {"MDT0000": {"losses": losses[:1]}, "MDT0001": {"losses": losses, "behind": 3}}
    sample = sample_of(status_of({"index": {}, "mdts": mdts}))
    assert (sample.lost, sample.behind) == (("MDT0001",), 3)
