"""Make the pictures of the pages: `python docs/pictures.py`. Diagrams come from text, screenshots from a service.

The diagram of a record's way is drawn as SVG. The screenshots show a service on sample files of the extractors,
looked at with Chromium; that needs the images of `make images`, Chromium and the extra `test`.
"""

from __future__ import annotations

import contextlib
import html
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from lustre_events.catalog import shipped
from lustre_events.index import open_search
from lustre_events.node.sandbox import Sandbox, default_images, sandbox

PICTURES = Path(__file__).resolve().parent / "pictures"

BOXES = """
reader      | 20  60 150 | reader        | one per MDT, raw blocks
stream      | 210 60 150 | Redis stream  | one per MDT, on disk
dispatcher  | 400 60 150 | dispatcher    | the index's only writer
queues      | 590 60 150 | RQ queues     | short jobs
workers     | 780 60 150 | workers       | compute nodes
mdt         | 20 190 150 | MDT changelog | cleared when it is safe
courier     | 210 190 150 | courier      | webhooks and mail
index       | 400 190 150 | index        | SQLite or PostgreSQL
results     | 590 190 150 | results      | documents, facts
extractors  | 780 190 150 | extractors   | containers of your own
search      | 400 320 150 | search       | CLI, console, API, Python
"""
ARROWS = """
mdt reader, reader stream, stream dispatcher, dispatcher queues, queues workers, workers extractors
extractors results, results dispatcher, dispatcher index, index search, dispatcher courier
"""
HEIGHT = 64
SHOTS = {
    "search": ("/?q=temperature&facets=1", 1100, 716),
    "file": ("/?q=name:air.nc", 1100, 873),
}
"""The pages, each with the size of its window; of `file` the first hit is opened."""
FILES = {
    "beamline": ("hdf5/samples/nexus.nxs raw/si-0001.nxs", "tabular/samples/weather.csv raw/cryostat.csv"),
    "climate": (
        "hdf5/samples/model.nc runs/model-7/air.nc",
        "grid/samples/forecast.grib2 forecasts/2026030206.grib2",
    ),
    "genomics": ("genomics/samples/toy.bam work/leaf.bam", "genomics/samples/toy.vcf work/leaf.vcf"),
}
MOUNT = "/lustre"
"""What the pages call the mount point."""
USER, PASSWORD = "root", "a password for pictures"
WAIT_SECONDS = 120


def diagram() -> str:
    """Return the way of a record as SVG: a box for each part, an arrow for each hand-over."""
    places = {}
    boxes = []
    for line in BOXES.strip().splitlines():
        name, place, title, about = (part.strip() for part in line.split("|"))
        x, y, width = map(int, place.split())
        places[name] = (x, y, width)
        middle = x + width // 2
        boxes.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{HEIGHT}" rx="8"/>'
            f'<text class="title" x="{middle}" y="{y + 28}">{html.escape(title)}</text>'
            f'<text x="{middle}" y="{y + 48}">{html.escape(about)}</text>'
        )
    arrows = [
        _arrow(*(places[name] for name in pair.split())) for pair in ARROWS.replace("\n", ",").split(",") if pair
    ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 950 410" role="img" '
        'aria-label="The way of a record: MDT, reader, Redis stream, dispatcher, queues, workers, index, search">'
        "<style>rect{fill:#f4f7fa;stroke:#356}text{font:11px sans-serif;text-anchor:middle;fill:#234}"
        ".title{font-size:14px;font-weight:bold}path{stroke:#356;fill:none;stroke-width:1.5;marker-end:url(#end)}</style>"
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8z" style="fill:#356;stroke:none;marker-end:none"/></marker></defs>'
        f'<rect width="950" height="410" style="fill:#fff;stroke:none"/>{"".join(boxes + arrows)}</svg>\n'
    )


def _arrow(start: tuple[int, int, int], end: tuple[int, int, int]) -> str:
    (x1, y1, width1), (x2, y2, width2) = start, end
    if y1 == y2:
        forward = x2 > x1
        return _line(x1 + width1 * forward, y1 + HEIGHT // 2, x2 + width2 * (not forward), y2 + HEIGHT // 2)
    down = y2 > y1
    sideways = (x2 > x1) - (x2 < x1)
    return _line(
        x1 + width1 // 2 + sideways * 40, y1 + HEIGHT * down,
        x2 + width2 // 2 - sideways * 40, y2 + HEIGHT * (not down),
    )  # fmt: skip


def _line(x1: int, y1: int, x2: int, y2: int) -> str:
    return f'<path d="M{x1} {y1} {x2} {y2}"/>'


def screenshots() -> None:
    """Start a service, let it index sample files, and keep what its console looks like."""
    rules = "".join(
        f'[[rule]]\nextensions = {extensions}\nextractor = "{name}"\n'
        for name, extensions in (
            ("hdf5", ["nc", "nxs"]), ("tabular", ["csv"]), ("grid", ["grib2"]), ("genomics", ["bam", "vcf"]),
        )
    )  # fmt: skip
    with sandbox("pictures", rules, default_images(), "apptainer") as box:
        for group, files in FILES.items():
            for each in files:
                source, target = each.split()
                place = box.files / group / target
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(shipped.extractors() / source, place)
                place.chmod(0o644)
        count = sum(map(len, FILES.values()))
        box.wait(lambda: _documents(box) == count, "all documents are in the index", WAIT_SECONDS)
        with _console(box) as address, _browser(box.folder) as browser:
            _log_in(browser, address)
            for name, (page, width, height) in SHOTS.items():
                browser.set_window_size(width, height)
                browser.get(address + page)
                if name == "file":
                    browser.find_element(By.CSS_SELECTOR, ".hits .path").click()
                    time.sleep(1)
                browser.save_screenshot(str(PICTURES / f"{name}.png"))


def _documents(box: Sandbox) -> int:
    with open_search(box.index) as search:
        stats = search.stats()
    return 0 if stats.pending else sum(stats.counts.documents.values())


@contextlib.contextmanager
def _console(box: Sandbox) -> Iterator[str]:
    """Serve the console of a service for one user; give its address."""
    command = [sys.executable, "-P", "-m", "lustre_events"]
    line = subprocess.run(
        [*command, "web-password", USER, "--password", PASSWORD],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    users = box.folder / "users"
    users.write_text(line)
    users.chmod(0o640)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    settings = box.folder / "web.toml"
    own = box.settings.read_text().replace(str(box.files), MOUNT)
    settings.write_text(
        f'{own}\n[web]\nlogin = "file"\nusers = "{users}"\nstore = "{box.folder}/store.db"\nadmins = ["{USER}"]\n'
    )
    with subprocess.Popen([*command, "web", "--config", str(settings), "--listen", listen]) as server:
        try:
            host, _, port = listen.partition(":")
            for _ in range(WAIT_SECONDS * 10):
                with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
                    break
                time.sleep(0.1)
            yield f"http://{listen}"
        finally:
            server.terminate()


@contextlib.contextmanager
def _browser(folder: Path) -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = shutil.which("chromium") or "chromium"
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ):
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={folder / 'browser'}")
    driver = Chrome(options=options, service=ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


def _log_in(browser: Chrome, address: str) -> None:
    browser.get(address)
    browser.find_element(By.NAME, "user").send_keys(USER)
    browser.find_element(By.NAME, "password").send_keys(PASSWORD + "\n")
    for _ in range(WAIT_SECONDS):
        if browser.find_elements(By.ID, "q"):
            return
        time.sleep(0.5)
    raise SystemExit("the console did not let the user in")


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    (PICTURES / "record-way.svg").write_text(diagram())
    screenshots()
