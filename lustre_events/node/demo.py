"""The main job on one machine in a minute: files change, documents appear, searches follow.

Everything real but Lustre: a temporary directory is watched (source `directory`), a private Redis holds the
stream and the queues, an RQ worker runs the extractors in Apptainer containers, the index is SQLite.
"""

from __future__ import annotations

import contextlib
import csv
import json
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from lustre_events.catalog import shipped
from lustre_events.errors import LustreEventsError
from lustre_events.index import open_search
from lustre_events.index.search.hits import Hit, ObjectView, printable
from lustre_events.inspect import status
from lustre_events.jobs.messages import STAT
from lustre_events.node import demo_families, demo_thumbnails
from lustre_events.node.sandbox import Sandbox, Say, choose_runtime, is_built, sandbox

DEADLINE_SECONDS = 120.0  # some seconds are enough, but on a busy machine
FAMILIES_SECONDS = 240.0
LOOK_SECONDS = 0.2
MOST_TOLD = 1 << 20

RULES = """\
[[rule]]
name = "tables"
extensions = ["csv", "tsv", "json", "jsonl"]
extractor = "tabular"

[[rule]]
name = "arrays"
extensions = ["h5", "hdf5", "nc"]
extractor = "hdf5"

[[rule]]
name = "who removes tables"
on = "removed"
extensions = ["csv", "tsv"]
action = "webhook"
endpoint = "listener"
"""

ENDPOINTS = """\
[endpoint.listener]
kind = "webhook"
url = "{url}"
private = true
"""


@dataclass(frozen=True, slots=True)
class DemoFile:
    """A file that the demo writes, and the extractor whose document it must get."""

    path: str
    extractor: str
    write: Callable[[Path], None]


def run(images: Path, say: Say, *, keep: bool, full: bool = False) -> None:
    """Run the demo; with `keep` go on until interrupted, with `full` show a file of every family.

    Raises:
        LustreEventsError: something did not come about in time; the message names the log to read.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that everything is undone
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background jobs inherit it ignored
    runtime = choose_runtime(images, say)
    families = demo_families.chosen(images) if full else {}
    pictures = runtime != "process" and is_built(images, demo_thumbnails.IMAGE)
    rules = RULES + (demo_thumbnails.RULES if pictures else "") + demo_families.rules(families)
    actions = demo_thumbnails.settings() if pictures else ""
    try:
        with (
            _listening() as (url, told),
            sandbox("demo", rules, images, runtime, endpoints=ENDPOINTS.format(url=url), actions=actions) as box,
        ):
            say("Starting reader, dispatcher, worker and courier with a private Redis.")
            _story(box, runtime, say)
            if families:
                _show_families(box, families, runtime, say)
            _say_what_was_told(box, told, say)
            if pictures:
                demo_thumbnails.show(box, say)
            else:
                say("\nNo pictures get thumbnails: that needs Apptainer, and the image `science`\n(make images).")
            say("\nNext: docs/start.md goes through this step by step, with files of your own.")
            if keep:
                _keep(box, say)
    finally:
        say("Stopped, and removed what the demo made.")


def _story(box: Sandbox, runtime: str, say: Say) -> None:
    samples, files, index = _samples(), box.files, box.index
    began = time.monotonic()
    for sample in samples:
        target = files / sample.path
        target.parent.mkdir(parents=True, exist_ok=True)
        sample.write(target)
    say(f"\nWrote {len(samples)} files of {len({s.path.rsplit('.')[-1] for s in samples})} kinds into {files}")

    wanted, written = sum(sample.extractor != STAT for sample in samples), 0

    def settled() -> bool:
        nonlocal written
        with open_search(index) as search:
            found = [hit for s in samples for hit in search.search(f'path:"/{s.path}"') if hit.size is not None]
            stats = search.stats()
            written = sum(stats.counts.documents.values())
            return len(found) == len(samples) and not stats.pending

    box.wait(settled, "all are in the index", DEADLINE_SECONDS, far=lambda: f", {written} of {wanted} documents")
    say(f"Everything is indexed {time.monotonic() - began:.1f} s after the first write.\n")
    with open_search(index) as search:
        for sample in samples:
            (hit,) = search.search(f'path:"/{sample.path}"')
            if sample.extractor not in {STAT, *hit.documents}:
                _without_document(search.show(hit.fid), sample, runtime, say)
        for line in status.index_lines(status.of_index(search.stats())):
            say(f"  {line}")
    _ask(
        index,
        say,
        "columns:temperature AND size:>100",
        "attributes.instrument:ARPES",
        "path:/campaign/** AND rows:[3 TO 50]",
    )

    say("\nNow a directory is renamed, one file is rewritten, one is removed:")
    (files / "campaign").rename(files / "campaign-2026")
    _write_table(files / "campaign-2026/run1/readings.csv", ["time", "pressure"], rows=7)
    (files / "campaign-2026/run2/readings.tsv").unlink()

    def followed() -> bool:
        with open_search(index) as search:
            return (
                search.count("path:/campaign-2026/** AND columns:pressure") == 1
                and search.count("path:/campaign/**") == 0
                and search.count("name:readings.tsv") == 0
                and not search.stats().pending
            )

    box.wait(followed, "the index follows", DEADLINE_SECONDS)
    _ask(index, say, "columns:temperature", "columns:pressure", "path:/campaign-2026/** AND type:f")


def _show_families(box: Sandbox, families: Mapping[str, Path], runtime: str, say: Say) -> None:
    """Write a file of each family, and say what its document has."""
    samples = [
        DemoFile(f"{demo_families.FOLDER}/{name}/{sample.name}", name, _copy_of(sample))
        for name, sample in families.items()
    ]
    for sample in samples:
        (target := box.files / sample.path).parent.mkdir(parents=True)
        sample.write(target)

    def settled() -> bool:
        with open_search(box.index) as search:
            found = search.count(f"path:/{demo_families.FOLDER}/** AND type:f AND size:>=0")
            return found == len(samples) and not search.stats().pending

    box.wait(settled, "the files of all families are in the index", FAMILIES_SECONDS)
    say(f"\nA file of each of {len(samples)} families, and what its document says:")
    with open_search(box.index) as search:
        views = {}
        for sample in samples:
            (hit,) = search.search(f'path:"/{sample.path}"')
            views[sample.extractor] = search.show(hit.fid)
            if sample.extractor not in hit.documents:
                _without_document(views[sample.extractor], sample, runtime, say)
        for line in demo_families.lines(views):
            say(f"  {line}")


@contextlib.contextmanager
def _listening() -> Iterator[tuple[str, list[bytes]]]:
    """Give the address of a listener on this machine, and what it is told."""
    told: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(self.rfile.read(min(int(self.headers["content-length"]), MOST_TOLD)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that http.server uses
            """Say nothing: the demo does."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/", told
    finally:
        server.shutdown()
        server.server_close()


