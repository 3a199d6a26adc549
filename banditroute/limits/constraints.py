"""Hard limits: which arms may serve a request, by their capabilities and by what is believed of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.validation import labels, number, plain_numbers, positive, shown
from banditroute.errors import InvalidConfigurationError, InvalidInputError, InvalidRequestError
from banditroute.limits.rules import Rule

_CONFIDENCE_STDS = 1.645  # standard deviations below the expectation: the 95% lower bound
_MIN_OUTCOMES = 5  # before an arm is judged: one bad draw must not bar it for ever, since a barred arm learns nothing
UNJUDGED_SHARE = 0.1
"""The most that all arms whose quality cannot be judged get together, while another arm keeps the limits."""

_OBJECTIVES = {"max_cost_usd": "cost_usd", "max_latency_seconds": "latency_seconds", "min_quality": "quality"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits that an arm must keep to serve a request. A limit that is None does not apply.

    An arm with fewer than 5 outcomes of a limited objective cannot be judged yet, and is allowed; a cost that is
    computed from token prices is known at once. Of arms whose quality cannot be judged, all together get at most a
    tenth of the probability while another arm keeps the limits. If no arm keeps the limits, the one that breaks them
    least is used. In each of these cases ``decision.reason`` says so.

    Parameters
    ----------
    max_cost_usd, max_latency_seconds
        The most that one request may be expected to cost or take, above 0.
    min_quality
        The least quality, in (0, 1], that an arm must be believed to reach with 95% confidence: its expectation less
        1.645 times the standard deviation of that expectation.
    requires
        Capabilities that an arm must have: see ``Arm(capabilities=...)``.
    rules
        Conditions on the request, each with the arms that may serve where it holds: see :class:`Rule`. Where several
        hold, an arm must be named by all of them.

    Raises
    ------
    InvalidConfigurationError
        If a number is out of range, a capability is not a string, or a rule is not a :class:`Rule`.

    Examples
    --------
    >>> Limits(max_cost_usd=0.002, requires=["eu"])
    Limits(max_cost_usd=0.002, requires=('eu',))
    """

    max_cost_usd: float | None = None
    max_latency_seconds: float | None = None
    min_quality: float | None = None
    requires: Collection[str] = ()
    rules: Sequence[Rule] = ()

    def __post_init__(self) -> None:
        plain_numbers(self)
        for name in _OBJECTIVES:
            value = getattr(self, name)
            high = 1.0 if name == "min_quality" else np.inf
            if value is not None and number(value, name=name, high=high, error=InvalidConfigurationError) <= 0.0:
                raise InvalidConfigurationError(f"{name} is {value!r}; give a number above 0, or None for no limit")
        object.__setattr__(self, "requires", labels(self.requires, name="requires", error=InvalidConfigurationError))
        if not isinstance(self.rules, Sequence) or not all(isinstance(rule, Rule) for rule in self.rules):
            raise InvalidConfigurationError(
                f"rules is {shown(self.rules)}; give a list, [Rule(when=\"tag('private')\", arms=['local'])]"
            )
        object.__setattr__(self, "rules", tuple(self.rules))

    def __repr__(self) -> str:
        given = [f"{f.name}={value!r}" for f in fields(self) if (value := getattr(self, f.name)) not in (None, ())]
        return f"Limits({', '.join(given)})"

    @property
    def objectives(self) -> dict[str, str]:
        """The limits on what is believed, each with its objective."""
        return {name: objective for name, objective in _OBJECTIVES.items() if getattr(self, name) is not None}

    def tightened(self, other: Limits) -> Limits:
        """Return the limits that keep both: of each limit the tighter one, and all required capabilities.

        Examples
        --------
        >>> Limits(requires=["eu"], max_cost_usd=0.01).tightened(Limits(max_cost_usd=0.02, min_quality=0.7))
        Limits(max_cost_usd=0.01, min_quality=0.7, requires=('eu',))
        """

        def tighter(name: str, choose: Callable[[list[float]], float]) -> float | None:
            given = [value for each in (self, other) if (value := getattr(each, name)) is not None]
            return choose(given) if given else None

        return Limits(
            max_cost_usd=tighter("max_cost_usd", min),
            max_latency_seconds=tighter("max_latency_seconds", min),
            min_quality=tighter("min_quality", max),
            requires=dict.fromkeys([*self.requires, *other.requires]),
            rules=tuple(dict.fromkeys([*self.rules, *other.rules])),
        )


