"""What docs/security.md claims, as far as no other test covers it."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import logging
import os
import re
import stat
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import msgspec
import pytest
import redis
from werkzeug.security import generate_password_hash

from lustre_events.changelog.fid import FID
from lustre_events.domain.rules.conditions import File
from lustre_events.domain.rules.directories import directory_pattern, name_pattern
from lustre_events.domain.rules.rule_file import parse
from lustre_events.errors import ConfigError, QueryError
from lustre_events.index import open_search
from lustre_events.index.query.tree import Exact, KeyEquals
from lustre_events.index.query.wildcards import matcher
from lustre_events.index.search.exact import is_exact
from lustre_events.index.sqlite.database import open_database
from lustre_events.index.values import flatten
from lustre_events.jobs.messages import Result
from lustre_events.node.logs import FieldFormatter
from lustre_events.node.redis_server import RedisServer
from lustre_events.streams import keys
from lustre_events.streams.connection import connect
from lustre_events.streams.results import ID_BYTES, PUT_BYTES, READ_BYTES, RedisResults
from lustre_events.web.highlight import marked
from lustre_events.web.login import Login, Patience, by_file, users_of
from lustre_events.web.wiring import _secret
from tests.support.servers.roles import found
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.service.service import PARTS, Service
from tests.support.service.web import OTHER, READER, Console, enter, make_console, token_in
from tests.support.waiting import wait_for

FORGED = "a\n2030-01-01 00:00:00,000 error reader: FORGED\x1b[2J\x9b31m\u202e\r"
CANARY = "c4naryPassword"
ROLES = REPOSITORY / "deploy" / "postgresql" / "roles.sql"
SOURCES = sorted(
    path
    for folder in ("lustre_events", "workers", "extractors")
    for path in (REPOSITORY / folder).rglob("*.py")
    if "samples" not in path.parts
)

MANY = """
import json, sys
from lustre_events.cli.main import main
for argv in json.loads(sys.argv[1]):
    print("==", argv, flush=True)
    try:
        main(["-v", *argv])
    except SystemExit:
        pass
"""
COMMANDS = [
    ["status"], ["status", "--json"], ["doctor"], ["doctor", "--json"], ["search", "type:f"], ["du", "/"],
    ["show", "[0x1:0x2:0x3]"], ["explain", "[0x1:0x2:0x3]"], ["tail"], ["continuity", "show"], ["scan", "/"],
    ["reader", "--mdt", "x-MDT0000"], ["dispatcher"], ["extractor", "list"], ["failed", "list"], ["verify", "/"],
    ["metrics", "--listen", "127.0.0.1:0"], ["web", "--listen", "127.0.0.1:1"],
]  # fmt: skip
URLS = [
    (f"redis://le:{CANARY}@127.0.0.1:1/0", f"postgresql://u:{CANARY}@127.0.0.1:1/db"),
    (f"redis://le:{CANARY}@127.0.0.1:port/0", f"postgresql://127.0.0.1:1/db?password={CANARY}"),
    (f"redis://le:{CANARY}/x@127.0.0.1", f"mysql://h/db?password={CANARY}"),
    (f"redis://127.0.0.1:1?socket_timeout={CANARY}", f"postgresql://u:{CANARY}@[bad:port/db"),
]


@pytest.mark.parametrize(("redis_url", "index_url"), URLS, ids=["away", "port", "slash", "query"])
def test_no_message_shows_a_password(tmp_path: Path, redis_url: str, index_url: str) -> None:
    """Servers that do not answer and URLs that are none are said without them, in JSON and tracebacks too."""
    config = tmp_path / "config.toml"
    config.write_text(
        f'[redis]\nurl = "{redis_url}"\n[index]\nurl = "{index_url}"\n[web]\nusers = "{tmp_path}/none"\n'
    )
    commands = [*COMMANDS, ["config", "check", str(config)]]
    done = subprocess.run(
        [sys.executable, "-P", "-c", MANY, json.dumps(commands)], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=60, check=False, env=clean_environment({"LUSTRE_EVENTS_CONFIG": str(config)}),
    )  # fmt: skip
    worker = lustre_events("worker", "--config", config)
    said = done.stdout + done.stderr + worker.stderr.decode()
    assert done.stdout.count("==") == len(commands)
    assert "lustre-events: " in said
    assert CANARY not in said


def with_login(server: RedisServer) -> str:
    """Give a server a user with the canary as its password, and return that user's URL."""
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "le", "on", f">{CANARY}", "allkeys", "allchannels", "+@all")
    return server.url.replace("unix://", f"unix://le:{CANARY}@")


