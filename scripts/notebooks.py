"""Run the notebooks of examples/ and keep what they print: python scripts/notebooks.py."""

from __future__ import annotations

import math
import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.ipynb"))
_SECONDS = 300  # for a cell
_NUMBER = re.compile(r"[-+]?\d*\.?\d+")


def run(path: Path) -> nbformat.NotebookNode:
    """Return the notebook after a run; a cell that raises ends it."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=_SECONDS, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.clear()  # the times of the run
        if cell.cell_type == "code":  # warnings name paths of the machine
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


def printed(notebook: nbformat.NotebookNode) -> list[str]:
    """Return the printed text of every code cell."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return ["".join(output.get("text", "") for output in cell.outputs) for cell in cells]


def alike(one: list[str], other: list[str]) -> bool:
    """Return whether texts have the same words, and numbers that differ by rounding at most.

    Another build of numpy adds in another order, so that a late digit, and with it a draw, may differ.
    """
    words = [[_NUMBER.sub("", text).split() for text in texts] for texts in (one, other)]
    numbers = [[float(found) for text in texts for found in _NUMBER.findall(text)] for texts in (one, other)]
    return (
        words[0] == words[1]
        and len(numbers[0]) == len(numbers[1])
        and all(math.isclose(a, b, rel_tol=0.05, abs_tol=0.02) for a, b in zip(*numbers, strict=True))
    )


if __name__ == "__main__":
    for each in NOTEBOOKS:
        nbformat.write(run(each), each)
