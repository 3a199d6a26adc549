"""The quality that was expected of the latest answers, next to the quality that was observed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sqlalchemy import Connection

from banditroute.errors import IncompatibleStoreError
from banditroute.learners import ThompsonSampling
from banditroute.report.prequential import prequential_predictions
from banditroute.statistics import Calibration, calibration
from banditroute.store.sql import hourly
from banditroute.store.sql.rows import DamagedRowError, vector_of

_ANSWERS = 2_000  # the latest, of each router
_FEWEST_ANSWERS = 20


class Predictions(NamedTuple):
    """Expected and observed quality of a router's latest answers.

    Attributes
    ----------
    answers
        How many answers are compared.
    found
        The comparison, in bins.
    """

    answers: int
    found: Calibration


def predictions_of(connection: Connection, routers: Sequence[str]) -> dict[str, Predictions]:
    """Return the comparison of each router that has enough answers.

    The default belief learns along the latest answers; each is compared with what was expected before it was learned.
    """
    compared = {}
    for router in routers:
        rows = []
        for row in hourly.latest_answers(connection, router, "quality", _ANSWERS):
            try:
                rows.append((row.arm, vector_of(row, row.id), row.value))
            except (DamagedRowError, IncompatibleStoreError):
                continue  # banditroute db verify names it
        dimension = len(rows[-1][1]) if rows and rows[-1][1] is not None else 0
        rows = [row for row in rows if row[1] is not None and len(row[1]) == dimension]
        if len(rows) < _FEWEST_ANSWERS:
            continue
        arms, chosen = np.unique([row[0] for row in rows], return_inverse=True)
        quality = np.array([row[2] for row in rows], dtype=np.float64)
        contexts = np.array([row[1] for row in rows])
        belief = ThompsonSampling().belief
        expected = prequential_predictions(belief, arms.tolist(), contexts, chosen, quality)
        compared[router] = Predictions(len(rows), calibration(expected, quality, low=0.0, high=1.0))
    return compared
