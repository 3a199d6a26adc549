"""Traffic for adapters: tasks of unequal popularity, adapters that are each good at one, and misses that cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector

_SKILL = 0.4  # utility of an adapter at its own task above the average; at other tasks at most as much below
_DIRECTION_STD = 0.3  # of requests around their task, and of adapters around theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterTraffic:
    """Requests, and the true utility of every adapter for them.

    Attributes
    ----------
    x : (T, d)
        Contexts, features of norm 1 and the bias.
    task : (T,)
        The task type of each request.
    utilities : (T, N)
        Expected utility of every adapter: linear in ``x``.
    noise : (T,)
        Noise that is added to the observed utility.
    costs : (N,)
        Cost of loading each adapter, in utility.
    """

    x: Vector
    task: NDArray[np.intp]
    utilities: Vector
    noise: Vector
    costs: Vector


def adapter_traffic(
    *,
    seed: int,
    adapters: int = 15,
    tasks: int = 15,
    dimension: int = 10,
    requests: int = 8000,
    miss_cost: float = 0.15,
    noise: float = 0.1,
    shift_at: int | None = None,
) -> AdapterTraffic:
    """Draw traffic whose tasks are popular by Zipf's law with exponent 0.9.

    Parameters
    ----------
    seed
        Seed of all draws.
    adapters, tasks, dimension, requests
        N, the number of task types, d with the bias, and T. The first adapters are each good at a task of their own,
        further ones at any.
    miss_cost
        Mean cost of a load in utility; the cost of each adapter is between half and one and a half times the mean.
    noise
        Standard deviation of the noise.
    shift_at
        First request after which the tasks have exchanged their popularity; None: they never do.

    Examples
    --------
    >>> traffic = adapter_traffic(seed=0, requests=100)
    >>> traffic.x.shape, traffic.utilities.shape
    ((100, 10), (100, 15))
    """
    rng = np.random.default_rng(seed)

    def about(centers: Vector) -> Vector:
        return _unit(centers + _DIRECTION_STD * rng.normal(size=centers.shape) / np.sqrt(dimension - 1))

    centers = _unit(rng.normal(size=(tasks, dimension - 1)))
    homes = np.concatenate([rng.permutation(tasks), rng.integers(tasks, size=max(adapters - tasks, 0))])[:adapters]
    theta = np.column_stack([_SKILL * about(centers[homes]), 0.5 + 0.05 * rng.normal(size=adapters)])
    popularity = np.arange(1, tasks + 1) ** -0.9
    task = rng.choice(tasks, p=popularity / popularity.sum(), size=requests)
    if shift_at is not None:
        task[shift_at:] = rng.permutation(tasks)[task[shift_at:]]
    x = np.column_stack([about(centers[task]), np.ones(requests)])
    return AdapterTraffic(
        x=x,
        task=task,
        utilities=x @ theta.T,
        noise=noise * rng.normal(size=requests),
        costs=miss_cost * rng.uniform(0.5, 1.5, size=adapters),
    )


def _unit(rows: Vector) -> Vector:
    unit: Vector = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
