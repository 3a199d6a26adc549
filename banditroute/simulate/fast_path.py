"""The short way through a replay: the router's own knowledge, policy and draw, without what they do not need.

Where feedback comes at once and no arm comes, goes or fails, no decision is looked up, no circuit opens and nothing is
stored; what is left is several times as fast. Tests hold it to the choices of the Router, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.preference import Preference
from banditroute.core.validation import LARGEST
from banditroute.learners import Learner
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import utility, weights
from banditroute.policies.base import start
from banditroute.router.checks import LARGEST_FEATURE
from banditroute.router.forecast import look
from banditroute.router.models import ArmModels
from banditroute.router.sampling import CannotChooseError, draw
from banditroute.store.base import Event, MergeStates, StoredState

_AS_FEEDBACK_TAKES_THEM = ("quality", "cost_usd", "energy_joules", "latency_seconds", "output_tokens")


def applies(
    outcomes: Mapping[str, Vector],
    x: Vector,
    *,
    arms: Sequence[str],
    preference: Preference,
    objectives: Mapping[str, Objective],
) -> bool:
    """Whether a router could only do the same: nothing of it is refused, unknown or its breaker's to tell."""
    return (
        len(set(arms)) == len(arms)
        and not np.isnan(outcomes["quality"]).any()
        and bool((np.square(x).sum(axis=1) < LARGEST_FEATURE**2).all())
        and "availability" not in {*preference, *outcomes}
        and all(name in objectives and _possible(values, objectives[name]) for name, values in outcomes.items())
    )


def choices(
    outcomes: Mapping[str, Vector],
    x: Vector,
    arrivals: Sequence[float],
    *,
    arms: Sequence[str],
    learner: Learner,
    preference: Preference,
    objectives: Mapping[str, Objective],
    seed: int,
    blocks: Sequence[FeatureBlock] | None = None,
) -> NDArray[np.intp]:
    """Position of the arm chosen at each of n requests ``(n,)``.

    Parameters
    ----------
    outcomes
        Objective -> ``(n, K)``, each in its range; NaN where it is not known.
    x
        Contexts without bias ``(n, d - 1)``.
    arrivals
        When each request comes, in seconds.

    Raises
    ------
    CannotChooseError
        Where a router would fall back: if what is believed is not finite, or the policy gives no probabilities.
    """
    n, d = len(x), x.shape[1] + 1
    contexts = np.ones((n, d))
    contexts[:, :-1] = x
    knowledge = ArmModels(
        arms=[Arm(name=arm) for arm in arms],
        objectives=objectives,
        learner=learner,
        watched=(),
        features_version="",
        dimension=d,
        blocks=blocks,
        memory=StoredState(statistics={}, pending=[], decisions=0, feedback=0),
        put_state=_keep_nothing,
    )
    policy = start(learner.policy, objectives=objectives)
    rng = np.random.default_rng(seed)
    of_context = learner.context_exploration**2
    names = tuple(arms)
    order = [name for name in _AS_FEEDBACK_TAKES_THEM if name in outcomes]
    order += [name for name in outcomes if name not in order]
    told = [(name, outcomes[name].tolist()) for name in order]
    chosen = np.empty(n, dtype=np.intp)
    weighed: tuple[str, ...] | None = None
    signed = np.empty(0)
    for step in range(n):
        belief, context, now = knowledge.belief, contexts[step], arrivals[step]
        if belief.objectives is not weighed:
            belief.watch([name for name, weight in preference.items() if weight > 0.0])
            weighed = belief.objectives
            signed = weights(preference, weighed, objectives)
        belief.advance(now, step)
        outlook = look(belief, context, of_context=of_context, prices=None, tokens=None, availability=_never_asked)
        utilities, stds = utility(signed, outlook.means, outlook.explored)
        if not math.isfinite(np.vdot(utilities, utilities) + np.vdot(stds, stds)):
            raise CannotChooseError("the belief is not finite")
        probabilities = policy.probabilities(utilities, stds, arms=names, information=belief.information, x=context)
        k, _ = draw(probabilities, len(names), rng.random())
        chosen[step] = k
        values = {name: value for name, column in told if (value := column[step][k]) == value}
        if learner.drift is None:
            belief.update(names[k], context, values, decided_at=now, ordinal=step)
        else:
            knowledge.learn(Event(arm=names[k], x=context, values=values, decided_at=now, ordinal=step))
        policy.learn(names[k], context, values)
    return chosen


def _possible(values: Vector, objective: Objective) -> bool:
    low, high = max(objective.low, -LARGEST), min(objective.high, LARGEST)
    return bool(((values >= low) & (values <= high) | np.isnan(values)).all())


def _keep_nothing(name: str, blob: bytes, join: MergeStates | None = None) -> None:
    """Nobody asks for it."""


def _never_asked() -> tuple[Vector, Vector]:
    raise CannotChooseError("availability is the breaker's to tell")
