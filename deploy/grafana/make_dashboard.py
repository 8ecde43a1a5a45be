"""Write lustre-events.json, the dashboard for Grafana: `python3 make_dashboard.py > lustre-events.json`.

Every panel is one line here: title, unit, and what it asks of Prometheus.
"""

from __future__ import annotations

import json
import sys
from typing import Any

PREFIX = "lustre_events_"
RESULTS = "lustre_events_extractor_results_total"
TRIED = f'sum by (extractor) (rate({RESULTS}{{status=~"ok|failed"}}[15m]))'
TOOK = "sum by (extractor, le) (rate(lustre_events_extractor_file_seconds_bucket[15m]))"
PANELS = (
    ("Records read per second", "ops",
     (("{{mdt}}", "sum by (mdt) (rate(lustre_events_reader_records_read_total[5m]))"),)),
    ("Seconds behind the MDT", "s", (("{{mdt}}", "lustre_events_reader_caught_up_seconds"),)),
    ("Records stored and not indexed", "short", (("{{mdt}}", "lustre_events_reader_behind"),)),
    ("Records not cleared on the MDT", "short",
     (("{{mdt}}", "lustre_events_reader_read_index - lustre_events_reader_cleared_index"),)),
    ("Ranges of lost records", "short", (("{{mdt}}", "lustre_events_reader_continuity_lost"),)),
    ("Memory of Redis in use", "percentunit", (("Redis", "max(lustre_events_redis_memory_share)"),)),
    ("Records indexed per second", "ops",
     (("{{event}}", 'rate(lustre_events_dispatcher_events_total{event=~"records|named|changed|ignored"}[5m])'),)),
    ("Pending work", "short", (("{{reason}}", "lustre_events_pending_rows"),)),
    ("Jobs", "short", (("{{queue}} {{state}}", "lustre_events_queue_jobs"),)),
    ("Workers", "short", (("workers", "lustre_events_workers"),)),
    ("Documents", "short", (("{{extractor}}", "lustre_events_documents"),)),
    ("Failures", "short", (("{{extractor}}", "lustre_events_failures"),)),
    ("Results per second", "ops",
     (("{{event}}", 'rate(lustre_events_dispatcher_events_total{event=~"results_.*"}[5m])'),)),
    ("Files per second, by extractor", "ops",
     (("{{extractor}} {{status}}", f"sum by (extractor, status) (rate({RESULTS}[5m]))"),)),
    ("Part of the files that fail", "percentunit",
     (("{{extractor}}", f'sum by (extractor) (rate({RESULTS}{{status="failed"}}[15m])) / {TRIED}'),)),
    ("Seconds per file", "s",
     (("{{extractor}} p50", f"histogram_quantile(0.5, {TOOK})"),
      ("{{extractor}} p95", f"histogram_quantile(0.95, {TOOK})"))),
    ("Suspended extractors, broken rules", "short",
     (("{{extractor}}", "lustre_events_extractor_suspended > 0"), ("rules", "lustre_events_rules_problems"))),
    ("Age of the oldest pending work", "s", (("{{reason}}", "lustre_events_pending_oldest_due_seconds"),)),
    ("Size of the index", "bytes", (("index", "lustre_events_index_size_bytes"),)),
    ("Objects", "short",
     (("objects", "lustre_events_index_objects"), ("removed names", "lustre_events_index_tombstones"))),
    ("Subscribers behind", "short", (("{{group}}", "lustre_events_group_behind"),)),
    ("Size of the history", "bytes", (("history", "lustre_events_history_size_bytes"),)),
    ("History behind", "short", (("records", "lustre_events_history_behind"),)),
    ("Runs of actions per second", "ops",
     (("{{event}}", 'rate(lustre_events_dispatcher_events_total{event=~"runs_.*"}[5m])'),)),
    ("Runs of actions that wait or are dead", "short",
     (("{{rule}} {{state}}", "lustre_events_action_runs"), ("held {{kind}}", "lustre_events_action_held"))),
    ("Runs of actions done per second", "ops", (("{{rule}}", "rate(lustre_events_action_done_total[5m])"),)),
    ("99 of 100 runs of actions are done within", "s", (("{{rule}}", "lustre_events_action_p99_seconds"),)),
    ("Since the last error of an action", "s", (("{{rule}}", "lustre_events_action_last_error_seconds"),)),
    ("Age of the oldest run that is due", "s", (("oldest", "lustre_events_action_oldest_due_seconds"),)),
    ("Parts that do not answer", "short", (("problems", "lustre_events_problems"),)),
)  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it."""
    return {
        "title": "lustre-events",
        "uid": "lustre-events",
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {
            "list": [{"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": [panel(number, *row) for number, row in enumerate(PANELS)],
    }


def panel(number: int, title: str, unit: str, queries: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return one panel; two stand in a row."""
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": title,
        "datasource": {"type": "prometheus", "uid": "${source}"},
        "gridPos": {"x": 12 * (number % 2), "y": 8 * (number // 2), "w": 12, "h": 8},
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "expr": query, "legendFormat": legend}
            for place, (legend, query) in enumerate(queries)
        ],
    }


if __name__ == "__main__":
    json.dump(dashboard(), sys.stdout, indent=1)
    sys.stdout.write("\n")
