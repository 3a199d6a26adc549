"""Arrays in files hold what arrays in memory hold, and a log that is read and evaluated from them says the same."""

import mmap

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
import pytest

from banditroute.core import large_arrays
from banditroute.core.large_arrays import RowsInParts, blocks, give_back, has_nan, large_array, rows_of, some_of
from banditroute.core.preference import Preference
from banditroute.evaluate import evaluate, savings, winner
from banditroute.logs import read_log

ROWS = 3_000


@pytest.fixture
def small_memory(monkeypatch):
    """Arrays lie in files from 10 kB on, and blocks have 256 rows."""
    monkeypatch.setattr(large_arrays, "MOST_BYTES_IN_MEMORY", 10_000)
    monkeypatch.setattr(large_arrays, "MOST_BYTES_WAITING", 1_000)
    monkeypatch.setattr(large_arrays, "ROWS_AT_ONCE", 256)


def in_a_file(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def test_large_array_lies_in_a_file_and_keeps_what_is_written_after_its_memory_is_given_back(small_memory):
    array = large_array((500, 4))
    assert in_a_file(array)
    assert not in_a_file(large_array((5, 4)))
    array[:] = np.arange(2000.0).reshape(500, 4)
    give_back(array)
    np.testing.assert_array_equal(array, np.arange(2000.0).reshape(500, 4))


@pytest.mark.parametrize("sizes", [[], [3], [20, 60, 1], [100, 300, 1], [600, 5, 5]])
def test_rows_in_parts_join_in_their_order(small_memory, sizes):
    parts = [np.random.default_rng(k).normal(size=(n, 4)) for k, n in enumerate(sizes)]
    rows = RowsInParts(4)
    for part in parts:
        rows.add(part)
    joined = rows.joined()
    np.testing.assert_array_equal(joined, np.concatenate([np.empty((0, 4)), *parts]))
    assert len(rows) == sum(sizes)
    assert in_a_file(joined) == (sum(sizes) * 4 * 8 > 10_000)


def test_blocks_cover_every_row_once(small_memory):
    assert [row for at in blocks(1000) for row in range(1000)[at]] == list(range(1000))
    assert list(blocks(0)) == []


def test_some_rows_of_a_file_and_of_one_row_for_all(small_memory):
    array = large_array((500, 4))
    array[:] = np.arange(2000.0).reshape(500, 4)
    rows = np.arange(0, 500, 1)[np.arange(500) % 7 > 0]
    np.testing.assert_array_equal(some_of(array, rows), np.arange(2000.0).reshape(500, 4)[rows])
    np.testing.assert_array_equal(rows_of(array, slice(10, 20)), np.arange(2000.0).reshape(500, 4)[10:20])
    alike = some_of(np.broadcast_to(np.arange(4.0), (500, 4)), rows)
    assert alike.shape == (len(rows), 4)
    assert alike.strides[0] == 0
    assert not has_nan(array)
    array[499, 3] = np.nan
    assert has_nan(array)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A log in two files; some rows lack their context, their probabilities, or an outcome."""
    path = tmp_path_factory.mktemp("log")
    rng = np.random.default_rng(3)
    p = 0.1 + 0.7 * rng.dirichlet(np.ones(3), size=ROWS)
    chosen = (p.cumsum(axis=1) > rng.random((ROWS, 1))).argmax(axis=1)
    x = rng.normal(size=(ROWS, 5))
    for part in range(2):
        rows = range(part * ROWS // 2, (part + 1) * ROWS // 2)
        table = {
            "id": [f"{i:05d}" for i in rows],
            "arm": ["abc"[chosen[i]] for i in rows],
            "propensity": [p[i, chosen[i]] for i in rows],
            "arms": [list("abc")] * len(rows),
            "probabilities": [p[i] for i in rows],
            "x": [None if i % 50 == 0 else [*x[i], 1.0] for i in rows],
            "decided_at": [float(i) for i in rows],
            "quality": [None if i % 11 == 0 else float(rng.random() < 0.3 + 0.2 * chosen[i]) for i in rows],
            "cost_usd": [0.001 * (1 + chosen[i]) * rng.exponential() for i in rows],
        }
        parquet.write_table(pyarrow.table(table), path / f"part-{part}.parquet")
    return path


def figures(log):
    found = [
        evaluate(log, "uniform"),
        evaluate(log, "c", against="a", preference=Preference(quality=1.0, cost_usd=20.0)),
    ]
    numbers = [winner(log).lead, *savings(log, baseline="c").usd_per_1000]
    for each in (compared for one in found for compared in [*one.objectives.values(), one.utility]):
        numbers += [*each.value, *each.against, *each.difference, *each.anytime]
        numbers += [number for estimate in each.estimates.values() for number in estimate]
        numbers += [each.diagnostics.effective_rows, each.diagnostics.unsupported, each.diagnostics.mean_weight]
    return np.array(numbers)


def test_log_that_is_read_into_files_is_evaluated_as_one_in_memory(folder, monkeypatch):
    whole = read_log(folder)
    expected = figures(whole)
    monkeypatch.setattr(large_arrays, "MOST_BYTES_IN_MEMORY", 10_000)
    monkeypatch.setattr(large_arrays, "MOST_BYTES_WAITING", 1_000)
    monkeypatch.setattr(large_arrays, "ROWS_AT_ONCE", 256)
    log = read_log(folder)
    assert in_a_file(log.contexts)
    assert in_a_file(log.probabilities)
    assert not in_a_file(whole.contexts)
    np.testing.assert_array_equal(log.contexts, whole.contexts)
    np.testing.assert_array_equal(log.probabilities, whole.probabilities)
    np.testing.assert_allclose(figures(log), expected, rtol=1e-9, atol=1e-12)
