"""Some rows of a log, as estimators take them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog


def some_rows(log: DecisionLog, rows: NDArray[np.intp]) -> DecisionLog:
    """Return some rows of a log, in its order and without texts."""
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
