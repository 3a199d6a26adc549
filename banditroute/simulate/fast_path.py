"""A fast path through a replay: the router's own models, policy and draw, without store, limits and adapters.

It applies where feedback comes at once, and no arm comes, goes or fails. Then no decision is looked up, no circuit
opens and nothing is stored, so a replay is several times as fast. Tests hold it to the Router's choices, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.core.state import StateSlot
from banditroute.core.validation import LARGEST, LARGEST_FEATURE
from banditroute.errors import BanditRouteError, InvalidInputError
from banditroute.features.base import feature_blocks
from banditroute.objectives.objective import Objective
from banditroute.policies.base import PolicyState, start
from banditroute.router.candidates import Candidates
from banditroute.router.models import ArmModels, objectives_of
from banditroute.router.sampling import CannotChooseError, random_stream, sample_arm
from banditroute.router.settings import RouterSettings
from banditroute.store.base import OutcomeEvent, StoredState

_ANY_REQUEST = Request(features=np.zeros(0))  # without token prices nothing of it is read

_FEEDBACK_FIELDS = ("quality", "cost_usd", "energy_joules", "latency_seconds", "output_tokens")


def applies(outcomes: Mapping[str, Vector], x: Vector, settings: RouterSettings) -> bool:
    """Return whether a router makes the same choices: it refuses nothing, and all outcomes are known answers."""
    return (
        isinstance(settings.preference, Preference)
        and not np.isnan(outcomes["quality"]).any()
        and bool((np.abs(x) < LARGEST_FEATURE / np.sqrt(x.shape[1] + 1)).all())
        and "availability" not in {*settings.preference, *outcomes}
        and set(outcomes) <= set(settings.objectives)
        and all(_possible(values, settings.objectives[name]) for name, values in outcomes.items())
    )


def choices(
    outcomes: Mapping[str, Vector], x: Vector, arrivals: Sequence[float], settings: RouterSettings
) -> NDArray[np.intp]:
    """Return the position of the arm chosen at each of n requests ``(n,)``. Call it only where ``applies`` is True.

    Parameters
    ----------
    outcomes
        Objective -> values ``(n, K)`` in its range; NaN where unknown.
    x
        Contexts without bias ``(n, d - 1)``.
    arrivals
        When each request comes, in seconds.
    settings
        Those of the router; its arms, features, learner, preference, objectives and seed are used.

    Raises
    ------
    InvalidInputError
        If the predictions are not finite, or the policy fails or gives no probabilities.
    """
    learner, preference, objectives = settings.learner, settings.preference, settings.objectives
    assert isinstance(preference, Preference)
    n, d = len(x), x.shape[1] + 1
    contexts = np.ones((n, d))
    contexts[:, :-1] = x
    models = ArmModels(
        arms=settings.arms,
        objectives=objectives,
        learner=learner,
        tracked=(),
        features_version="",
        dimension=d,
        blocks=feature_blocks(settings.features),
        memory=StoredState(statistics={}, pending=[], decisions=0, feedback=0),
        drift_slot=StateSlot(name="drift"),
        choices_slot=StateSlot(name="choices"),
    )
    models.watch(objectives_of(preference))
    names = models.names
    policy = start(learner.policy, objectives=objectives)
    rng = random_stream(settings.seed)
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
        k = chosen[step] = _draw(candidates, policy, context, rng.random())
        values = {name: value for name, column in columns if (value := column[step][k]) == value}
        if learner.drift is None:
            models.belief.update(names[k], context, values, decided_at=now, ordinal=step)
        else:
            models.learn(OutcomeEvent(arm=names[k], x=context, values=values, decided_at=now, ordinal=step))
        policy.learn(names[k], context, values)
    return chosen


def no_choice(reason: str) -> InvalidInputError:
    """Return the error of a replay whose policy fails: to go on with the fallback arm would judge another policy."""
    return InvalidInputError(
        f"the policy made no choice ({reason:.300}); repair it: banditroute.testing.check_policy finds what is wrong"
    )


def _draw(candidates: Candidates, policy: PolicyState, x: Vector, u: float) -> int:
    """Return the position of the arm that the policy draws with the random number ``u``."""
    try:
        candidates.check_finite()
        return sample_arm(candidates.probabilities(policy, x), len(candidates.arms), u)[0]
    except BanditRouteError as error:
        raise no_choice(str(error)) from error
    except Exception as error:  # the policy may be the caller's
        raise no_choice(f"{type(error).__name__}: {error}") from error


def _possible(values: Vector, objective: Objective) -> bool:
    low, high = max(objective.low, -LARGEST), min(objective.high, LARGEST)
    return bool(((values >= low) & (values <= high) | np.isnan(values)).all())


def _no_availability() -> tuple[Vector, Vector]:
    raise CannotChooseError("availability is not predicted on the fast path")
