"""Baseline policies that do not learn: every learned policy has to beat them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import LARGEST, label, number, plain_numbers
from banditroute.errors import InvalidConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Uniform:
    """The policy that gives every eligible arm the same probability.

    Examples
    --------
    >>> Uniform().probabilities(np.zeros(2), np.zeros(2), arms=["a", "b"], information=lambda: np.zeros(2))
    array([0.5, 0.5])
    """

    ignores_utilities: ClassVar[bool] = True

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.Policy`."""
        return np.full(len(arms), 1.0 / len(arms))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """The policy with a fixed share for every arm, whatever the request; a single arm with share 1 is always chosen.

    A static mixture of two arms at a given cost is the strong baseline that a cost-aware router must beat. If some arms
    are not eligible, the others keep their proportions. If no eligible arm has a share, all have the same probability.

    Parameters
    ----------
    shares
        Arm -> share, 0 to 1e50, at least one above 0; scaled to sum 1.

    Raises
    ------
    InvalidConfigurationError
        If a share is out of range or not a number, or no share is above 0.

    Examples
    --------
    >>> mixture = Mixture(shares={"a": 3, "b": 1})
    >>> mixture.probabilities(np.zeros(2), np.zeros(2), arms=["a", "b"], information=lambda: np.zeros(2))
    array([0.75, 0.25])
    """

    ignores_utilities: ClassVar[bool] = True

    shares: Mapping[str, float]

    def __post_init__(self) -> None:
        plain_numbers(self)
        object.__setattr__(self, "shares", dict(self.shares))  # a copy: the caller may change its own mapping
        for arm, share in self.shares.items():
            label(arm, name="arm of a mixture", error=InvalidConfigurationError)
            number(share, name=f"share of arm {arm!r}", low=0.0, high=LARGEST, error=InvalidConfigurationError)
        if not any(self.shares.values()):
            raise InvalidConfigurationError(f"a mixture needs a share above 0, got {dict(self.shares)}")

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each eligible arm ``(K,)``; see :class:`banditroute.policies.Policy`."""
        shares = np.array([float(self.shares.get(arm, 0.0)) for arm in arms])
        if not shares.any():
            shares[:] = 1.0
        probabilities: Vector = shares / shares.sum()
        return probabilities
