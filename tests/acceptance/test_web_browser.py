"""The web console in a real browser: headless Chromium does what a person would do."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import waitress
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support import expected_conditions
from selenium.webdriver.support.ui import WebDriverWait

from lustre_events.domain.action_run import DEAD
from lustre_events.web.pages.search import PAGE
from tests.support.index.tables import add_file
from tests.support.need import need
from tests.support.service.pictures import whole_png, with_picture
from tests.support.service.runs import GONE, answers, run_of
from tests.support.service.web import READER, SCRIPT, Console, make_console

WAIT_SECONDS = 20
RUN = f"/actions/runs/{4:040x}"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    made = make_console(tmp_path_factory.mktemp("console"))
    made.answers = answers(run_of(4, b"torn.h5", DEAD), run_of(2, SCRIPT), run_of(77, GONE, trigger="removed"))
    made.answers |= {"reprocess": {"taken": 1_000, "rows": 6, "pending": 6, "waits": ""}}
    with contextlib.closing(sqlite3.connect(made.index, isolation_level=None)) as connection:
        for number in range(PAGE + 10):
            add_file(connection, 100 + number, b"many/%03d.dat" % number, size=number, mode=0o644)
        add_runs(connection)
    return made


def add_runs(connection: sqlite3.Connection) -> None:
    """Add what a beamline leaves: six scans of two instruments, in three months, a picture and notes."""
    uid, march_ns, month_ns = os.geteuid(), 1_772_700_000 * 10**9, 31 * 86_400 * 10**9
    for number in range(6):
        common = {
            "instrument": [("ARPES", "XRD")[number % 2]],
            "sample": [f"Si-{number}"],
            "keywords": ["beamline"],
        }
        preview = {"tree": [{"path": "entry"}, {"path": "entry/counts", "about": "int64 64"}],
                   "lines": [{"name": "entry/counts", "count": 3, "low": [1, 5, 2]}]}  # fmt: skip
        body = {"common": common, "temperature": 10 + number, "definition": "NXmx", "preview": preview}
        add_file(
            connection, 300 + number, b"beam/scans/run-%d.nxs" % number, {"hdf5": body}, mode=0o644, uid=uid, gid=0,
            size=10**number, mtime_ns=march_ns + number // 2 * month_ns,
        )  # fmt: skip
    picture = {"image": {"width": 40} | with_picture(whole_png(40, 20))}
    add_file(connection, 310, b"beam/sample.png", picture, mode=0o644, uid=uid, gid=0, size=90, mime="image/png")
    endless = {"k" * 200: "v" * 500, "a": {"b" * 100: 1}, "table": "t" * 300}
    add_file(
        connection, 312, b"d" * 200 + b"/" + b"n" * 250 + b".wide", {"e" * 60: endless}, mode=0o644, uid=uid, gid=0,
        mime="application/" + "x" * 80,
    )  # fmt: skip
    notes = {"text": {"preview": {"excerpt": "Cooled with liquid helium at night."}, "excerpt": "liquid helium"}}
    add_file(connection, 311, b"beam/notes.txt", notes, mode=0o644, uid=uid, gid=0, size=30)


@pytest.fixture(scope="module")
def address(console: Console) -> Iterator[str]:
    """Where the console is served."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        server = waitress.create_server(console.app(), sockets=[listener], threads=4)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.close()
        thread.join(5)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, address: str) -> Iterator[Chrome]:
    """A browser of somebody who has logged in."""
    options = ChromeOptions()
    options.binary_location = need("chromium")
    for option in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--window-size=1200,900",
    ):
        options.add_argument(option)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options=options, service=ChromeService(need("chromedriver")))
    driver.set_page_load_timeout(WAIT_SECONDS)
    try:
        driver.get(address)
        driver.find_element(By.NAME, "user").send_keys(READER)
        driver.find_element(By.NAME, "password").send_keys(f"secret {READER}\n")
        wait(driver, "#q")
        yield driver
    finally:
        driver.quit()


