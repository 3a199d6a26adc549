"""Hard limits: which arms may serve a request, by what they are and by what is believed of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.validation import label, number, plain_numbers
from banditroute.errors import InvalidConfigurationError

_CONFIDENCE = 1.645  # standard deviations below the expectation: the 95% lower bound
_KNOWN = 5  # outcomes before an arm is judged: one bad draw must not bar it for ever, since a barred arm learns nothing
_OBJECTIVES = {"max_cost_usd": "cost_usd", "max_latency_seconds": "latency_seconds", "min_quality": "quality"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an arm must keep to serve a request. A limit that is None does not apply.

    An arm with fewer than 5 outcomes of a limited objective is not known yet, and allowed (a cost that is computed from
    token prices is known at once). Where no arm keeps the limits, the one that breaks them least is used; either way
    ``decision.reason`` says so.

    Parameters
    ----------
    max_cost_usd, max_latency_seconds
        The most that one request may be expected to cost or take, above 0.
    min_quality
        The least quality, in (0, 1], that an arm must be believed to reach with 95% confidence: its expectation less
        1.645 times the standard deviation of that expectation.
    require
        Tags that an arm must have.

    Raises
    ------
    InvalidConfigurationError
        For a number out of range, and for tags that are no strings.

    Examples
    --------
    >>> Limits(max_cost_usd=0.002, require=["eu"])
    Limits(max_cost_usd=0.002, require=('eu',))
    """

    max_cost_usd: float | None = None
    max_latency_seconds: float | None = None
    min_quality: float | None = None
    require: Sequence[str] = ()

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in _OBJECTIVES:
            value = getattr(self, name)
            high = 1.0 if name == "min_quality" else np.inf
            if value is not None and number(value, name=name, high=high, error=InvalidConfigurationError) <= 0.0:
                raise InvalidConfigurationError(f"{name} is {value!r}; give a number above 0, or None for no limit")
        if isinstance(self.require, str) or not isinstance(self.require, Sequence):
            raise InvalidConfigurationError(f"require is {self.require!r}; give a list of tags, for example ['eu']")
        for tag in self.require:
            label(tag, name="tag in require", error=InvalidConfigurationError)
        object.__setattr__(self, "require", tuple(self.require))

    def __repr__(self) -> str:
        given = [f"{f.name}={value!r}" for f in fields(self) if (value := getattr(self, f.name)) not in (None, ())]
        return f"Limits({', '.join(given)})"

    @property
    def objectives(self) -> dict[str, str]:
        """The limits on what is believed, each with its objective."""
        return {name: objective for name, objective in _OBJECTIVES.items() if getattr(self, name) is not None}


class Excess(NamedTuple):
    """How far each arm is beyond the limits.

    Attributes
    ----------
    total : (K,)
        Sum over the limits of what is believed beyond them, each as a share of the limit; 0 where all are kept.
    unknown
        Limit -> for each arm whether too little is known to judge it ``(K,)``.
    """

    total: Vector
    unknown: Mapping[str, NDArray[np.bool_]]


def excess(
    limits: Limits, means: Mapping[str, Vector], stds: Mapping[str, Vector], known: Mapping[str, Vector]
) -> Excess:
    """How far each of K arms is believed to be beyond the limits.

    Parameters
    ----------
    limits
        What must be kept, with at least one limit on what is believed.
    means, stds
        Objective -> expected outcome of each arm, and standard deviation of that expectation ``(K,)``.
    known
        Objective -> number of outcomes that it rests on ``(K,)``; infinite where it is computed.

    Examples
    --------
    >>> some = {"cost_usd": np.array([0.001, 0.003])}
    >>> excess(Limits(max_cost_usd=0.002), some, some, {"cost_usd": np.array([9.0, 9.0])}).total
    array([0. , 0.5])
    """
    totals, unknown = [], {}
    for name, objective in limits.objectives.items():
        limit, mean = getattr(limits, name), means[objective]
        beyond = limit - (mean - _CONFIDENCE * stds[objective]) if name == "min_quality" else mean - limit
        unknown[name] = known[objective] < _KNOWN
        totals.append(np.where(unknown[name], 0.0, np.maximum(beyond, 0.0) / limit))
    return Excess(total=np.sum(totals, axis=0), unknown=unknown)
