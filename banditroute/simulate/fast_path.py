"""A fast path through a replay: the router's own models, policy and draw, without store, limits and adapters.

It applies where feedback comes at once, and no arm comes, goes or fails. Then no decision is looked up, no circuit
opens and nothing is stored, so a replay is several times as fast. Tests hold it to the Router's choices, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.state import StateSlot
from banditroute.core.validation import LARGEST, LARGEST_FEATURE
from banditroute.learners import Learner
from banditroute.objectives.objective import Objective
from banditroute.policies.base import start
from banditroute.router.models import ArmModels, objectives_of
from banditroute.router.sampling import CannotChooseError, random_stream, sample_arm
from banditroute.store.base import OutcomeEvent, StoredState

_ANY_REQUEST = Request(features=np.zeros(0))  # without token prices nothing of it is read

_FEEDBACK_FIELDS = ("quality", "cost_usd", "energy_joules", "latency_seconds", "output_tokens")


def applies(
    outcomes: Mapping[str, Vector],
    x: Vector,
    *,
    arms: Sequence[str],
    preference: Preference,
    objectives: Mapping[str, Objective],
) -> bool:
    """Return whether a router makes the same choices: it refuses nothing, and all outcomes are known answers."""
    return (
        len(set(arms)) == len(arms)
        and not np.isnan(outcomes["quality"]).any()
        and bool((np.abs(x) < LARGEST_FEATURE / np.sqrt(x.shape[1] + 1)).all())
        and "availability" not in {*preference, *outcomes}
        and all(name in objectives and _possible(values, objectives[name]) for name, values in outcomes.items())
    )


def choices(
    outcomes: Mapping[str, Vector],
    x: Vector,
    arrivals: Sequence[float],
    *,
    arms: Sequence[Arm],
    learner: Learner,
    preference: Preference,
    objectives: Mapping[str, Objective],
    seed: int,
    blocks: Sequence[FeatureBlock] | None = None,
) -> NDArray[np.intp]:
    """Return the position of the arm chosen at each of n requests ``(n,)``.

    Parameters
    ----------
    outcomes
        Objective -> values ``(n, K)`` in its range; NaN where unknown.
    x
        Contexts without bias ``(n, d - 1)``.
    arrivals
        When each request comes, in seconds.

    Raises
    ------
    CannotChooseError
        If a router would fall back: the predictions are not finite, or the policy gives no probabilities.
    """
    n, d = len(x), x.shape[1] + 1
    contexts = np.ones((n, d))
    contexts[:, :-1] = x
    models = ArmModels(
        arms=arms,
        objectives=objectives,
        learner=learner,
        tracked=(),
        features_version="",
        dimension=d,
        blocks=blocks,
        memory=StoredState(statistics={}, pending=[], decisions=0, feedback=0),
        drift_slot=StateSlot(name="drift"),
        choices_slot=StateSlot(name="choices"),
    )
    models.watch(objectives_of(preference))
    names = models.names
    policy = start(learner.policy, objectives=objectives)
    rng = random_stream(seed)
    order = [name for name in _FEEDBACK_FIELDS if name in outcomes]
    order += [name for name in outcomes if name not in order]
    columns = [(name, outcomes[name].tolist()) for name in order]
    chosen = np.empty(n, dtype=np.intp)
    for step in range(n):
        context, now = contexts[step], arrivals[step]
        candidates = models.predict(
            context,
            preference,
            request=_ANY_REQUEST,
            availability=_no_availability,
            limited=(),
            now=now,
            ordinal=step,
        )
        candidates = models.weigh_costs(candidates, preference)
        candidates.check_finite()
        probabilities = candidates.probabilities(policy, context)
        k, _ = sample_arm(probabilities, len(names), rng.random())
        chosen[step] = k
        values = {name: value for name, column in columns if (value := column[step][k]) == value}
        if learner.drift is None:
            models.belief.update(names[k], context, values, decided_at=now, ordinal=step)
        else:
            models.learn(OutcomeEvent(arm=names[k], x=context, values=values, decided_at=now, ordinal=step))
        policy.learn(names[k], context, values)
    return chosen


def _possible(values: Vector, objective: Objective) -> bool:
    low, high = max(objective.low, -LARGEST), min(objective.high, LARGEST)
    return bool(((values >= low) & (values <= high) | np.isnan(values)).all())


def _no_availability() -> tuple[Vector, Vector]:
    raise CannotChooseError("availability is not predicted on the fast path")
