"""Learners: a belief and the policy that acts on it, under the names by which they are known."""

from __future__ import annotations

from banditroute.beliefs.base import BeliefSpec
from banditroute.beliefs.linear import Linear
from banditroute.policies.base import LearningPolicy, Policy
from banditroute.policies.greedy import Greedy
from banditroute.policies.inverse_gap import InverseGap
from banditroute.policies.thompson import Thompson
from banditroute.policies.ucb import UCB


class Learner:
    """A belief and the policy that acts on it. Holds settings only: many routers may share one.

    Parameters
    ----------
    policy
        Turns utilities with uncertainty into probabilities.
    belief
        How the belief begins.

    Examples
    --------
    >>> from banditroute.policies import Uniform
    >>> Learner(policy=Uniform())
    Learner(policy=Uniform())
    """

    def __init__(self, *, policy: Policy | LearningPolicy, belief: BeliefSpec | None = None) -> None:
        self.policy = policy
        self.belief: BeliefSpec = Linear() if belief is None else belief

    def __repr__(self) -> str:
        return f"{type(self).__name__}(policy={self.policy!r})"


class LinUCB(Learner):
    """Linear belief under upper confidence bounds (Li et al. 2010, algorithm 1, disjoint).

    Parameters
    ----------
    alpha, delta, floor
        Width and exploration floor: see :class:`banditroute.policies.UCB`.
    belief
        Priors: see :class:`banditroute.beliefs.Linear`.

    Examples
    --------
    >>> LinUCB(alpha=1.0).policy.alpha
    1.0
    """

    def __init__(
        self,
        *,
        alpha: float = 0.7,
        delta: float | None = None,
        floor: float = 0.005,
        belief: BeliefSpec | None = None,
    ) -> None:
        super().__init__(policy=UCB(alpha=alpha, delta=delta, floor=floor), belief=belief)


class ThompsonSampling(Learner):
    """Linear belief under Thompson sampling (Agrawal and Goyal 2013, algorithm 1, disjoint).

    Parameters
    ----------
    scale, floor
        Scale of the sampled spread and exploration floor: see :class:`banditroute.policies.Thompson`.
    belief
        Priors: see :class:`banditroute.beliefs.Linear`.

    Examples
    --------
    >>> ThompsonSampling(scale=1.0).policy.scale
    1.0
    """

    def __init__(self, *, scale: float = 0.5, floor: float = 0.005, belief: BeliefSpec | None = None) -> None:
        super().__init__(policy=Thompson(scale=scale, floor=floor), belief=belief)


class SquareCB(Learner):
    """Linear belief under inverse-gap weighting (Foster and Rakhlin 2020).

    Parameters
    ----------
    scale
        Multiplies the learning rate, which follows from the belief: see :class:`banditroute.policies.InverseGap`.
    belief
        Priors: see :class:`banditroute.beliefs.Linear`.

    Examples
    --------
    >>> SquareCB(scale=3.0).policy.scale
    3.0
    """

    def __init__(self, *, scale: float = 10.0, belief: BeliefSpec | None = None) -> None:
        super().__init__(policy=InverseGap(scale=scale), belief=belief)


class EpsilonGreedy(Learner):
    """Linear belief, the best expectation, and with probability ``epsilon`` any arm.

    Parameters
    ----------
    epsilon
        Share of requests spread evenly over all eligible arms, in [0, 1].
    belief
        Priors: see :class:`banditroute.beliefs.Linear`.

    Examples
    --------
    >>> EpsilonGreedy(epsilon=0.05).policy.floor
    0.05
    """

    def __init__(self, *, epsilon: float = 0.1, belief: BeliefSpec | None = None) -> None:
        super().__init__(policy=Greedy(floor=epsilon), belief=belief)
