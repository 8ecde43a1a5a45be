"""A machine with systemd as process 1: booted, told to do something, killed, booted again. It has no network."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path

from tests.support.need import need
from tests.support.waiting import came_true, wait_for

BOOT_SECONDS = 90.0
COMMAND_SECONDS = 180.0
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
    "DEBIAN_FRONTEND=noninteractive",
)  # fmt: skip
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--root", "--wd")
NEEDED = ("systemd-nspawn", "mmdebstrap", "nsenter", "setpriv", "git")


def impossible() -> str:
    """Return why no machine can be booted here; nothing, if one may. A program that is missing fails in CI."""
    if os.geteuid() != 0:
        return "a machine is booted by root"
    for name in NEEDED:
        need(name)
    made = subprocess.run(
        ["unshare", "--mount", "--net", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return f"namespaces cannot be made here: {made.stderr.strip()}" if made.returncode else ""


class Machine:
    """A machine in `root`; it ends with this process."""

    def __init__(self, root: Path, name: str, *options: str) -> None:
        """Take the tree that it runs in, its name, and more options of systemd-nspawn."""
        self.root = root
        self._console = root.with_name(f"{root.name}.console")
        fuse = ("--bind=/dev/fuse",) if Path("/dev/fuse").exists() else ()
        network = () if any(each.startswith("--network") for each in options) else ("--private-network",)
        self._words = [
            "setpriv", "--pdeathsig", "KILL", "systemd-nspawn", "--quiet", "--boot", f"--directory={root}",
            f"--machine={name}", "--register=no", "--keep-unit", "--capability=all", "--resolv-conf=off",
            "--timezone=off", "--console=read-only", *fuse, *network, *options,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def boot(self) -> str:
        """Boot it; return nothing when it is up, else what the console said."""
        with self._console.open("ab") as console:
            self._process = subprocess.Popen(
                self._words, stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                env={**os.environ, "SYSTEMD_SECCOMP": "0"},
            )  # fmt: skip
        if came_true(self.up, BOOT_SECONDS):
            return ""
        self.kill()
        return self._console.read_text(errors="replace")[-2_000:]

    def up(self) -> bool:
        """Whether the boot is finished."""
        if self.leader() is None:
            return False
        said = self.run("systemctl is-system-running", check=False).stdout.strip()
        return said in {"running", "degraded"}

    def leader(self) -> int | None:
        """Return the id of its process 1, as seen from here."""
        if self._process is None or self._process.poll() is not None:
            return None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        with contextlib.suppress(OSError, IndexError):
            first = int(children.read_text().split()[0])
            if Path(f"/proc/{first}/comm").read_text().strip() == "systemd":
                return first
        return None

    def run(
        self, script: str, *, check: bool = True, seconds: float = COMMAND_SECONDS, folder: str = "/root"
    ) -> subprocess.CompletedProcess[str]:
        """Run a script of bash as its root, and return what it said; it must do well where `check` is set."""
        leader = self.leader()
        assert leader is not None, "the machine is down"
        done = subprocess.run(
            ["nsenter", f"--target={leader}", *NAMESPACES, "env", "-i", *ENVIRONMENT,
             "bash", "-euo", "pipefail", "-c", f"cd {folder}\n{script}"],
            capture_output=True, text=True, errors="surrogateescape", timeout=seconds, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done

    def says(self, script: str) -> str:
        """Return the output of a script, without the last end of line."""
        return self.run(script).stdout.rstrip("\n")

    def kill(self) -> None:
        """Take its power away: every process in it gets SIGKILL at once."""
        if self._process is None:
            return
        leader = self.leader()
        if leader is not None:
            os.kill(leader, signal.SIGKILL)
            came_true(lambda: self._process is None or self._process.poll() is not None, 20)
        self._process.kill()
        self._process.wait(20)

    def reboot(self) -> None:
        """Reboot it as an administrator does; systemd-nspawn ends then, and leaves the boot to us."""
        self.run("systemctl reboot", check=False)
        wait_for(lambda: self._process is None or self._process.poll() is not None, BOOT_SECONDS)
        assert self.boot() == ""

    def network(self) -> str:
        """Return the option that gives another machine this one's network."""
        return f"--network-namespace-path=/proc/{self.leader()}/ns/net"

    def at(self, path: str) -> Path:
        """Return where a path of it lies here."""
        return self.root / path.lstrip("/")
