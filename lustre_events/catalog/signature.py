"""Whether an image is signed by somebody whom this machine knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

VERIFY_SECONDS = 60


def refusal(program: str, image: Path) -> str:
    """Return why the signature of an image does not hold, by `apptainer verify`; empty: it does.

    With the keys of this user and machine, without network. `program` is apptainer or singularity.
    """
    try:
        done = subprocess.run(
            [program, "verify", "--local", str(image)],
            capture_output=True, text=True, errors="replace", timeout=VERIFY_SECONDS, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as exc:
        return str(exc)
    lines = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else f"exit code {done.returncode}")
