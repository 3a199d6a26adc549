"""Seconds of processor time that each example takes, imports included; each should stay under ten."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Row, command, row

ROOT = Path(__file__).resolve().parents[1]


@command(seeds=3)
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Run each FILE (default: all of examples/) SEEDS times, and take the processor time of it and its children."""
    found = files or sorted((ROOT / "examples").glob("*.py"))
    return [
        row(path.name, "python", "processor_seconds", _seconds(path, seeds), higher_is_better=False) for path in found
    ]


def _seconds(path: Path, repeats: int) -> list[float]:
    taken = []
    for _ in range(repeats):
        before = _of_children()
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, str(path.resolve())]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=True)
        taken.append(_of_children() - before)
    return taken


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