def test_no_command_line_page_or_log_shows_a_password(tmp_path: Path, redis_server: RedisServer) -> None:
    """While everything runs with one: not in the process list, status, doctor, logs, or the console's pages."""
    url = with_login(redis_server)
    with Service(tmp_path) as service:
        environment = {"LUSTRE_EVENTS_REDIS_URL": url}
        for argv in PARTS.values():
            service.start(*argv, environment=environment)
        (service.files / "a.csv").write_text("x\n1\n")
        wait_for(lambda: found(service, "name:a.csv AND size:4"), failure=service.log.read_text)
        said = [
            lustre_events(command, *more, "--config", service.config, environment=clean_environment(environment))
            for command, more in (("status", ()), ("status", ("--json",)), ("doctor", ("--json",)))
        ]
        processes, log = command_lines(), service.log.read_text()
    assert b"dispatcher" in processes
    (tmp_path / "console").mkdir()
    console = make_console(tmp_path / "console")
    console.redis_url = url
    admin = enter(console.app(), READER)
    pages = [admin.get(path).text for path in ("/queues", "/overview", "/failures")]

    assert CANARY.encode() not in processes
    assert all(CANARY.encode() not in done.stdout + done.stderr for done in said)
    assert CANARY not in log
    assert all(CANARY not in page for page in pages)


def command_lines() -> bytes:
    """Return the command lines of all processes but the tests' own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            found.append(path.read_bytes())
    return b"\n".join(found)


def test_nothing_that_runs_code_is_read() -> None:
    """No pickle, marshal or shelve is imported, no text evaluated, and YAML read as events, everywhere.

    Only what makes samples may write pickles, so that there are some which no program unpickles.
    """
    forbidden = {"pickle", "cPickle", "dill", "marshal", "shelve", "joblib", "cloudpickle"}
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_bytes())) if path.name != "make_samples.py" else ():
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [each.name.partition(".")[0] for each in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module).partition(".")[0]]
                names = ["yaml.load"] if names == ["yaml"] else names
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "yaml":
                # What constructs objects is `load` in its kinds, and the loaders that are not safe.
                builds = "load" in node.attr or (node.attr.endswith("Loader") and "Safe" not in node.attr)
                names = ["yaml.load"] if builds else []
            elif (
                isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}
            ):
                names = [node.func.id]
            elif isinstance(node, ast.keyword) and node.arg in {"shell", "allow_pickle"}:
                names = [node.arg] if getattr(node.value, "value", True) else []
            found += [
                (str(path.relative_to(REPOSITORY)), name)
                for name in names
                if name in forbidden | {"eval", "exec", "shell", "allow_pickle", "yaml.load"}
            ]
    assert len(SOURCES) > 100
    assert found == []


STARS = [
    (b"*a" * 120 + b"*b", b"a" * 255), (b"*a?" * 80 + b"b*", b"a" * 255), (b"*" * 250 + b"b", b"a" * 255),
    (b"*[ab]" * 60 + b"c", b"ab" * 127), (b"*aab" * 40 + b"*", b"aaab" * 63),
]  # fmt: skip
DIRECTORIES = [
    (b"/" + b"**/a/" * 100 + b"b", b"/a" * 2000), (b"/" + b"**/*a*/" * 100 + b"*b", b"/aaa" * 1000),
    (b"/" + b"*a*a*a*a/" * 100 + b"b", b"/" + b"a" * 20 + b"/aaaaaaaaaaaaaaaa" * 200),
]  # fmt: skip
SECONDS = 0.5


def test_no_glob_of_a_rule_takes_long() -> None:
    """A user's own rule with any number of stars is answered at once, for the longest names and paths there are."""
    for glob, name in STARS:
        assert seconds(re.compile(name_pattern(glob) + rb"\Z", re.DOTALL), name) < SECONDS
    for glob, path in DIRECTORIES:
        assert seconds(re.compile(directory_pattern(glob) + rb"\Z", re.DOTALL), path) < SECONDS
    globs = json.dumps([glob.decode() for glob, _ in STARS])
    text = f'[[rule]]\nname = "slow"\nglobs = {globs}\nextractor = "stat"\n'
    rules = parse(text, "rules", ("stat",))
    begun = time.process_time()
    for _, name in STARS:
        rules.match(File(b"x/" + name))
    assert time.process_time() - begun < SECONDS


@pytest.mark.parametrize(
    "text",
    ["a" + "!" * 199_000 + "a", "\u0300\u0316" * 99_000, "a" + "\u0f73\u0f71" * 99_000, "\u05b0\u0591" * 300_000],
    ids=["punctuation", "accents", "signs that stand for two", "longer than what is searched"],
)
def test_no_text_of_a_document_takes_long(text: str) -> None:
    """What a document says costs the dispatcher and the console time that grows with its length alone."""
    begun = time.process_time()
    flatten({"key": text})
    marked(text, ("a",))
    is_exact(Exact(KeyEquals("", "a", None), "a"), ("", "key", text))
    assert time.process_time() - begun < 10


