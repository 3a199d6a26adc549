"""Learners and preferences as command lines give them: ``linucb(alpha=1.5)``, ``quality=1,cost_usd=50``."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from banditroute.beliefs.hybrid import Hybrid
from banditroute.beliefs.linear import Linear
from banditroute.beliefs.logistic import Logistic
from banditroute.beliefs.settings import BeliefSettings
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling

LEARNERS: dict[str, Callable[..., Learner]] = {
    "epsilon_greedy": EpsilonGreedy,
    "linucb": LinUCB,
    "squarecb": SquareCB,
    "thompson": ThompsonSampling,
}
"""Name -> learner."""

BELIEFS: dict[str, Callable[..., BeliefSettings]] = {"hybrid": Hybrid, "linear": Linear, "logistic": Logistic}
"""Name -> belief."""

_OF_THE_BELIEF = {"half_life": "half_life_requests", "half_life_seconds": "half_life_seconds"}
"""Option -> parameter of the belief."""


def learner_of(spec: str) -> Learner:
    """The learner that ``name`` or ``name(option=number, ...)`` names.

    Options are those of the learner that take a number; ``belief``, one of ``hybrid`` (the default), ``linear`` and
    ``logistic``; and ``half_life``, in requests, or ``half_life_seconds`` of the belief.

    Raises
    ------
    InvalidConfigurationError
        For another name or option, or anything but numbers and the name of a belief.

    Examples
    --------
    >>> learner_of("thompson(floor=0.01, half_life_seconds=3600)")
    ThompsonSampling(policy=Thompson(scale=0.8, floor=0.01))
    >>> learner_of("linucb(belief=linear, context_exploration=1)").belief == Linear()  # as in the paper
    True
    """
    name, bracket, rest = spec.strip().partition("(")
    if name not in LEARNERS:
        raise InvalidConfigurationError(f"{spec!r} names no learner; there are {', '.join(LEARNERS)}")
    try:
        call = ast.parse(f"f({rest}" if bracket else "f()", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("options need a name")
        given = {str(option.arg): option.value for option in call.keywords}
        belief = _belief(given.pop("belief", ast.Name("hybrid")))
        options: dict[str, Any] = {option: ast.literal_eval(value) for option, value in given.items()}
        ages = {name: options.pop(option) for option, name in _OF_THE_BELIEF.items() if option in options}
        options["belief"] = belief(**ages)
        return LEARNERS[name](**options)
    except (SyntaxError, TypeError, ValueError) as error:
        raise InvalidConfigurationError(
            f"{spec!r} is no learner ({error}); give a name with options, such as 'linucb(alpha=1.5)'"
        ) from error


def _belief(value: ast.expr) -> Callable[..., BeliefSettings]:
    if not isinstance(value, ast.Name) or value.id not in BELIEFS:
        raise ValueError(f"{ast.unparse(value)} is no belief; there are {', '.join(BELIEFS)}")
    return BELIEFS[value.id]


def preference_of(spec: str) -> dict[str, float]:
    """Objective -> weight of a text such as ``quality=1,cost_usd=50``.

    Raises
    ------
    InvalidConfigurationError
        If it is no such text.

    Examples
    --------
    >>> preference_of("quality=1, cost_usd=50")
    {'quality': 1.0, 'cost_usd': 50.0}
    """
    try:
        pairs = [(name.strip(), float(weight)) for name, weight in (each.split("=") for each in spec.split(","))]
    except ValueError as error:
        raise InvalidConfigurationError(
            f"{spec!r} is no preference; give weights of objectives, such as 'quality=1,cost_usd=50'"
        ) from error
    return dict(pairs)
