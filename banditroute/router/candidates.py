"""The slate: what is believed and expected of the arms that one request may choose among."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from banditroute.adapters.lease import Paging
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.policies.base import PolicyState


class Candidates(NamedTuple):
    """K eligible arms, in the router's order; the arrays are those of the decision that is made of it."""

    arms: tuple[str, ...]
    objectives: tuple[str, ...]
    means: Vector
    stds: Vector
    utilities: Vector
    utility_stds: Vector
    penalties: Vector
    information: Callable[[], Vector]

    @classmethod
    def blank(cls, arms: tuple[str, ...]) -> Candidates:
        """Nothing is known of these arms."""
        nothing, zeros = np.zeros((0, len(arms))), np.zeros(len(arms))
        return cls(arms, (), nothing, nothing, zeros, zeros, zeros, lambda: zeros)

    def of(self, positions: Sequence[int]) -> Candidates:
        """The arms at ``positions`` alone."""

        def information() -> Vector:
            some: Vector = self.information()[positions]
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
        )

    def ask(self, policy: PolicyState, x: Vector) -> Vector:
        """The probabilities ``(K,)`` that ``policy`` gives the arms at context ``x (d,)``."""
        return policy.probabilities(
            self.utilities, self.utility_stds, arms=self.arms, information=self.information, x=x
        )

    def worth(self, weights: Mapping[str, float]) -> Vector:
        """The expected sum of objectives times their signed ``weights (K,)``, where all of them are believed."""
        rows = [self.objectives.index(name) for name in weights]
        expected: Vector = np.array(list(weights.values())) @ self.means[rows]
        return expected

    def decision(
        self,
        id: str,
        chosen: int,
        probabilities: Vector,
        *,
        propensity: float,
        reason: str,
        request: Request,
        preference: Preference,
        policy: str,
        x: Vector | None,
        now: float,
        ordinal: int,
        paging: Paging | None,
        reserved: Mapping[str, tuple[float, ...]],
    ) -> Decision:
        """The decision for the ``chosen``-th arm."""
        return Decision(
            id=id,
            arm=self.arms[chosen],
            propensity=propensity,
            reason=reason,
            decided_at=now,
            arms=self.arms,
            probabilities=probabilities,
            objectives=self.objectives,
            means=self.means,
            stds=self.stds,
            utilities=self.utilities,
            utility_stds=self.utility_stds,
            penalties=self.penalties,
            x=x,
            preference=preference,
            policy=policy,
            session=request.session,
            tags=request.tags,
            input_tokens=request.input_tokens,
            ordinal=ordinal,
            paging=paging,
            reserved=reserved,
        )
