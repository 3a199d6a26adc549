"""The settings that all beliefs over additive statistics share, and how they fold, merge and scale statistics."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from banditroute.beliefs.base import Observation, Prior
from banditroute.beliefs.statistics import ArmStatistics, load
from banditroute.core.arm import Arm
from banditroute.core.feature_block import FeatureBlock, check_blocks
from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidConfigurationError

if TYPE_CHECKING:
    from banditroute.beliefs.linear import LinearBelief


class Beginning(NamedTuple):
    """The checked arguments of a belief's start.

    Attributes
    ----------
    arms
        The K arms.
    dimension, blocks
        d, the length of the context with its bias, and the blocks of its other entries.
    priors
        Objective -> assumptions about it.
    statistics
        Arm -> its folded statistics.
    choices
        Hyperparameters that an earlier belief learned, as bytes; None: not learned yet.
    """

    arms: tuple[Arm, ...]
    dimension: int
    blocks: tuple[FeatureBlock, ...]
    priors: Mapping[str, Prior]
    statistics: Mapping[str, bytes]
    choices: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeliefSettings(ABC):
    """The settings of a belief over additive statistics; `Linear`, `Hybrid` and `Logistic` extend them.

    Parameters
    ----------
    feature_precision, intercept_precision
        Prior precision of every feature's weight, and of the bias, in units of the noise. With precision c, a feature
        of size 1 reaches half its weight after c observations. Above 0. None: see each belief.
    noise
        Known standard deviation of single outcomes by objective, in its unit; None: learned from feedback.
    noise_strength
        ``nu``, the number of observations that the prior of a learned noise counts as. Above 0.
    half_life_requests, half_life_seconds
        Number of requests, or seconds, after which an outcome counts half. Give at most one, above 0; with neither,
        the belief never forgets. Priors never fade.

    Raises
    ------
    InvalidConfigurationError
        If a number is not finite and above 0, or both half-lives are given.
    """

    feature_precision: float | None = None
    intercept_precision: float | None = None
    noise: Mapping[str, float] | None = None
    noise_strength: float = 4.0
    half_life_requests: float | None = None
    half_life_seconds: float | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.half_life_requests is not None and self.half_life_seconds is not None:
            raise InvalidConfigurationError("half_life_requests and half_life_seconds are both given; give one of them")
        if self.noise is not None:
            object.__setattr__(self, "noise", dict(self.noise))  # a copy: the caller may change its own mapping
        for name in ("feature_precision", "intercept_precision", "noise_strength"):
            check_above_zero(getattr(self, name), name=name)
        for name in ("half_life_requests", "half_life_seconds"):
            check_above_zero(getattr(self, name), name=name)
        for objective, value in (self.noise or {}).items():
            check_above_zero(value, name=f"noise[{objective!r}]")

    def start(
        self,
        *,
        arms: Sequence[Arm | str],
        dimension: int,
        priors: Mapping[str, Prior],
        statistics: Mapping[str, bytes] | None = None,
        choices: bytes | None = None,
        blocks: Sequence[FeatureBlock] | None = None,
    ) -> LinearBelief:
        """Start a belief over ``arms`` in ``dimension`` features (the bias last); see :class:`BeliefSpec`.

        Raises
        ------
        InvalidConfigurationError
            If the noise of an unknown objective is given, or the blocks do not fit the dimension.
        IncompatibleStoreError
            If an arm's statistics or the choices are damaged, or the statistics have another dimension.
        """
        unknown = sorted(set(self.noise or {}) - set(priors))
        if unknown:
            raise InvalidConfigurationError(
                f"noise is given for the unknown objective {', '.join(unknown)}; known: {', '.join(sorted(priors))}"
            )
        return self._belief()(
            spec=self,
            beginning=Beginning(
                arms=tuple(arm if isinstance(arm, Arm) else Arm(name=arm) for arm in arms),
                dimension=dimension,
                blocks=check_blocks(blocks, dimension=dimension),
                priors=dict(priors),
                statistics=statistics or {},
                choices=choices,
            ),
        )

    def fold(self, blob: bytes | None, observations: Sequence[Observation], *, dimension: int) -> bytes:
        """Return an arm's folded statistics with ``observations`` added."""
        statistics = self.load(blob, dimension=dimension)
        for each in observations:
            moment = self.moment(each.decided_at, each.ordinal)
            statistics.add(each.x, each.values, moment=moment, weight=each.weight)
        return statistics.to_bytes()

    def merge(self, blobs: Sequence[bytes], *, dimension: int) -> bytes:
        """Return the sum of the statistics ``blobs`` of one arm."""
        merged = self.load(None, dimension=dimension)
        for blob in blobs:
            merged.merge(self.load(blob, dimension=dimension))
        return merged.to_bytes()

    def scale(self, blob: bytes, share: float, *, dimension: int, at_most: float = math.inf) -> bytes:
        """Return an arm's statistics with every weight times ``share``, scaled down to ``at_most`` observations."""
        statistics = self.load(blob, dimension=dimension)
        statistics.scale(share, at_most=at_most)
        return statistics.to_bytes()

    def load(self, blob: bytes | None, *, dimension: int) -> ArmStatistics:
        """Return the statistics in a blob; they age with the half-life of this belief."""
        half_life = self.half_life_seconds if self.half_life_requests is None else self.half_life_requests
        return load(blob, dimension=dimension, half_life=half_life)

    def moment(self, decided_at: float, ordinal: int) -> float:
        """Return the moment of a decision on the clock of the half-life: its sequence number or Unix time."""
        if self.half_life_requests is not None:
            return float(ordinal)
        return 0.0 if self.half_life_seconds is None else decided_at

    @abstractmethod
    def _belief(self) -> type[LinearBelief]:
        """Return the class of the state that :meth:`start` makes."""


def check_above_zero(value: float | None, *, name: str) -> None:
    """Raise if a number is not finite and above 0; None is accepted."""
    if value is not None and number(value, name=name, low=0.0, error=InvalidConfigurationError) == 0.0:
        raise InvalidConfigurationError(f"{name} is 0; give a number above 0")
