"""Checks of values that come from outside: each returns the value, or raises an error with a remedy.

A bool, a string or a NaN is never taken for a number.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Set
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from typing import Any

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.errors import InvalidInputError

_FLOATS = (float, np.float64)
_OTHER_NUMBERS = (Decimal, Fraction, np.integer, np.floating)
_LONGEST_QUOTE = 80  # characters of a caller's value in an error message
_MOST_NAMES = 20  # in an error message

LARGEST = 1e50
"""An outcome or a weight beyond it is refused: products of four such numbers are still finite."""
LARGEST_FEATURE = 1e8
"""Largest number in a context: one that is far larger than all others would outweigh all that was learned."""


def number(
    value: object,
    *,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[InvalidInputError] = InvalidInputError,
) -> float:
    """Return ``value`` as a finite float within ``[low, high]``.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is a bool, not a number, NaN, an infinity, or out of range.

    Examples
    --------
    >>> number(1, name="quality", low=0.0, high=1.0)
    1.0
    >>> number(True, name="quality")
    Traceback (most recent call last):
    banditroute.errors.InvalidInputError: quality is True (bool); give a number: float(...) if you mean 0 or 1
    """
    if type(value) in _FLOATS and low <= value <= high and math.isfinite(value):  # type: ignore[operator, arg-type]
        return float(value)  # type: ignore[arg-type]  # the usual case
    if type(value) is not int:
        if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
            raise error(f"{name} is {value} (bool); give a number: float(...) if you mean 0 or 1")
        if not isinstance(value, Real | Decimal):
            raise error(f"{name} is {shown(value)} ({type(value).__name__}); give a number")
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    except ValueError:  # a Decimal's signalling NaN
        result = math.nan
    except Exception as failure:  # a type of the caller's own
        raise error(f"{name} is a {type(value).__name__} that gives no number ({type(failure).__name__})") from None
    if not math.isfinite(result):
        raise error(f"{name} is {result}; give a finite number, or leave it out if it is not known")
    if not low <= result <= high:
        raise error(f"{name} is {result!r}; it must be {_range(low, high)}")
    return result


def plain_numbers(value: object) -> None:
    """Replace each number of another kind in a frozen dataclass, also in its mappings, by Python's own.

    Call it first in ``__post_init__``: floats and Decimals cannot be added, and numbers of numpy cannot be compared
    with a tuple. What is not finite is left for the checks.
    """
    for each in fields(value):  # type: ignore[arg-type]
        given = getattr(value, each.name)
        if isinstance(given, _OTHER_NUMBERS):
            object.__setattr__(value, each.name, plain_number(given))
        elif isinstance(given, Mapping) and any(isinstance(one, _OTHER_NUMBERS) for one in given.values()):
            object.__setattr__(value, each.name, {key: plain_number(one) for key, one in given.items()})


def plain_number(value: object) -> object:
    """Return a Decimal, a fraction or a number of numpy as a float or an int; anything else as it is.

    Examples
    --------
    >>> plain_number(np.int64(3)), plain_number(Decimal("0.5")), plain_number("0.5")
    (3, 0.5, '0.5')
    """
    if isinstance(value, np.integer):
        return int(value)
    if not isinstance(value, _OTHER_NUMBERS) or (isinstance(value, Decimal) and not value.is_finite()):
        return value
    try:
        return float(value)
    except OverflowError:  # a fraction beyond all floats
        return value


def _range(low: float, high: float) -> str:
    if high == math.inf:
        return f"at least {low:g}"
    if low == -math.inf:
        return f"at most {high:g}"
    return f"between {low:g} and {high:g}"


def positive(
    value: object, *, name: str, high: float = math.inf, error: type[InvalidInputError] = InvalidInputError
) -> float:
    """Return ``value`` as a finite float above 0, and at most ``high``.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is not such a number.

    Examples
    --------
    >>> positive(0, name="reset_seconds")
    Traceback (most recent call last):
    banditroute.errors.InvalidInputError: reset_seconds is 0; give a number above 0
    """
    result = number(value, name=name, high=high, error=error)
    if result <= 0.0:
        raise error(f"{name} is {value!r}; give a number above 0")
    return result


def non_negative(
    value: object, *, name: str, high: float = math.inf, error: type[InvalidInputError] = InvalidInputError
) -> float:
    """Return ``value`` as a finite float of at least 0, and at most ``high``; raise ``error`` for any other."""
    return number(value, name=name, low=0.0, high=high, error=error)


def probability(value: object, *, name: str, error: type[InvalidInputError] = InvalidInputError) -> float:
    """Return ``value`` as a float in [0, 1]; raise ``error`` for any other."""
    return number(value, name=name, low=0.0, high=1.0, error=error)


def open_unit(value: object, *, name: str, error: type[InvalidInputError] = InvalidInputError) -> float:
    """Return ``value`` as a float above 0 and below 1; raise ``error`` for any other.

    Examples
    --------
    >>> open_unit(1, name="alpha")
    Traceback (most recent call last):
    banditroute.errors.InvalidInputError: alpha is 1; give a number above 0 and below 1
    """
    result = number(value, name=name, low=0.0, high=1.0, error=error)
    if result in (0.0, 1.0):
        raise error(f"{name} is {value!r}; give a number above 0 and below 1")
    return result


def whole(
    value: object,
    *,
    name: str,
    low: int = 1,
    high: int | None = None,
    error: type[InvalidInputError] = InvalidInputError,
) -> int:
    """Return ``value`` as a whole number of at least ``low``, and at most ``high`` if that is given.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is a bool, not an int, or out of range.

    Examples
    --------
    >>> whole(2, name="slots")
    2
    """
    if (
        not isinstance(value, Integral)
        or isinstance(value, bool)
        or int(value) < low
        or (high is not None and int(value) > high)
    ):
        expected = f"of at least {low}" if high is None else f"from {low} to {high:,}"
        raise error(f"{name} is {shown(value)}; give a whole number {expected}")
    return int(value)


def flag(value: object, *, name: str, error: type[InvalidInputError] = InvalidInputError) -> bool:
    """Return ``value`` if it is True or False; raise ``error`` for any other."""
    if not isinstance(value, bool):
        raise error(f"{name} is {shown(value)} ({type(value).__name__}); give True or False")
    return value


def one_of(
    value: object, choices: Collection[str], *, name: str, error: type[InvalidInputError] = InvalidInputError
) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is not.

    Examples
    --------
    >>> one_of("none", ["apply", "observe"], name="mode")
    Traceback (most recent call last):
    banditroute.errors.InvalidInputError: unknown mode 'none'; known: apply, observe
    """
    if not isinstance(value, str) or value not in choices:
        raise error(f"unknown {name} {shown(value)}; known: {', '.join(choices)}")
    return value


