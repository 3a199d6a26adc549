"""A decision: the arm to use, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.residency import Residency
from banditroute.core.turn import TurnCosts

if TYPE_CHECKING:
    from banditroute.core.explanation import Explanation


BUDGET_TROUBLE = "budget "
"""Begins the trouble of a decision that a hard budget covers no arm for."""

_NOT_GRANTED = f"fallback: {BUDGET_TROUBLE}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decision:
    """The arm to use, and why; returned by ``route()``.

    Do not make the call where :attr:`granted` is false: a hard budget does not cover it.

    Arrays run over ``arms``, the K eligible arms, in the router's order; objective arrays over ``objectives``.

    Attributes
    ----------
    id
        The name of the decision in ``feedback()``: 32 hexadecimal digits, the first 12 its time in milliseconds.
    arm
        The arm to use.
    propensity
        The probability with which ``arm`` was chosen, in (0, 1]; exact.
    reason
        ``"policy"``; or ``"adapters: ..."``, ``"sessions: ..."``, ``"limits: ..."``, ``"breaker: ..."``,
        ``"traffic: ..."`` or ``"guard: ..."`` with the constraint that applied; or ``"fallback: ..."`` with the reason
        why the policy could not choose.
    decided_at
        Unix time in seconds.
    arms, probabilities
        The eligible arms, and the probability of each ``(K,)``, summing to 1.
    objectives, means, stds
        Predictions for each arm: expected outcome and standard deviation of that expectation ``(m, K)``.
    utilities, utility_stds
        Expected utility less penalty, and its standard deviation ``(K,)``.
    penalties
        The cost of the present state for each arm, in utility: adapter loads, session switches, shadow prices
        ``(K,)``.
    x
        The context ``(d,)``, last entry 1.0 (bias); None if the features could not be computed.
    preference, policy
        The weights that were used, and the policy's description.
    session, tags, input_tokens
        As given to ``route()``.
    ordinal
        Number of decisions that the router had made before, those of earlier processes included.
    residency
        Whether the arm's adapter is resident, and how long loading it is expected to take; None for an arm without
        an adapter.
    reserved
        For each budget that counts it, the expected spend in dollars or joules; where the arm has token prices, then
        what its tokens cost: the input, each output token, the input uncached and cached, and the input's tokens.
    turn
        The state of the session's prompt caches; None where no arm has cache prices.
    dominated
        Arms with probability 0 because not even the best conceivable quality is worth what they cost for this request.
        Empty for a decision that was read from a store.
    excluded
        Arm -> why it was not eligible: ``"request: ..."``, ``"limits: ..."``, ``"breaker: ..."``, ``"quotas: ..."``,
        ``"sessions: ..."``, ``"adapters: ..."`` or ``"budgets: ..."``, of the first that applied. Not recorded in the
        database, and empty for a fallback.
    deadline_seconds, max_cost_usd
        What all calls of the request may take together, by the limits that applied; None: not limited. Not stored.

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
    turn: TurnCosts | None = None
    dominated: tuple[str, ...] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    deadline_seconds: float | None = None
    max_cost_usd: float | None = None

    def __repr__(self) -> str:
        others = len(self.arms) - 1
        return (
            f"Decision({self.arm[:80]!r} with probability {self.propensity:.3g} among {others} other "
            f"{'arm' if others == 1 else 'arms'}; {self.reason[:200]}; id={self.id!r})"
        )

    def _repr_html_(self) -> str:
        """Return the explanation for notebooks."""
        return self.explain()._repr_html_()

    @property
    def fell_back(self) -> bool:
        """True if the decision names the fallback arm, as the policy could not choose."""
        return self.reason.startswith("fallback")

    @property
    def granted(self) -> bool:
        """False if a hard budget covers no arm: nothing is reserved, and the call must not be made."""
        return not self.reason.startswith(_NOT_GRANTED)

    @property
    def ranking(self) -> tuple[str, ...]:
        """The chosen arm, then the other eligible arms by expected utility: the order for a retry."""
        order = np.argsort(-self.utilities, kind="stable")
        return (self.arm, *(self.arms[k] for k in order if self.arms[k] != self.arm))

    def explain(self) -> Explanation:
        """Return the predictions and probability of every eligible arm, and the reason of every other arm.

        ``print()`` shows them as a table.
        """
        from banditroute.core.explanation import explain  # here: an explanation holds its decision

        return explain(self)
