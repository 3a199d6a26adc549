"""Encode numbers and categories that the application knows about a request, by a declared schema."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.feature_block import FeatureBlock
from banditroute.core.request import Request
from banditroute.core.validation import label, number
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import _state
from banditroute.features._text import excerpt, stack
from banditroute.features.categories import Category, Hashed
from banditroute.features.vocabulary import KnownValues, Slot, Vocabulary

_ENTRY_AT_RANGE_END = math.sqrt(6.0)  # a uniform number and the 0 next to it then have the mean square 1
_ENTRY_IF_MISSING = math.sqrt(2.0)


class Metadata:
    """Numeric and categorical context by a declared schema: user tier, language, tools, input tokens.

    ``input_tokens``, ``session`` and ``tags`` are read from the request's own fields, every other name from its
    ``metadata``: ``router.route(text, input_tokens=900, metadata={"tier": "gold"})``. Names outside the schema are
    ignored.

    A number ``v`` declared with ``(low, high)`` gives two entries. The first is
    ``sqrt(6) (2 (v - low) / (high - low) - 1)``, limited to ``[-sqrt(6), sqrt(6)]``; the second is 0. If the number is
    missing, the first is 0 and the second ``sqrt(2)``. So the mean square of both is 1 for numbers that are uniform
    over the range, and for missing ones.

    A category declared with a list of n values gives n + 2 entries: one for each value, one for any other value, and
    one for a missing value. The entry that applies is ``sqrt(n + 2)``, the others are 0. Several tags share their
    block. If values are not known in advance, :class:`Vocabulary` gives the first ones that come a column each, and
    :class:`Hashed` gives them slots, which they may share.

    All numbers form one block, and each category forms one. The router learns for each block how much it matters.

    Parameters
    ----------
    numeric
        Name -> (lowest, highest) of the usual range; a number outside counts as the nearer end.
    categorical
        Name -> list of the expected values, ``Vocabulary(size=...)`` or ``Hashed(slots=...)``.

    Raises
    ------
    InvalidConfigurationError
        If the schema declares nothing or a name twice, or a range or a list of values is unusable.

    Examples
    --------
    >>> metadata = Metadata(numeric={"input_tokens": (0, 8000)}, categorical={"tier": ["free", "gold"]})
    >>> metadata.names[2:]
    ('metadata.tier.free', 'metadata.tier.gold', 'metadata.tier.other', 'metadata.tier.missing')
    >>> metadata.transform_one(Request(text="Hi", input_tokens=4000, metadata={"tier": "gold"}))
    array([0., 0., 0., 2., 0., 0.])
    """

    __slots__ = ("_categorical", "_categories", "_numeric")

    def __init__(
        self,
        *,
        numeric: Mapping[str, tuple[float, float]] = MappingProxyType({}),
        categorical: Mapping[str, Collection[str] | Vocabulary | Hashed] = MappingProxyType({}),
    ) -> None:
        for name in (*numeric, *categorical):
            label(name, name="a name in the schema", error=InvalidConfigurationError)
        both = sorted(numeric.keys() & categorical.keys())
        if both:
            raise InvalidConfigurationError(f"{both} are declared as numeric and as categorical; choose one")
        for name, wrong in (("session", numeric), ("tags", numeric), ("input_tokens", categorical)):
            if name in wrong:
                kind = "numeric" if wrong is numeric else "categorical"
                raise InvalidConfigurationError(f"{name} cannot be {kind}; declare it as the other kind")
        if not numeric and not categorical:
            raise InvalidConfigurationError(
                "Metadata got no schema; declare at least one name, for example categorical={'tier': ['free', 'gold']}"
            )
        self._numeric = {name: _range(name, given) for name, given in numeric.items()}
        self._categories = {name: Category(name, given) for name, given in categorical.items()}
        self._categorical = {
            name: given if isinstance(given, Hashed | Vocabulary) else list(given)
            for name, given in categorical.items()
        }

    @property
    def dimension(self) -> int:
        """Length of the vector."""
        return sum(block.columns for block in self.blocks)

    @property
    def blocks(self) -> tuple[FeatureBlock, ...]:
        """One block for all numbers, if there are any, and one for each category."""
        numbers = [FeatureBlock(2 * len(self._numeric))] if self._numeric else []
        return (*numbers, *(category.block for category in self._categories.values()))

    @property
    def vocabularies(self) -> tuple[KnownValues, ...]:
        """The values of each category that learns them."""
        return tuple(category.known for category in self._categories.values() if category.known is not None)

    def recorded(self, slot: Slot) -> Metadata:
        """Return the same features with vocabularies that are recorded in the state of a router."""
        made = Metadata(numeric=self._numeric, categorical=self._categorical)
        made._categories = {name: Category(name, given, slot) for name, given in self._categorical.items()}
        return made

    @property
    def version(self) -> str:
        """An identifier of the schema."""
        categories = [category.schema for category in self._categories.values()]
        schema = repr((list(self._numeric.items()), categories))
        return f"metadata-2:{_state.digest(np.frombuffer(schema.encode('utf-8', 'replace'), dtype=np.uint8))}"

    @property
    def names(self) -> tuple[str, ...]:
        """Two names per number, then those of each category."""
        numbers = [f"metadata.{name}{end}" for name in self._numeric for end in ("", ".missing")]
        return (*numbers, *(name for category in self._categories.values() for name in category.names))

    def transform_one(self, request: Request) -> Vector:
        """Return the features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            If the request has no text, or a value is of the wrong kind: a string where the schema declares a number,
            or a number where it declares a category.
        """
        excerpt(request)  # raises if the request has no text, as in every featurizer
        x = np.zeros(self.dimension)
        start = 0
        for name, (low, high) in self._numeric.items():
            value = _number(request, name)
            if value is None:
                x[start + 1] = _ENTRY_IF_MISSING
            else:
                # Halve each number first, so that the difference of two finite numbers cannot overflow.
                share = (0.5 * min(max(value, low), high) - 0.5 * low) / (0.5 * high - 0.5 * low)
                x[start] = _ENTRY_AT_RANGE_END * (2.0 * share - 1.0)
            start += 2
        for name, category in self._categories.items():
            columns = category.block.columns
            category.fill(x[start : start + columns], _categories(request, name))
            start += columns
        return x

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Return the features of many requests ``(n, dimension)``."""
        return stack(self, requests)


def _number(request: Request, name: str) -> float | None:
    value = request.input_tokens if name == "input_tokens" else request.metadata.get(name)
    return None if value is None else number(value, name=f"metadata {name!r}", error=InvalidRequestError)


def _categories(request: Request, name: str) -> tuple[str, ...]:
    """Return the values of a category in a request; empty if it is missing."""
    if name == "tags":
        return request.tags
    value = request.session if name == "session" else request.metadata.get(name)
    if value is None:
        return ()
    if not isinstance(value, str):
        raise InvalidRequestError(
            f"metadata {name!r} is {value!r} ({type(value).__name__}); it is declared as a category: give a string, "
            "or declare it as numeric"
        )
    return (value,)


def _range(name: str, given: object) -> tuple[float, float]:
    message = f"numeric {name!r} is {given!r}; give (lowest, highest), two finite numbers in ascending order"
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) != 2:
        raise InvalidConfigurationError(message)
    low, high = (number(end, name=f"numeric {name!r}", error=InvalidConfigurationError) for end in given)
    if not 0.5 * high - 0.5 * low > 0.0:
        raise InvalidConfigurationError(message)
    return low, high
