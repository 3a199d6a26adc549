"""Learners: pairs of a belief and a policy, under the names of the literature.

The default belief of all of them is :class:`banditroute.beliefs.Hybrid`. ``LinUCB.paper()`` and
``ThompsonSampling.paper()`` are the algorithms of the papers: they model each arm separately and explore all
uncertainty.
"""

from __future__ import annotations

from banditroute.beliefs.base import BeliefSpec
from banditroute.beliefs.drift import PageHinkley
from banditroute.beliefs.hybrid import Hybrid
from banditroute.beliefs.linear import Linear
from banditroute.core.validation import number, shown
from banditroute.errors import InvalidConfigurationError
from banditroute.policies.base import LearningPolicy, Policy
from banditroute.policies.greedy import Greedy
from banditroute.policies.inverse_gap import InverseGap
from banditroute.policies.thompson import Thompson
from banditroute.policies.ucb import UCB


class Learner:
    """A belief and the policy that acts on it. It holds only settings, so many routers may share one.

    Parameters
    ----------
    policy
        The policy that turns utilities with uncertainty into probabilities.
    belief
        The settings of the belief. Default: :class:`banditroute.beliefs.Hybrid`.
    context_exploration
        Share, in [0, 1], of the uncertainty added by the request's context that is explored. The uncertainty of an
        arm's average is always explored. 1 explores all, as in the papers. A small share is enough, since requests
        differ: acting on the best expectation explores contexts by itself (Bastani, Bayati and Khosravi 2021, "Mostly
        exploration-free algorithms for contextual bandits").
    drift
        The test for changed arms, a :class:`banditroute.beliefs.PageHinkley`; older outcomes of a changed arm lose
        weight. None: no test.

    Raises
    ------
    InvalidConfigurationError
        If ``policy``, ``belief`` or ``drift`` is of another type, or ``context_exploration`` lies outside [0, 1].

    Examples
    --------
    >>> from banditroute.policies import Uniform
    >>> Learner(policy=Uniform())
    Learner(policy=Uniform())
    """

    def __init__(
        self,
        *,
        policy: Policy | LearningPolicy,
        belief: BeliefSpec | None = None,
        context_exploration: float = 0.3,
        drift: PageHinkley | None = None,
    ) -> None:
        if isinstance(policy, type) or not callable(getattr(policy, "probabilities", getattr(policy, "start", None))):
            raise InvalidConfigurationError(
                f"policy is {policy!r:.80}; give a policy object such as banditroute.policies.UCB(), or use a named "
                "learner such as LinUCB()"
            )
        if belief is not None and (isinstance(belief, type) or not callable(getattr(belief, "start", None))):
            raise InvalidConfigurationError(
                f"belief is {shown(belief)}; give the settings of one, such as banditroute.beliefs.Hybrid()"
            )
        if drift is not None and not isinstance(drift, PageHinkley):
            raise InvalidConfigurationError(
                f"drift is {shown(drift)}; give banditroute.beliefs.PageHinkley(), or None for no test"
            )
        self.policy = policy
        self.belief: BeliefSpec = Hybrid() if belief is None else belief
        self.context_exploration: float = number(
            context_exploration, name="context_exploration", low=0.0, high=1.0, error=InvalidConfigurationError
        )
        self.drift = drift

    def __repr__(self) -> str:
        return f"{type(self).__name__}(policy={self.policy!r})"


class LinUCB(Learner):
    """A learner with upper confidence bounds (Li et al. 2010, algorithms 1 and 2).

    Parameters
    ----------
    alpha, delta, floor
        Width and exploration floor: see :class:`banditroute.policies.UCB`.
    belief, context_exploration, drift
        See :class:`Learner`.

    Examples
    --------
    >>> LinUCB(alpha=1.0).policy.alpha
    1.0
    """

    def __init__(
        self,
        *,
        alpha: float = 2.0,
        delta: float | None = None,
        floor: float = 0.005,
        belief: BeliefSpec | None = None,
        context_exploration: float = 0.3,
        drift: PageHinkley | None = None,
    ) -> None:
        policy = UCB(alpha=alpha, delta=delta, floor=floor)
        super().__init__(policy=policy, belief=belief, context_exploration=context_exploration, drift=drift)

    @classmethod
    def paper(cls, *, alpha: float = 1.0) -> LinUCB:
        """Return LinUCB with disjoint models as in the paper (Li et al. 2010, algorithm 1).

        Each arm has its own model, all uncertainty is explored, and the arm with the best bound is always chosen. The
        propensities are therefore 0 and 1, so its log cannot evaluate other policies.

        Examples
        --------
        >>> LinUCB.paper(alpha=0.5).policy
        UCB(alpha=0.5, delta=None, norm_bound=1.0, floor=0.0)
        """
        return cls(alpha=alpha, floor=0.0, belief=Linear(), context_exploration=1.0)


class ThompsonSampling(Learner):
    """A learner with Thompson sampling (Agrawal and Goyal 2013, algorithm 1).

    Parameters
    ----------
    scale, floor
        Factor on the sampled standard deviation, and exploration floor: see :class:`banditroute.policies.Thompson`.
    belief, context_exploration, drift
        See :class:`Learner`.

    Examples
    --------
    >>> ThompsonSampling(scale=1.0).policy.scale
    1.0
    """

    def __init__(
        self,
        *,
        scale: float = 0.8,
        floor: float = 0.005,
        belief: BeliefSpec | None = None,
        context_exploration: float = 0.3,
        drift: PageHinkley | None = None,
    ) -> None:
        policy = Thompson(scale=scale, floor=floor)
        super().__init__(policy=policy, belief=belief, context_exploration=context_exploration, drift=drift)

    @classmethod
    def paper(cls, *, scale: float = 1.0) -> ThompsonSampling:
        """Return Thompson sampling with disjoint models as in the paper (Agrawal and Goyal 2013, algorithm 1).

        Each arm has its own model, all uncertainty is sampled, and there is no exploration floor.

        Examples
        --------
        >>> ThompsonSampling.paper().policy
        Thompson(scale=1.0, floor=0.0)
        """
        return cls(scale=scale, floor=0.0, belief=Linear(), context_exploration=1.0)


class SquareCB(Learner):
    """A learner with inverse-gap weighting (Foster and Rakhlin 2020).

    Parameters
    ----------
    scale
        Factor on the learning rate, which follows from the belief: see :class:`banditroute.policies.InverseGap`.
    belief, context_exploration, drift
        See :class:`Learner`.

    Examples
    --------
    >>> SquareCB(scale=3.0).policy.scale
    3.0
    """

    def __init__(
        self,
        *,
        scale: float = 10.0,
        belief: BeliefSpec | None = None,
        context_exploration: float = 0.3,
        drift: PageHinkley | None = None,
    ) -> None:
        policy = InverseGap(scale=scale)
        super().__init__(policy=policy, belief=belief, context_exploration=context_exploration, drift=drift)


class EpsilonGreedy(Learner):
    """A learner that chooses the best expected utility, and with probability ``epsilon`` a random arm.

    Parameters
    ----------
    epsilon
        Share of requests distributed evenly over all eligible arms, in [0, 1].
    belief, drift
        See :class:`Learner`.

    Examples
    --------
    >>> EpsilonGreedy(epsilon=0.05).policy.floor
    0.05
    """

    def __init__(
        self, *, epsilon: float = 0.1, belief: BeliefSpec | None = None, drift: PageHinkley | None = None
    ) -> None:
        super().__init__(policy=Greedy(floor=epsilon), belief=belief, drift=drift)
        self.epsilon: float = epsilon
