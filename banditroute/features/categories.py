"""Encode categories as columns: one for each declared or learned value, or hashed slots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.validation import label, whole
from banditroute.errors import InvalidConfigurationError
from banditroute.features.vocabulary import LARGEST_CATEGORY, KnownValues, Slot, Vocabulary, state_of

HASHED_STRENGTH = 0.25
"""Strength of a block of hashed slots; below 1, since values that share a slot cannot be distinguished."""


def root_shares(shares: Vector) -> Vector:
    """Return ``sqrt(n share)`` for n shares that sum to 1; the mean square of the result is always 1.

    Examples
    --------
    >>> root_shares(np.array([0.25, 0.75, 0.0])).round(3).tolist()
    [0.866, 1.5, 0.0]
    """
    roots: Vector = np.sqrt(len(shares) * shares)
    return roots


@dataclass(frozen=True, slots=True, kw_only=True)
class Hashed:
    """A category whose values are not known in advance: each value has the slot ``BLAKE2b(name=value) mod slots``.

    Two values may share a slot. Declare about twice as many slots as you expect values.

    Parameters
    ----------
    slots
        1 to 1,024.

    Raises
    ------
    InvalidConfigurationError
        If the number of slots is out of range.
    """

    slots: int

    def __post_init__(self) -> None:
        whole(self.slots, name="slots", high=LARGEST_CATEGORY, error=InvalidConfigurationError)


class Category:
    """The columns of one category: one for each value, and the last for a missing value.

    If a request has several values, they share the block, so that its mean square is always 1.

    Parameters
    ----------
    name
        Name of the category.
    given
        The declared values, :class:`~banditroute.features.Vocabulary` or :class:`Hashed`. Declared and learned values
        have a column each, followed by one for other values.
    slot
        Where learned values are recorded. Default: nowhere.
    """

    __slots__ = ("_columns", "_name", "_slots", "known")

    def __init__(self, name: str, given: object, slot: Slot | None = None) -> None:
        self._name = name
        self._columns: dict[str, int] | None = None
        self.known: KnownValues | None = None
        if isinstance(given, Vocabulary):
            self._slots = given.size + 1
            self.known = KnownValues(name=name, size=given.size, slot=None if slot is None else slot(state_of(name)))
            return
        if isinstance(given, Hashed):
            self._slots = given.slots
            return
        if isinstance(given, str) or not isinstance(given, Collection) or not 1 <= len(given) <= LARGEST_CATEGORY:
            raise InvalidConfigurationError(
                f"categorical {name!r} is {given!r}; give a list of 1 to {LARGEST_CATEGORY:,} values, or "
                "Hashed(slots=...) or Vocabulary(size=...) if they are not known in advance"
            )
        values = [label(value, name=f"a value of {name!r}", error=InvalidConfigurationError) for value in given]
        self._columns = {value: column for column, value in enumerate(values)}
        if len(self._columns) < len(values):
            raise InvalidConfigurationError(f"categorical {name!r} has a value twice: {values}; give each value once")
        self._slots = len(values) + 1

    @property
    def names(self) -> list[str]:
        """One name per column."""
        if self._columns is not None:
            ends = [*self._columns, "other"]
        elif self.known is not None:
            ends = [*(f"{column:02d}" for column in range(self._slots - 1)), "other"]
        else:
            ends = [f"{slot:02d}" for slot in range(self._slots)]
        return [f"metadata.{self._name}.{end}" for end in (*ends, "missing")]

    @property
    def block(self) -> FeatureBlock:
        """The columns as one block."""
        exact = self._columns is not None or self.known is not None
        return FeatureBlock(self._slots + 1, 1.0 if exact else HASHED_STRENGTH)

    @property
    def schema(self) -> tuple[object, ...]:
        """The meaning of the columns, as a part of the features' version."""
        if self.known is not None:
            return self._name, "vocabulary", self._slots - 1
        return self._name, self._slots if self._columns is None else list(self._columns)

    def fill(self, x: Vector, values: Sequence[str]) -> None:
        """Write the columns of ``values`` into ``x``, which holds zeros."""
        for value in values:
            x[self._column(value)] += 1.0 / len(values)
        if not values:
            x[-1] = 1.0
        x[:] = root_shares(x)

    def _column(self, value: str) -> int:
        if self._columns is not None:
            return self._columns.get(value, self._slots - 1)
        if self.known is not None:
            return self.known.column(value)
        code = blake2b(f"{self._name}={value}".encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(code, "little") % self._slots
