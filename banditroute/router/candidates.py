"""The arms under consideration for one request, with their predictions, penalties and reasons."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.decision import BUDGET_TROUBLE
from banditroute.policies.base import PolicyState
from banditroute.router.sampling import CannotChooseError

if TYPE_CHECKING:
    from banditroute.router.session_stage import PricedTurn

_FORCED = "adapters: it had to be tried"
_NOT_FINITE = "the belief is not finite; verify or restore the stored statistics"


class Candidates(NamedTuple):
    """The K arms under consideration, in the router's order; an immutable value.

    Every stage of a decision takes candidates and returns candidates. The arrays run over all ``arms``; a stage that
    rules arms out sets ``eligible``, and ``narrowed()`` keeps these arms alone.

    Attributes
    ----------
    arms, objectives
        Names of the K arms and of the m objectives.
    means, stds : (m, K)
        Expected outcomes, and the standard deviations of these expectations.
    utilities, utility_stds : (K,)
        Expected utilities less penalties, and their standard deviations as far as they are explored.
    penalties : (K,)
        What the present state takes off each utility.
    information
        Gives what was learned of each arm, in nats ``(K,)``.
    counts
        Gives, for an objective, the number of outcomes that its prediction for each arm rests on ``(K,)``; infinite
        where the prediction is computed.
    tokens
        Tokens of the request where arms have token prices; otherwise None.
    eligible
        Positions of the arms that may be chosen; None for all.
    forced
        Whether the one eligible arm had to be tried, so that its adapter's worth becomes known.
    overruled
        Why the eligible arms may be chosen although they break a limit; None where they keep all.
    unjudged
        Arm -> limits that it passes because too little is known of it.
    uncovered
        Why no arm that is left is covered by a hard budget or by its quota; None where one is.
    turn
        The turn of the session with its costs; None without sessions.
    dominated
        Arms that no quality makes worth their cost: the policy gives them no probability while another arm is left.
    excluded
        Arm -> why it may not be chosen, of the first stage that ruled it out.
    """

    arms: tuple[str, ...]
    objectives: tuple[str, ...]
    means: Vector
    stds: Vector
    utilities: Vector
    utility_stds: Vector
    penalties: Vector
    information: Callable[[], Vector]
    counts: Callable[[str], Vector]
    tokens: float | None = None
    eligible: Sequence[int] | None = None
    forced: bool = False
    overruled: str | None = None
    unjudged: Mapping[str, Sequence[str]] = {}
    uncovered: str | None = None
    turn: PricedTurn | None = None
    dominated: tuple[str, ...] = ()
    excluded: Mapping[str, str] = {}

    @classmethod
    def blank(cls, arms: tuple[str, ...]) -> Candidates:
        """Return candidates of which nothing is known: those of a fallback."""
        nothing, zeros = np.zeros((0, len(arms))), np.zeros(len(arms))
        return cls(arms, (), nothing, nothing, zeros, zeros, zeros, lambda: zeros, lambda objective: zeros)

    @property
    def granted(self) -> bool:
        """False if a hard budget covers no arm."""
        return self.uncovered is None or not self.uncovered.startswith(BUDGET_TROUBLE)

    @property
    def positions(self) -> Sequence[int]:
        """Positions of the arms that may be chosen."""
        return range(len(self.arms)) if self.eligible is None else self.eligible

    def penalized(self, penalties: Vector) -> Candidates:
        """Return candidates with these further penalties ``(K,)`` taken off their utilities."""
        return self._replace(penalties=self.penalties + penalties, utilities=self.utilities - penalties)

    def restricted(self, eligible: Sequence[int], why: str | Mapping[str, str]) -> Candidates:
        """Return candidates of which only those at ``eligible`` may be chosen.

        Parameters
        ----------
        eligible
            Some of the present ``positions``.
        why
            The reason that rules out the others: one for all, or one for each arm.
        """
        if len(eligible) == len(self.positions):
            return self
        left = set(eligible)
        gone = [self.arms[k] for k in self.positions if k not in left]
        reasons = {name: why if isinstance(why, str) else why[name] for name in gone}
        return self._replace(eligible=eligible, excluded={**self.excluded, **reasons})

    def narrowed(self) -> Candidates:
        """Return the eligible arms alone."""
        return self if self.eligible is None else self.subset(self.eligible)

    def subset(self, positions: Sequence[int]) -> Candidates:
        """Return the arms at ``positions`` alone."""
        every = self

        def information() -> Vector:
            some: Vector = every.information()[positions]
            return some

        def counts(objective: str) -> Vector:
            some: Vector = every.counts(objective)[positions]
            return some

        return Candidates(
            tuple(self.arms[k] for k in positions),
            self.objectives,
            self.means[:, positions],
            self.stds[:, positions],
            self.utilities[positions],
            self.utility_stds[positions],
            self.penalties[positions],
            information,
            counts,
            self.tokens,
            None,
            self.forced,
            self.overruled,
            self.unjudged,
            self.uncovered,
            self.turn,
            self.dominated,
            self.excluded,
        )

    def check_finite(self) -> None:
        """Raise CannotChooseError if a utility is not finite."""
        if not math.isfinite(np.vdot(self.utilities, self.utilities) + np.vdot(self.utility_stds, self.utility_stds)):
            raise CannotChooseError(_NOT_FINITE)

    def expected(self, objective: str) -> Vector:
        """Return the expected outcomes of one objective ``(K,)``; raise CannotChooseError if they are not finite."""
        means: Vector = self.means[self.objectives.index(objective)]
        if not math.isfinite(means.sum()):
            raise CannotChooseError(_NOT_FINITE)
        return means

    def probabilities(self, policy: PolicyState, x: Vector) -> Vector:
        """Return the probabilities ``(K,)`` that ``policy`` gives the arms at context ``x (d,)``."""
        if self.dominated:
            left = [k for k, arm in enumerate(self.arms) if arm not in self.dominated]
            if left:
                probabilities = np.zeros(len(self.arms))
                probabilities[left] = self.subset(left)._replace(dominated=()).probabilities(policy, x)
                return probabilities
        return policy.probabilities(
            self.utilities, self.utility_stds, arms=self.arms, information=self.information, x=x
        )

    def value(self, weights: Mapping[str, float]) -> Vector:
        """Return the expected sum of outcomes times signed ``weights``, for every arm ``(K,)``."""
        rows = [self.objectives.index(name) for name in weights]
        expected: Vector = np.array(list(weights.values())) @ self.means[rows]
        return expected

    def reason(self, arm: str, shaped: str | None = None) -> str:
        """Return why ``arm`` was chosen. Of several reasons the first in this order is given.

        1. fallback: a hard budget or the quotas cover no arm;
        2. adapters: the arm had to be tried;
        3. limits and breaker: the arm breaks a limit, or cannot be judged yet;
        4. traffic and guard: ``shaped``, what changed the policy's probabilities;
        5. the policy.
        """
        if self.uncovered is not None:
            return f"fallback: {self.uncovered}"
        if self.forced:
            return _FORCED
        if self.overruled is not None:
            return self.overruled
        if unjudged := self.unjudged.get(arm):
            return f"limits: {', '.join(unjudged)} cannot be judged yet of {arm!r}"
        return shaped or "policy"
