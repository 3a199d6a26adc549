"""One utility for every arm, from its predicted objectives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.validation import several, shown
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.objectives.objective import STANDARD_OBJECTIVES, Objective
from banditroute.objectives.scaling import Scaled

PreferenceLike: TypeAlias = Preference | Scaled | Mapping[str, float]
"""The types of preference that a router takes."""


def merge_objectives(user_objectives: Sequence[Objective]) -> dict[str, Objective]:
    """Return the standard objectives and the user's own, by name.

    Raises
    ------
    InvalidConfigurationError
        If two objectives have one name, or one is not an Objective.
    """
    objectives = {objective.name: objective for objective in STANDARD_OBJECTIVES}
    example = "[Objective(name='stars', higher_is_better=True)]"
    for objective in several(user_objectives, name="objectives", example=example, error=InvalidConfigurationError):
        if not isinstance(objective, Objective):
            raise InvalidConfigurationError(
                f"objective {objective!r} is a {type(objective).__name__}; give Objective(name=..., ...)"
            )
        if objective.name == "within":
            raise InvalidConfigurationError(
                "an objective cannot be called 'within', which is a setting of Preference; choose another name"
            )
        if objective.name in objectives:
            raise InvalidConfigurationError(
                f"objective {objective.name!r} is defined twice (standard: {', '.join(sorted(objectives))}); "
                "choose another name"
            )
        objectives[objective.name] = objective
    return objectives


def check_preference(preference: object, objectives: Mapping[str, Objective]) -> Preference | Scaled:
    """Return ``preference`` as a preference over known objectives, or as scaled weights of them.

    Raises
    ------
    InvalidRequestError
        If it is neither a preference nor a mapping, or names an objective that does not exist.
    InvalidConfigurationError
        If its weights do not make a preference.
    """
    if not isinstance(preference, Mapping | Scaled):
        raise InvalidRequestError(
            f"preference is {shown(preference)} ({type(preference).__name__}); give a Preference, for example "
            "Preference(quality=1.0, cost_usd=50.0)"
        )
    known = objectives if isinstance(preference, Preference | Scaled) else {*objectives, "within"}
    for name in preference if isinstance(preference, Mapping) else {**preference.weights, **preference.reference}:
        if name not in known:
            raise InvalidRequestError(
                f"objective {shown(name)} of the preference is unknown; known objectives: "
                f"{', '.join(sorted(objectives))}. Declare your own with Router(objectives=[Objective(...)])"
            )
    return preference if isinstance(preference, Preference | Scaled) else Preference(**preference)


def weights(preference: Preference, names: Sequence[str], objectives: Mapping[str, Objective]) -> Vector:
    """Return the signed weight of each predicted objective ``(m,)``: negative if less is better, 0 if it is ignored.

    Availability that is not named weighs as much as quality: a failed call is as bad as a worthless answer.

    Examples
    --------
    >>> weights(Preference(quality=1, cost_usd=50), ["cost_usd", "quality"], merge_objectives([]))
    array([-50.,   1.])
    """
    unnamed = {"availability": preference.get("quality", 0.0)}
    return np.array([preference.get(name, unnamed.get(name, 0.0)) * objectives[name].sign for name in names])


def utility(signed: Vector, means: Vector, variances: Vector) -> tuple[Vector, Vector]:
    """Return the expected utility of each arm and its standard deviation, each ``(K,)``.

    ``mean = w' means`` and ``std = sqrt(w^2' variances)``: errors of different objectives are taken as independent.

    Parameters
    ----------
    signed
        Signed weights ``(m,)``.
    means, variances
        Predicted outcomes ``(m, K)``, and the variances of these expectations.

    Examples
    --------
    >>> mean, std = utility(np.array([1.0, -2.0]), np.array([[0.5], [0.1]]), np.array([[0.09], [0.04]]))
    >>> float(mean[0].round(3)), float(std[0].round(3))  # .5 - 2 x .1; sqrt(.09 + 4 x .04)
    (0.3, 0.5)
    """
    stds = (signed * signed).dot(variances)
    return signed.dot(means), np.sqrt(stds, out=stds)
