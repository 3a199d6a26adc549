"""Locks and a fork: a child finds every part whole, and every lock free.

A process that is forked copies its memory while other threads may be in the middle of a change, and it copies their
locks, which nobody in the child will release.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress

_WAIT_SECONDS = 2.0  # how long a fork waits for a lock; then the child may find that part in the middle of a change
_REENTRANT = type(threading.RLock())

_numbers = itertools.count()
held_parts: dict[int, tuple[weakref.ref[object], tuple[str, ...]]] = {}  # in the order in which they were made
_held = threading.local()  # what the thread that forks holds


def hold_while_forking(part: object, *locks: str) -> None:
    """Hold the locks in these attributes of ``part`` while the process is forked; a child gets new ones.

    Call it when ``part`` is made: an object, or a module that has locks. Parts are held in the reverse order, as a part
    is made after those that it uses. If it has a method ``before_fork()``, that is called in the parent while the locks
    are held. If it has a method ``begin_in_child()``, that is called in the child.

    Examples
    --------
    >>> class Counter:
    ...     def __init__(self) -> None:
    ...         self.lock = threading.Lock()
    ...         hold_while_forking(self, "lock")
    >>> counter = Counter()
    """
    number = next(_numbers)
    held_parts[number] = weakref.ref(part, lambda _: held_parts.pop(number, None)), locks


def _before() -> None:
    newest_first = reversed(list(held_parts.values()))  # a copy: other threads may make parts meanwhile
    _held.parts = [(part, locks) for ref, locks in newest_first if (part := ref()) is not None]
    _held.releases = releases = []
    for part, locks in _held.parts:
        for name in locks:
            lock = getattr(part, name)
            if lock.acquire(timeout=_WAIT_SECONDS):
                releases.append(lock.release)
        _call(part, "before_fork")


def _after_in_parent() -> None:
    releases: list[Callable[[], None]] = _held.releases
    for release in reversed(releases):
        with suppress(RuntimeError):
            release()
    _held.parts = _held.releases = ()


def _after_in_child() -> None:
    for part, locks in reversed(_held.parts):
        for name in locks:
            reentrant = isinstance(getattr(part, name), _REENTRANT)
            setattr(part, name, threading.RLock() if reentrant else threading.Lock())
        _call(part, "begin_in_child")
    _held.parts = _held.releases = ()


def _call(part: object, method: str) -> None:
    if (call := getattr(part, method, None)) is not None:
        call()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
