"""Draw one arm by the very probabilities that are recorded."""

from __future__ import annotations

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.errors import BanditRouteError

_SALT = 0x62616E646974  # "bandit" in ASCII


class CannotChooseError(BanditRouteError):
    """Why the policy could not choose. Its text goes into ``decision.reason``; it never reaches a caller."""


def random_stream(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Return the generator that draws the arms of a router; one that is given is used as it is.

    A whole number is salted. Otherwise a simulation that draws its outcomes from ``np.random.default_rng(seed)`` with
    the router's seed would draw the very numbers that choose the arms, and be confounded.

    Examples
    --------
    >>> bool(random_stream(0).random() == random_stream(0).random())
    True
    >>> bool(random_stream(0).random() == np.random.default_rng(0).random())
    False
    """
    if seed is None or isinstance(seed, np.random.Generator):
        return np.random.default_rng(seed)
    return np.random.default_rng([_SALT, seed])


def sample_arm(probabilities: Vector, count: int, u: float) -> tuple[int, float]:
    """Return the position of the arm whose share of [0, 1) holds ``u``, and its probability, which is above 0.

    Raises
    ------
    CannotChooseError
        If ``probabilities`` are not ``count`` probabilities that sum to 1.
    """
    shares = probabilities.tolist()
    if len(shares) != count or not abs(sum(shares) - 1.0) < 1e-9 or min(shares) < 0.0:
        raise CannotChooseError(
            f"the policy did not give {count} probabilities that sum to 1; test it with testing.check_policy"
        )
    at = 0.0
    chosen = -1
    for k, share in enumerate(shares):
        if share > 0.0:
            chosen = k
            at += share
            if u < at:
                break
    return chosen, shares[chosen]
