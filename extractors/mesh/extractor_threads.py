"""One thread for numpy's linear algebra, which extractors have no use for: starting more takes time and memory.

Imported before numpy. Families that need it have a copy of extractors/base/extractor_threads.py in their folder.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
