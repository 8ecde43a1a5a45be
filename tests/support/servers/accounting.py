"""Accounting of Slurm for tests: slurmdbd over a MariaDB of its own, on free ports, ended by their process ids."""

from __future__ import annotations

import os
import socket
import subprocess
from pathlib import Path

from tests.support.need import need
from tests.support.waiting import wait_for

DBD = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={ports[0]}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[1]}
StorageUser=slurm
StoragePass=slurm
StorageLoc=accounting
"""
OF_CLUSTER = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[0]}
AccountingStoragePass={folder}/munge.sock
"""
SYSTEM_TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")
"""What `mariadb-install-db` gives the server, as Debian has it; here it has neither help nor accounts."""


class Accounting:
    """MariaDB and slurmdbd beside the configuration of a cluster."""

    def __init__(self, folder: Path, environment: dict[str, str], ports: list[int]) -> None:
        self.of_cluster = OF_CLUSTER.format(folder=folder, ports=ports)
        self._folder, self._environment, self._ports = folder, {**os.environ, **environment}, ports
        self._running: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Make the database, and start both."""
        folder, database = self._folder, self._folder / "mariadb"
        database.mkdir()
        server = [need("mariadbd"), "--no-defaults", f"--datadir={database}", "--user=root",
                  "--innodb-buffer-pool-size=16M"]  # fmt: skip
        tables = b"CREATE DATABASE mysql;\nUSE mysql;\n" + SYSTEM_TABLES.read_bytes()
        subprocess.run([*server, "--bootstrap"], input=tables, check=True, capture_output=True, timeout=120)
        configuration = folder / "slurmdbd.conf"
        configuration.write_text(DBD.format(folder=folder, ports=self._ports))
        configuration.chmod(0o600)
        self._start([
            *server, "--skip-grant-tables", f"--port={self._ports[1]}", "--bind-address=127.0.0.1",
            f"--socket={folder}/mariadb.sock", f"--pid-file={folder}/mariadb.pid",
        ])  # fmt: skip
        self._until_it_listens(self._ports[1])
        self.start()

    def until_registered(self) -> None:
        """Wait until the controller has told slurmdbd of its cluster."""
        argv = [need("sacctmgr"), "-n", "-P", "show", "cluster", "format=ControlHost"]

        def registered() -> bool:
            done = subprocess.run(argv, env=self._environment, capture_output=True, timeout=60, check=False)
            return bool(done.stdout.strip())

        wait_for(registered, 60, self.last_words)

    def start(self) -> None:
        """Start slurmdbd, and wait until it answers."""
        self._start([need("slurmdbd"), "-D"])
        self._until_it_listens(self._ports[0])

    def stop(self) -> None:
        """Stop slurmdbd; the controller keeps for it what it has to tell."""
        process = self._running.pop()
        process.terminate()
        process.wait(30)

    def end(self) -> None:
        """End both."""
        for process in reversed(self._running):
            process.terminate()
            process.wait(60)

    def _start(self, argv: list[str]) -> None:
        with (self._folder / "log.accounting").open("ab") as log:
            self._running.append(subprocess.Popen(argv, stdout=log, stderr=log, env=self._environment))

    def _until_it_listens(self, port: int) -> None:
        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_for(listens, 90, self.last_words)

    def last_words(self) -> str:
        """Return the end of what both have logged."""
        return (self._folder / "log.accounting").read_text(errors="replace")[-3_000:]
