"""Sweeps: a replay for every policy and seed, on all cores or on a cluster; finished passes are kept.

A cell, one policy under one seed, is a pure function of its configuration. Kept, it is a file of the arms that were
chosen, and of how long their adapters were waited for, named by a hash of the configuration and of this package's code:
an interrupted sweep goes on where it was, and nothing that could differ is ever taken for the same.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.optional_imports import optional
from banditroute.core.preference import Preference
from banditroute.core.worker_processes import worker_processes
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import Learner
from banditroute.logs import OutcomeTable
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import PreferenceLike
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.replay import Expected, Trace, replay

_AS_LOGGED = Conditions.as_logged()

_Submit: TypeAlias = Callable[[str, int], "Future[Trace]"]


def sweep(
    table: OutcomeTable,
    x: Vector,
    *,
    learners: Mapping[str, Learner],
    preference: PreferenceLike,
    seeds: Sequence[int],
    objectives: Sequence[Objective] = (),
    warm: int = 0,
    blocks: Sequence[FeatureBlock] | None = None,
    expected: Expected | None = None,
    conditions: Conditions = _AS_LOGGED,
    keep: Path | None = None,
    executor: str = "processes",
) -> Iterator[Trace]:
    """Run ``replay`` for every learner and seed; traces come as they finish, in any order.

    Worker processes import the caller's main module, which should do its work under ``if __name__ == "__main__"``.

    Parameters
    ----------
    table, x, preference, objectives, warm, blocks, expected, conditions
        As in :func:`~banditroute.simulate.replay.replay`.
    learners
        Name -> learner.
    keep
        Folder of the cells that are done, made if it is not there; None: nothing is kept.
    executor
        ``"serial"``: this process; ``"processes"``: one process for every core; ``"dask"``: a local Dask cluster; or
        the address of a Dask scheduler, ``"tcp://HOST:8786"``, whose workers have this version of banditroute.

    Raises
    ------
    InvalidConfigurationError
        If the executor is unknown.
    MissingDependencyError
        If Dask is not installed.
    """
    job = Job(
        table=replace(table, prompts=("",) * len(table)),  # no replay reads them
        x=x,
        learners=dict(learners),
        preference=preference,
        objectives=tuple(objectives),
        warm=warm,
        blocks=blocks,
        expected={arm: dict(values) for arm, values in (expected or {}).items()},
        conditions=conditions,
    )
    paths = {}
    todo = [(policy, seed) for seed in seeds for policy in learners]
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        common = job.digest()
        for policy, seed in list(todo):
            paths[policy, seed] = path = keep / f"{job.key(common, policy, seed)}.json"
            if (done := job.read(path, policy, seed)) is not None:
                todo.remove((policy, seed))
                yield done
    if not todo:
        return
    with _workers(executor, job, len(todo)) as submit:
        futures = [submit(policy, seed) for policy, seed in todo]
        try:
            for future in as_completed(futures):
                trace = future.result()
                if keep is not None:
                    _write(paths[trace.policy, trace.seed], trace)
                yield trace
        finally:
            for future in futures:
                future.cancel()  # what nobody waits for


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """The settings that all cells of a sweep share."""

    table: OutcomeTable
    x: Vector
    learners: Mapping[str, Learner]
    preference: PreferenceLike
    objectives: Sequence[Objective]
    warm: int
    blocks: Sequence[FeatureBlock] | None
    expected: Expected
    conditions: Conditions

    def cell(self, policy: str, seed: int) -> Trace:
        return replay(
            self.table,
            self.x,
            learner=self.learners[policy],
            preference=self.preference,
            seed=seed,
            policy=policy,
            objectives=self.objectives,
            warm=self.warm,
            blocks=self.blocks,
            expected=self.expected,
            conditions=self.conditions,
        )

    def digest(self) -> str:
        """Return a digest of all that does not differ between cells."""
        shared = {
            "code": _code(),
            "numpy": np.__version__,
            "arms": self.table.arms,
            "tasks": self.table.tasks,
            "outcomes": list(self.table.outcomes),
            "preference": self.preference,
            "objectives": self.objectives,
            "warm": self.warm,
            "blocks": self.blocks,
            "expected": self.expected,
            "conditions": self.conditions,
        }
        digest = hashlib.sha256(json.dumps(shared, default=_plain).encode())
        for values in (self.x, *self.table.outcomes.values()):
            digest.update(str(values.shape).encode() + np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def key(self, common: str, policy: str, seed: int) -> str:
        learner = self.learners[policy]
        parts = (learner, learner.belief, learner.context_exploration, learner.drift, seed)
        return hashlib.sha256("\n".join([common, *map(repr, parts)]).encode()).hexdigest()

    def read(self, path: Path, policy: str, seed: int) -> Trace | None:
        """Return the kept cell; None where the file is missing or holds another cell."""
        try:
            cell = json.loads(path.read_text())
            chosen = np.array(cell["chosen"], dtype=np.intp)
            paged = np.array(cell["paged_seconds"], dtype=np.float64) if self.conditions.paging else None
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return None
        _, rows = self.conditions.order(self.table.tasks, seed=seed, warm=self.warm)
        if chosen.shape != rows.shape or not np.isin(chosen, range(len(self.table.arms))).all():
            return None
        if paged is not None and not (paged.shape == rows.shape and np.isfinite(paged).all()):
            return None
        return Trace(policy=policy, seed=seed, rows=rows, chosen=chosen, paged_seconds=paged)


def _plain(value: Any) -> dict[str, Any]:
    """Return a preference or a dataclass as JSON holds it."""
    if isinstance(value, Preference):
        return value.as_dict()
    return {each.name: getattr(value, each.name) for each in fields(value)} if is_dataclass(value) else dict(value)


def _write(path: Path, trace: Trace) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    cell: dict[str, Any] = {"policy": trace.policy, "seed": trace.seed, "chosen": trace.chosen.tolist()}
    if trace.paged_seconds is not None:
        cell["paged_seconds"] = trace.paged_seconds.tolist()
    part.write_text(json.dumps(cell))
    part.replace(path)  # all of it, or nothing


@cache
def _code() -> str:
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(path.relative_to(package).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()


def _workers(executor: str, job: Job, cells: int) -> AbstractContextManager[_Submit]:
    if executor == "serial":
        return _serial(job)
    if executor == "processes":
        return _processes(job, cells)
    if executor == "dask" or "://" in executor:
        return _dask(job, None if executor == "dask" else executor)
    raise InvalidConfigurationError(
        f"executor is {executor!r}; give 'processes', 'serial', 'dask', or the address of a Dask scheduler such as "
        "'tcp://10.0.0.1:8786'"
    )


@contextmanager
def _serial(job: Job) -> Iterator[_Submit]:
    def submit(policy: str, seed: int) -> Future[Trace]:
        done: Future[Trace] = Future()
        done.set_result(job.cell(policy, seed))
        return done

    yield submit


@contextmanager
def _processes(job: Job, cells: int) -> Iterator[_Submit]:
    with worker_processes(preload=__name__, most=cells, begin=_begin, given=(job,)) as submit:
        yield lambda policy, seed: submit(_cell, policy, seed)


_job: Job


def _begin(job: Job) -> None:
    global _job  # sent to each worker once, not with every cell
    _job = job


def _cell(policy: str, seed: int) -> Trace:
    return _job.cell(policy, seed)


@contextmanager
def _dask(job: Job, address: str | None) -> Iterator[_Submit]:
    distributed = optional("distributed", extra="dask")
    local = {} if address else {"n_workers": os.cpu_count(), "threads_per_worker": 1, "dashboard_address": None}
    with distributed.Client(address, **local) as client:
        shared = client.scatter(job, broadcast=True, hash=False)
        pool = client.get_executor(pure=False)
        yield lambda policy, seed: pool.submit(Job.cell, shared, policy, seed)
