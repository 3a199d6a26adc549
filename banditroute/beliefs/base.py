"""The protocols of beliefs: what a router calls, and the values that it passes and gets."""

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
        Expected outcome, in the objective's unit; None: estimated from the first outcomes.
    noise
        Guess of the standard deviation of single outcomes; None: as large as the expected outcome.
    """

    mean: float | None = None
    noise: float | None = None


class Observation(NamedTuple):
    """The outcomes of one arm at one decision.

    Attributes
    ----------
    x
        The context ``(d,)``.
    values
        Objective name -> observed value.
    decided_at, ordinal
        Unix time of the decision in seconds, and its sequence number in the router.
    weight
        How many observations it counts as; -1 subtracts what was learned.
    """

    x: Vector
    values: Mapping[str, float]
    decided_at: float = 0.0
    ordinal: int = 0
    weight: float = 1.0


class Prediction(NamedTuple):
    """The predictions of a belief for every arm at one context.

    Attributes
    ----------
    means : (m, K)
        Expected outcome, objective by arm.
    stds : (m, K)
        Standard deviation of that expectation (not of a single outcome).
    average_stds : (m, K)
        Standard deviation of the arm's average outcome: the part of ``stds`` that every context has.
    """

    means: Vector
    stds: Vector
    average_stds: Vector


class Belief(Protocol):
    """A posterior over the expected outcome of every arm and objective, given the context."""

    @property
    def arms(self) -> tuple[str, ...]:
        """The K arms, in the order of the arrays."""

    @property
    def objectives(self) -> tuple[str, ...]:
        """The m objectives modelled so far, in the order of the arrays; new ones are appended."""

    @property
    def choices(self) -> bytes | None:
        """The hyperparameters learned for all arms, such as the weight of each feature block; None: not learned yet.

        The property returns the same object until they change. A router stores them, so that restarts and other
        processes use the same ones.
        """

    def watch(self, objectives: Sequence[str]) -> None:
        """Predict these objectives from now on, even before any feedback."""

    def predict(self, x: Vector) -> Prediction:
        """Predict mean and standard deviation of every arm at context ``x (d,)``."""

    def information(self) -> Vector:
        """Return the information gained about each arm in nats ``(K,)``: ``log det(A) - log det(Lambda)``."""

    def counts(self, objective: str) -> Vector:
        """Return the total weight of the learned outcomes of an objective, for each arm ``(K,)``."""

    def advance(self, decided_at: float, ordinal: int) -> None:
        """Age the statistics to the moment of the next decision; do nothing if the belief never forgets."""

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
        """Learn the outcomes ``values`` of ``arm`` at context ``x (d,)``.

        Parameters
        ----------
        decided_at, ordinal
            Unix time of the decision in seconds, and its sequence number in the router.
        weight
            How many observations they count as, above 0.
        """

    def statistics(self) -> Mapping[str, bytes]:
        """Return the statistics of each arm as bytes, which ``BeliefSpec.start`` reads."""


class BeliefSpec(Protocol):
    """The settings of a belief: a frozen object that many routers may share."""

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
            ``Belief.choices`` of an earlier belief over the same features; None: learn them from the start.
        blocks
            The feature blocks in order; None: all features are one block.
        """

    def fold(self, blob: bytes | None, observations: Sequence[Observation], *, dimension: int) -> bytes:
        """Return an arm's statistics with ``observations`` added, as bytes which ``start`` reads."""

    def merge(self, blobs: Sequence[bytes], *, dimension: int) -> bytes:
        """Return the sum of the statistics ``blobs`` of one arm."""

    def scale(self, blob: bytes, share: float, *, dimension: int, at_most: float = math.inf) -> bytes:
        """Return an arm's statistics with every weight multiplied by ``share``, or by less.

        The factor is smaller where more than ``at_most`` observations would remain. A ``share`` of -1 gives statistics
        with which ``merge`` subtracts what it added.
        """
