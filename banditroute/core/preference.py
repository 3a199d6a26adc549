"""A preference: weights that turn objectives into one utility."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from banditroute.core.validation import LARGEST, number
from banditroute.errors import InvalidConfigurationError


class Preference(Mapping[str, float]):
    """Weights that turn objectives into one utility: the worth of one unit of each.

    ``utility = sum of weight x value over what is better when higher - sum of weight x value over what is better
    when lower``. Weights are exchange rates in the objectives' own units: ``Preference(quality=1, cost_usd=50)``
    says that one dollar is worth 50 points of quality, so that .01 of quality is worth $0.0002.

    Parameters
    ----------
    within
        A loss of utility, at least 0, that a lower cost is worth: the cheapest of the arms whose expected utility is
        within it of the best is preferred. ``Preference(within=0.02)`` means the cheapest arm within two points of the
        best quality. None: costs count by their weight alone.
    weights
        Objective name = weight, 0 to 1e50, at least one above 0. Other objectives weigh 0. None with ``within``:
        ``quality=1``.

    Raises
    ------
    InvalidConfigurationError
        If a weight or ``within`` is out of range or not a number, or no weight is above 0.

    Examples
    --------
    >>> cheap = Preference(quality=1.0, cost_usd=50.0)
    >>> cheap["cost_usd"]
    50.0
    >>> cheap == {"quality": 1.0, "cost_usd": 50.0}
    True
    >>> Preference(within=0.02)
    Preference(quality=1, within=0.02)
    """

    __slots__ = ("_hash", "_weights", "_within")

    def __init__(self, *, within: float | None = None, **weights: float) -> None:
        if within is not None:
            within = number(within, name="preference within", low=0.0, high=LARGEST, error=InvalidConfigurationError)
            weights = weights or {"quality": 1.0}
        self._within = within
        self._weights = {
            key: number(value, name=f"preference {key}", low=0.0, high=LARGEST, error=InvalidConfigurationError)
            for key, value in weights.items()
        }
        if not any(self._weights.values()):
            raise InvalidConfigurationError(
                f"a preference needs a weight above 0, got {self._weights}; for example Preference(quality=1.0)"
            )
        self._hash = hash((frozenset(self._weights.items()), within))

    @property
    def within(self) -> float | None:
        """The loss of utility that a lower cost is worth; None if costs count by their weight alone."""
        return self._within

    def as_dict(self) -> dict[str, float]:
        """Return the arguments that make an equal preference."""
        return dict(self._weights) if self._within is None else {**self._weights, "within": self._within}

    def __getitem__(self, key: str) -> float:
        return self._weights[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._weights)

    def __len__(self) -> int:
        return len(self._weights)

    def __eq__(self, other: object) -> bool:
        if self._within is None and not isinstance(other, Preference):
            return self._weights == other
        return isinstance(other, Preference) and self.as_dict() == other.as_dict()

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return f"Preference({', '.join(f'{key}={value:g}' for key, value in self.as_dict().items())})"
