"""What a shell script says: Slurm's options, modules loaded, programs started, functions.

The options are those of sbatch (man sbatch of Slurm 24.05), by their long names with _ for -.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

from code_python import MAX_NAME, clean, cut_lines, keep

SHORT = {
    "A": "account", "a": "array", "b": "begin", "C": "constraint", "c": "cpus_per_task", "D": "chdir",
    "d": "dependency", "e": "error", "F": "nodefile", "G": "gpus", "H": "hold", "i": "input", "J": "job_name",
    "L": "licenses", "M": "clusters", "m": "distribution", "N": "nodes", "n": "ntasks", "o": "output",
    "p": "partition", "q": "qos", "s": "oversubscribe", "S": "core_spec", "t": "time", "w": "nodelist",
    "x": "exclude",
}  # fmt: skip
LONG = {
    *SHORT.values(), "cluster_constraint", "comment", "cpus_per_gpu", "exclusive", "export", "get_user_env",
    "gpu_bind", "gpus_per_node", "gpus_per_socket", "gpus_per_task", "gres", "hint", "mail_type",
    "mail_user", "mem", "mem_bind", "mem_per_cpu", "mem_per_gpu", "mincpus", "network", "nice",
    "no_requeue", "ntasks_per_core", "ntasks_per_gpu", "ntasks_per_node", "ntasks_per_socket", "open_mode",
    "overcommit", "prefer", "priority", "profile", "propagate", "reboot", "requeue", "reservation",
    "signal", "sockets_per_node", "spread_job", "switches", "threads_per_core", "time_min", "tmp", "wait",
    "wckey", "wrap",
}  # fmt: skip
DIRECTIVE = re.compile(r"^#SBATCH[ \t]+(.*)$", re.MULTILINE)
COMMAND = re.compile(r"^[^\S\n]*[^\s#]", re.MULTILINE)
MODULE = re.compile(r"^[ \t]*(?:module|ml)[ \t]+([^\n;&|#]*)", re.MULTILINE)
FUNCTION = re.compile(r"^[ \t]*(?:function[ \t]+([\w:.-]+)|([\w:.-]+)[ \t]*\([ \t]*\))", re.MULTILINE)
START = re.compile(r"^[ \t]*(?:time[ \t]+|exec[ \t]+)?(srun|mpirun|mpiexec)[ \t]+([^\n;&|#]*)", re.MULTILINE)
IMAGE = re.compile(
    r"(?:apptainer|singularity|podman|docker|shifter|enroot)[ \t][^\n;&|#]{0,400}?"
    r"([\w./:${}-]+\.(?:sif|sqsh|img)|docker://[\w./:@-]+)"
)
ENVIRONMENT = re.compile(
    r"(?:conda|mamba|micromamba)[ \t]+activate[ \t]+([\w./${}-]+)"
    r"|^[ \t]*(?:source|\.)[ \t]+([\w./${}~-]+)/bin/activate",
    re.MULTILINE,
)
LOADING = {"load", "add", "try-load", "swap", "switch", "restore"}
OTHERS = {
    "purge", "list", "avail", "spider", "show", "help", "use", "unuse", "unload", "rm", "del", "save", "reset",
    "whatis", "keyword",
}  # fmt: skip
TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?$")


def directives(source: str) -> dict[str, Any]:
    """Return the options of the #SBATCH lines; a number where one is a number, true where it has no value.

    sbatch reads them up to the first line that is neither empty nor a comment (man sbatch).
    """
    found: dict[str, Any] = {}
    command = COMMAND.search(source)
    for match in DIRECTIVE.finditer(source, 0, command.start() if command else len(source)):
        try:
            words = shlex.split(match[1], comments=True)
        except ValueError:
            words = match[1].split()
        while words:
            name, value = option(words)
            if name in LONG:
                number = value.isascii() and value.isdigit() and len(value) < 18
                found[name] = int(value) if number else clean(value)[:MAX_NAME] or True
    return found


def option(words: list[str]) -> tuple[str, str]:
    """Take an option off the front of `words`; return its long name and its value, empty where it has none."""
    word = words.pop(0)
    if word.startswith("--"):
        name, _, value = word[2:].partition("=")
        name = name.replace("-", "_")
    elif word.startswith("-") and len(word) > 1:
        name, value = SHORT.get(word[1], ""), word[2:].removeprefix("=")
    else:
        return "", ""
    if not value and words and not words[0].startswith("-") and "=" not in word:
        value = words.pop(0)
    return name, value


def time_seconds(limit: Any) -> int | None:
    """Return sbatch's --time in seconds: minutes, minutes:seconds, h:m:s, days-h, days-h:m or days-h:m:s."""
    match = TIME.match(str(limit)[:MAX_NAME])
    if not match:
        return None
    days, *rest = (int(part) if part else None for part in match.groups())
    first, second, third = (part or 0 for part in rest)
    if days is not None:
        return days * 86_400 + first * 3600 + second * 60 + third
    return first * 3600 + second * 60 + third if match[4] else first * 60 + second


def modules(source: str) -> list[str]:
    """Return the modules that a script loads, in their order."""
    found: dict[str, None] = {}
    for match in MODULE.finditer(source):
        words = [word.strip("\"'") for word in match[1].split()]
        if words and words[0] in LOADING:
            words = words[1:] if words[0] not in ("swap", "switch") else words[-1:]
        elif not match[0].lstrip().startswith("ml") or (words and words[0] in OTHERS):
            continue
        for word in words:
            if not word.startswith("-"):
                keep(found, word)
    return list(found)


def programs(source: str) -> list[str]:
    """Return what srun, mpirun and mpiexec start: the first word that is no option or value of one."""
    found: dict[str, None] = {}
    for match in START.finditer(source):
        takes_value = False
        for word in match[2].split():
            if not word.startswith("-") and not takes_value:
                keep(found, word.strip("\"'"))
                break
            takes_value = re.fullmatch(r"-\w|--[\w-]+", word) is not None
    return list(found)


def describe(source: str) -> dict[str, Any]:
    """Return what a shell script says, as a document shows it."""
    source = cut_lines(source)
    functions: dict[str, None] = {}
    for match in FUNCTION.finditer(source):
        keep(functions, match[1] or match[2])
    found: dict[str, Any] = {"functions": list(functions), "modules": modules(source)}
    environments: dict[str, None] = {}
    for match in ENVIRONMENT.finditer(source):
        keep(environments, match[1] or match[2])
    images: dict[str, None] = {}
    for match in IMAGE.finditer(source):
        keep(images, match[1])
    lists = {"programs": programs(source), "environments": list(environments), "images": list(images)}
    found |= {key: value for key, value in lists.items() if value}
    return found | slurm(source)


def slurm(source: str) -> dict[str, Any]:
    """Return Slurm's part of a document; nothing where there is no #SBATCH line."""
    options = directives(cut_lines(source))
    found: dict[str, Any] = {"sbatch": options} if options else {}
    seconds = time_seconds(options["time"]) if "time" in options else None
    return found | ({"time_limit_seconds": seconds} if seconds is not None else {})
