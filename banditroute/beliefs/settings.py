"""The settings of beliefs over additive sums, and how they fold, merge and scale these sums."""

from __future__ import annotations

import math
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
    """All that a belief begins with, checked.

    Attributes
    ----------
    arms
        The K arms.
    dimension, blocks
        d, the length of the context with its bias, and the blocks of its other entries.
    priors
        Objective -> what is assumed of it.
    statistics
        Arm -> its folded statistics.
    choices
        What an earlier belief chose, as bytes; None: nothing yet.
    """

    arms: tuple[Arm, ...]
    dimension: int
    blocks: tuple[FeatureBlock, ...]
    priors: Mapping[str, Prior]
    statistics: Mapping[str, bytes]
    choices: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class BeliefSettings:
    """The settings of a belief over additive sums; :class:`Linear`, :class:`Hybrid` and :class:`Logistic` extend it.

    Parameters
    ----------
    feature_precision, intercept_precision
        Prior precision of the weight of every feature, and of the bias, in units of the noise: how many observations
        it takes for a feature of size 1 to earn half its weight. Above 0. None: see each belief.
    noise
        Known standard deviation of single outcomes by objective, in its unit; None: learned from feedback.
    noise_strength
        ``nu``, how many observations the prior of a learned noise is worth. Above 0.
    half_life_requests, half_life_seconds
        After how many requests, or seconds, a decision's outcome counts half. At most one of them, above 0; neither:
        nothing is forgotten. Priors never fade.

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
            object.__setattr__(self, "noise", dict(self.noise))  # the caller may go on to change its own
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
                f"noise is given for the unknown objective {', '.join(unknown)}; known objectives: {', '.join(sorted(priors))}"
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
        """Return the statistics of one arm that hold what all of ``blobs`` hold."""
        merged = self.load(None, dimension=dimension)
        for blob in blobs:
            merged.merge(self.load(blob, dimension=dimension))
        return merged.to_bytes()

    def scale(self, blob: bytes, share: float, *, dimension: int, at_most: float = math.inf) -> bytes:
        """Return an arm's statistics with every weight times ``share``, and at most ``at_most`` observations."""
        statistics = self.load(blob, dimension=dimension)
        statistics.scale(share, at_most=at_most)
        return statistics.to_bytes()

    def load(self, blob: bytes | None, *, dimension: int) -> ArmStatistics:
        """Return the statistics in a blob, ageing with this belief."""
        half_life = self.half_life_seconds if self.half_life_requests is None else self.half_life_requests
        return load(blob, dimension=dimension, half_life=half_life)

    def moment(self, decided_at: float, ordinal: int) -> float:
        """Return when a decision was made, on the clock that half-lives are counted in."""
        if self.half_life_requests is not None:
            return float(ordinal)
        return 0.0 if self.half_life_seconds is None else decided_at

    def _belief(self) -> type[LinearBelief]:
        raise NotImplementedError


def check_above_zero(value: float | None, *, name: str) -> None:
    """Refuse a number that is not finite and above 0; None is fine."""
    if value is not None and number(value, name=name, low=0.0, error=InvalidConfigurationError) == 0.0:
        raise InvalidConfigurationError(f"{name} is 0; give a number above 0")
