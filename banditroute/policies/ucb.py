"""Upper confidence bound: choose the arm with the highest plausible utility."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import check_floor, greedy


@dataclass(frozen=True, slots=True, kw_only=True)
class UCB:
    """The policy that chooses the highest ``mean + width x std``, mixed with an exploration floor.

    With ``delta=None`` the width is the constant ``alpha`` (Li et al. 2010, algorithm 1, line 8). Here ``std`` includes
    the standard deviation of the noise, and theirs does not. With a ``delta`` the width is the self-normalised bound of
    Abbasi-Yadkori, Pal and Szepesvari 2011, theorem 2, in units of the noise:

        width_k = alpha (sqrt(2 log(1 / delta) + log det(A_k) - log det(Lambda)) + norm_bound)

    Parameters
    ----------
    alpha
        Scale of the width, at least 0.
    delta
        Probability that the bound ever fails, in (0, 1); None for the constant width.
    norm_bound
        Bound on ``||Lambda^(1/2) (theta - mu)|| / sigma``, at least 0; used with ``delta`` only.
    floor
        Share of requests distributed evenly over all eligible arms, in [0, 1]; ties share the rest.

    Examples
    --------
    >>> UCB(alpha=1.0, floor=0.1).probabilities(
    ...     np.array([0.5, 0.4]), np.array([0.0, 0.2]), arms=["a", "b"], information=lambda: np.zeros(2)
    ... )
    array([0.05, 0.95])
    """

    alpha: float = 2.0
    delta: float | None = None
    norm_bound: float = 1.0
    floor: float = 0.005

    def __post_init__(self) -> None:
        plain_numbers(self)
        check_floor(self.floor)
        number(self.alpha, name="alpha", low=0.0, error=InvalidConfigurationError)
        number(self.norm_bound, name="norm_bound", low=0.0, error=InvalidConfigurationError)
        if self.delta is not None and not 0.0 < number(self.delta, name="delta", error=InvalidConfigurationError) < 1.0:
            raise InvalidConfigurationError(f"delta is {self.delta}; it must lie strictly between 0 and 1")

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.Policy`."""
        if self.delta is None:
            scores = means + self.alpha * stds
        else:
            radius = np.sqrt(2.0 * math.log(1.0 / self.delta) + information()) + self.norm_bound
            scores = means + self.alpha * radius * stds
        return greedy(scores, self.floor)
