"""What the tests of the outer rooms share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import settings

from banditroute.logs import OutcomeTable
from benchmarks.server import Server, server

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "banditroute" / "data" / "paretobandit4" / "paretobandit4.parquet"

settings.register_profile("banditroute", deadline=None)  # a busy machine is no defect
settings.load_profile("banditroute")


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server; one for all tests of a process."""
    with server() as running:
        running.forgo_fsync()
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    server: Server = request.getfixturevalue("postgresql")
    return server.database()


@pytest.fixture(scope="session")
def small_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 prompts of the shipped log, of all its tasks."""
    rows = pq.read_table(SHIPPED)
    every = sorted(set(rows["query_id"].to_pylist()))
    some = every[:: len(every) // 60][:60]
    path = tmp_path_factory.mktemp("logs") / "small.parquet"
    pq.write_table(rows.filter(pc.is_in(rows["query_id"], pa.array(some, rows["query_id"].type))), path)
    return path


@pytest.fixture
def bad_log(tmp_path: Path) -> Path:
    """A file that begins as Parquet does, and is none."""
    path = tmp_path / "bad.parquet"
    path.write_text("PAR1\nquery_id,model,score\n1,a,0.5\n")
    return path


@pytest.fixture
def until() -> Callable[[Callable[[], bool]], None]:
    """Wait for a condition."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            time.sleep(0.005)

    return wait


@pytest.fixture
def toy() -> OutcomeTable:
    """Four prompts of two tasks, three arms: cheap and weak, middling, dear and strong."""
    return OutcomeTable(
        name="toy",
        prompts=("a", "b", "c", "d"),
        tasks=("sums", "sums", "odes", "odes"),
        arms=("cheap", "middle", "vendor/dear"),
        outcomes={
            "quality": np.array([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [1.0, 0.5, 1.0], [1.0, 0.0, 0.0]]),
            "cost_usd": np.tile([0.001, 0.002, 0.01], (4, 1)),
        },
    )


@pytest.fixture
def make_table() -> Callable[..., OutcomeTable]:
    """A table of n prompts that differ in one feature, on which the better of two arms depends."""

    def make(n: int = 40) -> OutcomeTable:
        hard = np.arange(n) % 2
        return OutcomeTable(
            name="made",
            prompts=tuple(f"prompt {i}" for i in range(n)),
            tasks=("",) * n,
            arms=("easy", "hard"),
            outcomes={"quality": np.stack([1.0 - hard, hard.astype(float)], axis=1)},
        )

    return make