def _say_what_was_told(box: Sandbox, told: list[bytes], say: Say) -> None:
    box.wait(lambda: bool(told), "the listener is told", DEADLINE_SECONDS)
    say("\nA rule sends a message for each table that is removed. A listener got:")
    for body in told:
        event = json.loads(body)
        say(f"  {event['type']}  {printable(str(event['subject']).encode())}")


def _ask(index: str, say: Say, *queries: str) -> None:
    with open_search(index) as search:
        for query in queries:
            hits = search.search(query)
            say(f"\n$ lustre-events search '{query}'   ({len(hits)} {'hit' if len(hits) == 1 else 'hits'})")
            for hit in hits:
                say(f"  {_line(hit)}")


def _without_document(view: ObjectView, sample: DemoFile, runtime: str, say: Say) -> None:
    """Say why a sample has no document: a plain process may lack the packages that the image has."""
    errors = [str(each.failure.get("stderr") or each.failure.get("error", "")) for each in view.failures]
    why = " ".join(errors).strip().splitlines() or ["no reason is known"]
    if runtime != "process":
        raise LustreEventsError(f"{sample.extractor} made no document of /{sample.path}: {why[-1]}")
    say(f"  no document of /{sample.path}, whose extractor failed: {why[-1]}")


def _line(hit: Hit) -> str:
    paths = " = ".join("/" + printable(path) for path in hit.paths)
    return f"{paths}  {hit.size if hit.size is not None else '-'} bytes  [{', '.join(sorted(hit.documents))}]"


def _keep(box: Sandbox, say: Say) -> None:
    say(f"\nKept running. Drop files into {box.files} and search from another terminal:")
    say(f"  {Path(sys.argv[0]).resolve()} search --config {box.settings} 'columns:temperature'")
    with contextlib.suppress(KeyboardInterrupt):
        say("Press Ctrl-C to end it.")
        while True:  # signal.pause would sleep through a signal that comes just before it
            time.sleep(LOOK_SECONDS)


def _copy_of(source: Path) -> Callable[[Path], None]:
    return lambda target: _write(target, source.read_bytes())


def _samples() -> list[DemoFile]:
    def copy(name: str) -> Callable[[Path], None]:
        return _copy_of(shipped.extractors() / name)

    return [
        DemoFile("campaign/run1/readings.csv", "tabular", lambda p: _write_table(p, ["time", "temperature"], 40)),
        DemoFile(
            "campaign/run2/readings.tsv", "tabular", lambda p: _write_table(p, ["time", "temperature"], 20, "\t")
        ),
        DemoFile(
            "campaign/run2/setup.json", "tabular", lambda p: _write(p, json.dumps([{"lens": 3}] * 3).encode())
        ),
        DemoFile("campaign/log, with comma.jsonl", "tabular", _write_lines),
        DemoFile("beamline/sample.h5", "hdf5", copy("hdf5/samples/scan.h5")),
        DemoFile("model/ocean.nc", "hdf5", copy("hdf5/samples/ocean.nc")),
        DemoFile("notes.md", STAT, lambda p: _write(p, b"# notes\n")),
    ]


def _write_table(path: Path, columns: list[str], rows: int, delimiter: str = ",") -> None:
    numbers = random.Random(len(path.name))  # noqa: S311 - sample data
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows([row] + [round(numbers.uniform(2, 300), 2) for _ in columns[1:]] for row in range(rows))


def _write_lines(path: Path) -> None:
    _write(path, "".join(json.dumps({"step": n, "energy": n / 7}) + "\n" for n in range(12)).encode())


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
