"""What single lines of a job's output say: Slurm's messages, tables of its tools, times, problems.

The messages are those of slurmstepd and srun 20.11 to 24.05, and of seff, `scontrol show job`, `env` and `time`,
which scripts and epilogues print.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from typing import Any

import log_judge

MAX_VALUE = 200
MAX_EXCEPTIONS = 20
STATES = "COMPLETED|FAILED|TIMEOUT|CANCELLED|OUT_OF_MEMORY|NODE_FAIL|PREEMPTED|DEADLINE|BOOT_FAIL|REVOKED"
FIELDS = {  # (key, pattern): the first that a file has counts
    "job_id": (
        r"\*\*\* JOB (\d+) ON ", r"StepId=(\d+)", r"\bSLURM_JOB_?ID[=: ]+(\d+)", r"\bJobId=(\d+)",
        r"^Job ID: (\d+)", r"\bsrun: job (\d+) (?:queued|has been)", r"\*\*\* STEP (\d+)\.",
        r"\bslurm job(?:id| id)?[:=# ]+(\d+)", r"^\W*job[ _-]?id[ =:]+(\d+)",
    ),
    "array_job_id": (r"\bSLURM_ARRAY_JOB_ID[=: ]+(\d+)", r"\bArrayJobId=(\d+)", r"^Array Job ID: (\d+)_"),
    "array_task_id": (r"\bSLURM_ARRAY_TASK_ID[=: ]+(\d+)", r"\bArrayTaskId=(\d+)", r"^Array Job ID: \d+_(\d+)"),
    "job_name": (r"\bSLURM_JOB_NAME=(\S+)", r"\bJobName=(\S+)"),
    "partition": (r"\bSLURM_JOB_PARTITION=(\S+)", r"\bPartition=(\S+)"),
    "account": (r"\bSLURM_JOB_ACCOUNT=(\S+)", r"\bAccount=(\S+)"),
    "cluster": (r"\bSLURM_CLUSTER_NAME=(\S+)", r"^Cluster: (\S+)"),
    "nodes": (r"\bSLURM_(?:JOB_NUM_NODES|NNODES)=(\d+)", r"\bNumNodes=(\d+)", r"^Nodes: (\d+)"),
    "node_list": (
        r"\bSLURM_JOB_NODELIST=(\S+)", r"\bNodeList=((?!\(null)\S+)", r"\*\*\* JOB \d+ ON (\S+) CANCELLED",
    ),
    "tasks": (r"\bSLURM_NTASKS=(\d+)", r"\bNumTasks=(\d+)"),
    "state": (rf"^State: ({STATES})", rf"\bJobState=({STATES})"),
    "exit_code": (
        r"^State: \w+ \(exit code (\d+)\)", r"\bExitCode=(\d+):", r"[Ee]xited with exit code (\d+)",
        r"^\W*[Ee]xit (?:code|status)\W+(\d+)\s*$",
    ),
    "cpu_efficiency_percent": (r"^CPU Efficiency: ([\d.]+)%",),
    "memory_efficiency_percent": (r"^Memory Efficiency: ([\d.]+)%",),
    "max_rss_kb": (r"Maximum resident set size \(kbytes\): (\d+)",),
}  # fmt: skip
PATTERNS = [(key, rank, re.compile(text)) for key, texts in FIELDS.items() for rank, text in enumerate(texts)]
NUMBERS = {"job_id", "array_job_id", "array_task_id", "nodes", "tasks", "exit_code", "max_rss_kb"}
RUNTIMES = (  # the first that a file has counts
    ("seff", re.compile(r"^Job Wall-clock time: (\S{1,40})$")),
    ("scontrol", re.compile(r"\bRunTime=(\S{1,40})(?: |$)")),
    ("time", re.compile(r"^real\s+(\d{1,9}m[\d.,]{1,12}s)")),
    ("time", re.compile(r"Elapsed \(wall clock\) time \(h:mm:ss or m:ss\): (\S{1,40})$")),
)
CLOCK = re.compile(r"(?:(\d{1,5})-)?(?:(\d{1,6}):)?(\d{1,6}):(\d{1,2}(?:\.\d+)?)$")
SHELL_TIME = re.compile(r"(\d{1,9})m(\d{1,2})[.,](\d{1,6})s$")
MESSAGES = (  # what slurmstepd and srun say of an end, by the state that it means; the first that a file has counts
    ("TIMEOUT", ("due to time limit",)),
    (
        "OUT_OF_MEMORY",
        ("oom-kill event", "oom_kill event", "out of memory", "exceeded job mem", "exceeded step mem"),
    ),
    ("PREEMPTED", ("due to preemption",)),
    ("NODE_FAIL", ("due to node failure",)),
    ("CANCELLED", ("cancelled at", "force terminated")),
    ("FAILED", ("exited with exit", ": segmentation fault", ": aborted", ": killed", ": bus error")),
)
# A program of Slurm speaks, or a variable or a job of it is named; its packages may be named anywhere
OF_SLURM = re.compile(
    r"\bslurm(?:stepd(?:-[\w.]+)?|d|ctld)?(?:\[\d+\])?: |\b(?:srun|sbatch|salloc): |\bslurm_[a-z]|"
    r"\bslurm[ _-]?(?:job|batch)"
)
EXCEPTION = re.compile(r"(?:[A-Za-z_]\w{0,60}\.){0,10}([A-Z]\w{0,60}(?:Error|Exception|Interrupt|Exit))(?::|$)")
ISO_TIME = re.compile(r"\b(\d{4})[-/](\d\d)[-/](\d\d)[T ](\d\d):(\d\d):(\d\d)")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DATE = re.compile(rf"\b({'|'.join(MONTHS)}) +(\d\d?) (\d\d):(\d\d):(\d\d) (?:[A-Z]{{1,5}} )?(\d{{4}})\b")
DAY_FIRST = re.compile(rf"\b(\d\d?) ({'|'.join(MONTHS)}) (\d{{4}}),? (\d\d):(\d\d):(\d\d)(?: ([AP]M)\b)?")
# words on a line before a time that is none of the run
OF_A_BUILD = re.compile(
    r"\b(?:configur\w+|compil\w+|buil[dt]\w*|version|releas\w+|revision|copyright|commit\w*|install\w*|licen[cs]\w*|expir\w+|"
    r"updated|modified|linked|publish\w+|valid (?:until|to)|deadline|born|birth\w*)\b",
    re.IGNORECASE,
)
WORDS = tuple(b"job slurm srun stepid state: exit nodes: cluster: efficiency: real wall maximum".split()) + tuple(
    words.encode() for words in log_judge.PROBLEM_WORDS
)
"""A line with one of these, in lower case, is looked at."""
FEW_WORDS = (b"slurm", b"srun")
"""The same in the middle of a large file, where all of them would take too long."""
JUDGED = (b"error", b"fatal", b"warn", b"exception", b"severe", b"critical")
"""Lines with one of these, wherever they stand, are judged: errors and warnings are counted to the end."""


class Found:
    """What the lines looked at so far say."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self.problems: set[str] = set()
        self.exceptions: dict[str, None] = {}
        self.runtime: tuple[int, float, str] = (len(RUNTIMES), 0.0, "")
        self.slurm = False
        self._ranks: dict[str, int] = {}
        self._state = len(MESSAGES)

    def take(self, line: str) -> None:
        """Look at one line."""
        low = line.lower()
        for key, rank, pattern in PATTERNS:
            if rank < self._ranks.get(key, 99) and (match := pattern.search(line)):
                self._ranks[key] = rank
                self.fields[key] = number(match[1]) if key in NUMBERS else match[1][:MAX_VALUE]
        for rank, (name, pattern) in enumerate(RUNTIMES[: self.runtime[0]]):
            if (match := pattern.search(line)) and (seconds := duration(match[1])) is not None:
                self.runtime = (rank, seconds, name)
                break
        self.problems.update(log_judge.problems(line))
        if (match := EXCEPTION.match(line)) and len(self.exceptions) <= MAX_EXCEPTIONS:
            self.exceptions[match[1][:MAX_VALUE]] = None
        if OF_SLURM.search(low):
            self.slurm = True
            for rank, (_, texts) in enumerate(MESSAGES[: self._state]):
                if any(text in low for text in texts):
                    self._state = rank
                    break

    def state(self) -> tuple[str, str]:
        """Return the state of the job in Slurm's words, and what says so; UNKNOWN where nothing does."""
        if "state" in self.fields:
            return self.fields["state"], "table"
        if self._state < len(MESSAGES):
            return MESSAGES[self._state][0], "message"
        if "exit_code" in self.fields:
            return "FAILED" if self.fields["exit_code"] else "COMPLETED", "exit_code"
        return "UNKNOWN", ""


