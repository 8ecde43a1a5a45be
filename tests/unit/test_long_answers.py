"""Long answers wait in files for those who take them: where, and how many bytes all of them together may have."""

from __future__ import annotations

import contextlib
import os
import resource
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lustre_events.web.long_answers import NoRoom, Spool, folder_of
from lustre_events.web.serving import KEPT_BYTES, Turns

MIB = 1 << 20


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer with as many MiB as the path says."""
    start_response("200 OK", [("Content-Length", str(int(environ["PATH_INFO"]) * MIB))])
    return (bytes(MIB) for _ in range(int(environ["PATH_INFO"])))


class Client:
    """Asks for answers, and keeps what was said of each."""

    def __init__(self, spool: Spool) -> None:
        self.turns = Turns(app, most=1, spool=spool)
        self.said: list[tuple[str, dict[str, str]]] = []

    def ask(self, mib: int) -> Any:
        """Return an answer of some MiB."""

        def start(status: str, headers: list[tuple[str, str]]) -> None:
            self.said.append((status, dict(headers)))

        return self.turns({"PATH_INFO": str(mib)}, start)


def test_all_long_answers_together_have_a_ceiling(tmp_path: Path) -> None:
    """What does not fit beside those that wait is a 503 that says what to do; one that was taken makes room."""
    client = Client(Spool(tmp_path, 5 * MIB))
    first = client.ask(3)
    refused = b"".join(client.ask(3))
    assert b"have 5 MiB, and" in refused
    assert b"Try again in a minute, or ask for less" in refused
    assert (client.said[-1][0], "Content-Length" in client.said[-1][1]) == ("503 Service Unavailable", False)
    second = client.ask(2)  # what was refused has left nothing behind
    assert len(b"".join(second)) == 2 * MIB
    second.close()
    first.close()
    first.close()
    assert len(b"".join(client.ask(5))) == 5 * MIB
    assert [status[:3] for status, _ in client.said] == ["200", "503", "200", "200"]


def test_an_answer_that_nobody_takes_makes_room(tmp_path: Path) -> None:
    """A connection that breaks off drops its answer, which then counts no more."""
    client = Client(Spool(tmp_path, 5 * MIB))
    for _ in range(3):
        client.ask(4)
    assert [status[:3] for status, _ in client.said] == ["200"] * 3


def test_short_answers_need_no_room(tmp_path: Path) -> None:
    """Up to 1 MiB an answer is kept in memory, whatever waits."""
    client = Client(Spool(tmp_path, 0))
    assert KEPT_BYTES == MIB
    assert len(b"".join(client.ask(1))) == MIB


def test_long_answers_wait_in_the_folder_of_the_process(tmp_path: Path) -> None:
    """They have no name there, so none is left behind by a process that is killed."""
    waiting = Client(Spool(tmp_path, 5 * MIB)).ask(2)
    links = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]  # noqa: PTH115
    assert [each for each in links if each.startswith(f"{tmp_path}/")] != []
    assert [*tmp_path.iterdir()] == []
    waiting.close()


def test_a_folder_without_room_is_told(tmp_path: Path) -> None:
    """Where no file can be written the answer is a 503, and the next one may be written again."""
    client = Client(Spool(tmp_path / "gone", 5 * MIB))
    assert b"cannot be kept" in b"".join(client.ask(2))
    (tmp_path / "gone").mkdir()
    assert len(b"".join(client.ask(5))) == 5 * MIB


@contextlib.contextmanager
def full_beyond(size: int) -> Iterator[None]:
    """Let no file of this process have more bytes, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [1_000, 10_000, 15_999])
def test_a_full_disk_is_told_and_keeps_no_room(tmp_path: Path, size: int) -> None:
    """Wherever in an answer the disk is full, also at its last byte, it is refused and leaves no room taken."""
    spool = Spool(tmp_path, 16_000)
    with full_beyond(size), pytest.raises(NoRoom, match="cannot be kept") as refused:
        spool.keep([bytes(4_000)] * 4)
    spool.keep([bytes(16_000)]).close()
    assert refused.traceback  # the refused answer still lives there


def test_an_answer_is_dropped_while_another_takes_room(tmp_path: Path) -> None:
    """What is collected as garbage gives its room back, also while its own thread takes room for another."""
    spool = Spool(tmp_path, 16_000)
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
