"""Logs of which the truth is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from banditroute.logs import DecisionLog


@dataclass(frozen=True, kw_only=True)
class World:
    """Quality of two of three arms depends on one feature; of every arm and row it is known."""

    contexts: np.ndarray
    quality: np.ndarray

    def value(self, target: np.ndarray) -> float:
        return float((target * self.quality).sum(axis=1).mean())


@pytest.fixture
def make_log() -> Callable[..., tuple[DecisionLog, World]]:
    """A log of n decisions under given probabilities (default: uniform), and the world it is from."""

    def make(n: int = 2000, *, seed: int = 0, logged: np.ndarray | None = None) -> tuple[DecisionLog, World]:
        rng = np.random.default_rng(seed)
        x = np.stack([rng.uniform(-1.0, 1.0, n), np.ones(n)], axis=1)
        quality = np.stack([0.5 + 0.4 * x[:, 0], 0.5 - 0.4 * x[:, 0], np.full(n, 0.6)], axis=1)
        p = np.full((n, 3), 1.0 / 3.0) if logged is None else np.broadcast_to(logged, (n, 3))
        chosen = (p.cumsum(axis=1) > rng.random(n)[:, None]).argmax(axis=1)
        had = (rng.random(n) < quality[np.arange(n), chosen]).astype(float)
        log = DecisionLog(
            arms=("left", "right", "safe"),
            chosen=chosen,
            eligible=np.ones((n, 3), dtype=bool),
            propensities=p[np.arange(n), chosen],
            probabilities=p.copy(),
            contexts=x,
            outcomes={"quality": had, "cost_usd": np.array([0.001, 0.002, 0.01])[chosen]},
            decided_at=np.arange(float(n)),
        )
        return log, World(contexts=x, quality=quality)

    return make
