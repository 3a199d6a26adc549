"""Draw one arm by the very probabilities that are recorded."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.forking import hold_while_forking
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


class RandomStream:
    """The random numbers of a router. A forked child goes on with numbers of its own.

    The n-th child of a seeded router draws from the n-th stream that the router's generator spawns; a child of an
    unseeded one begins with fresh entropy.

    Parameters
    ----------
    seed
        As in :func:`random_stream`.

    Attributes
    ----------
    generator
        The generator that this process draws from.
    """

    def __init__(self, seed: int | np.random.Generator | None) -> None:
        self.generator: np.random.Generator = random_stream(seed)
        self._seeded = seed is not None
        self._of_child: np.random.Generator | None = None
        hold_while_forking(self)

    def spawn(self) -> RandomStream:
        """Return another stream, which is independent of this one."""
        return RandomStream(self._spawned() if self._seeded else None)

    def before_fork(self) -> None:
        """Spawn the stream of the child."""
        self._of_child = self._spawned() if self._seeded else None

    def begin_in_child(self) -> None:
        """Draw from the child's stream."""
        self.generator = np.random.default_rng(self._of_child)

    def _spawned(self) -> np.random.Generator | None:
        try:
            return self.generator.spawn(1)[0]
        except TypeError:  # a generator that was given has no seed sequence
            return None


def sample_arm(probabilities: Vector, count: int, u: float) -> tuple[int, float]:
    """Return the position of the arm whose share of [0, 1) holds ``u``, and its probability, which is above 0.

    Raises
    ------
    CannotChooseError
        If ``probabilities`` are not ``count`` probabilities that sum to 1.
    """
    shares = probabilities.tolist()
    ends = list(accumulate(shares))  # of each arm's share of [0, 1)
    if len(shares) != count or not abs(ends[-1] - 1.0) < 1e-9 or min(shares) < 0.0:
        raise CannotChooseError(
            f"the policy did not give {count} probabilities that sum to 1; test it with testing.check_policy"
        )
    chosen = bisect_right(ends, u)
    if chosen == count:  # the shares sum to less than u, by rounding
        chosen = max(k for k, share in enumerate(shares) if share > 0.0)
    return chosen, shares[chosen]
