"""Logs that nobody would write on purpose: without lines, with nothing but errors, with every control character."""

from __future__ import annotations

from pathlib import Path

LARGE = 64 << 20


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, and a sparse one of 64 MB."""
    files = {
        "one-line.log": b"error " * 1_000_000,
        "words-only.log": b"\n".join([b"slurmstepd: error: job exit state: real warn"] * 40_000),
        "carriage-returns.log": b"100%\r" * 1_000_000,
        "controls.log": bytes(range(1, 32)) * 10_000 + b"\nJob ID: 1\n",
        "colours.log": b"\x1b[31m" * 500_000 + b"error\n",
        "titles.log": b"\x1b]0;" * 200_000,
        "numbers.log": b"SLURM_JOB_ID="
        + b"9" * 100_000
        + b"\nreal\t"
        + b"9" * 1000
        + b"m1.0s\nExitCode="
        + b"7" * 5000,
        "times.log": b"9999-99-99 99:99:99 error\n0000-00-00 00:00:00\n" * 5_000,
        "backwards.log": b"2024-01-02 00:00:00 error\n2023-01-01 00:00:00 error\n",
        "clocks.log": b"Job Wall-clock time: " + b"1:" * 50_000 + b"\nRunTime=" + b"1-" * 50_000 + b"\n",
        "names.log": b"".join(b"%sError: x\n" % (b"A" * n) for n in range(1, 1500, 5)),
        "dots.log": b"a." * 500_000 + b"Error\n" + b"A" * 1_000_000 + b"Error\n",
        "newlines.log": b"x" + b"\n" * 2_000_000,
        "not-utf8.log": b"\xfa\xff\xfe error \xc3\n" * 10_000,
        "lists.log": b"SLURM_JOB_NODELIST=node[" + b"1," * 500_000 + b"]\n",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    with (folder / "sparse.log").open("wb") as file:
        file.write(b"SLURM_JOB_ID=1\n" * 100)
        file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one log of about `size_bytes`."""
    path = folder / "large.log"
    lines = b"".join(
        b"2024-05-01T12:%02d:00 INFO step %d energy -%d.5 kJ/mol\n" % (n % 60, n, n) for n in range(50_000)
    )
    with path.open("wb") as file:
        file.write(b"SLURM_JOB_ID=1\n")
        for _ in range(size_bytes // len(lines)):
            file.write(lines + b"WARNING: box is small\n")
    return path
