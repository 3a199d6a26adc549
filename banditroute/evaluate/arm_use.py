"""Shares of traffic by arm, and an alarm if traffic collapsed onto one arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from banditroute.errors import InvalidInputError
from banditroute.statistics import effective_arms, jain_index

_MIN_EFFECTIVE_ARMS = 1.1  # 98% on one of two arms, or of many
_MIN_DECISIONS = 200  # before traffic that was on one arm from the start is an alarm


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmUse:
    """The use of arms; made by :func:`arm_use`.

    Attributes
    ----------
    shares
        Arm -> share of all decisions.
    entropy_nats
        ``-sum share log share``: 0 for one arm, log K for all alike.
    effective_arms, recently
        ``exp(entropy)``, the number of equally used arms with this entropy: over all decisions, and over the last.
    jain
        Jain's index of the shares: 1 if all arms are used alike, 1/K if one gets everything.
    alarm
        Says that traffic collapsed, and what to check; None where it did not.
    """

    shares: Mapping[str, float]
    entropy_nats: float
    effective_arms: float
    recently: float
    jain: float
    alarm: str | None


def arm_use(chosen: NDArray[np.intp], arms: Sequence[str], *, last: int = 1000) -> ArmUse:
    """Return shares and entropy of the arms.

    The alarm goes off if the ``last`` decisions used fewer than 1.1 effective arms, and there are at least 200 of them
    or the earlier ones used more. A router may come to prefer one arm, but then it learns nothing about the others.

    Parameters
    ----------
    chosen
        Position of the chosen arm of each decision ``(n,)``, in order.
    arms
        Their names, K.
    last
        How many decisions count as recent, at least 1.

    Raises
    ------
    InvalidInputError
        If there are no decisions, a position is not that of an arm, or ``last`` is below 1.

    Examples
    --------
    >>> use = arm_use(np.array([0, 1, 0, 1]), ["small", "large"])
    >>> use.shares, round(use.effective_arms, 3)
    ({'small': 0.5, 'large': 0.5}, 2.0)
    """
    if not len(chosen) or chosen.dtype.kind not in "iu" or not 0 <= chosen.min() <= chosen.max() < len(arms):
        raise InvalidInputError(f"chosen is {chosen!r:.100}; give positions from 0 to {len(arms) - 1}, at least one")
    if last < 1:
        raise InvalidInputError(f"last is {last}; give how many decisions count as recent, at least 1")
    every, recent, earlier = (
        effective_arms(np.bincount(part).tolist()) for part in (chosen, chosen[-last:], chosen[:-last])
    )
    before, share = earlier >= _MIN_EFFECTIVE_ARMS, np.bincount(chosen[-last:]) / len(chosen[-last:])
    alarm = None
    if recent < _MIN_EFFECTIVE_ARMS and len(arms) > 1 and (before or len(chosen) >= _MIN_DECISIONS):
        since = (
            f"where traffic was distributed as over {earlier:.1f} equally used arms before"
            if before
            else "from the start"
        )
        alarm = (
            f"{share.max():.1%} of the last {min(last, len(chosen)):,} decisions are {arms[int(share.argmax())]!r}, "
            f"{since}; check that feedback of the others still arrives and is right, and that the exploration floor is "
            "above 0"
        )
    shares = np.bincount(chosen, minlength=len(arms)) / len(chosen)
    return ArmUse(
        shares=dict(zip(arms, shares.tolist(), strict=True)),
        entropy_nats=float(np.log(every)),
        effective_arms=every,
        recently=recent,
        jain=jain_index(shares),
        alarm=alarm,
    )
