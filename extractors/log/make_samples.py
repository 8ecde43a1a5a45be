#!/usr/bin/env python3
"""Write the samples of the log extractor anew: outputs of Slurm jobs, made up in the form of real ones."""

from __future__ import annotations

import gzip
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "samples"
TIME_LIMIT = """Mon Nov 20 08:00:00 CET 2023
SLURM_JOB_ID=4711
SLURM_JOB_NAME=md_run
SLURM_JOB_PARTITION=batch
SLURM_JOB_NUM_NODES=2
SLURM_JOB_NODELIST=node[01-02]
SLURM_NTASKS=64
step 1000 energy -1.5e5
WARNING: box is small
WARNING: box is small
slurmstepd: error: *** JOB 4711 ON node01 CANCELLED AT 2023-11-20T09:00:05 DUE TO TIME LIMIT ***
slurmstepd: error: *** STEP 4711.0 ON node01 CANCELLED AT 2023-11-20T09:00:05 DUE TO TIME LIMIT ***
"""
MEMORY = """[2024-03-01 10:00:00] loading 812 files
\x1b[31m[2024-03-01 10:04:30] error: swap is in use\x1b[0m
  0%\r 50%\r100% done
/var/spool/slurmd/job0815/slurm_script: line 12: 4242 Killed   python train.py
slurmstepd: error: Detected 1 oom-kill event(s) in StepId=815.batch cgroup.
"""
FAILED = """Traceback (most recent call last):
  File "fit.py", line 3, in <module>
    import h5py
ModuleNotFoundError: No module named 'h5py'
srun: error: node07: task 0: Exited with exit code 1
"""
GOOD = """2024-05-01T12:00:00 INFO start
2024-05-01T12:30:00 INFO finished, 0 errors
Job ID: 9001
Array Job ID: 9000_7
Cluster: alpha
User/Group: ada/physics
State: COMPLETED (exit code 0)
Nodes: 1
Cores per node: 16
CPU Utilized: 06:40:00
CPU Efficiency: 83.33% of 08:00:00 core-walltime
Job Wall-clock time: 00:30:00
Memory Utilized: 12.50 GB
Memory Efficiency: 78.13% of 16.00 GB
"""
PLAIN = """2024-06-01 00:00:01,123 [main] INFO  server starts
2024-06-01 00:00:02,000 [main] WARN  disk nearly full
2024-06-01 00:10:01,500 [main] FATAL No space left on device

real\t10m2.345s
user\t0m1.000s
sys\t0m0.100s
"""
CHEMISTRY = """ Configuration time       | 2021-09-18 20:48:41
 Program begins on Thu Sep 22 23:33:19 2022
 Total memory limit      2000 MB
 DIIS Error 1.0e-3
 DIIS: error= 7.64D-02 at cycle   1
 root mean square error = 0.2, standard error 3
 reading /scratch/error.log with --error=job.err
 finished, 0 errors, no warnings
 Thu Sep 22 23:33:23 2022
"""


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    samples = {
        "slurm-4711.out": TIME_LIMIT,
        "slurm-815.out": MEMORY,
        "slurm-12.err": FAILED,
        "slurm-9000_7.out": GOOD,
        "server.log": PLAIN,
    }
    for name, content in samples.items():
        (FOLDER / name).write_bytes(content.encode())
    (FOLDER / "chemistry.out").write_text(CHEMISTRY)
    (FOLDER / "server.log.gz").write_bytes(gzip.compress(PLAIN.encode(), mtime=0))
    (FOLDER / "bad-binary.log").write_bytes(b"\x7fELF\x02\x01\x01\0\0\0")


if __name__ == "__main__":
    main()
