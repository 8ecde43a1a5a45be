"""Run notebook.ipynb without Jupyter: with --write it keeps what its cells print and draw.

It needs a service whose index has the files of climate/README.md; LUSTRE_EVENTS_CONFIG names its settings. Without
`--write` it prints the notebook's code and texts as they are now, one JSON object per cell.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

NOTEBOOK = Path(__file__).resolve().parent / "notebook.ipynb"


def run(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell in `names`; return its outputs as a notebook has them: text, the last value, pictures."""
    tree = ast.parse(source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    said = io.StringIO()
    value = None
    with contextlib.redirect_stdout(said):
        exec(compile(tree, "cell", "exec"), names)  # noqa: S102 - the notebook's own code
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), "cell", "eval"), names)  # noqa: S307 - as above
    outputs: list[dict[str, Any]] = []
    if said.getvalue():
        outputs.append({
            "output_type": "stream", "name": "stdout", "text": said.getvalue().splitlines(keepends=True),
        })  # fmt: skip
    figures = [plt.figure(number) for number in plt.get_fignums()]
    for figure in figures:
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=80)
        data = {"image/png": base64.b64encode(drawn.getvalue()).decode()}
        outputs.append({"output_type": "display_data", "metadata": {}, "data": data})
    plt.close("all")
    if value is not None and not figures:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
        outputs.append({"output_type": "execute_result", "metadata": {}, "execution_count": 1, "data": data})
    return outputs


def main() -> None:
    """Run all cells of code, one after the other."""
    plt.switch_backend("Agg")
    notebook = json.loads(NOTEBOOK.read_text())
    names: dict[str, Any] = {}
    for number, cell in enumerate((each for each in notebook["cells"] if each["cell_type"] == "code"), 1):
        cell["outputs"] = run("".join(cell["source"]), names)
        cell["execution_count"] = number
        for output in cell["outputs"]:
            if "execution_count" in output:
                output["execution_count"] = number
    if "--write" in sys.argv[1:]:
        NOTEBOOK.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
    else:
        for cell in notebook["cells"]:
            print(json.dumps(cell.get("outputs", [])))


if __name__ == "__main__":
    main()
