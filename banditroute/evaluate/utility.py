"""The utility of logged decisions, and the range it can have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.large_arrays import computed
from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.evaluate.uncertainty import OutcomeRange
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import merge_objectives

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog


def utility_of(
    log: DecisionLog, preference: Preference | None, objectives: Sequence[Objective]
) -> tuple[Vector, OutcomeRange]:
    """Return the utility of each decision ``(n,)``, NaN where an outcome is unknown, and the range of utilities.

    Raises
    ------
    InvalidInputError
        If the preference names an objective that the log does not have, or whose direction is unknown.
    """
    preference = Preference(quality=1.0) if preference is None else preference
    known = merge_objectives(objectives)
    for name in preference:
        if name not in known:
            raise InvalidInputError(
                f"unknown objective {name!r:.80}; the log has {', '.join(log.outcomes)}; declare your own with "
                "objectives=[Objective(...)]"
            )
        if name not in log.outcomes:
            raise InvalidInputError(
                f"the log has no {name!r:.80}, it has {', '.join(log.outcomes) or 'no outcomes'}; read the log with "
                f"columns= where its column has another name, as in {name:.80}=judge, or "
                "give a preference= over what it has"
            )
    signed = {name: weight * known[name].sign for name, weight in preference.items() if weight}
    given = {name: log.outcomes[name] for name in signed}

    def of_rows(at: slice) -> Vector:
        total: Vector = np.zeros(at.stop - at.start)
        for name, values in given.items():
            total += signed[name] * values[at]
        return total

    worth = computed(len(log), of_rows, *given.values())
    ends = [sorted((sign * known[name].low, sign * known[name].high)) for name, sign in signed.items()]
    return worth, OutcomeRange(low=float(sum(low for low, _ in ends)), high=float(sum(high for _, high in ends)))