def wait(browser: Chrome, selector: str) -> None:
    """Wait until an element is there."""
    WebDriverWait(browser, WAIT_SECONDS).until(lambda driver: driver.find_elements(By.CSS_SELECTOR, selector))


def follow(browser: Chrome, selector: str) -> None:
    """Click what leads to another page that may look like this one, and wait until that is there."""
    before = browser.find_element(By.TAG_NAME, "html")
    browser.find_element(By.CSS_SELECTOR, selector).click()
    WebDriverWait(browser, WAIT_SECONDS).until(expected_conditions.staleness_of(before))
    wait(browser, "main")


def look(browser: Chrome, name: str, folder: Path) -> None:
    """Keep what the page looks like, and see that it is not wider than the window and that nothing was refused."""
    browser.save_screenshot(str(folder / f"{name}.png"))
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert [entry["message"] for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []


def text(browser: Chrome, selector: str = "main") -> str:
    return browser.find_element(By.CSS_SELECTOR, selector).text


def test_from_a_search_over_a_facet_to_a_file(browser: Chrome, address: str, tmp_path: Path) -> None:
    """Type a query, narrow it by a facet, open the file: its document stands there, and its name is only text."""
    browser.get(address)
    browser.find_element(By.ID, "q").send_keys("columns:temperature\n")
    wait(browser, ".hits li")
    assert "2 files" in text(browser)
    look(browser, "search", tmp_path)
    follow(browser, ".facet li a")
    wait(browser, ".hits li")
    assert " AND " in str(browser.find_element(By.ID, "q").get_attribute("value"))
    browser.find_element(By.PARTIAL_LINK_TEXT, "img src").click()
    wait(browser, ".document")
    assert SCRIPT.decode() in text(browser, "h1")
    assert "temperature, <b>bold</b>" in text(browser)
    assert browser.find_elements(By.TAG_NAME, "img") == []
    look(browser, "file", tmp_path)


def test_one_page_follows_the_other(browser: Chrome, address: str) -> None:
    """The link below the hits leads to the following ones, until there are no more; no file is shown twice."""
    browser.get(f"{address}/?q=ext:dat&facets=1&sort=size")
    first = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".hits .path")]
    follow(browser, ".more")
    wait(browser, ".hits li")
    second = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".hits .path")]
    assert (len(first), len(second)) == (PAGE, 10)
    assert set(first).isdisjoint(second)
    assert browser.find_elements(By.CSS_SELECTOR, ".more") == []


def test_a_search_is_saved_and_forgotten(browser: Chrome, address: str) -> None:
    """Saved searches stand on the first page, until they are forgotten."""
    browser.get(f"{address}/?q=type:f&facets=1")
    browser.find_element(By.ID, "save").click()
    wait(browser, ".said")
    browser.get(address)
    wait(browser, "#saved a")
    assert text(browser, "#saved a") == "type:f"
    follow(browser, "#saved button")
    wait(browser, ".help")
    assert browser.find_elements(By.ID, "saved") == []


def test_a_failed_file_is_tried_again(browser: Chrome, address: str, console: Console, tmp_path: Path) -> None:
    """Choose all failures, press the button: the dispatcher is asked, and the page says so."""
    browser.get(f"{address}/failures")
    look(browser, "failures", tmp_path)
    browser.find_element(By.ID, "all").click()
    browser.find_element(By.CSS_SELECTOR, "button[value=retry]").click()
    wait(browser, ".said")
    assert "To be retried: 1 file." in text(browser, ".said")
    assert console.asked[-1][0] == "retry"


def test_a_wrong_query_says_where(browser: Chrome, address: str) -> None:
    """The sentence and the caret under the place are shown."""
    browser.get(f"{address}/?q=size:[1 TO")
    assert "^" in text(browser, ".mistake")
    assert "400" in browser.get_log("browser")[-1]["message"]


