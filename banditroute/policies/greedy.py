"""Epsilon-greedy: choose the best expected utility, and with probability epsilon a random arm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from banditroute.core.arrays import Vector
from banditroute.policies.base import check_floor, greedy


@dataclass(frozen=True, slots=True, kw_only=True)
class Greedy:
    """The arm with the highest expected utility, mixed with an exploration floor (epsilon).

    Parameters
    ----------
    floor
        Share of requests distributed evenly over all eligible arms, in [0, 1].

    Examples
    --------
    >>> import numpy as np
    >>> Greedy(floor=0.2).probabilities(
    ...     np.array([0.5, 0.4]), np.zeros(2), arms=["a", "b"], information=lambda: np.zeros(2)
    ... )
    array([0.9, 0.1])
    """

    floor: float = 0.1

    def __post_init__(self) -> None:
        check_floor(self.floor)

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.Policy`."""
        return greedy(means, self.floor)
