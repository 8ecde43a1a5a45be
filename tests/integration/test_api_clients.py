"""Commands and Python ask a server over TLS: without any rights on the index, and to no other place."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import flask
import pytest
from click.testing import CliRunner, Result
from werkzeug.wrappers import Response

from lustre_events import connect
from lustre_events.cli import cli
from lustre_events.errors import ConfigError, IndexUnavailable, LustreEventsError
from lustre_events.history.losses import LossBook
from lustre_events.index.remote import credentials
from lustre_events.index.remote.transport import HttpsTransport
from lustre_events.inspect.explain import FROM_OUTSIDE
from lustre_events.streams.interface import Loss
from tests.support.history import keep
from tests.support.index.tables import node
from tests.support.records import builders as b
from tests.support.servers.https import serving
from tests.support.service.api import OTHER, OWNER, OWNER_ID, make_api, secret_of
from tests.support.service.web import Console

PAST = [
    b.create(9, name=b"gone.csv", index=1, time_ns=10**18),
    b.unlink(9, name=b"gone.csv", index=5, time_ns=10**18 + 3, last=True, uid=0, gid=0, extra_flags=1),
    b.create(node(2), b.fid_of(77), b"map.csv", index=6, time_ns=10**18 + 4, uid=OWNER_ID, gid=0, extra_flags=1),
]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, str, Path]]:
    """A console, its address, and the certificate to trust."""
    folder = tmp_path_factory.mktemp("https")
    console = make_api(folder)
    console.answer = {"rows": 1, "dropped": 1}
    console.past = folder / "history"
    keep(console.past, {"lustre-MDT0000": PAST}, random.Random(1))
    LossBook(console.past).note([Loss("lustre-MDT0000", 1, 2, 4, 10**18, "a test")], 0)
    with serving(console.app(), folder) as (address, certificate):
        yield console, address, certificate


@pytest.fixture
def node_settings(served: tuple[Console, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A login node: settings that name the server, and a file with the token of a user."""
    console, address, certificate = served
    token = tmp_path / "token"
    credentials.write(token, secret_of(console, OWNER))
    settings = tmp_path / "settings.toml"
    settings.write_text(
        f'[client]\nserver = "{address}"\nca = "{certificate}"\ntoken_file = "{token}"\n'
        '[index]\nurl = "sqlite:////none/index.db"\n'
    )
    monkeypatch.setenv("LUSTRE_EVENTS_CONFIG", str(settings))
    monkeypatch.delenv(credentials.VARIABLE, raising=False)
    return settings


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, words, catch_exceptions=True)


def test_reading_commands_ask_the_server(node_settings: Path) -> None:
    """All reading commands print over a server what they print over an index, as the owner of the token."""
    assert run("search", "columns:own").stdout == "/mnt/lustre/own/run.csv\n"
    assert run("search", "--count", "columns:temperature").stdout == "1\n"
    hit = json.loads(run("search", "--json", "name:torn*").stdout)
    assert hit["paths"] == ["/mnt/lustre/open/torn\udcff.csv"]
    assert "rows" in run("search", "--facets", "rows", "*").stdout
    assert "map.csv" in run("show", "/open/map.csv").stdout
    assert "daemon" in run("du", "/mnt/lustre/own").stdout
    assert run("find", "/own", "-name", "*.csv").stdout == "/mnt/lustre/own/run.csv\n"
    report = json.loads(run("report", "/own", "--json").stdout)
    assert [each["paths"] for each in report["largest"]] == [["/mnt/lustre/own/run.csv"]]
    assert "    tabular.columns:" in run("search", "columns:own", "--excerpts", "--sort", "-size").stdout
    assert run("failed", "list").stdout.count("no HDF5") == 2
    assert run("failed", "retry", "--path", "/own/**").stdout == "files that are tried again: 1\n"
    nothing = run("search", "colums:own")
    assert (nothing.exit_code, "did you mean columns (" in nothing.stderr) == (1, True)
    assert isinstance(run("search", "size:[1").exception, LustreEventsError)


def test_the_history_asks_the_server(node_settings: Path) -> None:
    """`history` prints what happened with the gap in between, lists what stood there, and refuses other eyes."""
    lines = [line[21:] for line in run("history", "/mnt/lustre/gone.csv").stdout.splitlines()]
    assert [line.split(":")[0] for line in lines] == [
        "created", "records 2 to 4 of lustre-MDT0000 between 2001-09-09 01", "removed",
    ]  # fmt: skip
    told = run("history", "gone.csv", "--types", "UNLNK", "--json")
    assert [json.loads(line)["happened"] for line in told.stdout.splitlines()] == ["removed"]
    assert "records 2 to 4" in told.stderr
    assert run("history", "/", "--as-of", "2001-09-08").stdout.startswith("[0x")
    assert "leave --as" in str(run("history", "gone.csv", "--as", "root").exception)


def test_explain_tells_over_a_server_what_the_server_knows(node_settings: Path) -> None:
    """It says what is known of the file and its last deeds, and that rules and queues are told elsewhere."""
    lines = run("explain", "/mnt/lustre/open/map.csv").stdout.splitlines()
    assert any(line.startswith("history: ") and "user daemon" in line for line in lines), lines
    assert any("tabular" in line for line in lines)
    assert lines[-1] == FROM_OUTSIDE
    left = run("explain", "/mnt/lustre/left/out.csv").stdout
    assert "/left/out.csv: left out (/left), by [filesystem] exclude" in left
    assert "left out" not in run("explain", "/open/map.csv").stdout
    assert "no such path" in run("explain", "/own/none.csv").stdout


