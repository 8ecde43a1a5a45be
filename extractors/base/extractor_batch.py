"""The loop of a batch extractor, for programs in the base image: `extractor_batch.run(extract)`.

Reads one JSON line per file from stdin, calls `extract(path)`, and writes its document, or what went wrong, as one
JSON line to stdout; then the end marker. An exception in one file is that file's error and harms no other.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Extract = Callable[[str], dict[str, Any]]


def run(extract: Extract) -> None:
    """Answer every line of stdin. `extract` gets a path and returns a dict, or raises what the file's error is."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # a library that prints would spoil an answer
    count = 0
    for line in sys.stdin:
        asked = json.loads(line)
        out.write(_answer(asked, extract) + "\n")
        out.flush()
        count += 1
    out.write(json.dumps({"end": count}) + "\n")
    out.close()


def _answer(asked: dict[str, str], extract: Extract) -> str:
    try:
        return json.dumps({"id": asked["id"], "document": extract(asked["path"])}, allow_nan=False)
    except MemoryError:
        error = "it needs more memory than the extractor may use"
    except Exception as exc:  # noqa: BLE001 - whatever a library makes of a broken file is that file's error
        error = f"{type(exc).__name__}: {exc}"
    return json.dumps({"id": asked["id"], "error": error[:500]})
