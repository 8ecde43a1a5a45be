"""Settings of earlier versions: each is refused with one sentence that says what to do instead."""

from __future__ import annotations

FORMER: dict[str, dict[str, str]] = {
    "reader": {
        "codec": "is gone: blocks are always compressed with zstd; remove it",
        "keepalive_seconds": "is gone: the last clear is repeated every 60 s while nothing is new; remove it",
        "poll_seconds": "is gone: the reader waits at most 1 s for new records; remove it",
        "probe_seconds": "is gone: a quiet reader looks at the MDT's index every 60 s; remove it",
    },
    "dispatcher": {
        "batch_records": "is gone: the dispatcher finds the size of its transactions by itself; remove it",
        "breaker_probe_seconds": "is gone: a job tries a suspended extractor every 60 s; remove it",
        "idle_ms": "is gone: the dispatcher waits 100 ms when there is nothing to do; remove it",
        "reprocess_rows": "is gone: at most 2000 files of an extractor are pending for reprocess; remove it",
    },
    "web": {"title": "is gone: the console is called lustre-events; remove it"},
}
"""By section and key."""
