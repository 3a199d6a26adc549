"""The usual size of a router's outcomes, so that one outcome of absurd size cannot ruin learning.

A mean that includes a number 1e10 times larger than the others is useless. The usual size is the geometric mean of the
absolute values so far, which one outlier changes little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from banditroute.errors import InvalidFeedbackError

_MOST_TIMES_USUAL = 1e6
_KNOWN_AFTER_OUTCOMES = 20
_REMEMBERED_OUTCOMES = 1000


class OutcomeSizes:
    """The usual size of the outcomes of every objective; an outcome far beyond it is refused.

    Examples
    --------
    >>> sizes = OutcomeSizes()
    >>> for _ in range(20):
    ...     sizes.check({"cost_usd": 0.002})
    >>> sizes.check({"cost_usd": 1e10})
    Traceback (most recent call last):
    banditroute.errors.InvalidFeedbackError: cost_usd is 1e+10, and its outcomes are about 0.002 here; check its unit, \
or leave it out: it would outweigh all others
    """

    def __init__(self) -> None:
        self._logs: dict[str, tuple[int, float]] = {}  # objective -> number of outcomes, mean of their logarithms

    def check(self, outcomes: Mapping[str, float]) -> None:
        """Take note of these outcomes; raise InvalidFeedbackError if one is a million times the usual size."""
        sizes = {name: math.log(abs(value)) for name, value in outcomes.items() if value != 0.0}
        for name, size in sizes.items():
            count, usual = self._logs.get(name, (0, 0.0))
            if count >= _KNOWN_AFTER_OUTCOMES and size - usual > math.log(_MOST_TIMES_USUAL):
                raise InvalidFeedbackError(
                    f"{name} is {outcomes[name]:g}, and its outcomes are about {math.exp(usual):.3g} here; check its "
                    "unit, or leave it out: it would outweigh all others"
                )
        for name, size in sizes.items():
            count, usual = self._logs.get(name, (0, 0.0))
            self._logs[name] = count + 1, usual + (size - usual) / min(count + 1, _REMEMBERED_OUTCOMES)
