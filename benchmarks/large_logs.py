"""Rows a second and the most memory of an evaluation of a log that is larger than memory should be."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

ARMS = ["haiku", "large", "small", "tiny"]
FEATURES = 32
ROWS_A_FILE = 2_000_000
ROWS_A_BLOCK = 100_000

_MEASURED = """
import json, resource, sys, time
from pathlib import Path
import pyarrow.parquet as parquet
from banditroute.evaluate import evaluate
from banditroute.logs import read_log
folder = sys.argv[1]
times = [time.process_time()]
log = read_log(folder)
times.append(time.process_time())
found = evaluate(log, "uniform")
times.append(time.process_time())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # before pyarrow buffers whole files below
rows = 0
for path in sorted(Path(folder).iterdir()):
    with parquet.ParquetFile(path) as file:
        rows += sum(len(batch) for batch in file.iter_batches(batch_size=4096, use_threads=False))
times.append(time.process_time())
estimates = {name: each.value for name, each in found.utility.estimates.items()}
seconds = [after - before for before, after in zip(times, times[1:])]
print(json.dumps({"rows": rows, "seconds": seconds, "peak_mb": peak, "estimates": estimates}))
"""


@command(seeds=1, options=[click.option("--rows", default=10_000_000, show_default=True, type=click.IntRange(1_000))])
def main(*, files: list[Path], seeds: int, rows: int) -> list[Row]:
    """Evaluate a policy on a folder of Parquet files that is made for it; no FILE is read.

    A row has 4 arms with their probabilities, 32 features, a quality and a cost. `decode` is pyarrow reading the files
    and nothing else, `read` is `read_log`, and `evaluate` compares the uniform policy with the logged one by SNIPS, DR
    and the others, with intervals. Processor time; `peak_mb` is the most resident memory up to the end of `evaluate`;
    `decode` comes last, since pyarrow buffers more than both. The folder and the temporary files need about 700 bytes
    of disk a row.
    """
    found = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="banditroute-log-") as folder:
            make_log(Path(folder), rows, seed)
            done = subprocess.run([sys.executable, "-c", _MEASURED, folder], check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
    case = f"rows{rows}_d{FEATURES + 1}_k{len(ARMS)}"
    measured = [
        row(case, "banditroute", f"{name}_rows_per_second", [each["rows"] / each["seconds"][k] for each in found])
        for k, name in enumerate(("read", "evaluate", "decode"))
    ]
    peaks = [each["peak_mb"] for each in found]
    return [*measured, row(case, "banditroute", "peak_mb", peaks, higher_is_better=False)]


def make_log(folder: Path, rows: int, seed: int) -> None:
    """Write a log of a policy that prefers arms by chance, block by block."""
    import pyarrow as arrow
    import pyarrow.parquet as parquet

    rng = np.random.default_rng(seed)
    k = len(ARMS)
    theta = rng.normal(size=(k, FEATURES)) / np.sqrt(FEATURES)
    names = np.array(ARMS, dtype=object)
    for begin in tqdm(range(0, rows, ROWS_A_FILE), unit="file"):
        writer = None
        for first in range(begin, min(begin + ROWS_A_FILE, rows), ROWS_A_BLOCK):
            n = min(ROWS_A_BLOCK, rows - first)
            x = np.hstack([rng.normal(size=(n, FEATURES)), np.ones((n, 1))])
            p = 0.05 + 0.8 * rng.dirichlet(np.full(k, 2.0), size=n)
            chosen = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
            right = 1.0 / (1.0 + np.exp(-(x[:, :-1] * theta[chosen]).sum(axis=1)))
            table = arrow.table(
                {
                    "id": [f"{i:012d}" for i in range(first, first + n)],
                    "arm": names[chosen],
                    "propensity": p[np.arange(n), chosen],
                    "arms": _lists(arrow, np.tile(names, n), k),
                    "probabilities": _lists(arrow, p.ravel(), k),
                    "x": _lists(arrow, x.ravel(), FEATURES + 1),
                    "decided_at": np.arange(first, first + n, dtype=float),
                    "quality": (rng.random(n) < right).astype(float),
                    "cost_usd": 0.001 * (1 + chosen) * rng.exponential(size=n),
                }
            )
            writer = writer or parquet.ParquetWriter(folder / f"part-{begin // ROWS_A_FILE:03d}.parquet", table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def _lists(arrow, values, width):
    return arrow.ListArray.from_arrays(np.arange(0, len(values) + 1, width, dtype=np.int32), arrow.array(values))


if __name__ == "__main__":
    main()
