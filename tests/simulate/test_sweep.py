"""Sweeps: a replay for each cell wherever it runs, and nothing done twice."""

import json
import os
import sys
import time
from importlib import import_module

import numpy as np
import pytest

from banditroute.beliefs import Linear, PageHinkley
from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError, MissingDependencyError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.objectives import Objective, Scaled
from banditroute.policies import Uniform
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Channel, Conditions
from banditroute.simulate.replay import replay
from banditroute.simulate.sweep import sweep

room = import_module("banditroute.simulate.sweep")  # the package's own name "sweep" is the function
LEARNERS = {"linucb": LinUCB(), "thompson": ThompsonSampling()}
OPTIONS = {"learners": LEARNERS, "preference": Preference(quality=1.0), "seeds": [0, 1, 5]}


@pytest.fixture
def table(make_table):
    return make_table(40)


@pytest.fixture
def x():
    return (np.arange(40) % 2).astype(float)[:, None]


def same(table, x, traces, *, seeds=(0, 1, 5), **options):
    """Whether the traces are those of a replay here, one of each cell."""
    found = {(trace.policy, trace.seed): trace for trace in traces}
    assert found.keys() == {(policy, seed) for policy in LEARNERS for seed in seeds}
    for (policy, seed), trace in found.items():
        here = replay(table, x, learner=LEARNERS[policy], preference=OPTIONS["preference"], seed=seed, **options)
        assert np.array_equal(trace.rows, here.rows)
        assert np.array_equal(trace.chosen, here.chosen)
    return True


@pytest.mark.parametrize("cores", [1, 3])
def test_a_sweep_is_replay_whatever_the_processes(table, x, monkeypatch, cores):
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert same(table, x, sweep(table, x, **OPTIONS))


def test_everything_reaches_the_replay(table, x):
    stars = Objective(name="stars", higher_is_better=True, low=1.0, high=5.0)
    with_stars = OutcomeTable(
        name="stars",
        prompts=table.prompts,
        tasks=table.tasks,
        arms=table.arms,
        outcomes={**table.outcomes, "stars": np.tile([2.0, 4.0], (40, 1))},
    )
    options = {"warm": 20, "objectives": [stars], "conditions": Conditions(feedback={"stars": Channel(noise=1.0)})}
    assert same(with_stars, x, sweep(with_stars, x, **OPTIONS, **options), **options)


def test_a_sweep_raises_what_a_replay_raises(x):
    wrong = OutcomeTable(name="wrong", prompts=("",), tasks=("",), arms=("a",), outcomes={"quality": np.array([[2.0]])})
    with pytest.raises(ValueError, match=r"quality is 2\.0; it must be between 0 and 1"):
        list(sweep(wrong, np.zeros((1, 0)), **OPTIONS))


