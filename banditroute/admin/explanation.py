"""Explain a decision of the past, from what the database holds of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.admin._database import open_database
from banditroute.beliefs.base import Belief, Prior
from banditroute.core.arrays import Vector
from banditroute.core.state import StateSlot
from banditroute.core.validation import label
from banditroute.errors import BanditRouteError, InvalidConfigurationError, UnknownDecisionError
from banditroute.features import Featurizer, TextFeatures
from banditroute.learners import Learner, ThompsonSampling
from banditroute.objectives.objective import STANDARD_OBJECTIVES
from banditroute.router.belief_choices import BeliefChoices
from banditroute.store.base import StoredDecision

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

_PRIORS = {each.name: Prior(mean=each.prior_mean, noise=each.prior_noise) for each in STANDARD_OBJECTIVES}
_SAME_PROBABILITY = 1e-6  # a smaller difference is rounding
_SIGNS = {each.name: each.sign for each in STANDARD_OBJECTIVES}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedOutcome:
    """The outcome that the present belief expects of one arm and objective, for the features of a past request.

    Attributes
    ----------
    mean, std
        The expected outcome, and the standard deviation of that expectation, in the objective's unit.
    outcomes
        The weight of the outcomes that the arm has learned from, of all requests: their number where nothing fades.
    parts
        Part of the features -> how much higher the mean is than without that part, as if its entries were 0.
    """

    mean: float
    std: float
    outcomes: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedArm:
    """One arm that could be chosen.

    Attributes
    ----------
    probability
        With which it would have been chosen.
    expected
        Objective -> what is expected of it now.
    """

    arm: str
    probability: float
    expected: Mapping[str, ExpectedOutcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedOutcome:
    """One outcome that was reported.

    Attributes
    ----------
    seconds_later
        Time from the decision to the report.
    source
        Who reported it; empty if the application does not say.
    """

    objective: str
    value: float
    seconds_later: float
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedExplanation:
    """A decision of the past, as the database holds it; see :func:`explain`.

    Attributes
    ----------
    id, arm
        The decision, and the arm that it named.
    decided_at
        Unix time in seconds.
    facts
        What was recorded with it: name -> text.
    why
        Sentences that say why it was this arm.
    arms
        The arms that could be chosen, the most probable first.
    objectives
        The objectives that are expected.
    left_out
        Arms that the router has now, and that could not be chosen then.
    outcomes
        What was reported, in the order of arrival.
    """

    id: str
    arm: str
    decided_at: float
    facts: Mapping[str, str]
    why: Sequence[str]
    arms: Sequence[RecordedArm]
    objectives: Sequence[str]
    left_out: Sequence[str]
    outcomes: Sequence[RecordedOutcome]


def explain(
    url: str, decision_id: str, *, learner: Learner | None = None, features: Featurizer | None = None
) -> RecordedExplanation:
    """Return why a decision of the past named its arm, what came of it, and what is expected of every arm now.

    Probabilities, reason and outcomes are those of the decision. Expectations are those of the present belief for the
    stored features: the decision itself knew only what was learned before it.

    Parameters
    ----------
    url
        As :class:`~banditroute.store.SQLStore` takes it; nothing is written.
    decision_id
        Its id.
    learner
        The learner of its router, whose belief is asked. Default: :class:`~banditroute.learners.ThompsonSampling`.
    features
        The features of its router, which name the parts of the context. Default: the default ones, if it used those.

    Raises
    ------
    InvalidInputError
        If the id is not a string that a database can hold.
    UnknownDecisionError
        If the database does not hold it.
    InvalidConfigurationError
        If the URL names no database, or the decision was made with other features than these.
    IncompatibleStoreError, StoreError
        If the database cannot be used.

    Examples
    --------
    >>> from banditroute import Router, SQLStore, admin
    >>> url = f"sqlite:///{getfixture('tmp_path')}/routes.db"
    >>> with Router(arms=["small", "large"], features=1, store=SQLStore(url)) as router:
    ...     decision = router.route([0.5])
    ...     _ = router.feedback(decision.id, quality=1.0)
    >>> found = admin.explain(url, decision.id)
    >>> found.arm == decision.arm, found.outcomes[0].value, found.why[1]
    (True, 1.0, 'All arms were equally probable, each with 50.0%.')
    """
    label(decision_id, name="decision_id")
    database = open_database(url, writes=False, read_only=True)
    found = database.read(lambda connection: explained(connection, decision_id, learner=learner, features=features))
    if found is None:
        raise UnknownDecisionError(
            f"{database.name} holds no decision {decision_id[:80]!r}; check the id, and that it is not pruned or erased"
        )
    return found


def explained(
    connection: Connection, id: str, *, learner: Learner | None = None, features: Featurizer | None = None
) -> RecordedExplanation | None:
    """Return the explanation of a decision as :func:`explain` does; None if it is not held."""
    from banditroute.store.sql import hourly, inspection
    from banditroute.store.sql.rows import decision_of

    row = hourly.decision_with_epoch(connection, id)
    if row is None:
        return None
    if features is not None and (features.version, features.dimension + 1) != (row.features_version, row.dimension):
        raise InvalidConfigurationError(
            f"decision {id[:80]!r} was made with {row.dimension - 1} features {row.features_version[:80]!r}, not with "
            f"{features.dimension} features {features.version[:80]!r}; give its router's features"
        )
    decision = decision_of(row)
    chances = np.frombuffer(row.probabilities, dtype="<f8") if isinstance(row.probabilities, bytes) else np.zeros(0)
    probabilities = dict(zip(decision.arms, chances.tolist(), strict=False))
    expected = _expected(connection, row, decision, learner or ThompsonSampling(), features)
    left_out = sorted(set(inspection.active_arms(connection, row.router)) - set(decision.arms))
    facts = {
        "router": row.router,
        "policy": row.policy,
        "reason": row.reason,
        "session": decision.session,
        "tags": ", ".join(decision.tags),
        "input tokens": None if decision.input_tokens is None else f"{decision.input_tokens:,}",
    }
    return RecordedExplanation(
        id=decision.id,
        arm=decision.arm,
        facts={name: text for name, text in facts.items() if text},
        decided_at=decision.decided_at,
        why=_why(row, probabilities, dict(decision.preference.items()), left_out),
        arms=[
            RecordedArm(
                arm=arm,
                probability=probabilities.get(arm, 0.0),
                expected={objective: of_arms[arm] for objective, of_arms in expected.items()},
            )
            for arm in sorted(decision.arms, key=lambda arm: (-probabilities.get(arm, 0.0), arm))
        ],
        objectives=list(expected),
        left_out=left_out,
        outcomes=[
            RecordedOutcome(
                objective=each.objective,
                value=each.value,
                seconds_later=each.received_at - decision.decided_at,
                source=each.source or "",
            )
            for each in hourly.outcomes_with_times(connection, id)
        ],
    )


def _why(
    row: Row[Any], probabilities: Mapping[str, float], preference: Mapping[str, float], left_out: Sequence[str]
) -> list[str]:
    arm, reason = row.arm, row.reason
    if reason.startswith("fallback"):
        said = [f"The router could not decide as usual, and fell back to {arm}: {reason}."]
    elif reason.startswith("guard"):
        said = [f"The guard shares the requests between the baseline and the learner ({reason}); {arm} was drawn."]
    elif reason.startswith("rules"):
        said = [f"Rules narrowed the choice ({reason}), and the policy drew {arm} from the arms that were left."]
    else:
        because = "" if reason == "policy" else f" ({reason})"
        said = [f"The policy drew {arm} from the probabilities below{because}."]
    best = max(probabilities, key=lambda name: probabilities[name], default=arm)
    if len(probabilities) < 2:
        said.append("It was the only arm that could be chosen.")
    elif max(probabilities.values()) - min(probabilities.values()) < _SAME_PROBABILITY:
        said.append(f"All arms were equally probable, each with {row.propensity:.1%}.")
    elif probabilities.get(arm, 0.0) >= probabilities.get(best, 0.0):
        said.append(f"It was the most probable arm for this request, with {row.propensity:.1%}.")
    else:
        said.append(
            f"Its probability was {row.propensity:.1%}; {best} was more probable, with {probabilities[best]:.1%}. "
            "Less probable arms are drawn at times, to learn whether they have become better."
        )
    terms = [f"{_SIGNS.get(name, 1.0) * weight:+g} × {name}" for name, weight in preference.items() if weight]
    said.append(f"Arms were compared by their utility: {' '.join(terms).removeprefix('+')}.")
    if left_out:
        said.append(
            f"Not eligible: {', '.join(left_out)}. Limits, rules, an open circuit, or arms= and exclude= of the "
            "request leave an arm out; the database holds no more of it than the reason above."
        )
    return said


def _expected(
    connection: Connection, row: Row[Any], decision: StoredDecision, learner: Learner, features: Featurizer | None
) -> dict[str, dict[str, ExpectedOutcome]]:
    """Return objective -> arm -> what the learner's belief expects from all that is learned now."""
    names = [name for name in dict(decision.preference.items()) if name in _PRIORS]
    if decision.x is None or not names:
        return {}
    try:
        belief = _belief(connection, row, decision, learner)
        belief.watch(names)
        predicted = belief.predict(decision.x)
        parts = _parts(belief, decision.x, features or _default_features(row))
    except (BanditRouteError, ValueError):  # what was learned cannot be read: the rest is shown
        return {}
    found = {}
    for name in names:
        j, counts = belief.objectives.index(name), belief.counts(name)
        found[name] = {
            arm: ExpectedOutcome(
                mean=float(predicted.means[j, k]),
                std=float(predicted.stds[j, k]),
                outcomes=max(0.0, float(counts[k])),
                parts={part: float(means[j, k]) for part, means in parts.items()},
            )
            for k, arm in enumerate(decision.arms)
        }
    return found


