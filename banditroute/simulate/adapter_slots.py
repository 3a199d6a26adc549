"""Arms that are adapters in a simulation: the router's cache, and the misses of a policy that ignores residency."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.backends.simulated import SimulatedBackend
from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.controller import Controller
from banditroute.adapters.eviction import Score, cost_aware, fifo, gdsf, lfu, lru
from banditroute.core.adapter import AdapterSpec
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.validation import number, whole
from banditroute.errors import InvalidConfigurationError

_CONTROLS: dict[str, Controller | Score] = {
    "controller": Controller(),
    "lru": lru,
    "lfu": lfu,
    "fifo": fifo,
    "gdsf": gdsf,
    "cost_aware": cost_aware,
}
_BYTES_PER_SECOND = 1e9  # of simulated loads, which take their time from the size


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSlots:
    """Arms that are LoRA adapters, of which few are resident: a request for another one waits until it is loaded.

    Parameters
    ----------
    slots
        Number of adapters that are kept, at least 1. One more passes through a staging slot. An eviction rule has one
        slot more instead, so that all have the same memory.
    load_seconds
        Seconds of a load, at least a nanosecond: of every arm; or arm -> seconds, for the arms that are adapters.
    control
        ``"controller"``, which is :class:`banditroute.adapters.Controller`; or an eviction rule: ``"lru"``, ``"lfu"``,
        ``"fifo"``, ``"gdsf"`` or ``"cost_aware"``.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range, no arm is an adapter, or the control is unknown.

    Examples
    --------
    >>> AdapterSlots(slots=1, load_seconds={"law": 0.4, "code": 0.2}).seconds(["law", "code", "base"])
    array([0.4, 0.2, 0. ])
    """

    slots: int
    load_seconds: float | Mapping[str, float]
    control: str = "controller"

    def __post_init__(self) -> None:
        error = InvalidConfigurationError
        whole(self.slots, name="slots", error=error)
        if isinstance(self.load_seconds, Mapping):
            object.__setattr__(self, "load_seconds", dict(self.load_seconds))
            given = {f"load_seconds of {arm!r}": each for arm, each in self.load_seconds.items()}
        else:
            given = {"load_seconds": self.load_seconds}
        for name, seconds in given.items():
            number(seconds, name=name, low=1.0 / _BYTES_PER_SECOND, error=error)
        if not given:
            raise error("load_seconds is empty; name the arms that are adapters, with the seconds of a load of each")
        if self.control not in _CONTROLS:
            raise error(f"unknown control {self.control!r}; known controls: {', '.join(_CONTROLS)}")

    def seconds(self, arms: Sequence[str]) -> Vector:
        """Return the load seconds of each of K ``arms`` ``(K,)``; 0 for an arm that is not an adapter."""
        if isinstance(self.load_seconds, Mapping):
            return np.array([self.load_seconds.get(arm, 0.0) for arm in arms])
        return np.full(len(arms), self.load_seconds)

    def arms(self, names: Sequence[str]) -> list[Arm]:
        """Return the arms of these names, as a router takes them."""
        return [
            Arm(name=name, adapter=AdapterSpec(name=name, path=name, size_bytes=size) if size else None)
            for name, size in zip(
                names, np.rint(self.seconds(names) * _BYTES_PER_SECOND).astype(int).tolist(), strict=True
            )
        ]

    def cache(self) -> AdapterCache:
        """Return a cache for their adapters; none is resident."""
        control = _CONTROLS[self.control]
        staging = int(isinstance(control, Controller))
        capacity = Capacity(slots=self.slots + 1 - staging, staging_slots=staging)
        backend = SimulatedBackend(capacity=capacity, base_seconds=0.0, bytes_per_second=_BYTES_PER_SECOND, jitter=0.0)
        return AdapterCache(backend=backend, control=control)

    def misses(self, shares: Vector, arms: Sequence[str]) -> Vector:
        """Return how much of each request waits for each arm's load ``(n, K)``, for a policy that ignores residency.

        Request t asks for arm k with probability ``shares[t, k]``, independently of the others. The adapters whose
        loads would take longest in total are kept, from their first request on. The others pass through the staging
        slot one at a time.

        Parameters
        ----------
        shares : (n, K)
            At least 0, each row adding up to 1.

        Examples
        --------
        >>> slots = AdapterSlots(slots=1, load_seconds=0.4)
        >>> slots.misses(np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]), ["law", "code"])
        array([[1., 0.],
               [0., 0.],
               [0., 1.],
               [0., 0.]])
        >>> slots.misses(np.full((3, 3), [0.5, 0.25, 0.25]), ["law", "code", "math"]).sum(axis=1)
        array([1.    , 0.625 , 0.4375])
        """
        seconds = self.seconds(arms)
        missed: Vector = shares * (seconds > 0.0)
        order = np.argsort(-missed.sum(axis=0) * seconds, kind="stable")
        kept, staged = order[: self.slots], order[self.slots :]
        missed[1:, kept] *= np.cumprod(1.0 - missed[:-1, kept], axis=0)  # no request asked before
        asked = missed[:, staged]
        here = np.zeros(len(staged))  # probability that each is in the staging slot
        for t in np.flatnonzero(asked.any(axis=1)):
            missed[t, staged] = asked[t] * (1.0 - here)
            here = here * (1.0 - asked[t].sum()) + asked[t]
        return missed
