"""The contract of a belief and of its settings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """The assumptions about one objective before any feedback.

    Attributes
    ----------
    mean
        Expected outcome, in the objective's unit; None: set by the first outcomes.
    noise
        Guess of the standard deviation of single outcomes; None: the size of the expected outcome.
    """

    mean: float | None = None
    noise: float | None = None


class Observation(NamedTuple):
    """One decision as a belief learns it.

    Attributes
    ----------
    x
        The context ``(d,)``.
    values
        Objective name -> observed value.
    decided_at, ordinal
        When the decision was made: Unix time in seconds, and its running number in the router.
    weight
        Its weight in observations; -1 takes back what was learned.
    """

    x: Vector
    values: Mapping[str, float]
    decided_at: float = 0.0
    ordinal: int = 0
    weight: float = 1.0


class Prediction(NamedTuple):
    """The expectation of every arm at one context.

    Attributes
    ----------
    means : (m, K)
        Expected outcome, objective by arm.
    stds : (m, K)
        Standard deviation of that expectation (not of a single outcome).
    average_spreads : (m, K)
        The part of ``stds`` that no context is without: how uncertain the arm's average is.
    """

    means: Vector
    stds: Vector
    average_spreads: Vector


class Belief(Protocol):
    """A posterior over the expected outcome of every arm and objective, given the context."""

    @property
    def arms(self) -> tuple[str, ...]:
        """The K arms, in the order of the arrays."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """The m objectives believed so far, in the order of the arrays; grows, never reorders."""

    @property
    def choices(self) -> bytes | None:
        """Choices for all arms, such as how much each block of features matters; None: nothing was chosen.

        The same object until something else is chosen. A router records it, so that a restart and other processes go
        on with the same choices.
        """

    def watch(self, objectives: Sequence[str]) -> None:
        """Believe these objectives from now on, even before any feedback."""

    def predict(self, x: Vector) -> Prediction:
        """Predict mean and standard deviation of every arm at context ``x (d,)``."""

    def information(self) -> Vector:
        """Return how much was learned about each arm, in nats ``(K,)``: ``log det(A) - log det(Lambda)``."""

    def counts(self, objective: str) -> Vector:
        """Return how many outcomes of a believed objective were learned for each arm ``(K,)``, by weight."""

    def advance(self, decided_at: float, ordinal: int) -> None:
        """Let what is known age until a decision that is about to be made; nothing where nothing is forgotten."""

    def update(
        self,
        arm: str,
        x: Vector,
        values: Mapping[str, float],
        *,
        decided_at: float = 0.0,
        ordinal: int = 0,
        weight: float = 1.0,
    ) -> None:
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``, of a decision made then.

        They count ``weight`` of one observation, above 0.
        """

    def statistics(self) -> Mapping[str, bytes]:
        """Return the statistics of each arm, for ``BeliefSpec.start``."""


class BeliefSpec(Protocol):
    """How a belief begins: a frozen description that many routers may share."""

    def start(
        self,
        *,
        arms: Sequence[Arm | str],
        dimension: int,
        priors: Mapping[str, Prior],
        statistics: Mapping[str, bytes],
        choices: bytes | None = None,
        blocks: Sequence[FeatureBlock] | None = None,
    ) -> Belief:
        """Start a belief over ``arms`` in ``dimension`` features (with bias), from folded ``statistics`` if any.

        Parameters
        ----------
        choices
            ``Belief.choices`` of an earlier belief over the same features, to go on with; None: nothing is chosen yet.
        blocks
            The blocks of the features, in order; None: all features are one block.
        """

    def fold(self, blob: bytes | None, observations: Sequence[Observation], *, dimension: int) -> bytes:
        """An arm's folded statistics with observations added; what ``start`` reads."""

    def merge(self, blobs: Sequence[bytes], *, dimension: int) -> bytes:
        """The statistics of one arm that hold what all of ``blobs`` hold."""

    def scale(self, blob: bytes, share: float, *, dimension: int, at_most: float = math.inf) -> bytes:
        """An arm's statistics in which each observation counts ``share`` of what it did, and all at most so many.

        With a ``share`` of -1, ``merge`` takes back what it added.
        """
