"""Credit: how the outcome of a whole session is divided among its steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

Credit: TypeAlias = Literal["equal", "advantage", "last"]
"""The rule by which a session's outcome is credited; see ``Router.session_feedback``."""

RULES: tuple[Credit, ...] = ("equal", "advantage", "last")


def by_advantage(outcome: float, advantages: Sequence[float]) -> list[float]:
    """Return what each of n steps is credited, each as an n-th of an observation.

    The *advantage* of a step is what was expected of its arm, less what was expected before the arm was drawn:
    ``A_s = q(x_s, a_s) - sum_a p_s(a) q(x_s, a)``. Step ``t`` is credited ``y - sum_{s != t} A_s``, the outcome less
    what the choices at the other steps are expected to have added. As the propensities are exact, an advantage is 0 on
    average, whatever ``q``. So no step after ``t`` biases the credit of ``t``, and the better ``q``, the less of the
    other steps' luck is in it.

    Parameters
    ----------
    outcome
        The outcome ``y`` of the session.
    advantages
        ``A_s`` of its n steps.

    Returns
    -------
    list of float
        Credit of the n steps. It may lie outside the range of the outcome.

    References
    ----------
    H.-R. Pan, N. Gürtler, A. Neitz and B. Schölkopf 2022, "Direct advantage estimation": the outcome of a trajectory as
    an expectation and the sum of its steps' advantages.

    Examples
    --------
    >>> by_advantage(1.0, [0.25, -0.5])  # the second step was a bad choice, so the first did more than it seems
    [1.5, 0.75]
    """
    total = math.fsum(advantages)
    return [outcome - (total - advantage) for advantage in advantages]
