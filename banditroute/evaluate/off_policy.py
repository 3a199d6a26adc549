"""Would it have been better? Another policy's outcomes from a log, with intervals, or why there is no answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.evaluate.diagnostics import Diagnostics
from banditroute.evaluate.estimators import direct_method, self_normalized_doubly_robust, snips
from banditroute.evaluate.clusters import Clusters, clusters_of
from banditroute.evaluate.reward_model import cross_fitted, progressive
from banditroute.evaluate.target_policy import Policy, TargetPolicy, checked, described, target_policy
from banditroute.learners import Learner
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import table
from banditroute.statistics.asymptotic import asymptotic_sequence
from banditroute.statistics.confidence_sequences import confidence_sequence
from banditroute.statistics.intervals import Interval, bootstrap_interval

if TYPE_CHECKING:
    from banditroute.logs.decision_log import DecisionLog

_NO_PROPENSITIES = (
    "the log has no propensities, so what it says of another policy is mixed up with why arms were chosen; record the "
    "probability of every choice (a router does), or replay a table with every arm's outcome"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One objective, or the utility, under two policies.

    Attributes
    ----------
    value, against, difference
        Mean per request under the policy, under what it is compared with, and the one less the other; with bounds for
        this number of rows. None where the diagnostics refuse.
    anytime
        Bounds of the difference that hold at all times at once, also of a log whose policy learned on the way; None
        for a replay, and where few outcomes without a range stand for most of the error.
    anytime_is_asymptotic
        Whether these hold only as nearly as a normal interval does (:func:`asymptotic_sequence`): where outcomes have
        no range. Where they have one, the bounds hold whatever the number of rows.
    estimates
        Estimator -> the value by it: they agree where the log suffices.
    diagnostics
        Of the rows where the objective was observed.
    """

    value: Interval | None
    against: Interval | None
    difference: Interval | None
    anytime: tuple[float, float] | None
    anytime_is_asymptotic: bool
    estimates: Mapping[str, Interval]
    diagnostics: Diagnostics


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What a log says of a policy; made by :func:`evaluate`. Its ``str`` is a table and the verdict.

    Attributes
    ----------
    arms
        The log's arms.
    policy, against
        What was compared.
    objectives
        Objective -> comparison.
    utility
        Comparison of what the outcomes are worth.
    verdict
        One sentence: better, worse, no difference shown, or why there is no answer and what to do.
    """

    arms: tuple[str, ...]
    policy: str
    against: str
    objectives: Mapping[str, Comparison]
    utility: Comparison | None
    verdict: str

    def __str__(self) -> str:
        if self.utility is None:
            return self.verdict
        rows = [("", self.policy, self.against, "difference", "at all times")]
        for name, each in (*self.objectives.items(), ("utility", self.utility)):
            always = "–" if each.anytime is None else "{:.3g} to {:.3g}".format(*each.anytime)
            always += " (asymptotically)" if each.anytime_is_asymptotic else ""
            rows.append((name, _shown(each.value), _shown(each.against), _shown(each.difference), always))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        found = self.utility.diagnostics
        support = ", ".join(f"{arm} {count:,}" for arm, count in zip(self.arms, found.support, strict=True))
        lines += ["", f"{found.rows:,} decisions: {support}"]
        if self.utility.estimates:
            lines += [
                f"worth {found.effective_rows:,.0f} of the policy's; the error rests on {found.decisive_rows:,.0f}",
                f"mean weight {found.mean_weight:.3f} ± {found.mean_weight_error:.3f}",
                "utility by " + ", ".join(f"{name} {each.value:.3g}" for name, each in self.utility.estimates.items()),
            ]
        lines += [f"warning: {text}" for text in found.warnings]
        lines += [f"also: {text}" for text in found.refusals[1:]]  # the verdict says the first
        return "\n".join([*lines, "", self.verdict])


def evaluate(
    log: DecisionLog,
    policy: Policy,
    *,
    against: Policy = "logged",
    preference: Preference | None = None,
    objectives: Sequence[Objective] = (),
    learning: bool = True,
    clusters: Clusters = None,
    seed: int = 0,
) -> Evaluation:
    """Compare a policy with what was logged, or with another, on a log's decisions.

    Values are cross-fitted doubly robust estimates with 95% bootstrap-t intervals, over clusters of rows where they hang
    together; those of a learner are means over its replay by rejection sampling.

    Parameters
    ----------
    log
        Decisions with propensities; rows without are left out.
    policy, against
        ``"logged"``, ``"uniform"`` (over the eligible arms), the name of an arm, a learner or its spec, such as
        ``"linucb(alpha=1)"``, or the probability of every arm for every row ``(n, K)``.
    preference
        What the objectives are worth. Default: ``Preference(quality=1.0)``.
    objectives
        The user's own objectives, where they are preferred or have a range.
    learning
        Whether a learner learns on the way. If not, it is taught with the first half of the log and judged as it is
        then by the second.
    clusters
        What rows hang together by: ``"session"``, ``"template"`` of the prompt, ``"task"``, or the number or name of
        the cluster of each row ``(n,)``. Default: by session, where the log has them.
    seed
        Of folds, bootstrap and replays.

    Raises
    ------
    InvalidInputError
        For an unknown policy or objective, probabilities that are none, and clusters that the log does not have.

    Examples
    --------
    >>> from banditroute.logs.decision_log import DecisionLog
    >>> rng = np.random.default_rng(0)
    >>> chosen = rng.integers(2, size=1000)
    >>> log = DecisionLog(
    ...     arms=("large", "small"),
    ...     chosen=chosen,
    ...     eligible=np.ones((1000, 2), dtype=bool),
    ...     propensities=np.full(1000, 0.5),
    ...     probabilities=np.full((1000, 2), 0.5),
    ...     outcomes={"quality": (rng.random(1000) < np.where(chosen == 0, 0.9, 0.6)).astype(float)},
    ...     decided_at=np.arange(1000.0),
    ... )
    >>> evaluate(log, "large").verdict
    'large would have been better than logged: utility 0.909 against 0.753, difference 0.156 (0.131 to 0.185).'
    """
    preference = Preference(quality=1.0) if preference is None else preference
    known = table(objectives)
    for name in preference:
        if name not in known or name not in log.outcomes:
            raise InvalidInputError(
                f"{name!r} is no objective of the log with a known direction; it has {', '.join(log.outcomes)}; "
                "declare your own with objectives=[Objective(...)]"
            )
    policies = [checked(each, log) for each in (policy, against)]
    cluster = clusters_of(log, clusters)
    names = (described(policy), described(against))
    if log.propensities is None or np.isnan(log.propensities).all():
        return Evaluation(
            arms=log.arms,
            policy=names[0],
            against=names[1],
            objectives={},
            utility=None,
            verdict=f"No answer: {_NO_PROPENSITIES}.",
        )
    usable = np.flatnonzero(~np.isnan(log.propensities))
    cluster = None if cluster is None else cluster[usable]
    policies = [each[usable] if isinstance(each, np.ndarray) else each for each in policies]
    log = _take(log, usable)
    taught = len(log) // 2 if not learning and any(isinstance(each, Learner) for each in policies) else 0
    learned = replace(log, outcomes={name: values for name, values in log.outcomes.items() if name in known})
    first, second = (target_policy(learned, each, preference, objectives, taught, learning, seed) for each in policies)
    log = _take(log, np.arange(taught, len(log)))
    cluster = None if cluster is None else cluster[taught:]

    ranges = {name: (objective.low, objective.high) for name, objective in known.items()}
    compared = {
        name: _compare(log, first, second, values, ranges.get(name, (-np.inf, np.inf)), cluster, seed)
        for name, values in log.outcomes.items()
    }
    signed = {name: weight * known[name].sign for name, weight in preference.items() if weight}
    if list(signed.values()) == [1.0]:
        utility = compared[next(iter(signed))]
    else:
        worth = np.sum([sign * log.outcomes[name] for name, sign in signed.items()], axis=0)
        edges = [sorted(sign * edge for edge in ranges[name]) for name, sign in signed.items()]
        utility = _compare(log, first, second, worth, tuple(np.sum(edges, axis=0)), cluster, seed)
    return Evaluation(
        arms=log.arms,
        policy=names[0],
        against=names[1],
        objectives=compared,
        utility=utility,
        verdict=_verdict(*names, utility),
    )


def _compare(
    log: DecisionLog,
    first: TargetPolicy,
    second: TargetPolicy,
    values: Vector,
    range_: tuple[float, float],
    clusters: NDArray[np.intp] | None,
    seed: int,
) -> Comparison:
    """Compare two policies by what was observed of ``values (n,)``."""
    rows = np.flatnonzero(~np.isnan(values))
    log, first, second, y = _take(log, rows), first.take(rows), second.take(rows), values[rows]
    if clusters is not None:
        clusters = np.unique(clusters[rows], return_inverse=True)[1]
    diagnostics = first.diagnose(log, clusters)
    if refusals := second.diagnose(log, clusters).refusals:
        diagnostics = replace(diagnostics, refusals=diagnostics.refusals + refusals)
    if diagnostics.refusals:
        return Comparison(
            value=None,
            against=None,
            difference=None,
            anytime=None,
            anytime_is_asymptotic=False,
            estimates={},
            diagnostics=diagnostics,
        )
    x = np.zeros((len(y), 0)) if log.contexts is None else log.contexts
    predicted = cross_fitted(x, log.chosen, y, arms=len(log.arms), clusters=clusters, seed=seed)

    def interval(terms: Vector) -> Interval:
        return bootstrap_interval(terms, clusters=clusters, seed=seed)

    terms, other_terms = first.terms(y, log, predicted), second.terms(y, log, predicted)
    estimates = {}
    if first.target is not None:
        estimates = {
            "DR": interval(terms),
            "SNDR": interval(self_normalized_doubly_robust(y, first.weights, log.chosen, first.target, predicted)),
            "SNIPS": interval(snips(y, first.weights)),
            "DM": interval(direct_method(first.target, predicted)),
        }
    anytime = _anytime(log, first, second, y, x, *range_)
    return Comparison(
        value=interval(terms),
        against=interval(other_terms),
        difference=interval(terms - other_terms),
        anytime=anytime,
        anytime_is_asymptotic=anytime is not None and not np.isfinite(range_).all(),
        estimates=estimates,
        diagnostics=diagnostics,
    )


def _anytime(
    log: DecisionLog, first: TargetPolicy, second: TargetPolicy, y: Vector, x: Vector, low: float, high: float
) -> tuple[float, float] | None:
    """Bounds of the difference that hold at all times."""
    if first.replayed or second.replayed:
        return None
    if not np.isfinite([low, high]).all():
        predicted = progressive(x, log.chosen, y, arms=len(log.arms))
        lower, upper = asymptotic_sequence(first.terms(y, log, predicted) - second.terms(y, log, predicted))
    else:
        predicted = low + progressive(x, log.chosen, y - low, arms=len(log.arms))
        below, above, reach = first.pseudo_outcomes(y, log, predicted, low, high)
        other_below, other_above, other_reach = second.pseudo_outcomes(y, log, predicted, low, high)
        lower, upper = confidence_sequence(
            below - other_above,
            above - other_below,
            low=low - high,
            high=high - low,
            truncation=(reach + other_reach) / 2.0,
        )
    return (float(lower[-1]), float(upper[-1])) if np.isfinite(lower[-1]) else None


def _verdict(policy: str, against: str, utility: Comparison) -> str:
    if utility.value is None or utility.against is None or utility.difference is None:
        return f"No answer: {utility.diagnostics.refusals[0]}."
    _, lower, upper = utility.difference
    pair = f"{utility.value.value:.3g} against {utility.against.value:.3g}"
    figures = f"utility {pair}, difference {_shown(utility.difference)}"
    if lower <= 0.0 <= upper:
        return f"No difference between {policy} and {against} is shown: {figures}."
    if utility.anytime is not None and utility.anytime[0] <= 0.0 <= utility.anytime[1]:
        figures += "; bounds that hold while a logged policy learns do not show it yet"
    return f"{policy} would have been {'better' if lower > 0.0 else 'worse'} than {against}: {figures}."


def _shown(interval: Interval | None) -> str:
    return "–" if interval is None else "{:.3g} ({:.3g} to {:.3g})".format(*interval)


def _take(log: DecisionLog, rows: NDArray[np.intp]) -> DecisionLog:
    """Some rows of a log, in its order and without texts."""
    at = rows if len(rows) < len(log) else slice(None)  # no copies where it is all

    def some(values: Vector | None) -> Vector | None:
        return None if values is None else values[at]

    probabilities = some(log.probabilities)
    return replace(
        log,
        chosen=log.chosen[at],
        eligible=log.eligible[at],
        propensities=some(log.propensities),
        probabilities=None if probabilities is None or np.isnan(probabilities).any() else probabilities,
        contexts=some(log.contexts),
        prompts=None,
        sessions=None,
        tasks=None,
        outcomes={name: values[at] for name, values in log.outcomes.items()},
        decided_at=log.decided_at[at],
    )