PAGES = (
    "/", "/?q=type:f&facets=1", "/?q=ext:nxs", "/?q=colunms:time", "/?q=size:[1 TO", "/?q=name:run-3.nxs",
    "/directory", "/directory?path=/beam/scans", "/overview", "/extractors", "/failures", "/actions", RUN,
    "/history",
    "/?q=ext:wide&facets=1", f"/?q={'q' * 300}", f"/?q=size:{'q' * 300}", f"/directory?path=/{'d' * 200}",
    f"/history?path=/{'d' * 200}", f"/failures?extractor={'e' * 60}",
    "/fields", "/fields?prefix=temp", "/fields?prefix=kkk", "/saved", "/tokens", "/nothing",
)  # fmt: skip
FILES = ("/?q=name:run-3.nxs&facets=1", "/?q=ext:wide")
"""Pages of the console, some about names and words without end; and where a file's page is opened from a hit."""
TOO_WIDE = """
const wide = document.documentElement.clientWidth;
const scrolls = (each) => { for (let at = each; at; at = at.parentElement) {
  if (["auto", "scroll", "hidden"].includes(getComputedStyle(at).overflowX)) return true; } return false; };
return [...document.body.querySelectorAll("*")]
  .filter((each) => { const box = each.getBoundingClientRect();
    return box.width && (box.right > wide + 0.5 || box.left < 0) && !scrolls(each) && !each.matches(".skip"); })
  .map((each) => `${each.tagName}.${each.className} ${each.getBoundingClientRect().right}`);
"""
"""Elements that reach beyond the screen, other than within what is scrolled by itself."""


