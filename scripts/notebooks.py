"""Run the notebooks of examples/ and keep what they print: ``python -m scripts.notebooks``."""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.ipynb"))
_SECONDS = 300  # for a cell


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


def printed(notebook: nbformat.NotebookNode) -> str:
    """Return the printed text of all code cells."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return "".join(output.get("text", "") for cell in cells for output in cell.outputs)


if __name__ == "__main__":
    for each in NOTEBOOKS:
        nbformat.write(run(each), each)
