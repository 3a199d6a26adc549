"""A decision: the arm to use, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.residency import Residency

if TYPE_CHECKING:
    from banditroute.core.explanation import Explanation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """What ``route()`` returns: the arm to use, and why.

    Arrays run over ``arms``, the K eligible arms, in the router's order; objective arrays over ``objectives``.

    Attributes
    ----------
    id
        Names the decision in ``feedback()``: 32 hexadecimal digits, the first 12 its time in milliseconds.
    arm
        The arm to use.
    propensity
        The probability with which ``arm`` was chosen, in (0, 1]; exact.
    reason
        ``"policy"``; or ``"limits: ..."``, ``"breaker: ..."``, ``"traffic: ..."``, ``"guard: ..."`` with what limited
        the policy; or ``"fallback: ..."`` with what kept it from choosing.
    decided_at
        Unix time in seconds.
    arms, probabilities
        The eligible arms, and the probability of each ``(K,)``, summing to 1.
    objectives, means, stds
        What was believed of each arm: expected outcome and standard deviation of that expectation ``(m, K)``.
    utilities, utility_stds
        Expected utility less penalty, and its standard deviation ``(K,)``.
    penalties
        What the present state takes off each arm's utility ``(K,)``.
    x
        The context ``(d,)``, last entry 1.0 (bias); None if the features could not be computed.
    preference, policy
        The weights that were used, and the policy's description.
    session, tags, input_tokens
        As given to ``route()``.
    ordinal
        How many decisions the router had made before it, those of earlier processes included.
    residency
        Whether the arm's adapter is resident, and how long loading it is expected to take; None for an arm without
        an adapter.
    reserved
        What it is expected to take, in dollars or joules, for each budget that counts it; where the arm has token
        prices, then what its input costs, and each token of its output.

    Examples
    --------
    >>> from banditroute import Router
    >>> decision = Router(arms=["small", "large"], features=1).route([0.5], exclude=["large"])
    >>> decision.arm, decision.propensity, decision.ranking
    ('small', 1.0, ('small',))
    >>> decision.x
    array([0.5, 1. ])
    """

    id: str
    arm: str
    propensity: float
    reason: str
    decided_at: float
    arms: tuple[str, ...]
    probabilities: Vector
    objectives: tuple[str, ...]
    means: Vector
    stds: Vector
    utilities: Vector
    utility_stds: Vector
    penalties: Vector
    x: Vector | None
    preference: Preference
    policy: str
    session: str | None = None
    tags: tuple[str, ...] = ()
    input_tokens: int | None = None
    ordinal: int = 0
    residency: Residency | None = None
    reserved: Mapping[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def fell_back(self) -> bool:
        """Whether the fallback arm was given because the policy could not choose."""
        return self.reason.startswith("fallback")

    @property
    def ranking(self) -> tuple[str, ...]:
        """The chosen arm, then the other eligible arms by expected utility: the order for a retry."""
        order = np.argsort(-self.utilities, kind="stable")
        return (self.arm, *(self.arms[k] for k in order if self.arms[k] != self.arm))

    def explain(self) -> Explanation:
        """Per arm: predicted objectives with spread, utility, penalty and probability; ``print()`` shows a table."""
        from banditroute.core.explanation import explain  # here: an explanation holds its decision

        return explain(self)
