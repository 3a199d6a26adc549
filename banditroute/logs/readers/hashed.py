"""Features of any names and any number as a vector of one length."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b

import numpy as np

from banditroute.core.arrays import Vector

SLOTS = 64
_LONGEST_KEPT = 200  # characters of a name whose place is kept


def hashed(features: Iterable[tuple[str, float]]) -> Vector:
    """Return signed feature hashes ``(SLOTS,)``: ``x[h(name)] += s(name) value`` (Weinberger et al. 2009, section 2).

    Examples
    --------
    >>> x = hashed([("hour", 0.5), ("device=phone", 1.0)])
    >>> x.shape, float(np.abs(x).sum())
    ((64,), 1.5)
    """
    x = np.zeros(SLOTS)
    for name, value in features:
        slot, sign = _place(name) if len(name) <= _LONGEST_KEPT else _place.__wrapped__(name)
        x[slot] += sign * value
    return x


@lru_cache(maxsize=65_536)
def _place(name: str) -> tuple[int, float]:
    code = blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
    return code[0] % SLOTS, 1.0 if code[1] % 2 else -1.0