def seconds(pattern: re.Pattern[bytes], text: bytes) -> float:
    """Return how much time of a CPU a match takes."""
    begun = time.process_time()
    pattern.match(text)
    return time.process_time() - begun


@pytest.fixture
def console(tmp_path: Path) -> Console:
    """The console over a small index."""
    return make_console(tmp_path)


def test_no_wildcard_of_a_query_takes_long(console: Console) -> None:
    """Neither over names nor over documents, as the database or as this process compares them."""
    begun = time.process_time()
    with open_search(f"sqlite:///{console.index}") as search:
        for glob, _ in STARS:
            for field in ("name", "columns", "path", "jobid", "mime"):
                try:
                    search.count(f"{field}:{glob.decode().replace('[ab]', '')}")
                except QueryError:
                    continue
    for glob, name in STARS:
        matcher(glob.decode())(name.decode())
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "query",
    ["(" * 5_000 + "a" + ")" * 5_000, "NOT " * 5_000 + "a", "a OR " * 5_000 + "a", "a:" * 5_000, "[" * 9_999],
)
def test_no_query_is_too_deep(console: Console, query: str) -> None:
    """A query that nests or repeats without end is answered, or refused with a sentence."""
    begun = time.process_time()
    with open_search(f"sqlite:///{console.index}") as search, contextlib.suppress(QueryError):
        search.count(query)
    assert time.process_time() - begun < 10


def test_passwords_cannot_be_guessed_quickly() -> None:
    """After five wrong ones in a row a user has a try each five seconds; a right one starts anew; others go on."""
    now = [0.0]
    patience = Patience(lambda: now[0])
    assert [patience.admits("alice") for _ in range(7)] == [True] * 5 + [False] * 2
    assert patience.admits("bob")
    now[0] += Patience.WAIT_SECONDS
    assert [patience.admits("alice") for _ in range(2)] == [True, False]
    now[0] += Patience.WAIT_SECONDS
    assert patience.admits("alice")
    patience.right("alice")
    assert [patience.admits("alice") for _ in range(6)] == [True] * 5 + [False]
    for number in range(Patience.USERS + 10):
        patience.admits(f"user{number}")
    assert patience.admits("alice")  # memory is bounded, so the longest silent one is forgotten


def test_a_name_that_was_made_up_takes_no_room() -> None:
    """Refused logins with names of half a megabyte leave a few bytes each, and a name is bounded as any other."""
    patience = Patience(lambda: 0.0)
    long = "x" * 500_000
    tracemalloc.start()
    try:
        for number in range(200):
            patience.admits(f"{long}{number}")
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    assert [patience.admits(long + "1") for _ in range(5)] == [True] * 4 + [False]


def test_who_is_no_user_costs_as_much_as_a_wrong_password(tmp_path: Path) -> None:
    """Nobody learns from the time of an answer who exists: a password is looked at for everybody."""
    (tmp_path / "users").write_text(f"alice:{generate_password_hash('right')}\n")
    (tmp_path / "users").chmod(0o640)
    check = by_file(tmp_path / "users")
    took = {}
    for user in ("alice", "nobody-at-all"):
        begun = time.process_time()
        assert [check(user, "wrong") for _ in range(3)] == [False] * 3
        took[user] = time.process_time() - begun
    assert took["nobody-at-all"] > took["alice"] / 3


def test_the_console_refuses_further_guesses(console: Console) -> None:
    """The sixth wrong password in a row is not looked at, and not the right one either; the page says to wait."""
    asked = []
    console.login = Login(lambda _user, password: asked.append(password) is None and password == "right")  # noqa: S105
    client = console.app().test_client()
    csrf = token_in(client.get("/login").text)
    answers = [
        client.post("/login", data={"user": READER, "password": word, "csrf": csrf})
        for word in ["wrong"] * 5 + ["right"]
    ]
    assert [answer.status_code for answer in answers] == [403] * 5 + [429]
    assert "wait" in answers[-1].text
    assert asked == ["wrong"] * 5


