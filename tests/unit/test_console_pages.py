"""web/pages/ is laid out as the console's addresses are: who knows where a page is knows its module."""

from __future__ import annotations

from pathlib import Path

from tests.support.service.command import REPOSITORY
from tests.support.service.web import Console

PAGES = REPOSITORY / "lustre_events" / "web" / "pages"
ELSEWHERE = {"": "search", "logout": "login"}
"""Parts of addresses whose module has another name."""
NOT_PAGES = ("static", "api.")


def test_each_page_has_the_module_of_its_address(tmp_path: Path) -> None:
    """What is below /NAME is in web/pages/NAME.py, for every address; no module is without one."""
    app = Console(tmp_path / "index.db", tmp_path / "users").app()
    found = {
        (rule.rule.split("/")[1], app.view_functions[rule.endpoint].__module__.rpartition("pages.")[2])
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.startswith(NOT_PAGES)
    }

    assert found == {(part, ELSEWHERE.get(part, part)) for part, _ in found}
    assert {module for _, module in found} == {path.stem for path in PAGES.glob("[a-z]*.py")}
