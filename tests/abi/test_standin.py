"""The stand-in itself, where tests in other folders rely on it: in a child process, fed by files."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.records.raw import create, creates
from tests.support.servers.standin import Standin, environment, positions

MDT = "lustre-MDT0000"

READER = """
import sys
from lustre_events.errors import LustreEventsError
from lustre_events.changelog.record import scan
from lustre_events.sources.lustre import LustreSource

source = LustreSource(sys.argv[1], sys.argv[2])
for line in sys.stdin:
    command, *numbers = line.split()
    try:
        if command == "open":
            source.open(int(numbers[0]))
            answer = "opened"
        elif command == "clear":
            source.clear("cl1", int(numbers[0]))
            answer = "cleared"
        else:
            span = scan(source.read(1 << 20, 10))
            answer = f"{span.first_index}-{span.last_index}"
    except LustreEventsError as exc:
        answer = type(exc).__name__
    print(answer, flush=True)
"""


class Child:
    """A process that reads from the stand-in as it is told."""

    def __init__(self, library: Path, variables: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", READER, MDT, str(library)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **variables},
        )  # fmt: skip

    def ask(self, command: str) -> str:
        """Return the answer to `open INDEX`, `read` or `clear INDEX`."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def kill(self) -> None:
        """End it as a crash would."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate(timeout=10)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    records, state = tmp_path / "records", tmp_path / "state"
    records.write_bytes(creates(1, 9))
    return records, state


@pytest.fixture
def child(standin_path: Path, files: tuple[Path, Path]) -> Child:
    return Child(standin_path, environment({MDT: files[0]}, "cl1,cl2", files[1]))


def test_file_is_served_and_followed(child: Child, files: tuple[Path, Path]) -> None:
    """A child reads the records of a file, and those appended later, torn ones only when they are whole."""
    answers = [child.ask("open 3"), child.ask("read")]
    more = creates(10, 12)
    with files[0].open("ab") as file:
        file.write(more[:-5])
        file.flush()
        answers.append(child.ask("read"))
        file.write(more[-5:])
    answers.append(child.ask("read"))
    child.kill()

    assert answers == ["opened", "3-9", "10-11", "12-12"]


def test_positions_survive_the_process(standin_path: Path, files: tuple[Path, Path]) -> None:
    """After a kill a new process knows what each user cleared, and purged records are gone."""
    variables = environment({MDT: files[0]}, "cl1", files[1])
    child = Child(standin_path, variables)
    answers = [child.ask("clear 4"), child.ask("clear 6")]
    child.kill()
    again = Child(standin_path, variables)
    answers += [again.ask("clear 5"), again.ask("open 1"), again.ask("read")]
    again.kill()

    assert answers == ["cleared", "cleared", "ChangelogUserUnknown", "opened", "7-9"]
    assert positions(files[1]) == {(MDT, "cl1"): 6}


def test_test_can_deregister_a_user_of_a_running_process(child: Child, files: tuple[Path, Path]) -> None:
    """A line `gone` in the state file is obeyed by the next clear; other users stay."""
    first = child.ask("clear 4")
    with files[1].open("a", encoding="utf-8") as file:
        file.write(f"{MDT} cl1 gone\n")
    answers = [first, child.ask("clear 5")]
    child.kill()

    assert answers == ["cleared", "ChangelogUserUnknown"]
    assert positions(files[1]) == {}


def test_replaced_file_is_a_restart_with_a_new_index(child: Child, files: tuple[Path, Path]) -> None:
    """A file that was replaced breaks open handles; then its records begin anew and a new user can clear."""
    answers = [child.ask("open 0"), child.ask("read"), child.ask("clear 9")]
    fresh = files[0].with_suffix(".new")
    fresh.write_bytes(creates(1, 2))
    fresh.replace(files[0])
    answers += [child.ask("read"), child.ask("clear 1")]
    with files[1].open("a", encoding="utf-8") as file:
        file.write(f"{MDT} cl1 gone\n{MDT} cl1 0\n")
    answers += [child.ask("open 0"), child.ask("read"), child.ask("clear 1")]
    child.kill()

    assert answers == [
        "opened", "1-9", "cleared",
        "ChangelogBroken", "ChangelogUserUnknown",
        "opened", "1-2", "cleared",
    ]  # fmt: skip


def test_leaks_are_counted(standin: Standin) -> None:
    """A handle or a record that nobody gave back shows: this is what guards every other test here."""
    library = standin._c
    handle, record = ctypes.c_void_p(), ctypes.c_void_p()
    standin.append(MDT, create(1))
    library.llapi_changelog_start(ctypes.byref(handle), 0, MDT.encode(), ctypes.c_longlong(0))
    library.llapi_changelog_recv(handle, ctypes.byref(record))
    counts = [standin.leaks]
    library.llapi_changelog_free(ctypes.byref(record))
    counts.append(standin.leaks)
    stale = ctypes.c_void_p(handle.value)
    library.llapi_changelog_fini(ctypes.byref(handle))
    counts.append(standin.leaks)

    assert counts == [2, 1, 0]
    assert library.llapi_changelog_fini(ctypes.byref(handle)) == -22
    assert standin.misuses == 0
    assert library.llapi_changelog_recv(stale, ctypes.byref(record)) == -22
    assert standin.misuses == 1
    standin.reset()
    standin.add_mdt(MDT)


def test_restart_without_users_begins_the_index_anew(standin: Standin) -> None:
    """With a user registered records and users persist; without one they go, and ids start at cl1 again."""
    first = standin.register(MDT)
    standin.append(MDT, creates(1, 9))
    standin.restart(MDT)
    kept = standin.register(MDT)
    standin.deregister(MDT, first)
    standin.deregister(MDT, kept)
    standin.restart(MDT)

    assert (first, kept) == ("cl1", "cl2")
    assert standin.register(MDT) == "cl1"
    assert standin.position(MDT, "cl1") == 0
