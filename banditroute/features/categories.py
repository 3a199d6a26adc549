"""Encode categories as columns: one for each declared or learned value, or hashed slots."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

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

    __slots__ = ("_columns", "_name")

    def __init__(self, name: str, given: object, slot: Slot | None = None) -> None:
        self._name = name
        self._columns: _Columns
        if isinstance(given, Vocabulary):
            kept = None if slot is None else slot(state_of(name))
            self._columns = _Learned(KnownValues(name=name, size=given.size, slot=kept), given.size)
        elif isinstance(given, Hashed):
            self._columns = _Slots(name, given.slots)
        else:
            self._columns = _Declared(_checked(name, given))

    @property
    def known(self) -> KnownValues | None:
        """The values that the category learns; None if it learns none."""
        return self._columns.known if isinstance(self._columns, _Learned) else None

    @property
    def names(self) -> list[str]:
        """One name per column."""
        return [f"metadata.{self._name}.{end}" for end in (*self._columns.ends, "missing")]

    @property
    def block(self) -> FeatureBlock:
        """The columns as one block."""
        return FeatureBlock(len(self._columns.ends) + 1, self._columns.strength)

    @property
    def schema(self) -> tuple[object, ...]:
        """The meaning of the columns, as a part of the features' version."""
        return self._name, *self._columns.meaning

    def fill(self, x: Vector, values: Sequence[str]) -> None:
        """Write the columns of ``values`` into ``x``, which holds zeros."""
        for value in values:
            x[self._columns.column(value)] += 1.0 / len(values)
        if not values:
            x[-1] = 1.0
        x[:] = root_shares(x)


class _Columns(Protocol):
    """The columns of the values of a category, of which a request may have some."""

    @property
    def ends(self) -> Sequence[str]:
        """The end of each column's name."""

    @property
    def strength(self) -> float:
        """Strength of the block."""

    @property
    def meaning(self) -> tuple[object, ...]:
        """The values that tell these columns from others."""

    def column(self, value: str) -> int:
        """Return the column of a value."""


class _Declared:
    """A column for each declared value, and one for other values."""

    strength = 1.0

    def __init__(self, values: Sequence[str]) -> None:
        self.ends = (*values, "other")
        self.meaning = (list(values),)
        self._of = {value: column for column, value in enumerate(values)}

    def column(self, value: str) -> int:
        return self._of.get(value, len(self._of))


class _Learned:
    """A column for each value that is known by now, and one for other values."""

    strength = 1.0

    def __init__(self, known: KnownValues, size: int) -> None:
        self.ends = (*(f"{column:02d}" for column in range(size)), "other")
        self.meaning = ("vocabulary", size)
        self.known = known
        self.column = known.column


class _Slots:
    """Slots for hashes of the values."""

    strength = HASHED_STRENGTH

    def __init__(self, name: str, slots: int) -> None:
        self.ends = tuple(f"{slot:02d}" for slot in range(slots))
        self.meaning = (slots,)
        self._name = name

    def column(self, value: str) -> int:
        code = blake2b(f"{self._name}={value}".encode("utf-8", "replace"), digest_size=8).digest()
        return int.from_bytes(code, "little") % len(self.ends)


def _checked(name: str, given: object) -> list[str]:
    """Return declared values; raise InvalidConfigurationError if they cannot be columns."""
    if isinstance(given, str) or not isinstance(given, Collection) or not 1 <= len(given) <= LARGEST_CATEGORY:
        raise InvalidConfigurationError(
            f"categorical {name!r} is {given!r}; give a list of 1 to {LARGEST_CATEGORY:,} values, or "
            "Hashed(slots=...) or Vocabulary(size=...) if they are not known in advance"
        )
    values = [label(value, name=f"a value of {name!r}", error=InvalidConfigurationError) for value in given]
    if len(set(values)) < len(values):
        raise InvalidConfigurationError(f"categorical {name!r} has a value twice: {values}; give each value once")
    return values