def test_no_name_query_or_url_forges_a_line_of_the_consoles_log(console: Console) -> None:
    """What a browser sends is logged as fields or escapes: one printable line each, also where a page fails."""
    written = io.StringIO()
    lines = logging.StreamHandler(written)
    lines.setFormatter(FieldFormatter())
    logging.getLogger().addHandler(lines)
    try:
        app = console.app()
        browser = app.test_client()
        form = {"user": FORGED, "password": "p", "csrf": token_in(browser.get("/login").text)}
        browser.post("/login", data=form, headers={"User-Agent": "\x1b[2J", "Referer": "a\x9b"})
        reader = enter(app, READER)
        for path in ("/search", "/file", f"/{FORGED}", "/directory", "/fields", "/export"):
            reader.get(path, query_string={"q": FORGED, "path": FORGED, "fid": FORGED})
        console.index.unlink()
        reader.get("/search", query_string={"q": FORGED, "visible_to": FORGED})
        app.logger.error("Exception on %s [%s]", f"/{FORGED}", "GET")  # as Flask logs what nobody caught
    finally:
        logging.getLogger().removeHandler(lines)
    said = written.getvalue().split("\n")
    assert any("refused a login" in line and "FORGED" in line for line in said)
    assert [line for line in said if not line.isprintable() or line.startswith("2030")] == []


def test_a_session_is_a_new_one_after_the_login(console: Console) -> None:
    """What somebody put into a browser before the login is worth nothing after it (session fixation)."""
    client = console.app().test_client()
    before = token_in(client.get("/login").text)
    client.post("/login", data={"user": READER, "password": f"secret {READER}", "csrf": before})
    after = token_in(client.get("/").text)
    assert after != before
    assert client.post("/logout", data={"csrf": before}).status_code == 400


def test_a_host_header_leads_nowhere(console: Console) -> None:
    """Redirects and pages do not repeat the name that a request gave to this host."""
    client = enter(console.app(), OTHER)
    for path in ("/", "/?q=type:f", "/login", "/nowhere"):
        assert "evil.example" not in client.get(path, headers={"Host": "evil.example"}).text
    stranger = console.app().test_client().get("/?q=a", headers={"Host": "evil.example"})
    assert stranger.headers["Location"].startswith("/login")
    for path in ("/static//console.css", "/static/%2f%2fother.example/x", "//overview", "/file//x", "/api/v1"):
        led = client.get(path, headers={"Host": "evil.example"}).headers.get("Location", "/")
        assert (led[:1], led[1:2] in {"/", "\\"}) == ("/", False), (path, led)


def test_a_cookie_that_was_made_up_opens_nothing(console: Console) -> None:
    """A session counts only with this site's signature."""
    client = console.app().test_client()
    client.set_cookie("lustre_events", "eyJ1c2VyIjoicm9vdCJ9.aaaaaa.bbbbbbbbbbbbbbbbbbbbbbbbbbb")
    assert client.get("/?q=type:f").status_code == 302


def test_files_with_secrets_that_others_can_change_or_read_are_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of users that everybody can write, and a signing key that everybody can read, let nobody in."""
    users, key = tmp_path / "users", tmp_path / "key"
    users.write_text("alice:hash\n")
    key.write_bytes(b"k" * 40)
    users.chmod(0o666)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 640"):
        users_of(users)
    with pytest.raises(ConfigError, match="chmod 640"):
        _secret(str(key))
    users.chmod(0o644)
    key.chmod(0o640)
    assert users_of(users) == {"alice": "hash"}
    assert "everybody can read the hashes" in caplog.text
    assert _secret(str(key)) == b"k" * 40


def test_results_of_any_size_are_read_in_bounded_portions(redis_url: str) -> None:
    """Large results become several entries; what is read at once is bounded, and a longer entry is refused."""
    one = Result(fid=FID(1, 1), extractor="x", serial=1, generation=1, status="ok", document={"t": "y" * (1 << 20)})
    big = [msgspec.structs.replace(one, fid=FID(1, number)) for number in range(70)]
    with connect(redis_url, 20) as client:
        results = RedisResults(client)
        results.put(big)
        client.rpush(keys.RESULTS, b"x" * (READ_BYTES + 1))
        client.rpush(keys.RESULTS, b"no entry")
        assert max(map(len, client.lrange(keys.RESULTS, 0, -3))) <= PUT_BYTES + ID_BYTES

        first = results.read(100)
        assert results.more
        assert sum(len(each) for _, each in first) <= READ_BYTES >> 20
        results.acknowledge([entry_id for entry_id, _ in first])
        second = results.read(100)

    assert not results.more
    assert [result for _, each in first + second for result in each] == big
    assert [each for _, each in second[-2:]] == [[], []]


def test_an_index_is_not_for_everybody(tmp_path: Path) -> None:
    """SQLite's files are made for their owner and group, whatever the umask is."""
    path, before = tmp_path / "index.db", os.umask(0)
    try:
        with contextlib.closing(open_database(path)) as connection:
            connection.execute("CREATE TABLE note (x)")
            modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"index.db": 0o640, "index.db-wal": 0o640, "index.db-shm": 0o640}
