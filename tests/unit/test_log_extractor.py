"""Logs: errors, problems and times are those that a person would name, and every line of them is counted."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.support.profiles import examples
from tests.support.programs import load
from tests.support.rows import each_row
from tests.support.service.images import EXTRACTORS
from workers.contract import checked

LOG = load("log")
SHARED = EXTRACTORS / "base" / "extractor_open.py"
ERRORS = """slurmstepd: error: *** JOB 4711 ON node01 CANCELLED AT 2023-11-20T09:00:05 DUE TO TIME LIMIT ***
[2024-03-01 10:04:30] error: swap is in use
ModuleNotFoundError: No module named 'h5py'
2024-06-01 00:10:01,500 [main] FATAL the disk is full
gcc: error: foo.c: it is not there
foo.c:12:5: error: 'x' undeclared
3 errors generated.
make: *** [Makefile:12: all] Error 1
 Error termination via Lnk1e in /g16/l502.exe
     Error in routine c_bands (1):
java.lang.NullPointerException: x
An error occurred in MPI_Allreduce
forrtl: severe (174): SIGSEGV
level=error msg="x"
LustreError: 11-0: scratch-OST0003: operation ost_write failed with rc = -28
Error: 5 files are missing
errors: 3
curl: (22) The requested URL returned error: 404
ERROR 1045 (28000): Access denied
[error] client denied
fatal: not a git repository
 ERROR STOP
