"""Contents of files that tests extract."""

from __future__ import annotations

CSV = b"temperature,place\n1,x\n2.5,y\n"
