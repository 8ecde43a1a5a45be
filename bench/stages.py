"""All measurements by their names, run one after the other, and what their figures depend on."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench.actions import action_figures
from bench.churn import index_churn
from bench.dispatch import index_throughput
from bench.enriched import enrichment
from bench.extract import extraction
from bench.finding import finding_figures
from bench.growth import postgresql_growth
from bench.history import history_figures
from bench.index import index_figures, index_growth
from bench.lock_holding import lock_held
from bench.metering import metrics_overhead
from bench.options import Figures, Options
from bench.reader import reader_memory, reader_throughput
from bench.scan import scan_throughput
from bench.suite import extractors
from bench.web import web_search
from lustre_events.errors import ConfigError

STAGES: dict[str, Callable[[Options], Figures]] = {
    "reader": reader_throughput,
    "reader-memory": reader_memory,
    "dispatcher": index_throughput,
    "enriched": enrichment,
    "lock": lock_held,
    "index": index_figures,
    "actions": action_figures,
    "history": history_figures,
    "churn": index_churn,
    "scan": scan_throughput,
    "extract": extraction,
    "suite": extractors,
    "web": web_search,
    "finding": finding_figures,
    "metrics": metrics_overhead,
}


LARGE: dict[str, Callable[[Options], Figures]] = {
    "index-growth": index_growth,
    "index-growth-postgresql": postgresql_growth,
}
"""What takes hours: only where it is named."""


def run(names: list[str], options: Options) -> Figures:
    """Run the named stages (all if none is named) and return their figures.

    Raises:
        ConfigError: there is no such stage.
    """
    figures: Figures = {}
    for name in names or list(STAGES):
        stage = STAGES.get(name) or LARGE.get(name)
        if stage is None:
            raise ConfigError(f"no benchmark {name!r}; known are: {', '.join([*STAGES, *LARGE])}")
        figures |= stage(options)
    return figures


def circumstances() -> dict[str, Any]:
    """Return what a figure depends on: machine, versions, commit."""
    packages = ("lustre-events", "redis", "rq", "msgspec", "zstandard", "spython")
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        found["commit"] = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True, timeout=10,
            cwd=Path(__file__).parent,
        ).stdout.strip()  # fmt: skip
    return found


def to_json(figures: Figures) -> str:
    """Return figures and circumstances as the JSON object that bench.json holds."""
    return json.dumps({**{name: round(value, 4) for name, value in figures.items()}, **circumstances()}, indent=2)
