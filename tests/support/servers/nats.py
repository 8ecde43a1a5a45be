"""Debian's nats-server with JetStream for tests, ended by its process id."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nats

from tests.support.need import need
from tests.support.waiting import wait_for

CONFIGURATION = """
host: 127.0.0.1
port: -1
ports_file_dir: "{folder}"
jetstream {{ store_dir: "{folder}/store", max_memory_store: 16M, max_file_store: 64M }}
"""


@contextmanager
def nats_server(folder: Path, more: str = "") -> Iterator[int]:
    """Run a server, with more lines in its configuration; give its port."""
    program = need("nats-server")
    folder = folder / "nats"
    folder.mkdir()
    configuration = folder / "nats.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder) + more)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "-c", str(configuration)], stdout=log, stderr=log)
    ports = folder / f"nats-server_{process.pid}.ports"
    try:
        wait_for(lambda: (ports.exists() and ports.read_text().endswith("}")) or process.poll() is not None)
        assert process.poll() is None, (folder / "log").read_text()
        yield int(json.loads(ports.read_text())["nats"][0].rpartition(":")[2])
    finally:
        process.terminate()
        process.wait(20)


def nats_call(url: str, method: str, /, *arguments: Any, **settings: Any) -> Any:
    """Call a method of JetStream."""

    async def call() -> Any:
        client = await nats.connect(url, connect_timeout=20, allow_reconnect=False)
        try:
            return await getattr(client.jetstream(timeout=20), method)(*arguments, **settings)
        finally:
            await client.close()

    return asyncio.run(call())


def stored(url: str, stream: str) -> list[tuple[str, bytes]]:
    """Return key and body of each message of a stream."""
    count = nats_call(url, "stream_info", stream).state.messages
    messages = [nats_call(url, "get_msg", stream, seq=number + 1) for number in range(count)]
    return [(each.headers["Nats-Msg-Id"], each.data) for each in messages]
