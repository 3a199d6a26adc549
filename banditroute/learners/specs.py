"""Parse learners and preferences from command lines: ``linucb(alpha=1.5)``, ``quality=1,cost_usd=50``."""

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
"""Name on a command line -> learner."""

BELIEFS: dict[str, Callable[..., BeliefSettings]] = {"hybrid": Hybrid, "linear": Linear, "logistic": Logistic}
"""Name on a command line -> belief."""

_BELIEF_OPTIONS = {"half_life": "half_life_requests", "half_life_seconds": "half_life_seconds"}
"""Option on a command line -> parameter of the belief."""


def learner_of(spec: str) -> Learner:
    """Return the learner that a text ``name`` or ``name(option=number, ...)`` describes.

    The options are: the numeric parameters of the learner; ``belief``, one of ``hybrid`` (the default), ``linear`` and
    ``logistic``; ``half_life`` of the belief in requests, or ``half_life_seconds``.

    Raises
    ------
    InvalidConfigurationError
        If the name or an option is unknown, or a value is neither a number nor the name of a belief.

    Examples
    --------
    >>> learner_of("thompson(floor=0.01, half_life_seconds=3600)")
    ThompsonSampling(policy=Thompson(scale=0.8, floor=0.01))
    >>> learner_of("linucb(belief=linear, context_exploration=1)").belief == Linear()  # as in the paper
    True
    """
    name, bracket, rest = spec.strip().partition("(")
    if name not in LEARNERS:
        raise InvalidConfigurationError(f"unknown learner {spec!r:.80}; choose one of {', '.join(LEARNERS)}")
    try:
        call = ast.parse(f"f({rest}" if bracket else "f()", mode="eval").body
        if not isinstance(call, ast.Call) or call.args:
            raise ValueError("options need a name")
        given = {str(option.arg): option.value for option in call.keywords}
        belief = _belief(given.pop("belief", ast.Name("hybrid")))
        options: dict[str, Any] = {option: ast.literal_eval(value) for option, value in given.items()}
        ages = {name: options.pop(option) for option, name in _BELIEF_OPTIONS.items() if option in options}
        options["belief"] = belief(**ages)
        return LEARNERS[name](**options)
    except (SyntaxError, TypeError, ValueError) as error:
        raise InvalidConfigurationError(
            f"cannot read the learner {spec!r:.80} ({error}); give a name with options, such as 'linucb(alpha=1.5)'"
        ) from error


def _belief(value: ast.expr) -> Callable[..., BeliefSettings]:
    if not isinstance(value, ast.Name) or value.id not in BELIEFS:
        raise ValueError(f"unknown belief {ast.unparse(value):.80}; choose one of {', '.join(BELIEFS)}")
    return BELIEFS[value.id]


def preference_of(spec: str) -> dict[str, float]:
    """Parse a text such as ``quality=1,cost_usd=50`` into a mapping from objective to weight.

    Raises
    ------
    InvalidConfigurationError
        If the text has another form.

    Examples
    --------
    >>> preference_of("quality=1, cost_usd=50")
    {'quality': 1.0, 'cost_usd': 50.0}
    """
    try:
        pairs = [(name.strip(), float(weight)) for name, weight in (each.split("=") for each in spec.split(","))]
    except ValueError as error:
        raise InvalidConfigurationError(
            f"{spec!r:.80} is not a preference; give weights of objectives, such as 'quality=1,cost_usd=50'"
        ) from error
    return dict(pairs)
