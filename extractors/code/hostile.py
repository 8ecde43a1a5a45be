"""Code that nobody would write on purpose: nested without end, of one line, and notebooks of hundreds of MB."""

from __future__ import annotations

from pathlib import Path

LARGE = 2 << 30


def hostile(folder: Path) -> None:
    """Write them into `folder`: small files, or sparse ones of 2 GB."""
    cell = b'{"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": 1, "source": "'
    notebook = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [%b]}'
    files = {
        "parentheses.py": b"x = " + b"(" * 100_000 + b")" * 100_000,
        "minus.py": b"import os\nx = " + b"-" * 300_000 + b"1\n",
        "attributes.py": b"import os\nx = a" + b".b" * 200_000 + b"\n",
        "indented.py": b"".join(b" " * depth + b"if x:\n" for depth in range(600)),
        "elements.py": b"import os\nx = [" + b"1," * 250_000 + b"]\n",
        "names.py": b"".join(b"import module_%d\ndef f_%d(): pass\n" % (n, n) for n in range(20_000)),
        "one-line.py": b"import os; " * 800_000,
        "formats.py": b"import os\n" + b'f"{' * 5_000 + b"1" + b'}"' * 5_000,
        "number.py": b"import os\nx = " + b"9" * 400_000 + b"\n",
        "options.sh": b"#!/bin/sh\n" + b"#SBATCH --job-name='" * 100_000,
        "words.sh": b"#!/bin/sh\nmodule load " + b"m " * 500_000 + b"\ndocker " + b"a." * 500_000 + b"\n",
        "containers.sh": b"#!/bin/sh\n" + b"docker docker://" * 200_000,
        "nested-lists.ipynb": notebook % (b"[" * 400_000),
        "nested-maps.ipynb": b'{"cells":' + b'{"a":' * 100_000,
        "long-keys.ipynb": b'{"cells":' + (b'{"' + b"k" * 60_000 + b'":') * 500,
        "long-string.ipynb": notebook % (cell + b"x" * 40_000_000 + b'"}'),
        "long-escapes.ipynb": notebook % (cell + b"\\ud83d\\ude00" * 500_000 + b'"}'),
        "many-cells.ipynb": notebook % b",".join([cell + b'import os"}'] * 10_000),
        "numbers.ipynb": b'{"nbformat": 1e999, "nbformat_minor": ' + b"9" * 10_000 + b', "cells": [{}]}',
        "wrong-types.ipynb": b'{"nbformat": [], "metadata": 3, "cells.item.source": "a", "cells": {"item": {}}}',
        "headings.ipynb": notebook % (cell.replace(b"code", b"markdown") + b"# " + b"# \\t" * 20_000 + b'"}'),
        "twice.ipynb": notebook % (cell + b'a"}') * 1000,
        "random.py": b"import os\n" + bytes(range(1, 256)) * 400,
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    for name, beginning in (("sparse.py", b"import os\n"), ("sparse.ipynb", notebook[:-2] % b"" + b'"')):
        with (folder / name).open("wb") as file:
            file.write(beginning)
            file.truncate(LARGE)


def large(folder: Path, size_bytes: int) -> Path:
    """Write one notebook of about `size_bytes`, most of it a picture in an output."""
    path = folder / "large.ipynb"
    piece = b"iVBORw0KGgo" * 100_000
    with path.open("wb") as file:
        file.write(b'{"cells": [{"cell_type": "code", "source": "import os", "outputs": [{"data": {"image/png": "')
        for _ in range(size_bytes // len(piece)):
            file.write(piece)
        file.write(b'"}}]}], "metadata": {"kernelspec": {"name": "python3"}}, "nbformat": 4, "nbformat_minor": 5}')
    return path