def mapping_copy(
    value: object, *, name: str, example: str, error: type[InvalidInputError] = InvalidInputError
) -> dict[str, Any]:
    """Return a copy of the mapping ``value``, so that the caller may go on to change its own; the keys are strings.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is not a mapping from strings; ``example`` shows one.

    Examples
    --------
    >>> mapping_copy({"a": 1.0}, name="traffic", example="{'new': 0.2}")
    {'a': 1.0}
    """
    if not isinstance(value, Mapping):
        raise error(f"{name} is {shown(value)} ({type(value).__name__}); give a mapping, for example {example}")
    for key in value:
        label(key, name=f"a name in {name}", error=error)
    return dict(value)


def several(
    value: object, *, name: str, example: str, error: type[InvalidInputError] = InvalidInputError
) -> Iterator[Any]:
    """Return an iterator over ``value``.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is one string, or cannot be iterated over; ``example`` shows one.

    Examples
    --------
    >>> list(several([1, 2], name="requests", example="['Why?']"))
    [1, 2]
    >>> several("Why?", name="requests", example="['Why?']")
    Traceback (most recent call last):
    banditroute.errors.InvalidInputError: requests is 'Why?' (str); give several, for example ['Why?']
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise error(f"{name} is {shown(value)} ({type(value).__name__}); give several, for example {example}")
    return iter(value)


def finite_vector(
    value: object, *, name: str, dimension: int, error: type[InvalidInputError] = InvalidInputError
) -> Vector:
    """Return ``value`` as ``dimension`` float64 numbers within ``LARGEST_FEATURE``; copy only where needed.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it has another shape, or holds anything but finite numbers.

    Examples
    --------
    >>> finite_vector([1, 2], name="the offset", dimension=2)
    array([1., 2.])
    """
    try:
        vector = np.asarray(value)
    except Exception:  # rows of different lengths, or a type of the caller's own
        vector = np.empty(0, dtype=object)
    if vector.dtype.kind not in "fiu":
        raise error(f"{name} is {type(value).__name__} of {vector.dtype}; give {dimension} numbers")
    if vector.shape != (dimension,):
        raise error(f"{name} has shape {vector.shape}; give ({dimension},)")
    vector = vector.astype(np.float64, copy=False)
    if not bounded(vector):
        raise error(
            f"{name} holds NaN, an infinity or numbers beyond {LARGEST_FEATURE:g}; "
            "give finite numbers of mean square about 1"
        )
    return vector


def bounded(vector: Vector) -> bool:
    """Return whether all numbers are finite and their root sum of squares is at most ``LARGEST_FEATURE``."""
    # Of all ways to compute a sum of squares, only vdot gives no warning where it overflows.
    return float(np.vdot(vector, vector)) <= LARGEST_FEATURE * LARGEST_FEATURE


def label(value: object, *, name: str, error: type[InvalidInputError] = InvalidInputError) -> str:
    """Return ``value`` if it is a name that every database can hold.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is not a string of 1 to 255 characters, or holds a NUL or a lone
        surrogate.
    """
    if not isinstance(value, str) or type(value).__hash__ is None:
        raise error(f"{name} is {shown(value)} ({type(value).__name__}); give a string")
    if not 0 < len(value) <= 255:
        raise error(f"{name} has {len(value)} characters; give 1 to 255")
    if "\x00" in value or (not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value)):
        raise error(f"{name} is {shown(value)}; NUL and lone surrogates cannot be stored: remove them")
    return value


def labels(values: object, *, name: str, error: type[InvalidInputError] = InvalidInputError) -> tuple[str, ...]:
    """Return ``values`` as a tuple of labels, sorted if they were a set.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) If it is one string or no collection, or if one of them is no label.

    Examples
    --------
    >>> labels({"vision", "tools"}, name="capabilities")
    ('tools', 'vision')
    """
    if isinstance(values, str):
        raise error(f"{name} is the string {shown(values)}; give a collection of strings, ({shown(values)},)")
    if not isinstance(values, Collection):
        raise error(f"{name} is {shown(values)} ({type(values).__name__}); give a collection of strings")
    each = tuple(label(value, name=f"one of {name}", error=error) for value in values)
    return tuple(sorted(each)) if isinstance(values, Set) else each


def shown(value: object) -> str:
    """Return ``repr(value)`` for an error message, cut to 80 characters; its type alone if ``repr`` raises.

    Examples
    --------
    >>> shown("Why? " * 40)
    "'Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? Why? W..."
    """
    try:
        text = repr(value)
    except Exception:  # of the caller's own code
        text = f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def listed(names: Iterable[str]) -> str:
    """Return names in alphabetical order for an error message, 20 at most.

    Examples
    --------
    >>> listed(f"arm {number}" for number in range(10, 40))[-30:]
    'arm 28, arm 29, ... (30 names)'
    """
    known = sorted(names)
    cut = [shown(name)[1:-1] for name in known[:_MOST_NAMES]]
    return ", ".join(cut if len(known) <= _MOST_NAMES else [*cut, f"... ({len(known):,} names)"])
