"""Long answers wait in files for those who take them: where, and how many bytes all of them together may have."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lustre_events.index.remote.answers import RefusalAnswer
from lustre_events.index.remote.client import PREFIX
from lustre_events.web.long_answers import KEPT_BYTES, NoRoom, Spool, folder_of
from lustre_events.web.serving import Turns
from lustre_events.web.user_turns import take
from tests.support.rows import each_row

MIB = 1 << 20


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer a user with as many MiB as the path says."""
    if "uid" in environ:
        take(environ, environ["uid"])
    start_response("200 OK", [("Content-Length", str(int(environ["PATH_INFO"]) * MIB))])
    return (bytes(MIB) for _ in range(int(environ["PATH_INFO"])))


class Client:
    """Asks for answers, and keeps what was said of each."""

    def __init__(self, spool: Spool) -> None:
        self.turns = Turns(app, most=1, spool=spool)
        self.said: list[tuple[str, dict[str, str]]] = []

    def ask(self, mib: int, **user: int) -> Any:
        """Return an answer of some MiB, for a user with a `uid`."""

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            self.said.append((status, dict(headers)))

        return self.turns({"PATH_INFO": str(mib), **user}, start)


def test_one_user_leaves_room_for_long_answers_of_others(tmp_path: Path) -> None:
    """Half of the room is one user's; then that user is told so, and others' answers still come."""
    client = Client(Spool(tmp_path, 16 * MIB))
    waiting = [client.ask(2, uid=7) for _ in range(4)]
    assert b"Your long answers that wait to be taken may have 8 MiB, and" in b"".join(client.ask(2, uid=7))
    assert [client.said[at][0][:3] for at in (3, 4)] == ["200", "503"]
    assert len(b"".join(client.ask(2, uid=8))) == 2 * MIB
    waiting[0].close()
    assert len(b"".join(client.ask(2, uid=7))) == 2 * MIB


def test_all_long_answers_together_have_a_ceiling(tmp_path: Path) -> None:
    """What does not fit beside those that wait is a 503 that says what to do; one that was taken makes room."""
    client = Client(Spool(tmp_path, 16 * MIB))
    waiting = [client.ask(2) for _ in range(8)]
    refused = b"".join(client.ask(2))
    assert b"have 16 MiB, and" in refused
    assert b"Try again in a minute, or ask for less" in refused
    status, headers = client.said[-1]
    assert (status, headers["Retry-After"], "Content-Length" in headers) == ("503 Service Unavailable", "60", False)
    assert len(b"".join(waiting[0])) == 2 * MIB
    waiting[0].close()
    waiting[0].close()
    assert len(b"".join(client.ask(2))) == 2 * MIB  # what was refused has left nothing behind
    assert [status[:3] for status, _ in client.said] == ["200"] * 8 + ["503", "200"]


@pytest.mark.parametrize(("mib", "most"), [(3, "2 MiB"), (2, "1 MiB")])
def test_no_answer_keeps_the_others_out(tmp_path: Path, mib: int, most: str) -> None:
    """One may have an eighth of the room: a longer one is told what to do instead, and not to try again."""
    client = Client(Spool(tmp_path, 16 * MIB if mib == 3 else 0))
    refused = b"".join(client.ask(mib)).decode()
    assert f"more than {most}, " in refused
    assert "search --format jsonl" in refused
    assert "again" not in refused
    ((status, headers),) = client.said
    assert (status, headers["Cache-Control"], "Retry-After" in headers) == ("400 Bad Request", "no-store", False)


def test_the_api_refuses_in_json(tmp_path: Path) -> None:
    """What the server refuses itself has the shape of all refusals of the API, so its client tells the sentence."""

    def of_api(_environ: object, start_response: Callable[..., Any]) -> Iterable[bytes]:
        return app({"PATH_INFO": "2"}, start_response)

    def ask(turns: Turns) -> tuple[str, str]:
        body = json.loads(b"".join(turns({"PATH_INFO": f"{PREFIX}/search"}, lambda *_: None)))
        return body["kind"], msgspec.convert(body, RefusalAnswer).error

    assert ask(Turns(of_api, 1, spool=Spool(tmp_path, 0)))[0] == "ConfigError"
    assert ask(Turns(of_api, 1, spool=Spool(tmp_path / "gone", 16 * MIB)))[0] == "IndexUnavailable"
    kind, sentence = ask(Turns(of_api, most=0, waiting=0))
    assert (kind, sentence[:19]) == ("IndexUnavailable", "The console is busy")


def test_an_answer_that_nobody_takes_makes_room(tmp_path: Path) -> None:
    """A connection that breaks off drops its answer, which then counts no more."""
    client = Client(Spool(tmp_path, 16 * MIB))
    for _ in range(9):
        client.ask(2)
    assert [status[:3] for status, _ in client.said] == ["200"] * 9


def test_short_answers_need_no_room(tmp_path: Path) -> None:
    """Up to 1 MiB an answer is kept in memory, whatever waits."""
    client = Client(Spool(tmp_path, 0))
    assert KEPT_BYTES == MIB
    assert len(b"".join(client.ask(1))) == MIB


def test_long_answers_wait_in_the_folder_of_the_process(tmp_path: Path) -> None:
    """They have no name there, so none is left behind by a process that is killed."""
    waiting = Client(Spool(tmp_path, 16 * MIB)).ask(2)
    links = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]  # noqa: PTH115
    assert [each for each in links if each.startswith(f"{tmp_path}/")] != []
    assert [*tmp_path.iterdir()] == []
    waiting.close()


def test_a_folder_without_room_is_told(tmp_path: Path) -> None:
    """Where no file can be written the answer is a 503, and the next one may be written again."""
    client = Client(Spool(tmp_path / "gone", 16 * MIB))
    assert b"cannot be kept" in b"".join(client.ask(2))
    (tmp_path / "gone").mkdir()
    assert len(b"".join(client.ask(2))) == 2 * MIB


@contextlib.contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """Let no file of this process have more bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@each_row("size", [1_000, 10_000, 15_999])
def test_a_full_disk_is_told_and_keeps_no_room(tmp_path: Path, size: int) -> None:
    """Wherever in an answer the disk is full, also at its last byte, it is refused and leaves no room taken."""
    spool = Spool(tmp_path, 8 * 16_000)
    with full_beyond(size), pytest.raises(NoRoom, match="cannot be kept") as refused:
        spool.keep([bytes(4_000)] * 4)
    assert len([spool.keep([bytes(16_000)]) for _ in range(8)]) == 8
    assert refused.traceback  # the refused answer still lives there


def test_an_answer_is_dropped_while_another_takes_room(tmp_path: Path) -> None:
    """What is collected as garbage gives its room back, also while its own thread takes room for another."""
    spool = Spool(tmp_path, 8 * 16_000)
    waiting = [spool.keep([bytes(4_000)])]

    class Collecting(int):
        def __radd__(self, other: int) -> int:
            waiting.clear()
            return other + int(self)

    taking = threading.Thread(target=spool.take, args=(Collecting(1),), daemon=True)
    taking.start()
    taking.join(10)
    assert not taking.is_alive()


def test_the_folder_is_that_of_the_unit() -> None:
    """It is the service's own, which systemd names; without one it is that for temporary files."""
    assert folder_of({"STATE_DIRECTORY": "/var/lib/web:/var/lib/other"}) == Path("/var/lib/web")
    assert folder_of({}) is None
    with pytest.raises(NoRoom):
        Spool(None, 1).keep([b"ab"])
