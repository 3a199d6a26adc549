"""Which decisions got feedback, and weights that correct for it where some arms' outcomes are reported more often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.evaluate.reward_model import cross_fitted

_MIN_DECISIONS = 30  # of an arm whose share of feedback is compared
_MIN_GAP = 0.02
_STANDARD_ERRORS = 4.0  # many pairs of arms are compared
_LEAST_CHANCE = 0.02  # of being reported: no row counts more than fifty times


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How many decisions got feedback; made by :func:`reporting`.

    Attributes
    ----------
    shares
        Arm -> share of its decisions with feedback; None for an arm without decisions.
    warning
        Says that the shares differ, and what to do; None where they do not.
    """

    shares: Mapping[str, float | None]
    warning: str | None


def reporting(observed: NDArray[np.bool_], chosen: NDArray[np.intp], arms: Sequence[str]) -> Reporting:
    """Return the share of decisions with feedback of each arm, and a warning where it differs by arm.

    Parameters
    ----------
    observed, chosen
        Whether the outcome of each decision is known, and the position of its arm ``(n,)``.
    arms
        Names of the K arms.

    Examples
    --------
    >>> arm = np.arange(400) % 2
    >>> found = reporting((arm == 0) | (np.arange(400) < 80), arm, ["small", "large"])
    >>> found.shares
    {'small': 1.0, 'large': 0.2}
    >>> found.warning[:78]
    'feedback came for 100% of the decisions for small and for 20% of those for lar'
    """
    rows = np.bincount(chosen, minlength=len(arms))
    known = np.bincount(chosen, weights=observed, minlength=len(arms))
    share = known / np.maximum(rows, 1)
    shares = {arm: float(share[k]) if rows[k] else None for k, arm in enumerate(arms)}
    compared = np.flatnonzero(rows >= _MIN_DECISIONS)
    if len(compared) < 2:
        return Reporting(shares=shares, warning=None)
    least, most = compared[share[compared].argmin()], compared[share[compared].argmax()]
    gap, pooled = share[most] - share[least], known.sum() / max(rows.sum(), 1)
    error = np.sqrt(pooled * (1.0 - pooled) * (1.0 / rows[least] + 1.0 / rows[most]))
    if gap < _MIN_GAP or gap <= _STANDARD_ERRORS * error:
        return Reporting(shares=shares, warning=None)
    return Reporting(
        shares=shares,
        warning=f"feedback came for {share[most]:.0%} of the decisions for {arms[most]} and for {share[least]:.0%} of "
        f"those for {arms[least]}: if whether an outcome is reported depends on the outcome, comparisons are wrong; "
        "report every outcome, or weigh rows by predicted reporting (--missing weight)",
    )


def with_answers(outcomes: Mapping[str, Vector]) -> dict[str, Vector]:
    """Return the outcomes with an availability of 1 for every decision that has another outcome and no failure.

    Clients report failures; an answer is reported by its quality, cost or latency.

    Examples
    --------
    >>> nan = np.nan
    >>> log = {"quality": np.array([0.5, nan, nan]), "availability": np.array([nan, 0.0, nan])}
    >>> with_answers(log)["availability"]
    array([ 1.,  0., nan])
    """
    outcomes = dict(outcomes)
    if (failures := outcomes.get("availability")) is not None:
        others = [~np.isnan(values) for name, values in outcomes.items() if name != "availability" and " " not in name]
        answered = (
            np.isnan(failures) & np.logical_or.reduce(others, axis=0) if others else np.zeros(len(failures), bool)
        )
        outcomes["availability"] = np.where(answered, 1.0, failures)
    return outcomes


def reporting_weights(
    observed: NDArray[np.bool_],
    contexts: Vector,
    chosen: NDArray[np.intp],
    *,
    arms: int,
    clusters: NDArray[np.intp] | None = None,
    seed: int = 0,
) -> Vector:
    """Return ``1 / P(reported | context, arm)`` for each reported row and 0 for the others ``(n,)``.

    The probability comes from a cross-fitted linear regression per arm. The weights correct for reporting that depends
    on context and arm. They cannot correct for reporting that depends on the outcome itself.

    Parameters
    ----------
    observed, chosen
        Whether the outcome of each row is known, and the position of its arm ``(n,)``.
    contexts
        ``(n, d)``.
    arms
        K.
    clusters, seed
        As in :func:`~banditroute.evaluate.cross_fitted`.
    """
    chances = cross_fitted(contexts, chosen, observed.astype(np.float64), arms=arms, clusters=clusters, seed=seed)[
        np.arange(len(chosen)), chosen
    ]
    return observed / np.clip(chances, _LEAST_CHANCE, 1.0)
