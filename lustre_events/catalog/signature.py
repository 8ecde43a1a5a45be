"""Whether an image is signed by a key that this machine knows."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lustre_events import subprocesses

VERIFY_SECONDS = 60


def refusal(program: str, image: Path) -> str:
    """Return why the signature of an image does not hold, by `apptainer verify`; empty: it does.

    With the keys of this user and machine, without network. `program` is apptainer or singularity.
    """
    try:
        done = subprocesses.run([program, "verify", "--local", image], VERIFY_SECONDS)
    except (OSError, subprocess.SubprocessError) as exc:
        return str(exc)
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return "" if done.returncode == 0 else (lines[-1] if lines else f"exit code {done.returncode}")