def check_limits(
    limits: Limits | None, *, name: str = "limits", error: type[InvalidInputError] = InvalidConfigurationError
) -> Limits | None:
    """Return ``limits``; raise ``error`` if it is neither Limits nor None."""
    if limits is not None and not isinstance(limits, Limits):
        raise error(f"{name} is {limits!r:.80}; give Limits(...), for example Limits(max_cost_usd=0.002)")
    return limits


def request_limits(
    own: Limits | None,
    *,
    limits: Limits | None = None,
    replace_limits: Limits | None = None,
    requires: Collection[str] = (),
    deadline_seconds: float | None = None,
) -> Limits | None:
    """Return the limits of one request: the router's ``own``, tightened by what the request brings.

    Parameters
    ----------
    own
        The router's limits.
    limits, requires, deadline_seconds
        Tighten them.
    replace_limits
        Takes their place.

    Raises
    ------
    InvalidRequestError
        If one of them cannot be a limit.

    Examples
    --------
    >>> own = Limits(requires=["eu"])
    >>> request_limits(own, limits=Limits(max_latency_seconds=5.0), deadline_seconds=2.0)
    Limits(max_latency_seconds=2.0, requires=('eu',))
    >>> request_limits(own, replace_limits=Limits(max_latency_seconds=5.0))
    Limits(max_latency_seconds=5.0)
    """
    error = InvalidRequestError
    if replace_limits is not None:
        own = check_limits(replace_limits, name="replace_limits", error=error)
    if limits is None and not requires and deadline_seconds is None:
        return own
    tighter = check_limits(limits, error=error) or Limits()
    if requires:
        tighter = tighter.tightened(Limits(requires=labels(requires, name="requires", error=error)))
    if deadline_seconds is not None:
        tighter = tighter.tightened(
            Limits(max_latency_seconds=positive(deadline_seconds, name="deadline_seconds", error=error))
        )
    return tighter if own is None else own.tightened(tighter)


class Excess(NamedTuple):
    """How far each arm is beyond the limits.

    Attributes
    ----------
    total : (K,)
        Sum over the limits of how far the arm is believed to be beyond each, as a share of the limit; 0 if it keeps
        them all.
    unknown
        Limit -> for each arm whether it has too few outcomes to be judged ``(K,)``.
    """

    total: Vector
    unknown: Mapping[str, NDArray[np.bool_]]


def excess(
    limits: Limits, means: Mapping[str, Vector], stds: Mapping[str, Vector], known: Mapping[str, Vector]
) -> Excess:
    """Return how far each of K arms is believed to be beyond the limits.

    Parameters
    ----------
    limits
        The limits, at least one of them on what is believed.
    means, stds
        Objective -> expected outcome of each arm, and standard deviation of that expectation ``(K,)``.
    known
        Objective -> number of outcomes that the expectation rests on ``(K,)``; infinite where it is computed.

    Examples
    --------
    >>> some = {"cost_usd": np.array([0.001, 0.003])}
    >>> excess(Limits(max_cost_usd=0.002), some, some, {"cost_usd": np.array([9.0, 9.0])}).total
    array([0. , 0.5])
    """
    totals, unknown = [], {}
    for name, objective in limits.objectives.items():
        limit, mean = getattr(limits, name), means[objective]
        beyond = limit - (mean - _CONFIDENCE_STDS * stds[objective]) if name == "min_quality" else mean - limit
        unknown[name] = known[objective] < _MIN_OUTCOMES
        totals.append(np.where(unknown[name], 0.0, np.maximum(beyond, 0.0) / limit))
    return Excess(total=np.sum(totals, axis=0), unknown=unknown)
