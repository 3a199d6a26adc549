"""Statements of arms about single features: the prior means and precisions of some of their weights.

A profile says what to expect of an arm at an entry of the context, such as the task "math". Let ``c`` be the columns
of its block: a request of that task alone has the entry ``sqrt(c)``. For an arm that is expected to do ``a`` on average
and ``p`` at the entry, the weight has the prior mean ``(p - a) / sqrt(c)`` and the precision ``16 c``. So the statement
counts as 16 outcomes of such requests, whatever was learned about how much the block matters.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.errors import InvalidConfigurationError

STATED_OUTCOMES = 16.0
"""Outcomes that a statement about an arm counts as: of its average, or of an entry of its profile."""


class Stated(NamedTuple):
    """The weights that arms state for one objective.

    Attributes
    ----------
    means : (K, d)
        Prior means of the weights; 0 where nothing is stated.
    known : (K, d) bool
        Whether a weight is stated.
    precision : (K, d)
        Prior precisions of the stated weights.
    """

    means: Vector
    known: Vector
    precision: Vector


def stated(arms: Sequence[Arm], blocks: Sequence[FeatureBlock], objectives: Collection[str] = ()) -> dict[str, Stated]:
    """Return what arms state of their weights, by objective; no entry where they state nothing.

    Parameters
    ----------
    arms, blocks
        The K arms, and the blocks of the d - 1 features. A profile names an entry, or the end of its name after a dot.
    objectives
        Where an arm that alone has an ``expected`` outcome states its average, too: it has nothing to be compared with.

    Raises
    ------
    InvalidConfigurationError
        If no entry has a name that an arm's profile names.

    Examples
    --------
    >>> task = FeatureBlock(4, names=("task.math", "task.code", "task.other", "task.missing"))
    >>> arm = Arm(name="a", expected={"quality": 0.6}, profile={"quality": {"math": 0.9, "code": 0.3}})
    >>> stated([arm, Arm(name="b")], [task])["quality"].means.round(3).tolist()
    [[0.15, -0.15, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    columns = np.concatenate([np.full(block.columns, float(block.columns)) for block in blocks] + [np.ones(1)])
    names = [name for block in blocks for name in block.names or [""] * block.columns]
    found: dict[str, Stated] = {}
    for objective in sorted({name for arm in arms for name in (*arm.profile, *arm.expected)}):
        means = np.full((len(arms), len(columns)), np.nan)
        for k, arm in enumerate(arms):
            average = arm.expected.get(objective, np.nan)
            for column, value in _matches(arm, objective, names).items():
                means[k, column] = (value - average) / np.sqrt(columns[column])
        expecting = [k for k, arm in enumerate(arms) if objective in arm.expected]
        if len(expecting) == 1 < len(arms) and objective in objectives:
            means[expecting[0], -1] = arms[expecting[0]].expected[objective]
        known = ~np.isnan(means)
        if known.any():
            found[objective] = Stated(np.nan_to_num(means), known, np.where(known, STATED_OUTCOMES * columns, np.nan))
    return found


def check_profiles(arms: Sequence[Arm], blocks: Sequence[FeatureBlock]) -> None:
    """Raise InvalidConfigurationError if a profile names no entry of the features."""
    names = [name for block in blocks for name in block.names]
    for arm in arms:
        for objective in arm.profile:
            _matches(arm, objective, names)


def _matches(arm: Arm, objective: str, names: Sequence[str]) -> dict[int, float]:
    """Return the columns that a profile names, with the outcome expected there."""
    given = arm.profile.get(objective, {})
    matches = {
        column: value
        for entry, value in given.items()
        for column, name in enumerate(names)
        if name == entry or name.endswith(f".{entry}")
    }
    if given and not matches:
        known = ", ".join(name for name in names if name) or "no names"
        raise InvalidConfigurationError(
            f"the profile of arm {arm.name!r} names {', '.join(given):.80}; the features have {known:.200}: name "
            "entries of the features, such as the values of Metadata(categorical={'task': [...]})"
        )
    return matches
