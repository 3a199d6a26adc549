"""Diagnostics: what a log needs before an answer from it is given, and what to do where it falls short."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, rows_of
from banditroute.statistics.asymptotic import DECISIVE_ROWS

_ROWS, _SHARE, _GOOD_SHARE = 100.0, 0.01, 0.10  # effective rows, and as a share of all: refused below, warned below

_STANDARD_ERRORS = 3.0
_LARGEST_SHARE = 0.10
_CLUSTERS, _MANY_CLUSTERS = 5.0, 30.0  # refused below, warned below
_MORE_TRAFFIC = "log more {}s, or with more exploration (a larger floor), or ask about a policy nearer to the logged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """Figures that say whether a log can answer, from its importance weights.

    Attributes
    ----------
    rows
        Logged decisions that count, n; sessions, where outcomes are those of whole sessions.
    unit
        ``"decision"`` or ``"session"``: the unit of the rows.
    effective_rows
        ``(sum w)^2 / sum w^2``: the effective sample size, in rows of the target policy.
    decisive_rows
        ``(sum w^2)^2 / sum w^4``: the number of decisions that the error bar is based on. If they are few, the error is
        unknown too: these few represent everything that the target policy does differently.
    mean_weight, mean_weight_error
        Mean of the weights, 1 where the propensities are right, and its standard error.
    largest_share
        Share of the largest weight in the sum of all.
    unsupported
        Share of the target policy's choices that had no chance in the log (propensity 0).
    support
        Logged decisions for each arm ``(K,)``.
    effective_clusters
        ``(sum s)^2 / sum s^2`` of the cluster sizes; n where each row is a cluster of its own.
    refusals, warnings
        Reasons why there is no answer, and reasons to doubt one; each says what to do.
    """

    rows: int
    unit: str
    effective_rows: float
    decisive_rows: float
    mean_weight: float
    mean_weight_error: float
    largest_share: float
    unsupported: float
    support: tuple[int, ...]
    effective_clusters: float
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def diagnose(
    weights: Vector,
    chosen: NDArray[np.intp],
    target: Vector,
    *,
    probabilities: Vector | None = None,
    clusters: NDArray[np.intp] | None = None,
    unit: str = "decision",
) -> Diagnostics:
    """Judge the weights of a log's decisions, or of its sessions.

    A log is refused with fewer than 100 effective rows or 1% of all, fewer than 30 decisive rows, fewer than 5
    effective clusters, a mean weight more than 3 standard errors from 1, a weight above 10% of the sum, or choices that
    had no chance in the log. There is a warning with fewer than 10% effective rows, and with fewer than 30 effective
    clusters, for which bootstrap intervals are too narrow (Cameron, Gelbach and Miller 2008, "Bootstrap-based
    improvements for inference with clustered errors"; the effective number is Kish's).

    Parameters
    ----------
    weights
        Weight of each logged decision, or of each session.
    chosen
        Position of the arm of each logged decision ``(n,)``.
    target
        Probability of every arm under the target policy ``(n, K)``.
    probabilities
        The same of the logging policy. None: not known; an arm that was never logged could not be.
    clusters
        Number of the cluster of each row ``(n,)``, such as its session. None: every row its own.
    unit
        ``"decision"`` or ``"session"``: what has a weight.

    Examples
    --------
    >>> chosen = np.arange(1000) % 2
    >>> diagnose(np.where(chosen == 0, 2.0, 0.0), chosen, np.tile([1.0, 0.0], (1000, 1))).effective_rows
    500.0
    """
    n, arms = len(weights), target.shape[1]
    total, squares, fourth, most = 0.0, 0.0, 0.0, 0.0
    support = np.zeros(arms, dtype=np.intp)
    for at in blocks(n):
        some = rows_of(weights, at)
        second = some * some
        total, squares = total + float(some.sum()), squares + float(some @ some)
        fourth, most = fourth + float(second @ second), max(most, float(some.max()))
    for at in blocks(len(chosen)):
        support += np.bincount(rows_of(chosen, at), minlength=arms)
    effective = total**2 / squares if squares > 0.0 else 0.0
    decisive = squares**2 / fourth if fourth > 0.0 else 0.0
    mean = total / max(n, 1)
    off = sum(float(np.square(rows_of(weights, at) - mean).sum()) for at in blocks(n))
    error = float(np.sqrt(off)) / max(n, 1)
    largest = most / total if total > 0.0 else 1.0
    unsupported = _without_chance(target, support, probabilities) / max(len(target), 1)

    effective_clusters = float(n)
    if clusters is not None:
        sizes = np.bincount(clusters)
        effective_clusters = float(sizes.sum()) ** 2 / max(float(sizes @ sizes), 1.0)

    refusals, warnings = [], []
    more_traffic = _MORE_TRAFFIC.format(unit)
    if unsupported > 0.0:
        refusals.append(
            f"{unsupported:.2%} of the policy's choices had no chance in the log (propensity 0), so they cannot be "
            "judged; log these arms with an exploration floor, or leave them out of the policy"
        )
    if effective < _ROWS:
        refusals.append(
            f"the effective sample size is {effective:,.0f} of {n:,} {unit}s, at least 100 are needed; {more_traffic}"
        )
    elif effective < _SHARE * n:
        refusals.append(f"the effective sample size is {effective:,.0f} of {n:,} {unit}s, less than 1%; {more_traffic}")
    elif effective < _GOOD_SHARE * n:
        warnings.append(
            f"the effective sample size is {effective:,.0f} of {n:,} {unit}s, less than 10%: intervals are wide"
        )
    if decisive < DECISIVE_ROWS:
        refusals.append(
            f"only {decisive:.0f} logged {unit}s differ enough from the policy's choice to judge the difference, at "
            f"least 30 are needed; {more_traffic}"
        )
    if largest > _LARGEST_SHARE:
        refusals.append(f"one {unit} has {largest:.0%} of all weight, more than 10%; {more_traffic}")
    if clusters is not None and effective_clusters < _MANY_CLUSTERS:
        few = f"rows depend on each other as in {effective_clusters:.1f} clusters of one size"
        if effective_clusters < _CLUSTERS:
            refusals.append(f"{few}, at least 5 are needed; log longer, or cluster by something finer")
        else:
            warnings.append(f"{few}, fewer than 30: intervals may be too narrow")
    if abs(mean - 1.0) > _STANDARD_ERRORS * error + 1e-9:
        refusals.append(
            f"importance weights average {mean:.3f} ± {error:.3f} and should average 1: the propensities are not those "
            "of the choices, or rows of some arms are missing; record the propensity of every decision as it was "
            "drawn, and decisions without outcome too"
        )
    return Diagnostics(
        rows=n,
        unit=unit,
        effective_rows=effective,
        decisive_rows=decisive,
        mean_weight=mean,
        mean_weight_error=error,
        largest_share=largest,
        unsupported=unsupported,
        support=tuple(support.tolist()),
        effective_clusters=effective_clusters,
        refusals=tuple(refusals),
        warnings=tuple(warnings),
    )


def _without_chance(target: Vector, support: NDArray[np.intp], probabilities: Vector | None) -> float:
    """Return the sum of the target's probabilities for arms that could not be logged."""
    total = 0.0
    for at in blocks(len(target)):
        rows = rows_of(target, at)
        logged = np.broadcast_to(support, rows.shape) if probabilities is None else rows_of(probabilities, at)
        total += float(rows[logged == 0.0].sum())
    return total
