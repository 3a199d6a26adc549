"""Vocabularies: the values of a category in the order in which they first came, shared by all processes.

A column never changes its value, or what was learned from it would become wrong. So a vocabulary only grows. In a
router, the store decides the order: a new value is merged into the recorded list, and gets its column when that list
is read again. Until then it counts as any other value. Values are recorded as hashes, since they may name a person.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeAlias

from banditroute.core.forking import hold_while_forking
from banditroute.core.state import StateSlot
from banditroute.core.validation import whole
from banditroute.errors import InvalidConfigurationError

LARGEST_CATEGORY = 1024
"""Largest number of values, or slots, of one category."""

Slot: TypeAlias = Callable[[str], StateSlot]
"""Returns the place of a piece of a router's state, by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """A category whose values come from the traffic: each of the first ``size`` values gets a column of its own.

    Later values share the column of other values. All routers of one name on one database have the same columns, also
    after a restart. There, a new value counts as another value until the database has recorded it: about half a second.

    Parameters
    ----------
    size
        1 to 1,024. A belief keeps ``d x d`` numbers of each arm, so take few more than you expect.

    Raises
    ------
    InvalidConfigurationError
        If the size is out of range.

    Examples
    --------
    >>> from banditroute.core.request import Request
    >>> from banditroute.features import Metadata
    >>> tenants = Metadata(categorical={"tenant": Vocabulary(size=2)})
    >>> for tenant in ("acme", "globex", "initech", "acme"):
    ...     print(tenants.transform_one(Request(text="Hi", metadata={"tenant": tenant})))
    [2. 0. 0. 0.]
    [0. 2. 0. 0.]
    [0. 0. 2. 0.]
    [2. 0. 0. 0.]
    """

    size: int

    def __post_init__(self) -> None:
        whole(self.size, name="size", low=1, high=LARGEST_CATEGORY, error=InvalidConfigurationError)


class KnownValues:
    """The values of one category that have a column. Safe to use from many threads.

    Parameters
    ----------
    name
        Name of the category.
    size
        Number of columns.
    slot
        The place where the values are recorded. Default: nowhere; then a new value gets its column at once.
    """

    def __init__(self, *, name: str, size: int, slot: StateSlot | None = None) -> None:
        self._name = name
        self._size = size
        self._slot = slot
        self._columns: dict[str, int] = {}
        self._asked: set[str] = set()  # recorded, or about to be, and not read again yet
        self._lock = threading.RLock()  # a signal handler may come to it again
        hold_while_forking(self, "_lock")
        if slot is not None:
            self._columns = slot.load(self._read)

    @property
    def state(self) -> str:
        """Name of the piece of state that holds the values."""
        return state_of(self._name)

    @property
    def shared(self) -> bool:
        """True if a store records the values."""
        return self._slot is not None

    def column(self, value: str) -> int:
        """Return the column of a value; ``size``, the column of other values, if it has none of its own."""
        code = blake2b(f"{self._name}={value}".encode("utf-8", "replace"), digest_size=12).hexdigest()
        if code not in self._columns and len(self._columns) < self._size:
            self._add(code)
        return self._columns.get(code, self._size)

    def follow(self, blob: bytes) -> None:
        """Take the values as they are recorded now."""
        self._columns = columns = self._read(blob)
        with self._lock:
            self._asked -= columns.keys()

    def _add(self, code: str) -> None:
        with self._lock:
            if self._slot is None:
                if len(self._columns) < self._size:
                    self._columns.setdefault(code, len(self._columns))
                return
            if code in self._asked or len(self._asked) >= self._size:
                return
            self._asked.add(code)
        recorded = self._slot.save(json.dumps([code]).encode(), _merge)
        if recorded is not None:
            self.follow(recorded)

    def _read(self, blob: bytes | None) -> dict[str, int]:
        return {str(code): column for column, code in enumerate(json.loads(blob or b"[]")[: self._size])}


def state_of(name: str) -> str:
    """Return the name of the state that holds the values of a category."""
    return f"vocabulary {name}"


def _merge(earlier: bytes, later: bytes) -> bytes:
    """Return the values of both lists, those of ``earlier`` first, at most as many as a category can have."""
    values = dict.fromkeys([*json.loads(earlier), *json.loads(later)])
    return json.dumps(list(values)[:LARGEST_CATEGORY]).encode()
