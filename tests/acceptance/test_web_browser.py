"""The web console in a real browser: headless Chromium does what a person would do."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import waitress
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from lustre_events.domain.action_run import DEAD
from lustre_events.web.search import PAGE
from tests.support.index.tables import add_file
from tests.support.need import need
from tests.support.service.runs import GONE, answers, run_of
from tests.support.service.web import READER, SCRIPT, Console, make_console

WAIT_SECONDS = 20
RUN = f"/actions/runs/{4:040x}"


@pytest.fixture(scope="module")
def console(tmp_path_factory: pytest.TempPathFactory) -> Console:
    made = make_console(tmp_path_factory.mktemp("console"))
    made.answers = answers(run_of(4, b"torn.h5", DEAD), run_of(2, SCRIPT), run_of(77, GONE, trigger="removed"))
    with contextlib.closing(sqlite3.connect(made.index, isolation_level=None)) as connection:
        for number in range(PAGE + 10):
            add_file(connection, 100 + number, b"many/%03d.dat" % number, size=number, mode=0o644)
    return made


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
    browser.find_element(By.CSS_SELECTOR, ".facet li a").click()
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
    browser.find_element(By.CSS_SELECTOR, ".more").click()
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
    browser.find_element(By.CSS_SELECTOR, "#saved button").click()
    wait(browser, ".help")
    assert browser.find_elements(By.ID, "saved") == []


def test_a_failed_file_is_tried_again(browser: Chrome, address: str, console: Console, tmp_path: Path) -> None:
    """Choose all failures, press the button: the dispatcher is asked, and the page says so."""
    browser.get(f"{address}/failures")
    look(browser, "failures", tmp_path)
    browser.find_element(By.ID, "all").click()
    browser.find_element(By.CSS_SELECTOR, "button[value=retry]").click()
    wait(browser, ".said")
    assert "To be tried again: 1 file." in text(browser, ".said")
    assert console.asked[-1][0] == "retry"


def test_a_wrong_query_says_where(browser: Chrome, address: str) -> None:
    """The sentence and the caret under the place are shown."""
    browser.get(f"{address}/?q=size:[1 TO")
    assert "^" in text(browser, ".mistake")
    assert "400" in browser.get_log("browser")[-1]["message"]


@pytest.mark.parametrize(
    "path", ["/", "/?q=type:f&facets=1", "/overview", "/extractors", "/failures", "/actions", RUN]
)
def test_narrow_and_dark_screens(browser: Chrome, address: str, path: str, tmp_path: Path) -> None:
    """On a telephone nothing has to be scrolled sideways, and in the dark the page is dark."""
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        browser.get(f"{address}{path}")
        look(browser, "narrow", tmp_path)
        dark = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert dark == "rgb(20, 24, 28)"
