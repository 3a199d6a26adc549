"""Compare two policies on a log: estimates with intervals, or why there is no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import blocks, give_back, large_array, rows_of
from banditroute.core.preference import Preference
from banditroute.core.validation import one_of
from banditroute.errors import InvalidInputError
from banditroute.evaluate.anytime import anytime_bounds
from banditroute.evaluate.clusters import Clusters, clusters_of
from banditroute.evaluate.contexts import Features, with_contexts
from banditroute.evaluate.evaluation import Comparison, Evaluation, shown
from banditroute.evaluate.reporting import reporting, reporting_weights, with_answers
from banditroute.evaluate.reward_model import Design, cross_fit
from banditroute.evaluate.rows import some_rows, taken
from banditroute.evaluate.session_values import compare_sessions, session_outcomes
from banditroute.evaluate.target_policy import (
    Learning,
    Policy,
    TargetPolicy,
    checked,
    described,
    expected,
    target_policy,
)
from banditroute.evaluate.uncertainty import OutcomeRange, interval
from banditroute.evaluate.utility import utility_of
from banditroute.learners import Learner
from banditroute.logs import DecisionLog, read_log
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import merge_objectives

_NO_PROPENSITIES = (
    "the log has no propensities, so an arm's outcomes cannot be separated from the reasons for choosing it; record "
    "the probability of every choice (a router does), or replay a table with every arm's outcome"
)


def evaluate(
    log: DecisionLog | Any,
    policy: Policy,
    *,
    against: Policy = "logged",
    preference: Preference | None = None,
    objectives: Sequence[Objective] = (),
    learning: Learning = True,
    clusters: Clusters = None,
    features: Features = "auto",
    missing: Literal["drop", "weight"] = "drop",
    per: Literal["decision", "session"] = "decision",
    seed: int = 0,
) -> Evaluation:
    """Compare a policy with the logged one, or with another, on a log's decisions.

    Values are cross-fitted doubly robust estimates; those of a learner are means over its replay by rejection sampling.
    Bounds are 95% intervals: betting intervals where outcomes have a range, bootstrap-t where they have none; see
    docs/howto/off-policy-evaluation.md.

    Parameters
    ----------
    log
        Decisions with propensities; rows without are left out. Or anything that :func:`banditroute.logs.read_log`
        reads: a path, a URL.
    policy, against
        ``"logged"``, ``"uniform"`` (over the eligible arms), the name of an arm, a learner or its spec, such as
        ``"linucb(alpha=1)"``, or the probability of every arm for every row ``(n, K)``.
    preference
        Weights of the objectives in the utility. Default: ``Preference(quality=1.0)``.
    objectives
        The user's own objectives, where they are preferred or have a range.
    learning
        True: a learner learns from its own choices, in a replay by rejection sampling. False: it learns from the first
        half of the log and is judged, as it is then, by the second half. ``"progressive"``: it learns from every row
        after it is asked about that row, as a challenger does (``Router(challenger=...)``).
    clusters
        Which rows depend on each other: those of one ``"session"``, ``"template"`` of the prompt or ``"task"``, or an
        array with the number or name of each row's cluster ``(n,)``. Default: sessions, where the log has them.
    features
        ``"auto"``: the contexts of the log, or text features of its prompts where it has none. ``"none"``: no
        contexts. A featurizer: its features of the prompts.
    missing
        Rows without an outcome: ``"drop"`` leaves them out, which is sound if reporting is chance. ``"weight"`` weighs
        the others by their predicted probability of being reported, given context and arm.
    per
        ``"session"``: an outcome belongs to all decisions of a session, as :mod:`~banditroute.evaluate.session_values`
        says, and values are per session. Policies that learn, ``clusters`` and ``missing`` are not for that.
    seed
        Seed of folds, bootstrap and replays.

    Raises
    ------
    InvalidInputError
        If a policy, objective, or setting is unknown, probabilities are invalid, the log lacks what clusters or
        features need, ``missing="weight"`` is asked of a learner that learns, or ``per="session"`` of any learner, or
        with ``clusters`` or ``missing``.

    Examples
    --------
    >>> from banditroute.logs import DecisionLog
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
    'large would have been better than logged: utility 0.909 against 0.753, difference 0.156 (0.115 to 0.191).'
    """
    log = log if isinstance(log, DecisionLog) else read_log(log)
    one_of(missing, ("drop", "weight"), name="missing")
    one_of(per, ("decision", "session"), name="per")
    if not isinstance(learning, bool):
        one_of(learning, ("progressive",), name="learning")
    known = merge_objectives(objectives)
    preference = Preference(quality=1.0) if preference is None else preference
    policies = [checked(each, log) for each in (policy, against)]
    if missing == "weight" and learning is True and any(isinstance(each, Learner) for each in policies):
        raise InvalidInputError("missing='weight' cannot weigh a replay; judge the learner frozen (learning=False)")
    if per == "session" and (
        clusters is not None or missing == "weight" or any(isinstance(each, Learner) for each in policies)
    ):
        raise InvalidInputError(
            "per='session' takes no learner, no clusters= and no missing='weight'; give 'logged', 'uniform', an arm, "
            "or probabilities, and leave the others out"
        )
    cluster = clusters_of(log, "session" if per == "session" else clusters)
    log, contexts = with_contexts(log, features)
    log = replace(log, outcomes=with_answers(log.outcomes))
    names = (described(policy), described(against))
    worth, utility_range = utility_of(log, preference, objectives)
    reported = reporting(~np.isnan(worth), log.chosen, log.arms)
    if log.propensities is None or np.isnan(log.propensities).all():
        return Evaluation(
            arms=log.arms,
            policy=names[0],
            against=names[1],
            contexts=contexts,
            feedback=reported.shares,
            objectives={},
            utility=None,
            warnings=(),
            verdict=f"No answer: {_NO_PROPENSITIES}.",
        )
    unknown = np.isnan(log.propensities)
    if cluster is not None and per == "session":
        unknown = (np.bincount(cluster, weights=unknown) > 0.0)[cluster]
    usable = np.flatnonzero(~unknown)
    cluster = None if cluster is None else cluster[usable]
    sessions = cluster if per == "session" else None
    policies = [each[usable] if isinstance(each, np.ndarray) else each for each in policies]
    log, worth = some_rows(log, usable), taken(worth, usable)
    del usable, unknown
    taught = len(log) // 2 if not learning and any(isinstance(each, Learner) for each in policies) else 0
    learned = replace(log, outcomes={name: values for name, values in log.outcomes.items() if name in known})
    first, second = (target_policy(learned, each, preference, objectives, taught, learning, seed) for each in policies)
    log, worth = some_rows(log, np.arange(taught, len(log))), worth[taught:]
    cluster = None if cluster is None else cluster[taught:]

    compare: Callable[[Sequence[tuple[Vector, OutcomeRange]]], Sequence[Comparison]]
    if sessions is None:
        weigh = missing == "weight"
        compare = _Compare(log=log, first=first, second=second, clusters=cluster, weigh=weigh, seed=seed)
    else:
        log = replace(log, outcomes=session_outcomes(log, sessions))
        worth, _ = utility_of(log, preference, objectives)
        contexts += ", and the number of the turn"
        compare = partial(compare_sessions, log, sessions, (first, second), seed=seed)
    alone = [name for name, weight in preference.items() if weight * known[name].sign == 1.0]
    one = len(alone) == 1 == sum(weight != 0.0 for weight in preference.values())
    outcomes = [(values, OutcomeRange.of(known.get(name))) for name, values in log.outcomes.items()]
    found = compare([*outcomes, *([] if one else [(worth, utility_range)])])
    compared = dict(zip(log.outcomes, found, strict=False))
    utility = compared[alone[0]] if one else found[-1]
    return Evaluation(
        arms=log.arms,
        policy=names[0],
        against=names[1],
        contexts=contexts,
        feedback=reported.shares,
        objectives=compared,
        utility=utility,
        warnings=() if reported.warning is None or missing == "weight" else (reported.warning,),
        verdict=_verdict(*names, utility),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compare:
    """Compares two policies by outcomes."""

    log: DecisionLog
    first: TargetPolicy
    second: TargetPolicy
    clusters: NDArray[np.intp] | None
    weigh: bool
    seed: int

    def __call__(self, outcomes: Sequence[tuple[Vector, OutcomeRange]]) -> list[Comparison]:
        """Compare the policies by each of some outcomes: values ``(n,)``, NaN where they were not observed."""
        found: dict[int, Comparison] = {}
        for j, (values, _) in enumerate(outcomes):
            if j not in found:  # with all outcomes that the same rows have
                observed = ~np.isnan(values)
                alike = [i for i, (each, _) in enumerate(outcomes) if np.array_equal(~np.isnan(each), observed)]
                found |= zip(alike, self._alike([outcomes[i] for i in alike], observed), strict=True)
        return [found[j] for j in range(len(outcomes))]

    def _alike(
        self, outcomes: Sequence[tuple[Vector, OutcomeRange]], observed: NDArray[np.bool_]
    ) -> Sequence[Comparison]:
        """Compare the policies by m outcomes that are all observed in the same rows."""
        rows = np.arange(len(observed)) if self.weigh and observed.any() else np.flatnonzero(observed)
        log, first, second = some_rows(self.log, rows), self.first.take(rows), self.second.take(rows)
        clusters = self.clusters
        if clusters is not None:
            clusters = np.unique(clusters[rows], return_inverse=True)[1]
        observed = taken(observed, rows)
        y: Vector = large_array((len(outcomes), len(rows)))
        for j, (values, _) in enumerate(outcomes):
            of_rows = taken(values, rows)
            for at in blocks(len(rows)):
                y[j, at] = np.where(observed[at], rows_of(of_rows, at), 0.0)
                give_back(y)
            del of_rows
        del rows
        x = np.zeros((len(log), 0)) if log.contexts is None else log.contexts
        if not observed.all():
            weights = reporting_weights(observed, x, log.chosen, arms=len(log.arms), clusters=clusters, seed=self.seed)
            first, second = first.reweighed(weights), second.reweighed(weights)
        diagnostics = first.diagnose(log, clusters)
        if refusals := second.diagnose(log, clusters).refusals:
            diagnostics = replace(diagnostics, refusals=diagnostics.refusals + refusals)
        if diagnostics.refusals:
            refused = Comparison(
                value=None,
                against=None,
                difference=None,
                anytime=None,
                anytime_is_asymptotic=False,
                estimates={},
                diagnostics=diagnostics,
            )
            return [refused] * len(outcomes)
        ranges, design = [range_ for _, range_ in outcomes], Design.of(x)
        anytime: Sequence[tuple[float, float] | None] = [None] * len(outcomes)
        if observed.all() and not (first.replayed or second.replayed):
            anytime = anytime_bounds(log, first, second, y, design, ranges)
        model = cross_fit(
            design, log.chosen, y.T, arms=len(log.arms), clusters=clusters, observed=observed, seed=self.seed
        )
        logged, (under, other) = expected(model, log.chosen, (first, second))
        found = []
        for j, range_ in enumerate(ranges):
            give_back(y, logged, first.weights, log.chosen, *(each for each in (under, other) if each is not None))
            bounds = partial(
                interval,
                outcomes=y[j],
                chosen=log.chosen,
                observed=observed,
                range_=range_,
                clusters=clusters,
                seed=self.seed,
            )
            row = (y[j], logged[j], None if under is None else under[j])
            terms, against = first.terms(*row), second.terms(*row[:2], None if other is None else other[j])
            comparison = Comparison(
                value=bounds(terms),
                against=bounds(against),
                difference=bounds(terms - against, difference=True),
                anytime=anytime[j],
                anytime_is_asymptotic=anytime[j] is not None and not range_.bounded,
                estimates={name: bounds(each) for name, each in first.estimates(*row)},
                diagnostics=diagnostics,
            )
            found.append(comparison)
        return found


def _verdict(policy: str, against: str, utility: Comparison) -> str:
    if utility.value is None or utility.against is None or utility.difference is None:
        return f"No answer: {utility.diagnostics.refusals[0]}."
    _, lower, upper = utility.difference
    pair = f"{utility.value.value:.3g} against {utility.against.value:.3g}"
    figures = f"utility {pair}, difference {shown(utility.difference)}"
    if lower <= 0.0 <= upper:
        return f"No difference between {policy} and {against} is shown: {figures}."
    if utility.anytime is not None and utility.anytime[0] <= 0.0 <= utility.anytime[1]:
        figures += "; the always-valid bounds (safe if the logged policy was learning) do not confirm it yet"
    return f"{policy} would have been {'better' if lower > 0.0 else 'worse'} than {against}: {figures}."
