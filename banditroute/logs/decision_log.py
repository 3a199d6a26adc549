"""A bandit log: what was decided, with which probability, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecisionLog:
    """n decisions between K arms, of each of which only what the chosen arm did is known.

    Attributes
    ----------
    arms
        The K arms that were chosen or could have been, sorted by name.
    chosen : (n,) int
        Position of the chosen arm in ``arms``.
    eligible : (n, K) bool
        Which arms could be chosen. Where the log does not say: all of them.
    propensities : (n,) or None
        The probability with which the arm was chosen, in (0, 1]; NaN in a row that does not say. None: the log does not
        say for any row, and answers no question about another policy.
    probabilities : (n, K) or None
        The probability of every arm, 0 where it was not eligible; NaN in a row that does not say.
    contexts : (n, d) or None
        The context of each decision, last entry 1.0 (bias); NaN in a row that has none, or has one of other features
        than the last row.
    prompts, sessions, tasks
        Texts of each decision; "" in a row without one. None: the log has none.
    outcomes
        Objective -> ``(n,)``, in the objective's unit; NaN where it was not observed.
    decided_at : (n,)
        Unix time in seconds; NaN where the log does not say. Rows are in the order of the log.
    skipped
        Kind of damage -> how many rows were passed over for it.

    Raises
    ------
    InvalidInputError
        For arrays whose shapes do not fit each other.

    Examples
    --------
    >>> log = DecisionLog(
    ...     arms=("large", "small"),
    ...     chosen=np.array([0, 1]),
    ...     eligible=np.ones((2, 2), dtype=bool),
    ...     propensities=np.array([0.5, 0.9]),
    ...     outcomes={"quality": np.array([1.0, np.nan])},
    ...     decided_at=np.array([0.0, 1.0]),
    ... )
    >>> len(log), log.arms[log.chosen[1]]
    (2, 'small')
    """

    arms: tuple[str, ...]
    chosen: NDArray[np.intp]
    eligible: NDArray[np.bool_]
    outcomes: Mapping[str, Vector]
    decided_at: Vector
    propensities: Vector | None = None
    probabilities: Vector | None = None
    contexts: Vector | None = None
    prompts: tuple[str, ...] | None = None
    sessions: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, k = len(self.chosen), len(self.arms)
        shapes = {
            "eligible": (self.eligible, (n, k)),
            "probabilities": (self.probabilities, (n, k)),
            "propensities": (self.propensities, (n,)),
            "decided_at": (self.decided_at, (n,)),
            "contexts": (self.contexts, (n, *(self.contexts.shape[-1:] if self.contexts is not None else ()))),
            **{name: (getattr(self, name), (n,)) for name in ("prompts", "sessions", "tasks")},
            **{f"outcomes[{name!r}]": (values, (n,)) for name, values in self.outcomes.items()},
        }
        for name, (values, shape) in shapes.items():
            if values is not None and np.shape(values) != shape:
                raise InvalidInputError(
                    f"{name} has shape {np.shape(values)}, expected is {shape}: there are {n} decisions and {k} arms"
                )

    def __len__(self) -> int:
        return len(self.chosen)