def _belief(connection: Connection, row: Row[Any], decision: StoredDecision, learner: Learner) -> Belief:
    """Return the learner's belief over the decision's arms, from what is learned and chosen now."""
    from banditroute.store.sql import folding, inspection

    recorded = folding.states_of(connection, row.router, ["choices"]).get("choices")
    choices = BeliefChoices(slot=StateSlot(name="choices", stored=None), features_version=row.features_version)
    return learner.belief.start(
        arms=list(decision.arms),
        dimension=row.dimension,
        priors=_PRIORS,
        statistics=inspection.statistics_of(connection, row.epoch_id),
        choices=choices.load(recorded),
    )


def _parts(belief: Belief, x: Vector, features: Featurizer | None) -> dict[str, Vector]:
    """Return for each part of the features how much higher every mean ``(m, K)`` is than without it.

    A part is the entries whose names begin alike, up to the first dot.
    """
    if features is None:
        return {}
    parts = np.array([name.partition(".")[0] for name in features.names])
    whole = belief.predict(x).means.copy()
    return {
        str(part): whole - belief.predict(np.where(np.append(parts == part, [False]), 0.0, x)).means
        for part in dict.fromkeys(parts.tolist())
    }


def _default_features(row: Row[Any]) -> Featurizer | None:
    """Return the default features if the decision was made with them; None otherwise."""
    default = _text_features()
    return default if (default.version, default.dimension + 1) == (row.features_version, row.dimension) else None


@cache
def _text_features() -> Featurizer:
    return TextFeatures()
