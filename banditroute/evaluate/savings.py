"""Savings of routing against always asking one arm: dollars, energy and quality, with bounds for an audit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.validation import non_negative
from banditroute.errors import InvalidInputError
from banditroute.evaluate.anytime import anytime_bounds
from banditroute.evaluate.baseline_calls import baseline_calls, further_calls
from banditroute.evaluate.clusters import clusters_of
from banditroute.evaluate.contexts import Features, with_contexts
from banditroute.evaluate.diagnostics import diagnose
from banditroute.evaluate.reward_model import Design, progressive_fit
from banditroute.evaluate.rows import some_rows, taken
from banditroute.evaluate.target_policy import TargetPolicy, always, expected
from banditroute.evaluate.uncertainty import OutcomeRange
from banditroute.evaluate.weights import importance_weights
from banditroute.logs import DecisionLog, read_log
from banditroute.objectives.objective import QUALITY
from banditroute.statistics.asymptotic import asymptotic_bounds
from banditroute.statistics.intervals import Interval

_JOULES_PER_KWH = 3.6e6
_PER = 1_000  # requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """Savings of routing; made by :func:`savings`. Its ``str`` is a table and the verdict.

    Attributes
    ----------
    baseline
        The arm that would have served every request.
    decisions, requests
        Number of decisions whose cost is known, and of the requests that they answered.
    usd_per_1000, kwh_per_1000
        Saved per 1,000 requests, with bounds that hold at all times; None where the log cannot say.
    baseline_usd_per_1000
        Estimated dollars of the baseline per 1,000 requests; None where the log cannot say.
    quality
        Mean quality of routing minus that of the baseline, with bounds; None where the log cannot say.
    verdict
        One sentence: what was saved, that no saving is shown, or why there is no answer.
    """

    baseline: str
    decisions: int
    requests: int
    usd_per_1000: Interval | None
    kwh_per_1000: Interval | None
    baseline_usd_per_1000: float | None
    quality: Interval | None
    verdict: str

    def __str__(self) -> str:
        served = f"{self.decisions:,} decisions"
        if self.requests < self.decisions:
            served += f" of {self.requests:,} requests"
        lines = [f"{served} against always {self.baseline}, per 1,000 requests, bounds at all times:"]
        for name, found, form in (
            ("dollars saved", self.usd_per_1000, dollars),
            ("kWh saved", self.kwh_per_1000, "{:.3g}".format),
            ("quality, difference", self.quality, "{:+.4f}".format),
        ):
            shown = "–" if found is None else f"{form(found.value)} ({form(found.lower)} to {form(found.upper)})"
            lines.append(f"  {name:20} {shown}")
        return "\n".join([*lines, "", self.verdict])

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"


def savings(
    log: DecisionLog | Any, *, baseline: str, features: Features = "auto", own_usd: float = 0.0, alpha: float = 0.05
) -> Savings:
    """Estimate what routing saved against always asking the arm ``baseline``.

    The costs of routing are those that were recorded: every decision counts, with retries, escalations and cold prompt
    caches. The baseline would have answered each request with one call, and a turn of a session with a warm cache.
    What that would have cost is a doubly robust estimate; the module ``baseline_calls`` has its weights. Bounds hold at
    all times, however often one looks, so that a saving can be watched and reported on any day. Dollars and joules have
    no largest value, so theirs are asymptotic, over sessions where there are any.

    Parameters
    ----------
    log
        Decisions with propensities, or anything that :func:`banditroute.logs.read_log` reads: a database's URL.
    baseline
        Name of an arm that was chosen at times.
    features
        As in :func:`evaluate`.
    own_usd
        Dollars that routing took and the log does not hold, such as the calls of a judge. At least 0.
    alpha
        The probability that the bounds of one figure ever miss.

    Raises
    ------
    InvalidInputError
        If the baseline is not an arm of the log, the log has no propensities, or ``own_usd`` is negative.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> chosen = rng.integers(2, size=2000)
    >>> log = DecisionLog(
    ...     arms=("large", "small"),
    ...     chosen=chosen,
    ...     eligible=np.ones((2000, 2), dtype=bool),
    ...     propensities=np.full(2000, 0.5),
    ...     probabilities=np.full((2000, 2), 0.5),
    ...     outcomes={"cost_usd": np.where(chosen == 0, 0.010, 0.001) * rng.uniform(0.5, 1.5, 2000)},
    ...     decided_at=np.arange(2000.0),
    ... )
    >>> savings(log, baseline="large").verdict
    'Routing saved $4.57 per 1,000 requests against always large ($4.25 to $4.90), 47% of its cost.'
    """
    log = log if isinstance(log, DecisionLog) else read_log(log)
    if baseline not in log.arms:
        raise InvalidInputError(f"unknown baseline {baseline!r:.80}; known arms: {', '.join(log.arms)}")
    if log.propensities is None or np.isnan(log.propensities).all():
        raise InvalidInputError("the log has no propensities; record the probability of every choice, as a router does")
    non_negative(own_usd, name="own_usd")
    log, _ = with_contexts(log, features)
    usd = _Estimate.of_amount(log, "cost_usd", baseline, alpha)
    joules = _Estimate.of_amount(log, "energy_joules", baseline, alpha)
    quality = _Estimate.of_quality(log, baseline, alpha)
    if usd.difference is not None:
        usd = replace(usd, difference=Interval(*(each + own_usd / usd.requests for each in usd.difference)))
    saved = usd.scaled(-_PER)
    base = None if usd.baseline is None else usd.baseline * _PER
    return Savings(
        baseline=baseline,
        decisions=usd.rows,
        requests=usd.requests,
        usd_per_1000=saved,
        kwh_per_1000=joules.scaled(-_PER / _JOULES_PER_KWH),
        baseline_usd_per_1000=base,
        quality=quality.scaled(1.0),
        verdict=_verdict(baseline, saved, base, quality.scaled(1.0), usd.refusal),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Estimate:
    """Routing minus baseline, of one outcome of a request."""

    rows: int
    requests: int = 0
    difference: Interval | None = None
    baseline: float | None = None
    refusal: str = ""

    @classmethod
    def of_quality(cls, log: DecisionLog, baseline: str, alpha: float) -> _Estimate:
        """Return the estimate for the quality of a decision."""
        values = log.outcomes.get("quality", np.full(len(log), np.nan))
        assert log.propensities is not None
        rows = np.flatnonzero(~np.isnan(values) & ~np.isnan(log.propensities))
        if not len(rows):
            return cls(rows=0)
        log, y = some_rows(log, rows), values[rows]
        assert log.propensities is not None
        target = always(baseline, log.arms, len(y))
        weights = importance_weights(log.chosen, log.propensities, target)
        if diagnose(weights, log.chosen, target, probabilities=log.probabilities).refusals:
            return cls(rows=len(y))
        design = _design(log)
        routed, static = TargetPolicy(weights=np.ones(len(y))), TargetPolicy(weights=weights, target=target)
        (bounds,) = anytime_bounds(log, routed, static, y[None, :], design, [OutcomeRange.of(QUALITY)], alpha=alpha)
        assert bounds is not None  # as quality has a range
        base = _terms(log.chosen, y, design, static, arms=len(log.arms)).mean()
        value = float(min(max(y.mean() - base, bounds[0]), bounds[1]))
        return cls(rows=len(y), requests=len(y), difference=Interval(value, *bounds), baseline=float(base))

    @classmethod
    def of_amount(cls, log: DecisionLog, name: str, baseline: str, alpha: float) -> _Estimate:
        """Return the estimate for dollars or joules, whose calls depend on each other within a session."""
        values = log.outcomes.get(name, np.full(len(log), np.nan))
        further = further_calls(log, ~np.isnan(values))
        calls = baseline_calls(log, baseline, further)
        rows = np.flatnonzero(~np.isnan(values) & ~np.isnan(calls.weights))
        if not len(rows):
            return cls(rows=0, refusal=f"no decision reports {name}; report it with the feedback")
        sessions = clusters_of(log, None)
        log, y, calls = some_rows(log, rows), values[rows], calls.take(rows)
        requests = np.flatnonzero(~further[rows])
        of_session = None if sessions is None else np.unique(sessions[rows], return_inverse=True)[1]
        of_request = calls.take(requests)
        refusals = diagnose(
            of_request.weights,
            of_request.kinds,
            of_request.target,
            probabilities=of_request.possible,
            clusters=taken(of_session, requests),
        ).refusals
        if refusals:
            return cls(rows=len(y), requests=len(requests), refusal=refusals[0])
        static = TargetPolicy(weights=calls.weights, target=calls.target)
        base = _terms(calls.kinds, y, _design(log), static, arms=calls.target.shape[1])
        found = cls(rows=len(y), requests=len(requests), baseline=float(base.sum() / len(requests)))
        bounds = asymptotic_bounds(_by_session(y - base, ~further[rows], of_session), alpha=alpha)
        if not np.isfinite(bounds[0]):
            return replace(found, refusal=f"too few values of {name} make up the error to bound it; log longer")
        value = float(min(max((y - base).sum() / len(requests), bounds[0]), bounds[1]))
        return replace(found, difference=Interval(value, *bounds))

    def scaled(self, factor: float) -> Interval | None:
        """Return the difference times ``factor``."""
        if self.difference is None:
            return None
        value, *ends = (factor * each for each in self.difference)
        return Interval(value, min(ends), max(ends))


def _design(log: DecisionLog) -> Design:
    return Design.of(np.zeros((len(log), 0)) if log.contexts is None else log.contexts)


def _terms(chosen: NDArray[np.intp], y: Vector, design: Design, policy: TargetPolicy, *, arms: int) -> Vector:
    """Return the doubly robust terms of a policy; predictions come from earlier rows alone."""
    logged, (under,) = expected(progressive_fit(design, chosen, y[:, None], arms=arms), chosen, [policy])
    assert under is not None
    return policy.terms(y, logged[0], under[0]).values


def _by_session(values: Vector, counted: NDArray[np.bool_], sessions: NDArray[np.intp] | None) -> Vector:
    """Return a term for each session, whose mean is the sum of the values by the number of rows that are counted.

    The ratio of two sums is taken as linear around itself, so that long sessions count for their length.
    """
    if sessions is None:
        sessions = np.arange(len(values))
    totals, sizes = np.bincount(sessions, weights=values), np.bincount(sessions, weights=counted)
    mean = values.sum() / counted.sum()
    return np.asarray(mean + (totals - mean * sizes) * (len(sizes) / counted.sum()), dtype=np.float64)


def dollars(amount: float) -> str:
    """Return an amount with as many digits as a reader needs.

    Examples
    --------
    >>> dollars(0.0588), dollars(4.5), dollars(-1234.5), dollars(0.0)
    ('$0.0588', '$4.50', '-$1,234.50', '$0.00')
    """
    size = abs(amount)
    digits = 2 if size >= 1.0 or size == 0.0 else min(2 - int(np.floor(np.log10(size))), 9)
    return f"{'-' if amount < 0.0 else ''}${size:,.{digits}f}"


def _verdict(baseline: str, saved: Interval | None, base: float | None, quality: Interval | None, refusal: str) -> str:
    if saved is None:
        return f"No answer: {refusal}."
    bounds = f"({dollars(saved.lower)} to {dollars(saved.upper)})"
    if saved.upper < 0.0:
        said = f"Routing cost {dollars(-saved.value)} more per 1,000 requests than always {baseline} {bounds}"
    elif saved.lower <= 0.0:
        said = (
            f"No saving is shown against always {baseline}: {dollars(saved.value)} per 1,000 requests {bounds}, which "
            "may be 0"
        )
    else:
        share = f", {saved.value / base:.0%} of its cost" if base else ""
        said = f"Routing saved {dollars(saved.value)} per 1,000 requests against always {baseline} {bounds}{share}"
    if quality is not None:
        said += f"; quality differs by {quality.value:+.4f} ({quality.lower:+.4f} to {quality.upper:+.4f})"
    return f"{said}."
