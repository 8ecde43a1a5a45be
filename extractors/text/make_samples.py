#!/usr/bin/env python3
"""Write the samples of the text extractor anew: texts of our own, the same bytes each time."""

from __future__ import annotations

import gzip
from pathlib import Path

FOLDER = Path(__file__).resolve().parent / "samples"
ENGLISH = """The detector counts photons behind the monochromator. Each photon that the detector counts is stored
with its time. After the run the photons of each detector pixel are summed, and the background is taken off.
See https://example.org/detector and doi:10.1234/detector.2023 for how the detector was calibrated.
"""
GERMAN = """Der Detektor zählt Photonen hinter dem Monochromator. Für jede Messung wird die Temperatur der Probe
geregelt; größere Proben müssen länger gekühlt werden. Die Probe wird dafür in Köln oder Jülich vorbereitet.
"""
FRENCH = (
    "La température de l'échantillon est mesurée après chaque série, où l'échantillon a été refroidi à l'hélium.\n"
)
RUSSIAN = "Температура образца измеряется после каждого измерения. Образец охлаждается гелием до двух кельвинов.\n"
MARKDOWN = f"""# Beam time report

{ENGLISH}
## Setup

- a [link](https://example.org)

```
code
```
"""
LATEX = r"""\documentclass{article}
\title{Counting photons}
\begin{document}
\section{Method}
The detector counts photons. % a remark
\subsection*{Error bars}
Errors are of Poisson kind: $\sigma = \sqrt{N}$ for each detector.
\end{document}
"""
HTML = """<!DOCTYPE html>
<html><head><title>Log &amp; notes</title></head>
<body><h1>Night shift</h1><p>The vacuum pump stopped at midnight and the pump was started again.</p></body></html>
"""
REST = "Calibration\n===========\n\n.. note::\n   The detector drifts.\n\nSteps\n-----\n\nWarm up the detector.\n"
RELEASE = """Detector software 2.1
=====================

The clock of the second detector was wrong, and it is right now.

Known errors
------------

The table below is no heading, since its line is longer.
energy   counts
----------------------------------------
6.5      120
"""


def main() -> None:
    """Write them."""
    FOLDER.mkdir(exist_ok=True)
    samples = {
        "english.txt": ENGLISH.encode(),
        "german-latin1.txt": GERMAN.replace("\n", "\r\n").encode("latin-1"),
        "french-utf16.txt": FRENCH.encode("utf-16"),
        "russian-cp1251.txt": (RUSSIAN * 3).encode("cp1251"),
        "russian.txt": RUSSIAN.encode(),
        "report.md": MARKDOWN.encode(),
        "article.tex": LATEX.encode(),
        "notes.html": HTML.encode(),
        "calibration.rst": REST.encode(),
        "release.txt": RELEASE.encode(),
        "two-languages.txt": (ENGLISH + GERMAN).encode("utf-8-sig"),
        "german-utf16-no-mark.txt": GERMAN.encode("utf-16-le"),
        "korean.xml": b'<?xml version="1.0" encoding="euc-kr"?>\n'
        + "<a>측정 데이터의 온도 값</a>\n".encode("euc-kr") * 20
        + b"<a>\xc7\x80</a>\n",  # one wrong byte
        "russian.txt.gz": gzip.compress(RUSSIAN.encode(), mtime=0),
        "bad-binary.txt": bytes(range(256)),
        "bad-empty.txt": b" \n",
    }
    for name, content in samples.items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
