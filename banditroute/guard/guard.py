"""Guard: a baseline that the learner replaces share by share, as far as evidence allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from banditroute.core.validation import LARGEST, label, number, plain_numbers, shown
from banditroute.errors import InvalidConfigurationError

Mode: TypeAlias = Literal["apply", "observe", "bypass"]
"""The mode of a guard: see :class:`Guard`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """A baseline that serves, and gives way to the learner as far as evidence allows.

    At a share s, each arm is drawn with probability ``(1 - s) baseline + s learner``. Every request with feedback is
    evidence of the gain: the utility of the learner's choice less that of the baseline's
    (:func:`banditroute.guard.evidence.paired_gain`). Confidence sequences bound its mean at all times at once, by
    ``lower`` and ``upper``. The learner gets the next share s' when ``s' lower > -tolerance``; it falls back to the
    first share when ``s upper < -tolerance``. Each time the evidence starts from the beginning, the j-th time with
    ``alpha / (j (j + 1))`` for each bound. So the probability of ever promoting a learner that is not better is at most
    alpha. A learner that is worse costs, per request, the first share of its loss: the price of learning at all.

    Parameters
    ----------
    baseline
        An arm, or arm -> share: serves without the learner. If some of its arms are not eligible, the others keep their
        proportions; if no arm of it is, the learner decides.
    shares
        Shares of the requests that the learner decides: in (0, 1], rising. At 1 there is nothing left to compare with,
        so a rollout that ends there is no longer watched.
    tolerance
        Utility per request, at least 0, that the learner may lose without being held back. 0 asks for a gain.
    alpha
        Probability, in (0, 1), of being wrong.
    utility_range
        Lowest and highest utility of a request. Default: as the router's preference gives them, if all objectives that
        it weighs have a range. A request outside counts as the edge.
    mode
        The first mode. ``"apply"``: as above. ``"observe"``: the baseline serves everything, and the learner is judged
        among the arms of a baseline of several arms. ``"bypass"``: the baseline serves everything.

    Raises
    ------
    InvalidConfigurationError
        If the baseline, a share, a number or the mode is unusable.

    Examples
    --------
    >>> Guard(baseline="large", shares=[0.1, 0.5, 0.95])
    Guard(baseline='large', shares=(0.1, 0.5, 0.95), tolerance=0.0, alpha=0.05, utility_range=None, mode='apply')
    """

    baseline: str | Mapping[str, float]
    shares: Sequence[float] = (0.05, 0.2, 0.5, 0.95)
    tolerance: float = 0.0
    alpha: float = 0.05
    utility_range: tuple[float, float] | None = None
    mode: Mode = "apply"

    def __post_init__(self) -> None:
        plain_numbers(self)
        error = InvalidConfigurationError
        if isinstance(self.baseline, Mapping):
            object.__setattr__(self, "baseline", dict(self.baseline))  # the caller may go on to change its own
        elif isinstance(self.baseline, str):
            label(self.baseline, name="arm of the baseline", error=error)
        else:
            raise error(
                f"baseline is {shown(self.baseline)}; give an arm, or arms with shares: {{'small': 0.5, 'large': 0.5}}"
            )
        for arm, share in self._given.items():
            label(arm, name="arm of the baseline", error=error)
            number(share, name=f"share of {arm!r} in the baseline", low=0.0, high=LARGEST, error=error)
        if not any(self._given.values()):
            raise error(f"a baseline needs a share above 0, got {shown(self._given)}")
        if isinstance(self.shares, str) or not isinstance(self.shares, Sequence) or not self.shares:
            raise error(f"shares is {shown(self.shares)}; give a list of shares, for example [0.05, 0.5]")
        shares = tuple(number(share, name="share of the learner", high=1.0, error=error) for share in self.shares)
        if any(not low < high for low, high in zip((0.0, *shares), shares, strict=False)):
            raise error(f"shares are {shown(shares)}; give them above 0 and rising")
        object.__setattr__(self, "shares", shares)
        number(self.tolerance, name="tolerance", low=0.0, error=error)
        if number(self.alpha, name="alpha", low=0.0, high=1.0, error=error) in (0.0, 1.0):
            raise error(f"alpha is {self.alpha:g}; give a probability above 0 and below 1")
        if self.utility_range is not None:
            object.__setattr__(self, "utility_range", _range(self.utility_range))
        check_mode(self.mode)

    @property
    def mixture(self) -> dict[str, float]:
        """Arm -> its share of the baseline, above 0; they sum to 1."""
        total = sum(self._given.values())
        return {arm: share / total for arm, share in self._given.items() if share > 0.0}

    @property
    def _given(self) -> Mapping[str, float]:
        return {self.baseline: 1.0} if isinstance(self.baseline, str) else self.baseline


def _range(given: object) -> tuple[float, float]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise InvalidConfigurationError(f"utility_range is {given!r}; give the least and the most, (0.0, 1.0)")
    low, high = (
        number(edge, name="utility_range", low=-LARGEST, high=LARGEST, error=InvalidConfigurationError)
        for edge in given
    )
    if not low < high:
        raise InvalidConfigurationError(f"utility_range is {given!r}; give the least before the most")
    return low, high


def check_mode(mode: object) -> None:
    """Raise InvalidConfigurationError if ``mode`` is not ``"apply"``, ``"observe"`` or ``"bypass"``."""
    if mode not in get_args(Mode):
        raise InvalidConfigurationError(f"mode is {shown(mode)}; give 'apply', 'observe' or 'bypass'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far a guard has rolled out the learner.

    Attributes
    ----------
    mode
        The guard's mode.
    share
        Share of the requests that the learner decides, in [0, 1].
    since
        Unix time of the last change of share or mode, in seconds; None if there was no change.
    decisions
        Requests with feedback since then that are evidence of the gain.
    lower, upper
        Bounds of the learner's mean gain over them, in utility per request.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1, guard=Guard(baseline="large"))
    >>> rollout = router.status().rollout
    >>> rollout.share, rollout.lower, rollout.upper  # nothing is known yet
    (0.05, -1.0, 1.0)
    """

    mode: Mode
    share: float
    since: float | None
    decisions: int
    lower: float
    upper: float
