"""Running it: stopping each process, two `run` on one state, and the demo, as processes that a user starts."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat

from lustre_events.index import open_search
from tests.support.need import need
from tests.support.service.command import REPOSITORY, clean_environment, lustre_events
from tests.support.service.images import write_extractor
from tests.support.service.service import (
    MARK,
    PARTS,
    Churn,
    Service,
    catches_sigterm,
    processes_with,
)
from tests.support.waiting import wait_for

STOP_SECONDS = 10
SLOW = "import sys, time\nsys.stdin.read()\ntime.sleep(60)\n"
SLOW_RULES = '[[rule]]\nextensions = ["slow"]\nextractor = "slow"\n'


@pytest.fixture
def service(open_folder: Path) -> Iterator[Service]:
    """A service of which nothing runs yet, whose extractors are plain processes."""
    need("redis-server")
    with Service(open_folder) as made:
        yield made


def churn(service: Service, seed: int, steps: int) -> None:
    """Change files."""
    made = Churn(service.files, seed)
    made.write(service.files / f"{seed}.csv")
    for _ in range(steps):
        made.step()


def stopped(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> int:
    """Send a signal and return the exit code, which must come within ten seconds."""
    process.send_signal(number)
    return process.wait(STOP_SECONDS)


def test_each_part_ends_on_sigterm_with_nothing_lost(service: Service) -> None:
    """SIGTERM while files change: exit code 0 in time, and its successor goes on."""
    service.start_redis()
    for name in PARTS:
        service.start_part(name)
    seeds = itertools.count()
    for _ in range(2):
        for name in PARTS:
            churn(service, next(seeds), 15)
            wait_for(lambda: catches_sigterm(service.parts[name].pid), failure=service.last_words)  # noqa: B023
            assert stopped(service.parts[name]) == 0, service.last_words()
            churn(service, next(seeds), 5)
            service.keep_running()

    service.converge("after SIGTERM")
    wait_for(lambda: all(catches_sigterm(process.pid) for process in service.parts.values()))
    assert [stopped(process) for process in service.parts.values()] == [0] * len(PARTS)
    service.redis.stop()
    assert not service.left()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_run_ends_and_goes_on(service: Service, number: int) -> None:
    """SIGTERM or one Ctrl-C: exit code 0 in time, nothing left; the next `run` finds what changed meanwhile."""
    for round_ in range(2):
        run = service.run()
        churn(service, round_, 40)
        wait_for(lambda: len(service.differences()) < 60 and service.find("workers"), failure=service.last_words)
        os.killpg(run.pid, number)  # as a terminal does
        assert run.wait(STOP_SECONDS) == 0, service.last_words()
        assert not service.left()
        churn(service, round_ + 5, 10)

    run = service.run()
    service.converge("the last run")
    assert stopped(run, number) == 0
    assert not service.left()


def test_run_ends_quietly(service: Service) -> None:
    """Starting, working and stopping, nothing is warned about and there is no traceback."""
    run = service.run()
    churn(service, 1, 20)
    service.converge("one run")
    assert stopped(run) == 0

    said = service.last_words()
    assert "Traceback" not in said
    assert not re.search(r"\b(warning|error)\b", said, re.IGNORECASE), said


@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6, 1.2])
def test_run_stopped_while_it_starts_leaves_nothing(service: Service, seconds: float) -> None:
    """SIGTERM at any moment of the start ends everything that was started."""
    run = service.run()
    time.sleep(seconds)  # the moment is what varies
    assert stopped(run) in {0, -signal.SIGTERM}
    wait_for(lambda: not service.left(), STOP_SECONDS, lambda: str(service.left()))


def test_a_second_run_on_the_same_state_is_refused(service: Service) -> None:
    """One sentence and exit code 2 for the second; the first one works on."""
    run = service.run()
    wait_for(lambda: service.find("workers"), failure=service.last_words)

    done = lustre_events("run", "--config", service.config)

    assert done.returncode == 2
    assert done.stderr.decode().count("\n") == 1
    assert "another lustre-events run is at work" in done.stderr.decode()
    churn(service, 1, 10)
    service.converge("the first run")
    assert stopped(run) == 0


@pytest.mark.apptainer
@pytest.mark.parametrize("whole", [True, False])
def test_sigterm_ends_a_long_container(open_folder: Path, base_image: Path, whole: bool) -> None:
    """A container that takes long is ended with `run`, or with its worker: its row waits in the index."""
    need("redis-server")
    with Service(open_folder, runtime="apptainer", images=base_image, rules=SLOW_RULES) as service:
        write_extractor(service.extractors, "slow", SLOW)
        (service.files / "a.slow").write_text("x")
        (service.files / "a.csv").write_text("x\n1\n")
        if whole:
            run = service.run()
        else:
            service.start_redis()
            for name in PARTS:
                service.start_part(name)
            run = service.parts["worker"]
        wait_for(lambda: service.find("appinit") and documents(service) == {"tabular": 1}, 90)

        assert stopped(run) == 0, service.last_words()
        for name in ("reader", "dispatcher", "builtin"):
            if not whole:
                assert stopped(service.parts[name]) == 0
        service.redis.stop()
        wait_for(lambda: not service.left(), 3, lambda: str(service.left()))
        with open_search(service.index) as search:
            stats = search.stats()
        assert stats.pending
        assert not stats.counts.failures


def documents(service: Service) -> Mapping[str, int]:
    """Return how many documents the index has, by extractor."""
    if not Path(service.index.removeprefix("sqlite:///")).exists():
        return {}
    with open_search(service.index) as search:
        return search.stats().counts.documents


class Demo:
    """One run of the demo in a folder of its own."""

    def __init__(self, folder: Path, path: str, prefix: Sequence[str] = (), *options: str | Path) -> None:
        self.folder = folder
        self.mark = f"{folder.name}-demo"
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-P", "-m", "lustre_events", "demo", *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=REPOSITORY,
            start_new_session=True,
            env=clean_environment({"TMPDIR": str(folder), "PATH": path, MARK: self.mark, "HOME": str(folder)}),
        )  # fmt: skip

    def end(self, seconds: float) -> str:
        """Return what it said until it ended; one that does not end is killed, and its service's log shown."""
        try:
            return self.process.communicate(timeout=seconds)[0].decode()
        except subprocess.TimeoutExpired as exc:
            logs = [log.read_text(errors="replace") for log in self.folder.glob("*/service.log")]
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.communicate(timeout=10)
            raise AssertionError("\n".join(["the demo did not end", *logs])) from exc

    def output(self) -> str:
        """Return what it said; it must end by itself, well, and leave nothing."""
        said = self.end(110)
        assert self.process.returncode == 0, said
        self.check_left()
        return said

    def kept(self) -> str:
        """Return what it said until its story has ended; it goes on."""
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line.decode())
            if "Press Ctrl-C" in said[-1]:
                return "".join(said)
        raise AssertionError("".join(said))

    def interrupt(self) -> None:
        """Press Ctrl-C once: it must end well, and leave nothing."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.end(20)
        assert self.process.returncode == 0
        self.check_left()

    def check_left(self) -> None:
        """See that neither process nor folder is left."""
        wait_for(lambda: not processes_with(self.mark), 5, lambda: str(processes_with(self.mark)))
        assert list(self.folder.iterdir()) == []


def hits(said: str) -> list[int]:
    """Return how many hits each search had."""
    return [int(count) for count in re.findall(r"^\$ lustre-events search .*\((\d+) hits?\)$", said, re.MULTILINE)]


def check_thumbnails(folder: Path) -> None:
    """See that each picture has a small one beside it, that shows the same and belongs to the same user."""
    whole = sorted(path for path in folder.glob("[!.]*") if ".thumb" not in path.name)
    assert len(whole) == 2
    for path in whole:
        small = path.with_name(f"{path.name}.thumb.png")
        with Image.open(path) as picture, Image.open(small) as thumbnail:
            assert max(thumbnail.size) == 160
            again = picture.resize(thumbnail.size)
            away = ImageStat.Stat(ImageChops.difference(again.convert("RGB"), thumbnail.convert("RGB"))).mean
        assert max(away) < 10  # of 255
        assert small.stat().st_uid == path.stat().st_uid


def check_sums(said: str) -> None:
    """See that the counters that are printed as sums add up."""
    lines = [line for line in said.splitlines() if re.match(r" +[a-z ]+ \d+ = ", line)]
    assert {line.split()[0] for line in lines} >= {"records", "results"}
    for line in lines:
        total, parts = line.split("=")
        assert int(re.findall(r"\d+", total)[0]) == sum(map(int, re.findall(r"\d+", parts)))


def path_without_containers(folder: Path) -> str:
    """Return a PATH on which there is no container runtime, but all else that the demo needs."""
    folder.mkdir()
    for program in ("redis-server", "setpriv"):
        (folder / program).symlink_to(need(program))
    return str(folder)


@pytest.mark.apptainer
@pytest.mark.timeout(900)  # the first one builds the images
def test_demo_in_containers(open_folder: Path, demo_images: Path) -> None:
    """The demo prints its searches with hits and counters that add up; a container has made its thumbnails."""
    need("redis-server")

    demo = Demo(open_folder, os.environ["PATH"], (), "--images", demo_images, "--keep")
    said = demo.kept()
    (pictures,) = open_folder.glob("*/files/pictures")
    check_thumbnails(pictures)
    demo.interrupt()

    assert "Apptainer containers" in said
    before, after = said.split("Now a directory is renamed")
    assert hits(before) == [2, 1, 4]
    assert hits(after) == [0, 1, 3]
    assert "no document" not in said
    check_sums(said)


def test_demo_without_a_container_runtime(open_folder: Path, tmp_path: Path) -> None:
    """Without Apptainer the demo says so, and goes on with plain processes; what they lack is told by file."""
    said = Demo(open_folder, path_without_containers(tmp_path / "bin")).output()

    assert "No Apptainer here" in said
    before, after = said.split("Now a directory is renamed")
    assert hits(before)[::2] == [2, 4]
    assert hits(after) == [0, 1, 3]
    assert hits(before)[1] == 1 or "no document of /beamline/sample.h5" in said
    check_sums(said)


@pytest.mark.skipif(os.geteuid() != 0, reason="it is an ordinary user who runs the tests")
def test_demo_as_an_ordinary_user(open_folder: Path, tmp_path: Path) -> None:
    """Not root: the same, with the rights of the user. It may read everything, so that any checkout will do."""
    setpriv = need("setpriv")
    user = ("--reuid=65534", "--regid=65534", "--clear-groups")
    rights = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    os.chown(open_folder, 65534, 65534)

    said = Demo(open_folder, path_without_containers(tmp_path / "bin"), (setpriv, *user, *rights)).output()

    assert hits(said)[::2] == [2, 4, 1]
    check_sums(said)


def test_demo_stopped_in_the_middle_leaves_nothing(open_folder: Path, tmp_path: Path) -> None:
    """SIGTERM to the demo ends the service that it started, and removes its folder."""
    demo = Demo(open_folder, path_without_containers(tmp_path / "bin"))
    wait_for(lambda: any("workers" in each.words for each in processes_with(demo.mark)))

    demo.process.terminate()
    demo.end(20)

    assert demo.process.returncode == 128 + signal.SIGTERM
    demo.check_left()


def test_kept_demo_ends_with_one_interrupt(open_folder: Path, tmp_path: Path) -> None:
    """`--keep` goes on after its story, and one Ctrl-C ends it all."""
    demo = Demo(open_folder, path_without_containers(tmp_path / "bin"), (), "--keep")
    assert "No pictures get thumbnails: that needs Apptainer" in demo.kept()
    demo.interrupt()
