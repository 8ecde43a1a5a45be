"""A whole service with indexers: reader, dispatcher, workers, and documents that others write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.need import need
from tests.support.servers.postgresql import start_postgresql
from tests.support.service.command import clean_environment, lustre_events
from tests.support.service.service import Service
from tests.support.waiting import wait_for

WAIT_SECONDS = 150.0


@pytest.mark.timeout(600)
def test_a_site_has_its_documents_with_indexers_and_without(open_folder: Path) -> None:
    """Indexers write them where they are set; switched off, the dispatcher does, and nothing is missing."""
    need("redis-server")
    with start_postgresql() as server, Service(open_folder) as service:
        service.index = server.url()
        without = service.config.read_text().replace(f"sqlite:///{open_folder / 'index.db'}", service.index)
        service.config.write_text(without.replace("[index]\n", "[index]\nindexers = 2\n"))
        node = service.run()
        _write(service, "first")
        service.converge("with indexers", seconds=WAIT_SECONDS)
        told = _status(service)["indexers"]
        assert len(told["indexers"]) == 2
        assert sum(each["documents"] for each in told["indexers"].values()) >= 5
        node.terminate()
        node.wait(60)

        service.config.write_text(without)
        service.run()
        _write(service, "second")
        service.converge("without indexers", seconds=WAIT_SECONDS)
        wait_for(lambda: _status(service)["indexers"]["waiting"] == 0, WAIT_SECONDS)


def _write(service: Service, name: str) -> None:
    for number in range(5):
        (service.files / f"{name}{number}.csv").write_text("a,b\n" + "1.5,2\n" * (number + 5))


def _status(service: Service) -> Any:
    done = lustre_events("status", "--json", "--config", str(service.config), environment=clean_environment({}))
    return json.loads(done.stdout)
