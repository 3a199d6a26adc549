"""The controller: in every epoch it decides which adapters stay resident, from the beliefs that route the requests.

A re-derivation from the abstract of Li and Li 2026, "POLAR" (arXiv 2604.16583), whose code and proofs are not public:
the router subtracts the price of a miss, and the cache solves a facility location over recent requests. It changes only
between epochs. Two things are added. The cache is chosen under the optimism that the router acts on: otherwise an
adapter that is not resident is tried too seldom to show that it should be. Epochs are short at first, and stay short
enough to follow the traffic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from banditroute.adapters.facility import best_cache, cache_value
from banditroute.core.arrays import Vector
from banditroute.core.validation import number, plain_numbers, whole
from banditroute.errors import InvalidConfigurationError

_MIN_CHANGE_STDS = 4.5  # standard deviations of the chi-squared statistic above which the traffic has changed


class Plan(NamedTuple):
    """The decision of a controller at the end of an epoch.

    Attributes
    ----------
    keep
        Positions of the arms that are to be resident, in the order of their gain.
    forget
        Number of the oldest requests that no longer resemble the traffic.
    """

    keep: list[int]
    forget: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Controller:
    """Keeps the adapters for which the best choice is worth most, and plans again after every epoch of requests.

    Parameters
    ----------
    shortest_epoch, longest_epoch
        Requests between decisions, at first and at most; at least 1.
    growth
        Length of each epoch over that of the last, at least 1.
    horizon
        Requests over which a better cache must repay its loads, at least 1; None: the coming epoch.
    optimism
        Standard deviations added to every expectation when the cache is chosen, at least 0; the paper adds none.
    window
        Number of recent requests that the cache is chosen for, at least 1.
    forced
        Share ``f`` of forced exploration: in an epoch of H requests each of N adapters is tried ``ceil(f sqrt(H / N))``
        times first, whatever it costs; summed over doubling epochs that is of the order ``sqrt(N T)``. At least 0.
    explorer
        Whether one slot goes to the least known of the adapters that are not kept.
    adaptive
        Whether the window is cut, and epochs start short again, when the traffic asks for other adapters.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range.

    Examples
    --------
    >>> Controller.polar(epoch=500).optimism
    0.0
    """

    shortest_epoch: int = 50
    longest_epoch: int = 100
    growth: float = 1.25
    horizon: int | None = 500
    optimism: float = 1.0
    window: int = 1000
    forced: float = 0.0
    explorer: bool = False
    adaptive: bool = True

    def __post_init__(self) -> None:
        plain_numbers(self)
        error = InvalidConfigurationError
        for name in ("shortest_epoch", "longest_epoch", "horizon", "window"):
            if not (name == "horizon" and self.horizon is None):
                whole(getattr(self, name), name=name, error=error)
        if self.longest_epoch < self.shortest_epoch:
            raise error(f"longest_epoch is {self.longest_epoch}, below shortest_epoch {self.shortest_epoch}; raise it")
        for name, low in (("growth", 1.0), ("optimism", 0.0), ("forced", 0.0)):
            number(getattr(self, name), name=name, low=low, error=error)

    @classmethod
    def polar(cls, *, epoch: int = 500) -> Controller:
        """Return the first algorithm of the POLAR paper: fixed epochs and plain expectations, for any traffic."""
        return cls(shortest_epoch=epoch, longest_epoch=epoch, growth=1.0, horizon=None, optimism=0.0, adaptive=False)

    @classmethod
    def polar_plus(cls, *, first_epoch: int = 250, longest_epoch: int = 4000, forced: float = 0.25) -> Controller:
        """Return POLAR+: doubling epochs that begin with forced exploration, for traffic that does not change."""
        return cls(
            shortest_epoch=first_epoch,
            longest_epoch=longest_epoch,
            growth=2.0,
            horizon=None,
            optimism=0.0,
            window=longest_epoch,
            forced=forced,
            adaptive=False,
        )

    def start(self, *, adapters: Sequence[str], blob: bytes | None = None) -> ControllerState:
        """Return a running controller over these adapters, which goes on from ``blob``."""
        return ControllerState(spec=self, adapters=adapters, blob=blob)


class ControllerState:
    """A running controller; made by :meth:`Controller.start`. Not thread-safe.

    Parameters
    ----------
    spec
        The controller.
    adapters
        Names of the adapters that can be resident or not.
    blob
        The result of ``to_bytes``, to go on from.

    Attributes
    ----------
    keep
        Names of the adapters to keep, in the order of their gain; None before the first epoch ends.
    """

    def __init__(self, *, spec: Controller, adapters: Sequence[str], blob: bytes | None = None) -> None:
        saved = json.loads(blob or b"{}")
        self._spec = spec
        self._adapters = tuple(adapters)
        self._epoch = int(min(max(saved.get("epoch", 0), spec.shortest_epoch), spec.longest_epoch))
        self._left = int(saved.get("left", self._epoch))
        trials = saved.get("trials", self._allot())
        self._trials: dict[str, int] = {name: int(left) for name, left in trials.items() if name in self._adapters}
        kept = saved.get("keep")
        self.keep: list[str] | None = None if kept is None else [name for name in kept if name in self._adapters]

    def forced(self, resident: Collection[str]) -> str | None:
        """Return the adapter that the next request has to try, resident ones first; None: the policy chooses."""
        if not self._trials:
            return None
        for name in self._trials:
            if name in resident:
                return name
        return next(iter(self._trials))

    def count(self, arm: str) -> bool:
        """Count a request that ``arm`` serves; return whether the epoch has ended and a plan is due."""
        if arm in self._trials:
            self._trials[arm] -= 1
            if not self._trials[arm]:
                del self._trials[arm]
        self._left -= 1
        return self._left <= 0

    def plan(
        self,
        means: Vector,
        stds: Vector,
        costs: Vector,
        *,
        arms: Sequence[str],
        resident: Collection[str],
        pinned: Collection[str] = (),
        slots: int | None = None,
        sizes: Vector | None = None,
        room: float | None = None,
    ) -> Plan:
        """Choose the adapters to keep, and begin the next epoch.

        Parameters
        ----------
        means, stds
            Expected utility of all K arms for the W latest requests, oldest first, and its standard deviation:
            ``(W, K)`` each.
        costs
            Cost of loading each arm's adapter, in utility: ``(K,)`` or ``(W, K)``, 0 for an arm without an adapter.
        arms
            Names of all K arms.
        resident, pinned
            Adapters that are resident now, and adapters that stay whatever they are worth.
        slots, sizes, room
            As in :func:`banditroute.adapters.facility.best_cache`.
        """
        position = {name: k for k, name in enumerate(arms)}
        among = [position[name] for name in self._adapters]
        held = [position[name] for name in self._adapters if name in resident]
        forced = [position[name] for name in self._adapters if name in pinned]
        utilities = means + self._spec.optimism * stds
        forget = self._outdated(means - costs) if self._spec.adaptive else 0
        if forget:
            utilities = utilities[forget:]
            costs = costs[forget:] if costs.ndim == 2 else costs
        self.begin(fresh=forget > 0)
        kept_slots = slots
        if self._spec.explorer and slots is not None and slots - len(forced) > 1:
            kept_slots = slots - 1
        keep = best_cache(
            utilities,
            costs,
            among=among,
            slots=kept_slots,
            sizes=sizes,
            room=room,
            forced=forced,
        )
        single = costs if costs.ndim == 1 else costs.mean(axis=0)
        paid = float(single[[k for k in keep if k not in held]].sum())
        gain = cache_value(utilities, costs, keep) - cache_value(utilities, costs, held)
        if gain * (self._spec.horizon or self._epoch) <= paid:
            keep = held
        if kept_slots != slots:
            keep = keep[:kept_slots]
            keep += sorted((k for k in among if k not in keep), key=lambda k: -stds[:, k].mean())[:1]
        self.keep = [arms[k] for k in keep]
        return Plan(keep=keep, forget=forget)

    def begin(self, *, fresh: bool = False) -> None:
        """Begin the next epoch, a short one if the traffic is ``fresh``; ``plan`` does this."""
        spec = self._spec
        self._epoch = spec.shortest_epoch if fresh else min(math.ceil(self._epoch * spec.growth), spec.longest_epoch)
        self._left = self._epoch
        self._trials = self._allot()

    def to_bytes(self) -> bytes:
        """Return the state that survives a restart, as JSON."""
        state = {"epoch": self._epoch, "left": self._left, "trials": self._trials, "keep": self.keep}
        return json.dumps(state).encode()

    def _allot(self) -> dict[str, int]:
        """Return how often each adapter has to be tried in the epoch that begins."""
        trials = math.ceil(self._spec.forced * math.sqrt(self._epoch / max(len(self._adapters), 1)))
        return dict.fromkeys(self._adapters, trials) if trials else {}

    def _outdated(self, worth: Vector) -> int:
        """Return how many requests to forget: the older half, if the newer half asks for other arms.

        This is decided by the chi-squared test of homogeneity on the best arm of each request.
        """
        half = len(worth) // 2
        best = worth.argmax(axis=1)
        older, newer = (np.bincount(part, minlength=worth.shape[1]) for part in (best[:half], best[-half:]))
        if half < self._spec.shortest_epoch:
            return 0
        total = older + newer
        seen = total >= 10  # the usual condition for the approximation: five expected in each half
        statistic = float((np.square(older - newer)[seen] / total[seen]).sum())
        freedom = max(int(seen.sum()) - 1, 1)
        return len(worth) - half if statistic > freedom + _MIN_CHANGE_STDS * math.sqrt(2.0 * freedom) else 0
