"""Why a decision named its arm, from what the database holds of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import Connection, Row, select

from banditroute.beliefs.base import Prior
from banditroute.errors import BanditRouteError
from banditroute.learners import ThompsonSampling
from banditroute.objectives.objective import STANDARD_OBJECTIVES
from banditroute.store.sql import hourly, inspection, schema
from banditroute.store.sql.rows import decision_of

_PRIORS = {each.name: Prior(mean=each.prior_mean, noise=each.prior_noise) for each in STANDARD_OBJECTIVES}
_SAME = 1e-6  # between probabilities
_SIGNS = {each.name: each.sign for each in STANDARD_OBJECTIVES}


class ArmRow(NamedTuple):
    """One eligible arm.

    Attributes
    ----------
    probability
        With which it would have been chosen.
    expected
        Objective -> (mean, standard deviation) by the default belief, from all that is learned now.
    """

    arm: str
    probability: float
    expected: dict[str, tuple[float, float]]


class Explained(NamedTuple):
    """A decision as the database holds it.

    Attributes
    ----------
    facts
        Name -> text.
    why
        Sentences that say why it was this arm.
    rows
        The eligible arms, the most probable first.
    objectives
        Names of the objectives that are expected.
    outcomes
        (objective, value, seconds after the decision, source) of each.
    """

    id: str
    arm: str
    facts: dict[str, str]
    decided_at: float
    why: list[str]
    rows: list[ArmRow]
    objectives: list[str]
    outcomes: list[tuple[str, float, float, str]]


def explained(connection: Connection, id: str) -> Explained | None:
    """Return the explanation of a decision; None if it is not held.

    Raises
    ------
    IncompatibleStoreError
        If its row is damaged.
    """
    row = hourly.decision_with_epoch(connection, id)
    if row is None:
        return None
    decision = decision_of(row)
    chances = np.frombuffer(row.probabilities, dtype="<f8") if isinstance(row.probabilities, bytes) else np.zeros(0)
    probabilities = dict(zip(decision.arms, chances.tolist(), strict=False))
    preference = dict(decision.preference.items())
    expected = _expected(connection, row, decision.arms, preference)
    active = select(schema.arm.c.name).where(schema.arm.c.router == row.router, schema.arm.c.active)
    left_out = sorted(set(connection.scalars(active)) - set(decision.arms))
    order = sorted(decision.arms, key=lambda arm: (-probabilities.get(arm, 0.0), arm))
    facts = {
        "router": row.router,
        "policy": row.policy,
        "reason": row.reason,
        "session": decision.session,
        "tags": ", ".join(decision.tags),
        "input tokens": None if decision.input_tokens is None else f"{decision.input_tokens:,}",
    }
    return Explained(
        id=decision.id,
        arm=decision.arm,
        facts={name: text for name, text in facts.items() if text},
        decided_at=decision.decided_at,
        why=_why(row, probabilities, preference, left_out),
        rows=[
            ArmRow(arm, probabilities.get(arm, 0.0), {name: each[arm] for name, each in expected.items()})
            for arm in order
        ],
        objectives=list(expected),
        outcomes=[
            (each.objective, each.value, each.received_at - decision.decided_at, each.source or "")
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
    elif max(probabilities.values()) - min(probabilities.values()) < _SAME:
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
            "request leave an arm out."
        )
    return said


def _expected(
    connection: Connection, row: Row[Any], arms: Sequence[str], preference: Mapping[str, float]
) -> dict[str, dict[str, tuple[float, float]]]:
    """Return objective -> arm -> mean and standard deviation, by the default belief from what is learned now."""
    names = [name for name in preference if name in _PRIORS]
    x = decision_of(row).x
    if x is None or not names:
        return {}
    try:
        belief = ThompsonSampling().belief.start(
            arms=list(arms),
            dimension=row.dimension,
            priors={name: _PRIORS[name] for name in names},
            statistics=inspection.statistics_of(connection, row.epoch_id),
        )
        belief.watch(names)
        predicted = belief.predict(x)
    except (BanditRouteError, ValueError):  # what was learned cannot be read: the rest is shown
        return {}
    return {
        name: {arm: (float(predicted.means[j, k]), float(predicted.stds[j, k])) for k, arm in enumerate(arms)}
        for j, name in enumerate(names)
    }