def test_python_asks_the_server(served: tuple[Console, str, Path], node_settings: Path) -> None:
    """`connect` takes a server and a token; without both, those of the settings."""
    console, address, certificate = served
    with connect(address, token=secret_of(console, OTHER), ca=str(certificate)) as index:
        assert [hit.fid for hit in index.search("type:f", sort="size")] == [node(3), node(4), node(2)]
        assert index.count("columns:temperature") == 1
        with pytest.raises(ConfigError, match="owner of the token"):
            index.count("*", visible_to="root")
    with connect() as index:
        assert index.count("type:f") == 4


def test_a_token_goes_to_whom_it_is_meant_for_only(
    served: tuple[Console, str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that nobody vouches for, a redirect, plain http elsewhere: no token is sent there."""
    _, address, certificate = served
    with pytest.raises(IndexUnavailable, match=r"not trusted here.*\[client\] ca"):
        HttpsTransport(address, "Bearer x")("GET", "/api/v1/")
    with pytest.raises(IndexUnavailable, match="not trusted here"):
        HttpsTransport(address.replace("127.0.0.1", "localhost"), "Bearer x", ca=str(certificate))(
            "GET", "/api/v1/"
        )
    with pytest.raises(ConfigError, match="could read the token"):
        HttpsTransport("http://login.example", "Bearer x")
    for wrong in ("login.example", "https://", "https://ada:secret@host", "ftp://host", "https://host/?q"):
        with pytest.raises(ConfigError, match="https://HOST"):
            HttpsTransport(wrong)

    seen: list[str] = []
    app = flask.Flask(__name__)

    @app.get("/api/v1/")
    def away() -> Response:
        return flask.redirect("/api/v1/elsewhere")

    @app.get("/api/v1/elsewhere")
    def elsewhere() -> str:
        seen.append("asked")
        return "x"

    with serving(app, tmp_path) as (there, trusted):
        transport = HttpsTransport(there, "Bearer x", ca=str(trusted))
        with pytest.raises(IndexUnavailable, match="the token is sent nowhere else"):
            transport("GET", "/api/v1/")
        with pytest.raises(IndexUnavailable, match="no JSON"):
            transport("GET", "/api/v1/elsewhere")
        transport.close()
    assert seen == ["asked"]
    with pytest.raises(IndexUnavailable, match="no answer"):
        HttpsTransport("http://127.0.0.1:9")("GET", "/")


def test_who_asks_too_much_at_once_waits_and_asks_again(tmp_path: Path) -> None:
    """What only asks is asked again when the server says so, within the time for an answer; a change never."""
    slept: list[float] = []
    app = flask.Flask(__name__)

    @app.route("/api/v1/", methods=["GET", "POST"])
    def refuse() -> tuple[dict[str, object], int, dict[str, str]]:
        return {"error": "too many", "kind": "TooOften", "hints": []}, 429, {"Retry-After": "3"}

    with serving(app, tmp_path) as (there, trusted):
        transport = HttpsTransport(there, "Bearer x", ca=str(trusted), seconds=10, sleep=slept.append)
        assert transport("GET", "/api/v1/").status == 429
        assert slept == [3, 3, 3]
        assert transport("POST", "/api/v1/", body={}).status == 429
        assert slept == [3, 3, 3]
        transport.close()


def test_a_token_is_read_from_a_closed_file_only(tmp_path: Path) -> None:
    """A file that others can read, that is not there or has no token in it is refused; the environment wins."""
    path = tmp_path / "own" / "token"
    credentials.write(path, "le_a_b")
    assert credentials.token(str(path), {}) == "le_a_b"
    assert credentials.token(str(path), {credentials.VARIABLE: "le_c_d"}) == "le_c_d"
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        credentials.token(str(path), {})
    with pytest.raises(ConfigError, match="token create"):
        credentials.token(str(tmp_path / "none"), {})
    path.write_bytes(b"two words \xff")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="not a token"):
        credentials.token(str(path), {})


def test_tokens_are_listed_kept_and_revoked(node_settings: Path, served: tuple[Console, str, Path]) -> None:
    """`token keep` takes what the console showed, `list` shows no secret, and a revoked token ends what uses it."""
    secret = secret_of(served[0], OWNER)
    number = secret.split("_")[1]
    kept = CliRunner().invoke(cli, ["token", "keep"], input=f"{secret}\n")
    assert "is kept in" in kept.output
    listed = run("token", "list").stdout
    assert number in listed
    assert secret not in kept.output + listed
    assert run("token", "revoke", number).stdout == f"{number}: revoked\n"
    assert "was revoked" in str(run("search", "*").exception)


def test_root_makes_tokens_on_the_node_of_the_console(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--user` writes into the store itself, which belongs to the owner of its folder: the web process."""
    monkeypatch.setenv("LUSTRE_EVENTS_WEB_STORE", str(tmp_path / "store.db"))
    secret = run("token", "create", "--user", OWNER, "--label", "cron").stdout.strip()
    assert secret.startswith("le_")
    assert "cron" in run("token", "list", "--all").stdout
    assert run("token", "revoke", "--any", secret.split("_")[1]).exit_code == 0
    assert "revoked" in run("token", "list", "--all").stdout
    assert (tmp_path / "store.db").stat().st_uid == tmp_path.stat().st_uid


def test_two_places_cannot_be_asked(node_settings: Path) -> None:
    """`--index` wins over the settings' server; `--index` and `--server` together are refused."""
    assert "--server" in str(run("search", "--index", "sqlite:///x", "--server", "https://y", "*").exception)
    assert isinstance(run("search", "--index", "sqlite:////none/x", "*").exception, IndexUnavailable)
