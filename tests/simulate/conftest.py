"""Small tables of outcomes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from banditroute.logs import OutcomeTable


@pytest.fixture
def toy() -> OutcomeTable:
    """Four prompts of two tasks, three arms: cheap and weak, middling, dear and strong."""
    return OutcomeTable(
        name="toy",
        prompts=("a", "b", "c", "d"),
        tasks=("sums", "sums", "odes", "odes"),
        arms=("cheap", "middle", "vendor/dear"),
        outcomes={
            "quality": np.array([[0.0, 0.5, 1.0], [0.0, 0.5, 1.0], [1.0, 0.5, 1.0], [1.0, 0.0, 0.0]]),
            "cost_usd": np.tile([0.001, 0.002, 0.01], (4, 1)),
        },
    )


@pytest.fixture
def make_table() -> Callable[..., OutcomeTable]:
    """A table of n prompts that differ in one feature, on which the better of two arms depends."""

    def make(n: int = 40) -> OutcomeTable:
        hard = np.arange(n) % 2
        return OutcomeTable(
            name="made",
            prompts=tuple(f"prompt {i}" for i in range(n)),
            tasks=("",) * n,
            arms=("easy", "hard"),
            outcomes={"quality": np.stack([1.0 - hard, hard.astype(float)], axis=1)},
        )

    return make
