"""Your own policy against the built-in ones, on the real answers of four models that are shipped.

Boltzmann exploration chooses by a softmax of the expected utilities. Here its temperature falls as the arms become
better known. Needs the extra ``logs``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from banditroute import EpsilonGreedy, Learner, LinUCB, Preference, ThompsonSampling
from banditroute.core.arrays import Vector
from banditroute.logs import SHIPPED
from banditroute.policies.base import with_floor
from banditroute.simulate import simulate
from banditroute.testing import check_policy

PREFERENCE = Preference(quality=1.0, cost_usd=100.0)


class Boltzmann:
    """Chooses by a softmax of the utilities, whose temperature is the average standard deviation."""

    def __init__(self, *, scale: float) -> None:
        self._scale = scale

    def probabilities(
        self, means: Vector, stds: Vector, *, arms: Sequence[str], information: Callable[[], Vector]
    ) -> Vector:
        """Return the probability of each arm ``(K,)``."""
        temperature = max(self._scale * float(stds.mean()), 1e-12)
        weights = np.exp(np.maximum((means - means.max()) / temperature, -700.0))
        return with_floor(weights / weights.sum(), 0.005)


def main() -> None:
    check_policy(Boltzmann(scale=0.5))  # raises if the policy breaks a promise
    found = simulate(
        SHIPPED,
        {
            "boltzmann": Learner(policy=Boltzmann(scale=0.5)),
            "thompson": ThompsonSampling(),
            "linucb": LinUCB(),
            "epsilon_greedy": EpsilonGreedy(),
        },
        preference=PREFERENCE,
        seeds=2,
    )
    print(found)
    gap = found.difference("boltzmann", "thompson")
    print(f"\nboltzmann less thompson, utility per request: {gap.value:+.4f} ({gap.lower:+.4f} to {gap.upper:+.4f})")


if __name__ == "__main__":
    main()
