"""Traffic shares: the least and the most of the traffic that an arm gets, such as a canary.

Every single decision keeps the shares in its probabilities. So they need no memory and no agreement between processes,
they hold within every part of the traffic, and the recorded propensity stays exact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidConfigurationError

Redraw = Callable[[Sequence[int]], Vector]
"""Returns the policy's probabilities if only the arms at these positions can be chosen."""

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The least and the most of the traffic that an arm gets, as shares in [0, 1].

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range, or ``at_least`` is above ``at_most``.

    Examples
    --------
    >>> Share(at_most=0.2)
    Share(at_least=0.0, at_most=0.2)
    """

    at_least: float = 0.0
    at_most: float = 1.0

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in ("at_least", "at_most"):
            number(getattr(self, name), name=name, low=0.0, high=1.0, error=InvalidConfigurationError)
        if self.at_least > self.at_most:
            raise InvalidConfigurationError(
                f"at_least is {self.at_least:g} and at_most {self.at_most:g}; give at_least <= at_most"
            )


_ANY = Share()


def check_shares(traffic: Mapping[str, Share], arms: Sequence[str]) -> None:
    """Raise InvalidConfigurationError if the ``arms`` cannot have these shares together."""
    shares = [traffic.get(arm, _ANY) for arm in arms]
    least, most = sum(share.at_least for share in shares), sum(share.at_most for share in shares)
    if least > 1.0 + _ROUNDING:
        raise InvalidConfigurationError(f"the arms get at least {least:.4g} of the traffic together; lower at_least")
    if most < 1.0 - _ROUNDING:
        raise InvalidConfigurationError(f"the arms get at most {most:.4g} of the traffic together; raise at_most")


def shaped(
    probabilities: Vector, traffic: Mapping[str, Share], arms: Sequence[str], redraw: Redraw
) -> tuple[Vector, str | None]:
    """Return probabilities ``(K,)`` that keep the shares, and a reason if the K eligible arms cannot keep them.

    The probability above an arm's cap goes to the arms that the policy chooses if it cannot choose that arm. Then the
    floors are filled from all other arms in proportion: ``q = max(at_least, c p)`` with ``sum q = 1``, the distribution
    closest to p by relative entropy. If the caps leave no room, all of them are exceeded by one factor.

    Parameters
    ----------
    probabilities
        The policy's probabilities of the arms ``(K,)``.
    traffic
        Arm -> share. An arm that is not named may get everything or nothing.
    arms
        Names of the arms.
    redraw
        Asks the policy again.

    Examples
    --------
    >>> cap, floor = {"a": Share(at_most=0.2)}, {"c": Share(at_least=0.1)}
    >>> shaped(np.array([0.9, 0.1, 0.0]), cap, ["a", "b", "c"], lambda _: np.array([1.0, 0.0]))[0]
    array([0.2, 0.8, 0. ])
    >>> shaped(np.array([0.9, 0.1, 0.0]), floor, ["a", "b", "c"], lambda _: np.array([]))[0]
    array([0.81, 0.09, 0.1 ])
    """
    if not traffic:
        return probabilities, None
    shares = [traffic.get(arm, _ANY) for arm in arms]
    least = np.array([share.at_least for share in shares])
    most = np.array([share.at_most for share in shares])
    if (probabilities >= least).all() and (probabilities <= most).all():
        return probabilities, None
    together = float(most.sum())
    if together < 1.0 - _ROUNDING:
        trouble = f"traffic: the eligible arms may get {together:.4g} of the traffic together; their caps are exceeded"
        return (most / together if together > 0.0 else probabilities), trouble
    return _filled(_capped(probabilities, most, redraw), least), None


def _capped(probabilities: Vector, most: Vector, redraw: Redraw) -> Vector:
    """Return probabilities of at most ``most``: the surplus is drawn again among the arms with room.

    Each round fills at least one of them.
    """
    capped: Vector = np.minimum(probabilities, most)
    for _ in most:
        surplus = probabilities.sum() - capped.sum()  # keep the total, so an invalid distribution stays invalid
        if surplus <= _ROUNDING:
            break
        room = np.flatnonzero(capped < most)
        capped[room] += surplus * redraw(room.tolist())
        capped = np.minimum(capped, most)
    return capped


def _filled(probabilities: Vector, least: Vector) -> Vector:
    """Return ``max(least, c p)`` with the c that keeps the sum; each round fixes arms at ``least``, or is the last."""
    fixed = np.zeros(len(least), dtype=bool)
    for _ in least:
        rest = probabilities[~fixed].sum()
        scale = max(probabilities.sum() - least[fixed].sum(), 0.0) / rest if rest > 0.0 else 0.0
        below = ~fixed & (scale * probabilities < least)
        if not below.any():
            break
        fixed |= below
    return np.where(fixed, least, scale * probabilities)