@contextlib.contextmanager
def telephone(browser: Chrome, scheme: str) -> Iterator[None]:
    """Let the screen be as narrow as that of a telephone, light or dark."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize(("scheme", "back"), [("dark", "rgb(20, 24, 28)"), ("light", "rgb(255, 255, 255)")])
def test_narrow_and_dark_screens(browser: Chrome, address: str, scheme: str, back: str, tmp_path: Path) -> None:
    """On a telephone nothing of any page has to be scrolled sideways, and in the dark the page is dark."""
    found = {}
    with telephone(browser, scheme):
        for number, path in enumerate([*PAGES, *FILES]):
            browser.get(f"{address}{path}")
            if path in FILES:
                follow(browser, ".hits .path")
            height = browser.execute_script("return document.documentElement.scrollHeight")
            browser.execute_cdp_cmd(
                "Emulation.setDeviceMetricsOverride",
                {"width": 390, "height": min(3000, height), "deviceScaleFactor": 1, "mobile": True},
            )
            browser.save_screenshot(str(tmp_path / f"{number:02d}.png"))
            width = browser.execute_script("return document.documentElement.scrollWidth")
            assert browser.execute_script("return getComputedStyle(document.body).backgroundColor") == back
            if width > 390 or browser.execute_script(TOO_WIDE):
                found[path] = (width, browser.execute_script(TOO_WIDE))
    browser.get_log("browser")
    assert found == {}


def test_keys_lead_from_hit_to_hit(browser: Chrome, address: str) -> None:
    """`j` goes to the next hit, `k` to the one before, `/` to the query; in the query they are letters."""
    browser.get(f"{address}/?q=ext:nxs")
    names = [each.text for each in browser.find_elements(By.CSS_SELECTOR, ".hits .path")]
    seen = []
    for key in "jjjk":
        browser.switch_to.active_element.send_keys(key)
        seen.append(browser.switch_to.active_element.text)
    assert seen == [names[0], names[1], names[2], names[1]]
    browser.switch_to.active_element.send_keys("/")
    browser.switch_to.active_element.send_keys("jk/")
    assert browser.find_element(By.ID, "q").get_attribute("value") == "jk/"


class Researcher:
    """Does what a person does, and counts it: each thing that is typed or clicked."""

    def __init__(self, browser: Chrome, address: str) -> None:
        self.browser = browser
        self.actions = 0
        browser.get(address)

    def ask(self, query: str, place: str = "#q") -> Researcher:
        """Type a query and press Enter: two actions."""
        field = self.browser.find_element(By.CSS_SELECTOR, place)
        field.clear()
        return self._acts(lambda: field.send_keys(query + "\n"), 2)

    def open(self, selector: str, words: str = "") -> Researcher:
        """Click the first thing that has these words."""
        WebDriverWait(self.browser, WAIT_SECONDS).until(lambda _: self._found(selector, words))
        return self._acts(self._found(selector, words)[0].click, 1)

    def unfold(self, selector: str) -> Researcher:
        """Click what folds something out, on the same page."""
        self.browser.find_element(By.CSS_SELECTOR, selector).click()
        self.actions += 1
        return self

    def _found(self, selector: str, words: str) -> list[WebElement]:
        return [each for each in self.browser.find_elements(By.CSS_SELECTOR, selector) if words in each.text]

    def _acts(self, act: Callable[[], None], actions: int) -> Researcher:
        """Do what leads to another page, and wait until that is there."""
        before = self.browser.find_element(By.TAG_NAME, "html")
        act()
        WebDriverWait(self.browser, WAIT_SECONDS).until(expected_conditions.staleness_of(before))
        wait(self.browser, "main")
        self.actions += actions
        return self


NARROW_BY_DATE = '.histogram a[aria-label^="2026-04"]'
TASKS: dict[str, tuple[Callable[[Researcher], object], str, str]] = {
    "by instrument and date": (
        lambda me: me.ask("ext:nxs").open(".facet li a", "arpes").open(NARROW_BY_DATE), ".hits .path", "run-2.nxs",
    ),
    "by two keys": (
        lambda me: me.ask("common.instrument:XRD AND temperature:>13"), ".hits .path", "run-5.nxs",
    ),
    "by picture": (lambda me: me.ask("mime:image/*").open(".hits .path"), "h1", "sample.png"),
    "a typo": (lambda me: me.ask("temprature:12").open(".hints a"), ".hits .path", "run-2.nxs"),
    "own failures": (
        lambda me: me.open("nav a", "Failures").unfold("#all").open("button[value=retry]"), ".said", "retried",
    ),
    "a sentence in a text": (lambda me: me.ask("helium").open(".hits .path"), ".excerpt mark", "helium"),
    "what is in an HDF5 file": (lambda me: me.ask("name:run-3.nxs").open(".hits .path"), ".tree", "counts int64"),
    "how much lies where": (
        lambda me: me.open("nav a", "Directories").open(".directories a", "beam"), ".directories", "6 files",
    ),
    "which keys there are": (
        lambda me: me.open("nav a", "Fields").ask("definition", "#prefix").open(".list a.path", "definition"),
        ".sum", "6 files",
    ),
    "extract own hits again": (
        lambda me: me.ask("extractor:hdf5").unfold(".done summary").open(".done button"), ".said", "6 files",
    ),
}  # fmt: skip
"""What a researcher comes for: what is done, where the answer then stands, and what it says."""
MOST_ACTIONS = 5


@pytest.mark.parametrize("task", TASKS)
def test_a_researcher_gets_there_in_five_actions(browser: Chrome, address: str, task: str) -> None:
    """Each task of a researcher takes at most five things to type or click, from the first page on."""
    does, place, answer = TASKS[task]
    me = Researcher(browser, address)
    does(me)
    wait(browser, place)
    assert answer in text(browser, place)
    assert me.actions <= MOST_ACTIONS
    broken = "return [...document.images].filter((each) => each.complete && !each.naturalWidth).length"
    assert browser.execute_script(broken) == 0
    if task == "by picture":
        assert browser.find_elements(By.CSS_SELECTOR, ".picture img")
