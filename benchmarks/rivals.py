"""Bandit libraries that could be used instead: the same features, orders and feedback as ours, bandit feedback only.

One of their policies each, with the setting that did best over the pass on llmrouter9, openllm19_bbh and routerbench3
among those that its docstring names: a choice in hindsight, in their favour, that a user of theirs could not make.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from banditroute.simulate.replay import Trace


class Rival(Protocol):
    """A library's policy over K arms and contexts ``(d,)``, the last entry 1."""

    def choose(self, x: np.ndarray) -> int:
        """The arm to use."""

    def learn(self, x: np.ndarray, arm: int, reward: float) -> None:
        """Learn what came back."""


class MABWiser:
    """LinUCB: alpha among .1, .3; l2_lambda among 1, 10, 100."""

    def __init__(self, arms: int, seed: int) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._mab = MAB(list(range(arms)), LearningPolicy.LinUCB(alpha=0.1, l2_lambda=10.0), seed=seed)
        self._first = int(np.random.default_rng(seed).integers(arms))  # it cannot predict before it was fitted
        self._fitted = False

    def choose(self, x: np.ndarray) -> int:
        return self._mab.predict([x]) if self._fitted else self._first

    def learn(self, x: np.ndarray, arm: int, reward: float) -> None:
        fit = self._mab.partial_fit if self._fitted else self._mab.fit
        fit([arm], [reward], [x])
        self._fitted = True


class River:
    """LinUCBDisjoint: alpha (prior precision) among 1, 10, 30, 100; beta (noise precision) among 1, 6."""

    def __init__(self, arms: int, seed: int) -> None:
        from river import bandit

        self._policy = bandit.LinUCBDisjoint(alpha=10.0, beta=1.0, seed=seed)
        self._arms = list(range(arms))

    def choose(self, x: np.ndarray) -> int:
        return self._policy.pull(self._arms, context=dict(enumerate(x.tolist())))

    def learn(self, x: np.ndarray, arm: int, reward: float) -> None:
        self._policy.update(arm, dict(enumerate(x.tolist())), reward)


class VowpalWabbit:
    """SquareCB, features crossed with the arm: gamma_scale among 10, ..., 10,000; learning_rate among .1, .5."""

    def __init__(self, arms: int, seed: int) -> None:
        import vowpalwabbit

        options = "--cb_explore_adf --squarecb --gamma_scale 100 --learning_rate 0.5 -q xa --quiet"
        self._workspace = vowpalwabbit.Workspace(options)
        self._rng = np.random.default_rng(seed)
        self._arms = [f"|a k{arm}" for arm in range(arms)]
        self._probabilities = np.full(arms, 1.0 / arms)

    def choose(self, x: np.ndarray) -> int:
        self._shared = "shared |x " + " ".join(f"{i}:{value:.6g}" for i, value in enumerate(x))
        self._probabilities = np.array(self._workspace.predict([self._shared, *self._arms]))
        return int(self._rng.choice(len(self._arms), p=self._probabilities / self._probabilities.sum()))

    def learn(self, x: np.ndarray, arm: int, reward: float) -> None:
        lines = [self._shared, *self._arms]
        lines[1 + arm] = f"0:{-reward:.6g}:{self._probabilities[arm]:.6g} {self._arms[arm]}"
        self._workspace.learn(lines)


def _lints() -> ModuleType:
    """Return ``routesmith.predictor.lints`` by itself: the whole package needs a client of every provider."""
    name = "routesmith.predictor.lints"
    if name not in sys.modules:
        package = importlib.util.find_spec("routesmith")
        if package is None or package.origin is None:
            raise ImportError("No module named 'routesmith'; pip install --no-deps routesmith-llm")
        spec = importlib.util.spec_from_file_location(name, Path(package.origin).parent / "predictor" / "lints.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


class RouteSmith:
    """LinTSRouter of ``routesmith-llm``: v_sq among .01, .1, 1 (its default); it makes contexts of unit length."""

    def __init__(self, arms: int, seed: int) -> None:
        self._arms, self._seed = arms, seed
        self._router: Any = None  # made when the length of a context is known

    def choose(self, x: np.ndarray) -> int:
        if self._router is None:
            self._router = _lints().LinTSRouter(self._arms, len(x), v_sq=0.01, seed=self._seed)
        return int(self._router.select(x))

    def learn(self, x: np.ndarray, arm: int, reward: float) -> None:
        self._router.update(arm, x, reward)


RIVALS: dict[str, Callable[[int, int], Rival]] = {
    "mabwiser": MABWiser,
    "river": River,
    "routesmith": RouteSmith,
    "vowpalwabbit": VowpalWabbit,
}
"""By the name of the package, which is that of the row too."""


def installed(say: Callable[[str], None]) -> list[str]:
    """The rivals that can be imported here; says why another cannot."""
    names = []
    for name in RIVALS:
        try:
            _lints() if name == "routesmith" else importlib.import_module(name)
            names.append(name)
        except ImportError as error:
            say(f"{name} is left out: {error}")
    return names


def replay(name: str, x: np.ndarray, scores: np.ndarray, seed: int) -> Trace:
    """One pass of a rival over every row, in the order and with the feedback that ours has under this seed.

    ``x`` is ``(n, d - 1)`` without bias, ``scores`` is ``(n, K)``.
    """
    rows = np.random.default_rng(seed).permutation(len(x))
    contexts = np.hstack([x, np.ones((len(x), 1))])
    rival = RIVALS[name](scores.shape[1], seed)
    chosen = np.empty(len(rows), dtype=np.intp)
    for step, row in enumerate(rows):
        arm = chosen[step] = rival.choose(contexts[row])
        rival.learn(contexts[row], int(arm), float(scores[row, arm]))
    return Trace(policy=name, seed=seed, rows=rows, chosen=chosen)
