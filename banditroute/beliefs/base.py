"""What the router asks of a belief."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from banditroute.types import Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is assumed of one objective before any feedback.

    Attributes
    ----------
    mean
        Expected outcome, in the objective's unit; None: set by the first outcomes.
    noise
        Guess of the standard deviation of single outcomes; None: the size of the expected outcome.
    """

    mean: float | None = None
    noise: float | None = None


class Prediction(NamedTuple):
    """What a belief expects of every arm at one context.

    Attributes
    ----------
    means : (m, K)
        Expected outcome, objective by arm.
    spreads : (m, K)
        Standard deviation of that expectation (not of a single outcome).
    """

    means: Vector
    spreads: Vector


class Belief(Protocol):
    """A posterior over the expected outcome of every arm and objective, given the context."""

    @property
    def arms(self) -> tuple[str, ...]:
        """The K arms, in the order of the arrays."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """The m objectives believed so far, in the order of the arrays; grows, never reorders."""

    def watch(self, objectives: Sequence[str]) -> None:
        """Believe these objectives from now on, even before any feedback."""

    def predict(self, x: Vector) -> Prediction:
        """Expectation and spread of every arm at context ``x (d,)``."""

    def information(self) -> Vector:
        """What was learned of each arm, in nats ``(K,)``: ``log det(A) - log det(Lambda)``."""

    def counts(self, objective: str) -> Vector:
        """How many outcomes of a believed objective were learned for each arm ``(K,)``."""

    def update(self, arm: str, x: Vector, values: Mapping[str, float]) -> None:
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``."""


class BeliefSpec(Protocol):
    """How a belief begins: a frozen description that many routers may share."""

    def start(
        self, *, arms: Sequence[str], dimension: int, priors: Mapping[str, Prior], statistics: Mapping[str, bytes]
    ) -> Belief:
        """A belief over ``arms`` in ``dimension`` features (with bias), from folded ``statistics`` where there are."""

    def fold(
        self,
        blob: bytes | None,
        events: Sequence[tuple[Vector, Mapping[str, float]]],
        *,
        dimension: int,
        removed: Sequence[tuple[Vector, Mapping[str, float]]] = (),
    ) -> bytes:
        """An arm's folded statistics with events added, and those ``removed`` taken back; what ``start`` reads."""
