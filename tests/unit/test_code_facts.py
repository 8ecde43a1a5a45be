"""Code: what a script defines and imports is what was written into it; what is left out is said."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import load
from workers.contract import checked

CODE = load("code")
NAMES = st.lists(st.from_regex(r"[a-z]{2,8}_[a-z]{1,8}", fullmatch=True), min_size=1, max_size=8, unique=True)


def document(path: Path, content: bytes) -> dict[str, Any]:
    """Return the document of a script or notebook."""
    path.write_bytes(content)
    return checked(CODE.extract(str(path)))


@examples(50, HealthCheck.function_scoped_fixture)
@given(modules=NAMES, functions=NAMES, classes=NAMES, form=st.sampled_from(["script", "gzip", "notebook"]))
def test_random_python_has_its_names(
    tmp_path: Path, modules: list[str], functions: list[str], classes: list[str], form: str
) -> None:
    """Imports, functions and classes are those that were written, in scripts and in the cells of notebooks."""
    parts = [f"import {name}.part as p" for name in modules]
    parts += [f"def {name}(x):\n    return 'import nothing'" for name in functions]
    parts += [f"class {name}:\n    pass" for name in classes]
    if form == "notebook":
        cells = [{"cell_type": "code", "source": part.splitlines(keepends=True), "outputs": []} for part in parts]
        content = json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}).encode()
    else:
        content = "\n".join(parts).encode()
    found = document(tmp_path / "a.py", gzip.compress(content) if form == "gzip" else content)

    assert found["imports"] == sorted(modules)
    assert found["imported_modules"] == sorted(f"{name}.part" for name in modules)
    assert (found["functions"], found["classes"]) == (functions, classes)
    assert "partial" not in found


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """More names, headings or source than are kept make a document partial, with the reason."""
    many = document(tmp_path / "a.py", "".join(f"def f{n}(): pass\n" for n in range(1500)).encode())
    cell = {"cell_type": "markdown", "source": "".join(f"# h{n}\n" for n in range(300))}
    notebook = document(tmp_path / "b", json.dumps({"cells": [cell], "nbformat": 4}).encode())
    long = document(tmp_path / "c.py", b"import a\n" + b"# comment\n" * 30_000)

    assert (len(many["functions"]), many["partial"]) == (1000, "functions are the first 1000")
    assert (len(notebook["headings"]), notebook["partial"]) == (200, "headings are the first 200")
    assert "line by line" in long["partial"]


SCRIPT = b"""#!/bin/bash

#SBATCH --job-name=real
# a comment
#SBATCH -p gpu
  # an indented one
#SBATCH --time=10

#SBATCH --nodes=2
module load gcc
#SBATCH --account=late
cat > other.sh <<END
#SBATCH --qos=high
END
"""


def test_options_behind_the_first_command_are_none(tmp_path: Path) -> None:
    """`sbatch --test-only -vv` of Slurm 22.05 says of this script: job-name, partition, time and nodes, no more."""
    found = document(tmp_path / "a.sh", SCRIPT)
    assert found["sbatch"] == {"job_name": "real", "partition": "gpu", "time": 10, "nodes": 2}
    assert found["time_limit_seconds"] == 600


def test_a_script_that_writes_jobs_is_not_a_job(tmp_path: Path) -> None:
    """Options that a script writes into another one are not its own."""
    found = document(
        tmp_path / "a.sh", b"#!/bin/bash\ncat > job.sh <<END\n#SBATCH --qos=high\nEND\nsbatch job.sh\n"
    )
    assert (found["format"], "sbatch" in found) == ("shell", False)