Error in f(x) : object 'y' not found
 *** Error in `./a.out': double free or corruption
Error while loading shared libraries""".splitlines()
WARNINGS = """WARNING: box is small
2024-06-01 00:00:02,000 [main] WARN  disk nearly full
foo.c:12:5: warning: unused variable
2 warnings generated.
DeprecationWarning: do not use it""".splitlines()
NONE = """checks: found 0 error
self test: no error, no warnings
mean error: 0.01
Simulation of error propagation
root mean square error = 0.2
standard error 3
 DIIS Error 1.0e-3
 DIIS: error= 7.64D-02 at cycle   1 NSaved=   1.
Reading /path/error.log
#SBATCH --error=slurm-%j.err
finished, 0 errors, 0 warnings
errors: 0
Total error = 1.2e-5
Max error 0.5
error rate 0.2
Relative Error: 1.0E-03
Completed without errors
error_count=0
writing errors.txt
The error of the fit is 0.3
ERRORS = 0
Position error [m]: 0.5
Errors detected: 0
Error (mm)  0.5  0.3
iter  energy   error
 ERROR ON DENSITY 1.0E-3
 Errors in energies
 Checking for errors in input ... done
 fatal errors: 0
 Error on total polarization charges =  0.00728
 ITER EX     TOTAL ENERGY        E CHANGE  DENSITY CHANGE    DIIS ERROR
ordinary line""".splitlines()
PROBLEMS = {
    " Total QAlloc Memory Limit   2000 MB": [], "memory limit: 4 GB": [],
    "to avoid out of memory errors use -m": [],
    "no segmentation fault was seen": [], "CUDA errors: 0": [], "may cause a bus error on some": [],
    "slurmstepd: error: Exceeded job memory limit": ["out_of_memory"], "Memory limit exceeded": ["out_of_memory"],
    "torch.cuda.OutOfMemoryError: CUDA out of memory.": ["out_of_memory"],
    "Segmentation fault (core dumped)": ["segmentation_fault", "core_dumped"],
    "cannot open file: Permission denied": ["permission_denied"],
    "bash: foo: command not found": ["command_not_found"],
    "can't open file 'x.py': [Errno 2] No such file or directory": ["missing_file"],
}  # fmt: skip
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}  # fmt: skip


@pytest.fixture(scope="module")
def judge() -> ModuleType:
    """The module that judges lines."""
    return sys.modules["log_judge"]


def document(path: Path, content: bytes) -> dict[str, Any]:
    """Return the document of a log."""
    path.write_bytes(content)
    return checked(LOG.extract(str(path)))


@pytest.mark.parametrize(("kind", "lines"), [("error", ERRORS), ("warning", WARNINGS), ("", NONE)])
def test_lines_are_judged_as_a_person_would(judge: ModuleType, kind: str, lines: list[str]) -> None:
    """A line that counts none, measures one or names a file tells of no error; one that reports one does."""
    assert {line: judge.kind_of(line) for line in lines} == dict.fromkeys(lines, kind)


def test_problems_are_told_only_where_there_are_some(judge: ModuleType) -> None:
    """A setting, a condition and a count of 0 are no problem."""
    assert {line: judge.problems(line) for line in PROBLEMS} == PROBLEMS


@examples(100, HealthCheck.function_scoped_fixture)
@given(
    lines=st.lists(st.sampled_from(ERRORS + WARNINGS + NONE), min_size=1, max_size=60),
    end=st.sampled_from(["\n", ""]),
)
def test_every_line_counts(tmp_path: Path, lines: list[str], end: str) -> None:
    """A log has as many errors, warnings and lines as were written, and names no problem of a good line."""
    found = document(tmp_path / "a.log", ("\n".join(lines) + end).encode())

    assert found["lines"] == len(lines)
    assert found["errors"] == sum(line in ERRORS for line in lines)
    assert found["warnings"] == sum(line in WARNINGS for line in lines)
    assert set(lines) - set(NONE) or "problems" not in found


@pytest.mark.parametrize("form", PACKED)
def test_compressed_logs_are_logs(tmp_path: Path, form: str) -> None:
    """A compressed log has the document of its content; one that is torn says so."""
    content = "\n".join(ERRORS * 50).encode()
    plain, packed = document(tmp_path / "a.log", content), PACKED[form](content)

    assert document(tmp_path / "b", packed) == plain | {"compression": form}
    if form == "gzip":
        assert "torn or damaged" in document(tmp_path / "c", packed[:-10])["partial"]


def test_the_date_of_a_build_is_no_start(tmp_path: Path) -> None:
    """A run begins with the first time that is of the run; a log with one time has no start and no end."""
    run = document(
        tmp_path / "a", b"Compiled on 2021-09-18 20:48:41\nat Thu Sep 22 23:33:19 2022\n22 Sep 2022, 11:34:19 PM\n"
    )
    one = document(tmp_path / "b", b"Normal termination at Wed Apr  4 10:14:17 2018.\n")

    assert (run["runtime_seconds"], run["common"]["start"]) == (60.0, "2022-09-22T23:33:19")
    assert "common" not in one


def test_what_was_not_looked_at_is_said(tmp_path: Path) -> None:
    """More messages than are kept make a document partial, with the reason; the count is of all."""
    words = [f"error: {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(50)]
    found = document(tmp_path / "a", "\n".join(words).encode())

    assert (found["errors"], len(found["error_messages"])) == (50, 20)
    assert found["partial"] == "error_messages are the first 20"


@each_row("family", sorted(path.parent.name for path in EXTRACTORS.glob(f"[!b]*/{SHARED.name}")))
def test_every_family_of_texts_opens_files_alike(family: str) -> None:
    """A copy that differs is an error: change the one in base, and copy it."""
    assert (EXTRACTORS / family / SHARED.name).read_bytes() == SHARED.read_bytes()
    assert f"{SHARED.name} /extractor/" in (EXTRACTORS / family / f"{family}.def").read_text(encoding="utf-8")


@pytest.mark.parametrize(("compression", "head"), [("zstd", b"\x28\xb5\x2f\xfd"), ("lz4", b"\x04\x22M\x18")])
def test_an_image_without_a_reader_says_what_to_do(tmp_path: Path, compression: str, head: bytes) -> None:
    """Where a Python has no reader of what a file is compressed with, the error names it, and what helps."""
    (tmp_path / "a").write_bytes(head + bytes(64))
    code = (
        f"import sys; sys.path.append({str(SHARED.parent)!r})\n"
        "from extractor_open import Source\n"
        "try:\n    Source(open(sys.argv[1], 'rb'))\nexcept ValueError as exc:\n    print(exc)"
    )
    argv = [sys.executable, "-I", "-S", "-c", code, str(tmp_path / "a")]
    said = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout
    assert said == (
        f"it is compressed with {compression}, which its image cannot read; unpack it, or compress it with gzip\n"
    )


@each_row(
    ("line", "form"),
    [
        ("2024-03-01 10:00:00 status installed slurm-client:amd64 22.05.8-4", "log"),  # dpkg(1)
        ("Commandline: apt-get install slurm-wlm slurmd", "log"),
        ("update-alternatives: link group slurm updated to point to /usr/sbin/slurmd-wlm", "log"),
        ("slurmstepd: error: *** STEP 4711.0 ON node01 CANCELLED ***", "slurm"),
        ("slurmstepd-node01: error: *** JOB 4711 ON node01 CANCELLED ***", "slurm"),
        ("srun: error: node01: task 0: Exited with exit code 1", "slurm"),
        ("SLURM_JOB_ID=4711", "slurm"),
        ("Slurm Job_id=4711 Name=run Ended, Run time 00:00:05", "slurm"),
    ],
)
def test_a_log_that_names_packages_of_slurm_is_none_of_a_job(tmp_path: Path, line: str, form: str) -> None:
    """Slurm's programs, variables and jobs make a log one of Slurm; the names of its packages do not."""
    assert document(tmp_path / "a", f"first line\n{line}\n".encode())["format"] == form