def number(text: str) -> int:
    """Return a number, of 18 digits at most."""
    return int(text[:18])


def duration(text: str) -> float | None:
    """Return [days-][[hours:]minutes:]seconds, or `time`'s 1m2.345s, in seconds."""
    if match := SHELL_TIME.match(text):
        return int(match[1]) * 60 + float(f"{match[2]}.{match[3]}")
    if match := CLOCK.match(text):
        days, hours, minutes = (int(part or 0) for part in match.groups()[:3])
        return days * 86_400 + hours * 3600 + minutes * 60 + float(match[4])
    return None


def times(text: str) -> list[dt.datetime]:
    """Return the times in `text`, in their order: ISO 8601 ones and those that `date` writes, but not of builds."""
    found = [(match.start(), tuple(map(int, match.groups()))) for match in ISO_TIME.finditer(text)]
    for match in DATE.finditer(text):
        month, day, hour, minute, second, year = match.groups()
        parts = (int(year), MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second))
        found.append((match.start(), parts))
    for match in DAY_FIRST.finditer(text):
        day, month, year, hour, minute, second, half = match.groups()
        shift = 0 if half is None else 12 * (half == "PM") - 12 * (int(hour) == 12)
        parts = (int(year), MONTHS.index(month) + 1, int(day), int(hour) + shift, int(minute), int(second))
        found.append((match.start(), parts))
    made = []
    for place, parts in sorted(found):
        if OF_A_BUILD.search(text, text.rfind("\n", 0, place) + 1, place):
            continue
        with contextlib.suppress(ValueError):
            made.append(dt.datetime(*parts))  # noqa: DTZ001 - logs seldom name a zone
    return made
