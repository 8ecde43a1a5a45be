"""The console's search page: what its server takes for the twenty queries, facets and count included."""

from __future__ import annotations

import gc
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from bench.index import QUERIES, queries
from bench.options import Figures, Options, percentile
from bench.synthetic import fill
from lustre_events.config.settings import WebSettings
from lustre_events.errors import ConfigError
from lustre_events.index import open_search, open_writer

RUNS = 10
VIEWER = "nobody"
"""Who searches: nobody who may see everything anyway."""

HEADER = "X-Remote-User"


def web_search(options: Options) -> Figures:
    """Return the figures of an index of `options.files` files."""
    with tempfile.TemporaryDirectory(prefix="lustre-events-bench-") as folder:
        path = Path(folder) / "index.db"
        writer = open_writer(f"sqlite:///{path}")
        fill(writer, options.files)
        writer.close()
        took = [milliseconds for _, milliseconds in pages(f"sqlite:///{path}")]
    return {
        "web.search_p95_ms": percentile(took, 95),
        "web.search_median_ms": percentile(took, 50),
    }


def pages(url: str) -> Iterator[tuple[str, float]]:
    """Yield each query and how long the server took for its page (ms), several times.

    Raises:
        ConfigError: a page was not given, or Flask is not installed.
    """
    client = client_of(url)
    for query, sort in queries(QUERIES):
        asked = {"q": query, "sort": sort or "", "facets": "1"}
        for _ in range(RUNS):
            began = time.perf_counter()
            answer = client.get("/", query_string=asked, headers={HEADER: VIEWER})
            took = (time.perf_counter() - began) * 1000
            if answer.status_code != 200:
                raise ConfigError(f"the page of {query!r} failed with {answer.status_code}: {answer.text[-500:]}")
            yield query, took


def client_of(url: str, store: Any = None) -> Any:
    """Return a client of a console over an index; `store` has tokens.

    Raises:
        ConfigError: Flask is not installed.
    """
    try:
        from lustre_events.web import make_app  # noqa: PLC0415 - Flask is optional
        from lustre_events.web.app import Site  # noqa: PLC0415
        from lustre_events.web.charts import History  # noqa: PLC0415
        from lustre_events.web.login import Login  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        raise ConfigError(f"the console needs {exc.name}: pip install 'lustre-events[web]'") from exc

    def never(*_: Any) -> NoReturn:
        raise ConfigError("this console only searches")

    login = Login(None, HEADER, ("127.0.0.1",))
    settings = WebSettings(requests_per_minute=0)
    site = Site(settings, login, lambda: open_search(url), never, never, History(never))
    if store is not None:
        site = replace(site, store=store)
    client = make_app(site).test_client()
    gc.freeze()  # as `lustre-events web` does
    return client