class TestExecutors:
    def test_dask_gives_the_same(self, table, x, monkeypatch):
        monkeypatch.setattr(os, "cpu_count", lambda: 2)
        assert same(table, x, sweep(table, x, **OPTIONS, executor="dask"))

    def test_an_address_is_that_of_a_scheduler(self, table, x):
        distributed = pytest.importorskip("distributed")
        with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
            assert same(table, x, sweep(table, x, **OPTIONS, executor=cluster.scheduler_address))

    def test_dask_is_an_extra(self, table, x, monkeypatch):
        monkeypatch.setitem(sys.modules, "distributed", None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'banditroute\[dask\]'"):
            list(sweep(table, x, **OPTIONS, executor="dask"))

    @pytest.mark.parametrize("executor", ["", "threads", "10.0.0.1:8786"])
    def test_others_are_refused(self, table, x, executor):
        with pytest.raises(InvalidConfigurationError, match="give 'processes', 'serial', 'dask', or the address"):
            list(sweep(table, x, **OPTIONS, executor=executor))


class TestKeep:
    @pytest.fixture
    def replayed(self, monkeypatch):
        """The cells that are replayed, in this process."""
        cells = []
        cell = room.Job.cell

        class Here:
            def __init__(self, job):
                self.job = job

            def __enter__(self):
                return self.submit

            def __exit__(self, *error):
                return None

            def submit(self, policy, seed):
                future = room.Future()
                cells.append((policy, seed))
                future.set_result(cell(self.job, policy, seed))
                return future

        monkeypatch.setattr(room, "_workers", lambda executor, job, count: Here(job))
        return cells

    def test_finished_cells_are_not_run_again(self, table, x, tmp_path, replayed):
        keep = tmp_path / "made" / "cells"
        assert same(table, x, sweep(table, x, **{**OPTIONS, "seeds": [0, 1]}, keep=keep), seeds=[0, 1])
        assert len(list(keep.iterdir())) == len(replayed) == 4
        replayed.clear()
        assert same(table, x, sweep(table, x, **OPTIONS, keep=keep))
        assert replayed == [("linucb", 5), ("thompson", 5)]
        replayed.clear()
        assert same(table, x, sweep(table, x, **OPTIONS, keep=keep))
        assert not replayed

    def test_an_interrupted_sweep_goes_on(self, table, x, tmp_path, replayed):
        begun = sweep(table, x, **OPTIONS, keep=tmp_path)
        next(begun), next(begun)
        begun.close()
        kept = len(list(tmp_path.iterdir()))
        assert 1 <= kept <= 2
        replayed.clear()
        assert same(table, x, sweep(table, x, **OPTIONS, keep=tmp_path))
        assert len(replayed) == 6 - kept

    def test_whatever_could_differ_is_another_cell(self, table, x, tmp_path, replayed, monkeypatch):
        changed = {**table.outcomes, "quality": table.outcomes["quality"].copy()}
        changed["quality"][3, 1] -= 1e-12
        quality = Preference(quality=1.0)
        stars = Objective(name="stars", higher_is_better=True)
        others = [
            {},
            {"table": _with(table, outcomes=changed)},
            {"table": _with(table, arms=("a", "b"))},
            {"x": x + 1e-12},
            {"preference": Preference(quality=1.0 + 1e-12)},
            {"preference": Scaled(weights={"quality": 1.0})},
            {"preference": Scaled(weights={"quality": 1.0}, reference={"quality": 2.0})},
            {"learners": {"p": LinUCB(alpha=1.0)}},
            {"learners": {"p": LinUCB(belief=Linear())}},
            {"learners": {"p": LinUCB(context_exploration=1.0)}},
            {"learners": {"p": LinUCB(drift=PageHinkley())}},
            {"learners": {"p": EpsilonGreedy()}},
            {"seeds": [1]},
            {"objectives": [stars]},
            {"warm": 1},
            {"conditions": Conditions(poisson=True)},
            {"conditions": Conditions(feedback={"quality": Channel(loss=0.1)})},
            {"conditions": Conditions(paging=AdapterSlots(slots=1, load_seconds=0.4))},
            {"conditions": Conditions(paging=AdapterSlots(slots=1, load_seconds=0.4, control="lru"))},
            {"conditions": Conditions(paging=AdapterSlots(slots=1, load_seconds={"hard": 0.4}))},
        ]
        for count, other in enumerate(others, start=1):
            options = {
                "table": table, "x": x, "learners": {"p": LinUCB()}, "preference": quality, "seeds": [0], **other
            }  # fmt: skip
            list(sweep(options.pop("table"), options.pop("x"), **options, keep=tmp_path))
            assert len(list(tmp_path.iterdir())) == count, other
        monkeypatch.setattr(room, "_code", lambda: "another version")
        list(sweep(table, x, learners={"p": LinUCB()}, preference=quality, seeds=[0], keep=tmp_path))
        assert len(list(tmp_path.iterdir())) == len(others) + 1

    def test_names_and_prompts_do_not_matter(self, table, x, tmp_path, replayed):
        list(sweep(table, x, learners={"p": LinUCB()}, preference=OPTIONS["preference"], seeds=[0], keep=tmp_path))
        renamed = _with(table, name="other", prompts=("",) * 40)
        (trace,) = sweep(renamed, x, learners={"q": LinUCB()}, preference={"quality": 1.0}, seeds=[0], keep=tmp_path)
        assert trace.policy == "q"
        assert replayed == [("p", 0)]

    @pytest.mark.parametrize(
        "damage",
        [b"", b"{", b"\xff", b"[]", b"{}", b'{"chosen": [0]}', b'{"chosen": "no"}', b'{"chosen": [[1e400]]}'],
    )
    def test_a_damaged_cell_is_done_again(self, table, x, tmp_path, replayed, damage):
        options = {**OPTIONS, "learners": {"linucb": LinUCB()}, "seeds": [0], "keep": tmp_path}
        (first,) = sweep(table, x, **options)
        (path,) = tmp_path.iterdir()
        path.write_bytes(damage)
        (again,) = sweep(table, x, **options)
        assert again.chosen.tolist() == first.chosen.tolist() == json.loads(path.read_text())["chosen"]
        path.write_text(json.dumps({"chosen": [2] * 40}))  # no arm is the third
        (again,) = sweep(table, x, **options)
        assert again.chosen.tolist() == first.chosen.tolist()


def _with(table, **changed):
    parts = {name: getattr(table, name) for name in ("name", "prompts", "tasks", "arms", "outcomes")}
    return OutcomeTable(**{**parts, **changed})


def test_closed_sweep_cancels_its_remaining_cells(table, x, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    begin = time.monotonic()
    begun = sweep(
        table, x, learners={"uniform": Learner(policy=Uniform())}, preference={"quality": 1}, seeds=range(5000)
    )
    next(begun)
    begun.close()
    assert time.monotonic() - begin < 20.0
