#!/usr/bin/env python3
"""Write the samples of the code extractor anew: the same bytes each time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "samples"
PYTHON = '''#!/usr/bin/env python3
"""Fit a peak to a spectrum."""
import argparse
import numpy as np
from scipy.optimize import curve_fit
from .shapes import lorentz


class Peak:
    def width(self):
        import math
        return math.pi


async def fetch(run):
    return run


def main():
    parser = argparse.ArgumentParser()
    print(parser.parse_args())


if __name__ == "__main__":
    main()
'''
OLD = "import os, string\nfrom urllib2 import urlopen\n\ndef show(x):\n    print x\n"
SLURM = """#!/bin/bash
#SBATCH --job-name=md_run     # molecular dynamics
#SBATCH -N 4 --ntasks-per-node=32
#SBATCH -t 1-12:00:00
#SBATCH --mem=64G
#SBATCH --exclusive
#SBATCH --mail-type=END,FAIL
#SBATCH --output="run %j.out"
module purge
module load gcc/12.2.0 openmpi/4.1.5
ml gromacs/2023.1
source ~/venv/bin/activate

clean_up() {
    rm -f core.*
}
function report { echo done; }

srun --mpi=pmix -n 128 gmx_mpi mdrun -deffnm md
apptainer exec --nv analysis.sif python analyse.py
clean_up
"""
SHELL = "set -e\nexport OMP_NUM_THREADS=8\nfor f in *.dat; do\n  ./convert $f\ndone\n"


def cell(kind: str, *lines: str, **more: object) -> dict[str, object]:
    """Return a cell of nbformat 4."""
    return {"cell_type": kind, "metadata": {}, "source": [line + "\n" for line in lines]} | more


def notebooks() -> dict[str, str]:
    """Return notebooks: Python with a picture and an error, and one of R."""
    picture = {"output_type": "display_data", "data": {"image/png": "iVBORw0KGgo" * 8000}, "metadata": {}}
    failed = {"output_type": "error", "ename": "ZeroDivisionError", "evalue": "division by zero", "traceback": []}
    cells = [
        cell("markdown", "# Band structure of graphene", "", "## Method", "text"),
        cell("code", "%matplotlib inline", "import numpy as np", "import h5py", execution_count=1, outputs=[]),
        cell("code", "def gap(k):", "    return np.abs(k)", "gap(1)", execution_count=2, outputs=[picture]),
        cell("code", "!ls", "1/0", execution_count=3, outputs=[failed]),
        cell("code", "%%bash", "echo import nothing", execution_count=None, outputs=[]),
    ]
    python = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python", "version": "3.11.2"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    other = {
        "cells": [cell("code", "library(ggplot2)", "x <- 1", execution_count=None, outputs=[])],
        "metadata": {"kernelspec": {"display_name": "R", "language": "R", "name": "ir"}},
        "nbformat": 4,
        "nbformat_minor": 2,
    }
    return {"bands.ipynb": json.dumps(python, indent=1), "plot.ipynb": json.dumps(other)}


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    torn = notebooks()["bands.ipynb"]
    samples = notebooks() | {
        "torn.ipynb": torn[: torn.index("iVBOR")],
        "fit.py": PYTHON,
        "old.py": OLD,
        "md.slurm": SLURM,
        "convert.sh": SHELL,
        "bad-prose.py": "This is no code, but a sentence.\n",
        "bad-other.ipynb": '{"settings": {"a": 1}}\n',
    }
    for name, content in samples.items():
        (FOLDER / name).write_text(content)
    (FOLDER / "fit.py.gz").write_bytes(gzip.compress(PYTHON.encode(), mtime=0))


if __name__ == "__main__":
    main()
