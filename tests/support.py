"""Helpers that tests of several rooms share."""

from __future__ import annotations

import faulthandler
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np

from banditroute.beliefs.base import Belief
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.learners import Learner
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.router.assembly import parts_of
from banditroute.router.engine import Engine
from banditroute.store import MemoryStore, Store
from banditroute.store.base import StoredState

X = np.array([0.3, -0.2])
"""Ready features of a request, for a router of two features."""


class FakeClock:
    """A clock that stands still until it is moved; give it as ``Router(clock=...)``."""

    def __init__(self, now: float = 1.7e9) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self.now += seconds


def make_router(*arms: Any, **settings: Any) -> Router:
    """Return a router over ``arms`` (default: a and b) with two ready features, which chooses uniformly."""
    given = {"features": 2, "learner": Learner(policy=Uniform()), "seed": 0, **settings}
    return Router(arms=list(arms) or ["a", "b"], **given)


def serve(router: Router, arm: str | None = None, *, x: Vector = X, route: Any = None, **outcomes: Any) -> Decision:
    """Route a request, to ``arm`` if one is named, and report outcomes if some are given; return the decision."""
    options = {**(route or {}), **({} if arm is None else {"arms": [arm]})}
    decision = router.route(x, **options)
    if outcomes:
        router.feedback(decision.id, **outcomes)
    return decision


def engine_of(router: Router) -> Engine:
    """Return the engine of a router. Tests look into a router here and in ``store_of`` alone."""
    return parts_of(router).engine


def store_of(router: Router) -> Any:
    """Return the store of a router."""
    return parts_of(router).settings.store


def belief_of(router: Router) -> Belief:
    """Return the present belief of a router."""
    return engine_of(router).models.belief


def spoil(belief: Belief) -> None:
    """Turn all that a belief has learned into NaN, as damaged statistics may."""
    for learned in ("_own", "_theta"):
        if hasattr(belief, learned):
            getattr(belief, learned)[:] = np.nan


def remember(store: MemoryStore, name: str, blob: bytes, *, router: str = "default") -> None:
    """Let a store hold a piece of state of a router, as an earlier process may have left it."""
    store.open(router=router, arms=(), features_version="", dimension=1, fold=lambda *_: b"")
    store.save_state(name, blob)
    store.close()


def remembered(store: Store, *, router: str = "default") -> StoredState:
    """Return the state that a store holds of a router, and close the store."""
    memory = store.open(router=router, arms=(), features_version="", dimension=1, fold=lambda *_: b"")
    store.close()
    return memory


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return when ``condition`` holds; fail after that time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.002)


class Interrupted(BaseException):
    """Stands for what a signal handler raises, such as KeyboardInterrupt."""


@contextmanager
def interrupting_at(instruction: int) -> Iterator[None]:
    """Raise ``Interrupted`` at this bytecode instruction, counted from 1, of the functions that are called within.

    A signal handler can raise between any two instructions. So instructions 1, 2, 3 and so on try all such moments.
    """
    count = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal count
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += 1
            if count == instruction:
                raise Interrupted
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def in_child(work: Callable[[], str]) -> str:
    """Return the text that ``work()`` returns in a forked child, or its error; fail if it takes 30 seconds."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        faulthandler.dump_traceback_later(30.0, exit=True)
        try:
            text = work()
        except BaseException as error:
            text = repr(error)
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answers:
        text = answers.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child hangs"
    return text
