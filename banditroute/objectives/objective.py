"""Objectives: units, ranges and direction of the measured outcomes, and their priors."""

from __future__ import annotations

import keyword
import math
from dataclasses import dataclass
from numbers import Real

from banditroute.core.validation import LARGEST, flag, label, number, plain_numbers, shown
from banditroute.errors import InvalidConfigurationError, InvalidFeedbackError


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """One outcome that feedback may report.

    Parameters
    ----------
    name
        A Python identifier: it is a keyword of ``feedback()`` and of ``Preference``.
    higher_is_better
        Whether more of it raises the utility.
    low, high
        Range of the possible values, in the objective's own unit; a value outside is refused.
    prior_mean
        Expected outcome of an arm before any feedback. None where no guess fits every user (dollars, joules): then it
        is what the arms have in common, as soon as there is feedback.
    prior_noise
        Guess of the standard deviation of single outcomes around their expectation, used until feedback shows it.
        None: the size of the expected outcome.

    Raises
    ------
    InvalidConfigurationError
        If the name cannot be a keyword of ``feedback()``, or a prior is outside the range.

    Examples
    --------
    >>> helpful = Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0)
    >>> helpful.check(4)
    4.0
    """

    name: str
    higher_is_better: bool
    low: float = -math.inf
    high: float = math.inf
    prior_mean: float | None = None
    prior_noise: float | None = None

    def __post_init__(self) -> None:
        plain_numbers(self)
        label(self.name, name="Objective(name=...)", error=InvalidConfigurationError)
        if not self.name.isidentifier() or keyword.iskeyword(self.name) or self.name in ("self", "decision_id"):
            raise InvalidConfigurationError(
                f"objective {self.name!r} cannot be a keyword of feedback(); give another Python identifier"
            )
        flag(self.higher_is_better, name=f"higher_is_better of {self.name!r}", error=InvalidConfigurationError)
        for edge, given in (("low", self.low), ("high", self.high)):
            if not isinstance(given, Real) or isinstance(given, bool):
                raise InvalidConfigurationError(
                    f"{edge} of objective {self.name!r} is {shown(given)}; give a number or an infinity"
                )
        if not self.low <= self.high:
            raise InvalidConfigurationError(
                f"objective {self.name!r} ranges from low={self.low} to high={self.high}; give low <= high"
            )
        if self.prior_mean is not None:
            number(
                self.prior_mean,
                name=f"prior_mean of objective {self.name!r}",
                low=self.low,
                high=self.high,
                error=InvalidConfigurationError,
            )
        if self.prior_noise is not None:
            noise = number(
                self.prior_noise, name=f"prior_noise of {self.name!r}", low=0.0, error=InvalidConfigurationError
            )
            if noise == 0.0:
                raise InvalidConfigurationError(
                    f"prior_noise of objective {self.name!r} is 0; give a standard deviation above 0, or None"
                )

    def check(self, value: object) -> float:
        """Return ``value`` as a float within the objective's range.

        Raises
        ------
        InvalidFeedbackError
            If it is a bool, no number, not finite, out of range or beyond 1e50.
        """
        low, high = max(self.low, -LARGEST), min(self.high, LARGEST)
        return number(value, name=self.name, low=low, high=high, error=InvalidFeedbackError)

    @property
    def ranged(self) -> bool:
        """True if the values lie in a finite range."""
        return math.isfinite(self.high - self.low)

    @property
    def sign(self) -> float:
        """1.0 if more is better, -1.0 if less is."""
        return 1.0 if self.higher_is_better else -1.0


QUALITY = Objective(name="quality", higher_is_better=True, low=0.0, high=1.0, prior_mean=0.5, prior_noise=0.4)
COST_USD = Objective(name="cost_usd", higher_is_better=False, low=0.0)
ENERGY_JOULES = Objective(name="energy_joules", higher_is_better=False, low=0.0)
LATENCY_SECONDS = Objective(name="latency_seconds", higher_is_better=False, low=0.0)
AVAILABILITY = Objective(name="availability", higher_is_better=True, low=0.0, high=1.0, prior_mean=1.0, prior_noise=0.1)
OUTPUT_TOKENS = Objective(name="output_tokens", higher_is_better=False, low=0.0, prior_mean=256.0)

STANDARD_OBJECTIVES = (QUALITY, COST_USD, ENERGY_JOULES, LATENCY_SECONDS, OUTPUT_TOKENS, AVAILABILITY)
"""The objectives that every router knows. ``output_tokens`` are predicted so that a priced arm's cost can be computed;
``availability`` is 1 for a call that was answered and 0 for one that failed, as reported with ``failed``."""
