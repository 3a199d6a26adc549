"""Arms that are adapters: what the router of a simulation pages in, and what it costs who asks without looking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.adapters.backends.base import Capacity
from banditroute.adapters.backends.simulated import SimulatedBackend
from banditroute.adapters.cache import AdapterCache
from banditroute.adapters.controller import Polar
from banditroute.adapters.eviction import Score, cost_aware, fifo, gdsf, lfu, lru
from banditroute.core.adapter import AdapterSpec
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.validation import number, whole
from banditroute.errors import InvalidConfigurationError

_CONTROLS: dict[str, Polar | Score] = {
    "polar": Polar(),
    "lru": lru,
    "lfu": lfu,
    "fifo": fifo,
    "gdsf": gdsf,
    "cost_aware": cost_aware,
}
_BYTES_PER_SECOND = 1e9  # of simulated loads, which take their time from the size


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterSlots:
    """Arms are LoRA adapters, of which few are resident: a request for another one waits until it is loaded.

    Parameters
    ----------
    slots
        How many adapters are kept, at least 1. Beside them one passes through a staging slot; what evicts on each miss
        has one slot more instead, so that all have the same memory.
    load_seconds
        What a load takes, from a nanosecond: of any arm; or arm -> seconds, of those arms that are adapters.
    control
        Who decides what is kept: ``"polar"``, which is :class:`banditroute.adapters.Polar`, or the rule of eviction
        ``"lru"``, ``"lfu"``, ``"fifo"``, ``"gdsf"`` or ``"cost_aware"``.

    Raises
    ------
    InvalidConfigurationError
        For a number out of range, no adapter, and another control.

    Examples
    --------
    >>> AdapterSlots(slots=1, load_seconds={"law": 0.4, "code": 0.2}).seconds(["law", "code", "base"])
    array([0.4, 0.2, 0. ])
    """

    slots: int
    load_seconds: float | Mapping[str, float]
    control: str = "polar"

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
            raise error("load_seconds is empty; name the arms that are adapters, with what a load of each takes")
        if self.control not in _CONTROLS:
            raise error(f"control is {self.control!r}; there are {', '.join(_CONTROLS)}")

    def seconds(self, arms: Sequence[str]) -> Vector:
        """What a load of each of K ``arms`` takes ``(K,)``; 0 where it is no adapter."""
        if isinstance(self.load_seconds, Mapping):
            return np.array([self.load_seconds.get(arm, 0.0) for arm in arms])
        return np.full(len(arms), self.load_seconds)

    def arms(self, names: Sequence[str]) -> list[Arm]:
        """The arms of these names, as a router takes them."""
        return [
            Arm(name=name, adapter=AdapterSpec(name=name, path=name, size_bytes=size) if size else None)
            for name, size in zip(
                names, np.rint(self.seconds(names) * _BYTES_PER_SECOND).astype(int).tolist(), strict=True
            )
        ]

    def cache(self) -> AdapterCache:
        """What holds their adapters; nothing is resident."""
        control = _CONTROLS[self.control]
        staging = int(isinstance(control, Polar))
        capacity = Capacity(slots=self.slots + 1 - staging, staging_slots=staging)
        backend = SimulatedBackend(capacity=capacity, base_seconds=0.0, bytes_per_second=_BYTES_PER_SECOND, jitter=0.0)
        return AdapterCache(backend=backend, control=control)

    def misses(self, shares: Vector, arms: Sequence[str]) -> Vector:
        """How much of each request waits for each arm's load ``(n, K)``, where nobody looks at what is resident.

        Request t asks for arm k with probability ``shares[t, k]``, each by itself. The adapters whose loads would take
        longest in all are kept, from their first request on; the others pass through the staging slot one at a time.

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
        missed[1:, kept] *= np.cumprod(1.0 - missed[:-1, kept], axis=0)  # nobody asked before
        asked = missed[:, staged]
        here = np.zeros(len(staged))  # with which probability each is in the staging slot
        for t in np.flatnonzero(asked.any(axis=1)):
            missed[t, staged] = asked[t] * (1.0 - here)
            here = here * (1.0 - asked[t].sum()) + asked[t]
        return missed
