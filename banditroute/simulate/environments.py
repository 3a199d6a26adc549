"""Synthetic environments: full information, with contexts, on what no log has.

All are functions of their seed. In :func:`drifting` and :func:`adversarial` time matters: replay them in the order of
their rows, with ``Conditions(chronological=True)``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.validation import number, whole
from banditroute.errors import InvalidConfigurationError
from banditroute.logs import OutcomeTable

_SLOPE = 0.25  # standard deviation of what the context adds to an arm's quality
_DEAREST = 100.0  # times the price of the cheapest arm


class Environment(NamedTuple):
    """A table of what every arm would do, and the features of each row ``(n, d - 1)``."""

    table: OutcomeTable
    x: Vector


def linear(*, n: int, arms: int, features: int, noise: float = 0.1, seed: int = 0) -> Environment:
    """Make an environment whose quality is linear in the context, with weights of each arm.

    ``quality = clip(a_k + x' w_k + noise, 0, 1)`` with ``x ~ N(0, I)``, ``w_k ~ N(0, I / 16 (d - 1))`` and averages
    ``a_k`` from .3 to .7 that rise with the price.

    Parameters
    ----------
    n, arms, features
        Rows, K, and d - 1; at least 1.
    noise
        Standard deviation of single outcomes, at least 0.
    seed
        Of all that is drawn.

    Raises
    ------
    InvalidConfigurationError
        For a number out of range.

    Examples
    --------
    >>> table, x = linear(n=100, arms=3, features=2)
    >>> table.outcomes["quality"].shape, x.shape
    ((100, 3), (100, 2))
    """
    rng = _begin(n, arms, features, noise, seed)
    x, own = rng.normal(size=(n, features)), _weights(rng, arms, features)
    return _environment("linear", x, _averages(arms) + x @ own.T, noise, rng)


def hybrid(*, n: int, arms: int, features: int, noise: float = 0.1, seed: int = 0) -> Environment:
    """Make an environment as :func:`linear` does, whose arms share 9/10 of the variance of their weights.

    Examples
    --------
    >>> quality = hybrid(n=1000, arms=2, features=8, noise=0.0).table.outcomes["quality"]
    >>> bool(np.corrcoef(quality.T)[0, 1] > 0.7)
    True
    """
    rng = _begin(n, arms, features, noise, seed)
    x = rng.normal(size=(n, features))
    weights = np.sqrt(0.9) * _weights(rng, 1, features) + np.sqrt(0.1) * _weights(rng, arms, features)
    return _environment("hybrid", x, _averages(arms) + x @ weights.T, noise, rng)


def drifting(*, n: int, arms: int, features: int, noise: float = 0.1, seed: int = 0, turns: float = 0.5) -> Environment:
    """Make an environment as :func:`linear` does, in which the weights of each arm turn slowly.

    They are ``w_k(t) = cos(2 pi t) u_k + sin(2 pi t) v_k``, where ``t`` runs from 0 to ``turns``, at least 0. The
    arms' averages ``a_k`` turn as well, ``.5 + cos(2 pi t) (a_k - .5)``: after half a turn the best is the worst.

    Examples
    --------
    >>> quality = drifting(n=1000, arms=2, features=1, noise=0.0).table.outcomes["quality"]
    >>> [int(part.mean(axis=0).argmax()) for part in (quality[:200], quality[-200:])]
    [1, 0]
    """
    rng = _begin(n, arms, features, noise, seed)
    end = number(turns, name="turns", low=0.0, error=InvalidConfigurationError)
    x, begin, later = rng.normal(size=(n, features)), _weights(rng, arms, features), _weights(rng, arms, features)
    angle = np.linspace(0.0, 2.0 * np.pi * end, n)[:, None]
    turned = np.cos(angle) * (x @ begin.T) + np.sin(angle) * (x @ later.T)
    return _environment("drifting", x, 0.5 + np.cos(angle) * (_averages(arms) - 0.5) + turned, noise, rng)


def adversarial(*, n: int, arms: int, features: int, noise: float = 0.1, seed: int = 0) -> Environment:
    """Make an environment whose context says nothing. The best arm so far becomes the worst, in stages that double.

    A stage is twice as long as all earlier ones together, so its best arm is the best in hindsight when it ends. A
    policy that stays with what was good loses linearly. Auer, Cesa-Bianchi, Freund and Schapire 2002, "The
    nonstochastic multiarmed bandit problem", treat all such sequences.

    Examples
    --------
    >>> quality = adversarial(n=900, arms=3, features=1, noise=0.0).table.outcomes["quality"]
    >>> len(set(quality[[150, 250, 400, 800]].argmax(axis=1).tolist()))
    2
    """
    rng = _begin(n, arms, features, noise, seed)
    x = rng.normal(size=(n, features))
    quality = np.empty((n, arms))
    end = n
    stages = []
    while end > 0:
        begin = end // 3 if end > 9 * arms else 0
        stages.append(slice(begin, end))
        end = begin
    total = np.zeros(arms)
    for stage in reversed(stages):
        rank = np.empty(arms, dtype=np.intp)
        rank[np.lexsort((rng.random(arms), -total))] = np.arange(arms)  # what was best ranks, and pays, least
        quality[stage] = 0.2 + 0.6 * rank / max(arms - 1, 1)
        total += quality[stage].sum(axis=0)
    return _environment("adversarial", x, quality, noise, rng)


ENVIRONMENTS = MappingProxyType[str, Callable[..., Environment]](
    {each.__name__: each for each in (adversarial, drifting, hybrid, linear)}
)
"""Name -> environment."""


def _begin(n: int, arms: int, features: int, noise: float, seed: int) -> np.random.Generator:
    for name, given in {"n": n, "arms": arms, "features": features}.items():
        whole(given, name=name, error=InvalidConfigurationError)
    number(noise, name="noise", low=0.0, error=InvalidConfigurationError)
    return np.random.default_rng(seed)


def _weights(rng: np.random.Generator, arms: int, features: int) -> Vector:
    return rng.normal(scale=_SLOPE / features**0.5, size=(arms, features))


def _averages(arms: int) -> Vector:
    return np.linspace(0.3, 0.7, arms)


def _environment(name: str, x: Vector, expected: Vector, noise: float, rng: np.random.Generator) -> Environment:
    """Add noise and prices: what an arm costs per token, times how long a request is."""
    n, k = expected.shape
    length = rng.lognormal(sigma=0.5, size=(n, 1))
    table = OutcomeTable(
        name=name,
        prompts=("",) * n,
        tasks=("",) * n,
        arms=tuple(f"arm{i}" for i in range(k)),
        outcomes={
            "quality": np.clip(expected + noise * rng.normal(size=expected.shape), 0.0, 1.0),
            "cost_usd": length * np.geomspace(1e-4, 1e-4 * _DEAREST, k),
        },
    )
    return Environment(table, x)
