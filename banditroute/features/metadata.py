"""What the application knows about a request beside its text: numbers and categories, by a declared schema."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from types import MappingProxyType

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.validation import label, number
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.features import _state
from banditroute.features._text import excerpt, stack

_SPREAD = math.sqrt(3.0)  # what is uniform over [-sqrt(3), sqrt(3)] has variance 1

_LARGEST_CATEGORY = 1024


class Metadata:
    """Numeric and categorical context by a declared schema: user tier, language, tools, input tokens.

    ``input_tokens``, ``session`` and ``tags`` are read from the request's own fields, every other name from its
    ``metadata``: ``router.route(text, input_tokens=900, metadata={"tier": "gold"})``. A name that the schema does not
    declare is not read.

    A number ``v`` declared with ``(low, high)`` gives two entries: ``sqrt(3) (2 (v - low) / (high - low) - 1)``,
    limited to ``[-sqrt(3), sqrt(3)]`` so that what is uniform over the range has unit variance, and an indicator, 1
    where the number is missing (the first is 0 then, as in the middle of the range; the indicator tells them apart).

    A category declared with ``n`` gives ``n + 1`` entries: one 1 in the slot ``BLAKE2b(value) mod n``, or in the last
    where the category is missing. A value never seen before has a slot like any other; two values may share one, so
    declare about twice as many as there are values. Several tags mark a slot each; no tags are a missing category.

    Parameters
    ----------
    numeric
        Name -> (lowest, highest) of the usual range; what lies beyond counts as its end.
    categorical
        Name -> number of slots, 1 to 1,024.

    Raises
    ------
    InvalidConfigurationError
        For a schema that declares nothing, a name twice, or an unusable range or number of slots.

    Examples
    --------
    >>> metadata = Metadata(numeric={"input_tokens": (0, 8000)}, categorical={"tier": 4})
    >>> metadata.names[:2], metadata.names[-1]
    (('metadata.input_tokens', 'metadata.input_tokens.missing'), 'metadata.tier.missing')
    >>> metadata.transform_one(Request(text="Hi", input_tokens=4000))
    array([0., 0., 0., 0., 0., 0., 1.])
    """

    __slots__ = ("_categorical", "_numeric")

    def __init__(
        self,
        *,
        numeric: Mapping[str, tuple[float, float]] = MappingProxyType({}),
        categorical: Mapping[str, int] = MappingProxyType({}),
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
                "Metadata got no schema; declare at least one name, for example categorical={'tier': 4}"
            )
        self._numeric = {name: _range(name, given) for name, given in numeric.items()}
        self._categorical = {name: _slots(name, given) for name, given in categorical.items()}

    @property
    def dimension(self) -> int:
        """Length of the vector: 2 per number, ``n + 1`` per category."""
        return 2 * len(self._numeric) + sum(slots + 1 for slots in self._categorical.values())

    @property
    def version(self) -> str:
        """Names the schema."""
        schema = repr((list(self._numeric.items()), list(self._categorical.items())))
        return f"metadata-1:{_state.digest(np.frombuffer(schema.encode(), dtype=np.uint8))}"

    @property
    def names(self) -> tuple[str, ...]:
        """Two names per number, then ``n + 1`` per category."""
        numbers = [f"metadata.{name}{end}" for name in self._numeric for end in ("", ".missing")]
        categories = [
            f"metadata.{name}.{end}"
            for name, slots in self._categorical.items()
            for end in (*(f"{slot:02d}" for slot in range(slots)), "missing")
        ]
        return (*numbers, *categories)

    def transform_one(self, request: Request) -> Vector:
        """Features of one request ``(dimension,)``.

        Raises
        ------
        InvalidRequestError
            For a request without text, and for a value of the wrong kind: a string where the schema declares a number,
            or a number where it declares a category.
        """
        excerpt(request)  # refuses what has no text, as every featurizer does
        x = np.zeros(self.dimension)
        start = 0
        for name, (low, high) in self._numeric.items():
            value = _number(request, name)
            if value is None:
                x[start + 1] = 1.0
            else:
                # Halves of each, so that no difference of two finite numbers overflows.
                share = (0.5 * min(max(value, low), high) - 0.5 * low) / (0.5 * high - 0.5 * low)
                x[start] = _SPREAD * (2.0 * share - 1.0)
            start += 2
        for name, slots in self._categorical.items():
            values = _categories(request, name)
            for category in values:
                code = blake2b(f"{name}={category}".encode("utf-8", "replace"), digest_size=8).digest()
                x[start + int.from_bytes(code, "little") % slots] = 1.0
            if not values:
                x[start + slots] = 1.0
            start += slots + 1
        return x

    def transform(self, requests: Sequence[Request]) -> Vector:
        """Features of many requests ``(n, dimension)``."""
        return stack(self, requests)


def _number(request: Request, name: str) -> float | None:
    value = request.input_tokens if name == "input_tokens" else request.metadata.get(name)
    return None if value is None else number(value, name=f"metadata {name!r}", error=InvalidRequestError)


def _categories(request: Request, name: str) -> tuple[str, ...]:
    """The values of a category; none where it is missing."""
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


def _slots(name: str, given: object) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _LARGEST_CATEGORY:
        raise InvalidConfigurationError(
            f"categorical {name!r} is {given!r}; give the number of its slots, 1 to {_LARGEST_CATEGORY:,}"
        )
    return given
