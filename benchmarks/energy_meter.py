"""Microseconds of the processor that metering adds to a block."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip

from banditroute.energy import NVML, RAPL, EnergyCounter, EnergyMeter
from banditroute.errors import EnergyCounterError, MissingDependencyError

BLOCKS = 2000


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Processor time that a meter and its reading add to a block, for each counter of this machine; takes no FILE.

    Without a processor's counter, `rapl@files` reads a tree of plain files in its place, of one package and its memory:
    the cost of Python and of opening files, without that of the counter itself. Each of `--seeds` rounds is the mean of
    2,000 empty blocks.
    """
    with tempfile.TemporaryDirectory() as folder:
        cases: dict[str, list[EnergyCounter]] = {"estimate": []}
        for name, counter in (("nvml", NVML), ("rapl", RAPL)):
            try:
                cases[name] = [counter()]
            except (EnergyCounterError, MissingDependencyError) as error:
                click.echo(f"left out: {error}")
        if "rapl" not in cases:
            cases["rapl@files"] = [RAPL(powercap=_tree(Path(folder)))]
        taken: dict[str, list[float]] = {case: [] for case in cases}
        for _ in range(seeds):
            for case, counters in cases.items():
                taken[case].append(microseconds(counters))
    return [row(case, "banditroute", "microseconds", values, higher_is_better=False) for case, values in taken.items()]


def microseconds(counters: Sequence[EnergyCounter]) -> float:
    """Return the processor time of a block, with the meter made and read; the mean of many."""
    began = time.thread_time()
    for _ in range(BLOCKS):
        with EnergyMeter(counters=counters, joules_per_token=0.5) as meter:
            meter.tokens = 100
        _ = meter.reading
    return (time.thread_time() - began) / BLOCKS * 1e6


def _tree(root: Path) -> Path:
    """Write the files in which Linux shows one processor."""
    for zone, name in (("intel-rapl:0", "package-0"), ("intel-rapl:0:0", "dram")):
        (root / zone).mkdir()
        for file, content in (("name", name), ("energy_uj", "1000000"), ("max_energy_range_uj", "262143328850")):
            (root / zone / file).write_text(content)
    return root


if __name__ == "__main__":
    main()
