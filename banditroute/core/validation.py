"""Checks of numbers that come from outside: a bool, a string or a NaN is never taken for a number."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from decimal import Decimal
from numbers import Integral, Real

from banditroute.errors import InvalidInputError

_PLAIN = (float, int)

LARGEST = 1e50
"""Beyond it a context, an outcome or a weight is refused: products of four such numbers are still finite."""


def number(
    value: object,
    *,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[InvalidInputError] = InvalidInputError,
) -> float:
    """``value`` as a finite float within ``[low, high]``.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) for a bool, a non-number, NaN, infinity, or a value out of range.

    Examples
    --------
    >>> number(1, name="quality", low=0.0, high=1.0)
    1.0
    >>> number(True, name="quality")
    Traceback (most recent call last):
    banditroute.errors.InvalidInputError: quality is True (bool); give a number: float(...) if you mean 0 or 1
    """
    if type(value) not in _PLAIN:
        if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
            raise error(f"{name} is {value} (bool); give a number: float(...) if you mean 0 or 1")
        if not isinstance(value, Real | Decimal):
            raise error(f"{name} is {value!r} ({type(value).__name__}); give a number")
    try:
        result = float(value)  # type: ignore[arg-type]
    except OverflowError:
        result = math.inf
    except ValueError:  # a Decimal's signalling NaN
        result = math.nan
    if not math.isfinite(result):
        raise error(f"{name} is {result}; give a finite number, or leave it out if it is not known")
    if not low <= result <= high:
        raise error(f"{name} is {result!r}; it must be {_range(low, high)}")
    return result


def plain_numbers(value: object) -> None:
    """Replace each ``Decimal`` in a frozen dataclass, also in its mappings, by a float.

    Call it first in ``__post_init__``: floats and Decimals cannot be added. What is not finite is left for the checks.
    """
    for each in fields(value):  # type: ignore[arg-type]
        given = getattr(value, each.name)
        if isinstance(given, Decimal):
            object.__setattr__(value, each.name, _plain(given))
        elif isinstance(given, Mapping) and any(isinstance(one, Decimal) for one in given.values()):
            object.__setattr__(value, each.name, {key: _plain(one) for key, one in given.items()})


def _plain(value: object) -> object:
    return float(value) if isinstance(value, Decimal) and value.is_finite() else value


def _range(low: float, high: float) -> str:
    if high == math.inf:
        return f"at least {low:g}"
    if low == -math.inf:
        return f"at most {high:g}"
    return f"between {low:g} and {high:g}"


def whole(value: object, *, name: str, low: int = 1, error: type[InvalidInputError] = InvalidInputError) -> int:
    """``value`` as a whole number of at least ``low``.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) for a bool, anything but an int, and a smaller one.

    Examples
    --------
    >>> whole(2, name="slots")
    2
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < low:
        raise error(f"{name} is {value!r}; give a whole number of at least {low}")
    return int(value)


def label(value: object, *, name: str, error: type[InvalidInputError] = InvalidInputError) -> str:
    """``value`` as a non-empty string that every database can hold.

    Raises
    ------
    InvalidInputError
        (or the subclass given as ``error``) for anything but a string, for an empty one, for one over 255
        characters, and for one with a NUL or a lone surrogate.
    """
    if not isinstance(value, str):
        raise error(f"{name} is {value!r} ({type(value).__name__}); give a string")
    if not 0 < len(value) <= 255:
        raise error(f"{name} has {len(value)} characters; give 1 to 255")
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise error(f"{name} is {value!r}; NUL and lone surrogates cannot be stored: remove them")
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
        raise error(f"unknown {name} {value!r:.80}; known: {', '.join(choices)}")
    return value
