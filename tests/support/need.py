"""The real parts that tests need: a missing one skips at home and fails in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def need(program: str) -> str:
    """Return the path of `program`; without it the test skips at home and fails where CI is set."""
    path = shutil.which(program)
    if path is None:
        missing(f"{program} is not installed")
    return path


def missing(what: str) -> NoReturn:
    """Skip at home, fail in CI: `what` says which real part is not there."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)
