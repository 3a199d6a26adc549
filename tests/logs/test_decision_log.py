"""A log of decisions: its arrays fit each other."""

import numpy as np
import pytest

from banditroute.errors import InvalidInputError
from banditroute.logs import DecisionLog

WHOLE = {
    "arms": ("a", "b"),
    "chosen": np.array([0, 1, 0]),
    "eligible": np.ones((3, 2), dtype=bool),
    "propensities": np.full(3, 0.5),
    "probabilities": np.full((3, 2), 0.5),
    "contexts": np.ones((3, 4)),
    "prompts": ("x", "y", "z"),
    "sessions": ("s", "s", ""),
    "tasks": ("t",) * 3,
    "outcomes": {"quality": np.ones(3)},
    "decided_at": np.arange(3.0),
}


def test_length_is_that_of_the_decisions():
    assert len(DecisionLog(**WHOLE)) == 3
    needed = ("arms", "chosen", "eligible", "outcomes", "decided_at")
    assert len(DecisionLog(**{name: WHOLE[name] for name in needed})) == 3


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("eligible", np.ones((2, 2), dtype=bool), r"\(3, 2\)"),
        ("propensities", np.ones((3, 1)), r"\(3,\)"),
        ("probabilities", np.ones((3, 3)), r"\(3, 2\)"),
        ("contexts", np.ones(3), r"\(3, 3\)"),
        ("contexts", np.ones((2, 4)), r"\(3, 4\)"),
        ("prompts", ("x",), r"\(3,\)"),
        ("sessions", (), r"\(3,\)"),
        ("tasks", ("t",) * 4, r"\(3,\)"),
        ("decided_at", np.ones(2), r"\(3,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(name, value, expected):
    with pytest.raises(InvalidInputError, match=rf"{name} has shape .*, expected is {expected}: there are 3 .* 2 arms"):
        DecisionLog(**{**WHOLE, name: value})


def test_outcomes_fit_too():
    with pytest.raises(InvalidInputError, match=r"outcomes\['quality'\] has shape \(2,\), expected is \(3,\)"):
        DecisionLog(**{**WHOLE, "outcomes": {"quality": np.ones(2)}})
