"""Say what kind of pool the arms of a belief are: alike, better or worse on average, or specialists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from banditroute.core.arrays import Vector

_STRONG_EVIDENCE_NATS = 3.0  # odds of 20 to 1 (Kass and Raftery 1995, "Bayes factors", section 3.2)
_SPECIALIST_SHARE = 0.25  # of the requests for which another arm than the best on average is expected to be better
_DRAWN_REQUESTS = 2000
_MOST_ARMS = 64  # those with the best averages; more arms take too long to draw

Kind: TypeAlias = Literal["unknown", "generalists", "specialists"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatus:
    """The expectations for a whole pool in one objective, at requests like those so far.

    Attributes
    ----------
    objective
        The objective; all stds and worths are in its unit.
    outcomes
        Number of outcomes, those that count less with age as less than one.
    request_std
        Standard deviation, over requests, of what is expected of all arms alike: some requests are harder.
    arm_std
        Standard deviation of the arms' averages.
    own_std
        Standard deviation, over requests, of what single arms differ from the others beyond their averages.
    context_worth
        How much better the best expected arm of each request is than the best arm on average, per request.
    other_arm_share
        Share of the requests for which another arm than the best on average is expected to be better.
    context_nats, own_nats
        Log evidence for using the features at all, and for letting arms differ by them, against not doing so. None
        before the first 200 outcomes, and for beliefs that do not learn what matters.
    """

    objective: str
    outcomes: float
    request_std: float
    arm_std: float
    own_std: float
    context_worth: float
    other_arm_share: float
    context_nats: float | None = None
    own_nats: float | None = None

    @property
    def kind(self) -> Kind:
        """``"specialists"`` if the best arm changes with the request, on strong evidence; else ``"generalists"``.

        Specialists have ``own_nats`` of at least 3 and an ``other_arm_share`` of at least .25. ``"unknown"`` where
        there is no evidence yet.
        """
        if self.own_nats is None:
            return "unknown"
        strong = self.own_nats >= _STRONG_EVIDENCE_NATS
        return "specialists" if strong and self.other_arm_share >= _SPECIALIST_SHARE else "generalists"

    def __str__(self) -> str:
        evidence = "" if self.own_nats is None else f", evidence {self.own_nats:.3g} nats"
        kind = "it is not known yet if arms are specialists" if self.kind == "unknown" else f"arms are {self.kind}"
        worth = round(self.context_worth, 12)  # without what rounding leaves of nothing
        return (
            f"{self.objective}: {kind}{evidence}; choosing by request is worth {worth:.3g} over the best "
            f"arm, another arm is expected better for {self.other_arm_share:.0%}"
        )


def describe(
    theta: Vector,
    s: Vector,
    n: float,
    *,
    objective: str,
    higher_is_better: bool,
    nats: tuple[float, float] | None,
) -> PoolStatus | None:
    """Return the status of a pool in one objective; None without outcomes.

    Requests are taken as normal with the mean and covariance of those so far. Expected outcomes of the arms are then
    normal, too; means of the best of them are over 2,000 draws, always the same ones.

    Parameters
    ----------
    theta
        Weights of each arm ``(K, d)``, the last for the bias.
    s
        ``sum w x x'`` over the outcomes of all arms ``(d, d)``.
    n
        Total weight of the outcomes.
    nats
        Log evidence for using the features, and for letting arms differ by them; None: not known.

    Examples
    --------
    >>> moments = np.array([[100.0, 0.0], [0.0, 100.0]])  # 100 requests, one feature of unit variance
    >>> theta = np.array([[0.1, 0.5], [-0.1, 0.5]])
    >>> found = describe(theta, moments, 100.0, objective="quality", higher_is_better=True, nats=(9.0, 9.0))
    >>> found.kind, round(found.own_std, 3), round(found.context_worth, 2)  # .1 E|z| = .08
    ('specialists', 0.1, 0.08)
    """
    if n <= 0.0:
        return None
    mean = s[-1] / n
    covariance = s / n - np.outer(mean, mean)
    averages = theta @ mean
    shared = theta.mean(axis=0)
    own = theta - shared
    variances = np.einsum("kd,de,ke->k", own, covariance, own)
    sign = 1.0 if higher_is_better else -1.0
    best = np.argsort(-sign * averages, kind="stable")[:_MOST_ARMS]
    values, vectors = np.linalg.eigh(theta[best] @ covariance @ theta[best].T)
    normal = np.random.default_rng(0).normal(size=(_DRAWN_REQUESTS, len(best)))
    deviations = (normal * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    drawn = sign * (averages[best] + deviations - deviations[:, :1])  # relative to the best on average
    return PoolStatus(
        objective=objective,
        outcomes=float(n),
        request_std=float(np.sqrt(max(shared @ covariance @ shared, 0.0))),
        arm_std=float(averages.std()),
        own_std=float(np.sqrt(max(variances.mean(), 0.0))),
        context_worth=float((drawn.max(axis=1) - drawn[:, 0]).mean()),
        other_arm_share=float((drawn.argmax(axis=1) > 0).mean()),
        context_nats=None if nats is None else nats[0],
        own_nats=None if nats is None else nats[1],
    )
