"""Some rows of a log, as estimators take them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from banditroute.core.large_arrays import has_nan, some_of

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog


def some_rows(log: DecisionLog, rows: NDArray[np.intp]) -> DecisionLog:
    """Return some rows of a log, in its order and without texts."""
    some = partial(taken, rows=rows)
    probabilities = some(log.probabilities)
    return replace(
        log,
        chosen=some(log.chosen),
        eligible=some(log.eligible),
        propensities=some(log.propensities),
        probabilities=None if probabilities is None or has_nan(probabilities) else probabilities,
        contexts=some(log.contexts),
        prompts=None,
        sessions=None,
        tasks=None,
        outcomes={name: some(values) for name, values in log.outcomes.items()},
        decided_at=some(log.decided_at),
    )


def taken(values: Any, rows: NDArray[np.intp]) -> Any:
    """Return rows of an array by their rising numbers, without a copy where it is all; None of None."""
    return values if values is None or len(rows) == len(values) else some_of(values, rows)
