"""Every reason of a decision is in the table of docs/concepts/guarantees.md, in the order in which they count."""

import re
from pathlib import Path

import numpy as np
import pytest

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, Controller, SimulatedBackend, lru
from banditroute.budgets import Budget
from banditroute.core import Arm
from banditroute.errors import BackendUnavailableError
from banditroute.features import Complexity
from banditroute.guard import Guard
from banditroute.learners import Learner
from banditroute.limits import CircuitBreaker, Limits, Quota, Share
from banditroute.store import MemoryStore
from tests.support import FakeClock, X, belief_of, make_router, serve, spoil

PAGE = Path(__file__).resolve().parents[2] / "docs" / "concepts" / "guarantees.md"


def rows() -> list[str]:
    """The reasons of the table."""
    text = PAGE.read_text(encoding="utf-8").split("| `decision.reason` |")[1].split("\n\n")[0]
    return [line.split("`")[1] for line in text.splitlines()[2:]]


def pattern(row: str) -> str:
    return ".*".join(re.escape(part) for part in row.split("..."))


class Reads(Complexity):
    def __init__(self, error=None):
        super().__init__()
        self.error = error

    def transform_one(self, request):
        if self.error is not None:
            raise self.error
        return np.full(self.dimension, np.nan)


class Policy:
    """A policy that does what it was made with."""

    def __init__(self, answer):
        self.answer = answer

    def probabilities(self, means, stds, *, arms, information):
        return self.answer(len(arms))


def raises(count):
    raise ValueError("no choice")


class Broken(SimulatedBackend):
    def load(self, adapter):
        raise BackendUnavailableError("it does not answer")


def clock_raises():
    raise OSError


def adapter_arms(backend, control):
    arms = [Arm(name=name, adapter=AdapterSpec(name=name, path=name, size_bytes=100)) for name in "ab"]
    return [*arms, Arm(name="base")], AdapterCache(backend=backend(capacity=Capacity(slots=1)), control=control)


class Full(MemoryStore):
    trouble = "sqlite:///routes.db: the disk is full; make room"


def unwritten(tmp_path):
    return make_router(store=Full()).route(X)


def not_finite(tmp_path):
    router = make_router()
    spoil(belief_of(router))
    return router.route(X)


def instead(tmp_path):
    arms, cache = adapter_arms(Broken, lru)
    router = make_router(*arms, adapters=cache)
    decision = next(each for each in (router.route(X) for _ in range(100)) if each.arm != "base")
    with router.lease(decision) as served:
        return served


def used_up(tmp_path):
    router = make_router(quotas=[Quota(arms=["a", "b"], requests_per_minute=1)], clock=FakeClock())
    return [router.route(X) for _ in range(4)][-1]


def forced(tmp_path):
    arms, cache = adapter_arms(SimulatedBackend, Controller.polar_plus(first_epoch=8, forced=1.0))
    router = make_router(*arms[:2], adapters=cache)
    for _ in range(60):
        decision = serve(router, quality=1.0)
        if not decision.reason.startswith("policy"):
            return decision
    return decision


def opened(tmp_path):
    router = make_router("a", breaker=CircuitBreaker(), clock=FakeClock())
    for _ in range(30):
        router.feedback(router.route(X).id, failed=True)
    return router.route(X)


def too_expensive(tmp_path):
    router = make_router()
    for _ in range(80):
        serve(router, cost_usd=0.01)
    return router.route(X, limits=Limits(max_cost_usd=1e-6))


def unjudged(tmp_path):
    router = make_router(limits=Limits(min_quality=0.2))
    for _ in range(60):
        serve(router, "a", quality=1.0)
    return next(d for d in (router.route(X) for _ in range(300)) if d.arm == "b")


PRODUCERS = [
    lambda tmp: make_router(features=Reads(OSError("secret"))).route("a text"),
    lambda tmp: make_router(features=Reads()).route("a text"),
    lambda tmp: make_router(clock=clock_raises).route(X),
    unwritten,
    not_finite,
    lambda tmp: make_router(learner=Learner(policy=Policy(lambda k: np.zeros(k)))).route(X),
    lambda tmp: make_router(learner=Learner(policy=Policy(raises))).route(X),
    instead,
    lambda tmp: make_router(Arm(name="a", max_cost_usd=2.0), budgets=[Budget(usd=1.0, per="day", hard=True)]).route(X),
    used_up,
    forced,
    opened,
    lambda tmp: make_router(Arm(name="a", context_window_tokens=10)).route(X, input_tokens=99),
    too_expensive,
    unjudged,
    lambda tmp: make_router(traffic={"a": Share(at_most=0.3)}).route(X, arms=["a"]),
    lambda tmp: make_router(guard=Guard(baseline="a")).route(X),
    lambda tmp: make_router().route(X),
]


def test_every_row_of_the_table_has_a_case():
    assert len(rows()) == len(PRODUCERS)


@pytest.mark.parametrize("number", range(len(PRODUCERS)), ids=lambda n: rows()[n][:50])
def test_reason_is_as_the_table_says(number, tmp_path):
    decision = PRODUCERS[number](tmp_path)
    row = rows()[number]
    assert re.fullmatch(pattern(row), decision.reason), decision.reason
    assert decision.fell_back == row.startswith("fallback: ")


def test_every_reason_in_the_code_is_in_the_table():
    given = re.compile(r'(?:overruled|uncovered)[ =(]+(?:overruled or \()?\s*f?"([^{"]*)')
    rooms = [PAGE.parents[2] / "banditroute" / room for room in ("router", "limits", "guard")]
    texts = [path.read_text(encoding="utf-8") for room in rooms for path in room.rglob("*.py")]
    found = {reason for text in texts for reason in given.findall(text)}
    beginnings = {row.removeprefix("fallback: ").split("...")[0] for row in rows()} - {""}
    assert len(found) >= 4
    assert [reason for reason in found if not any(reason.startswith(each) for each in beginnings)] == []


def test_quotas_that_cover_no_arm_come_before_an_adapter_that_is_tried():
    """Else a service that asks ``fell_back`` would call an arm that no quota covers."""
    arms, cache = adapter_arms(SimulatedBackend, Controller.polar_plus(first_epoch=8, forced=1.0))
    quotas = [Quota(arms=["a", "b"], requests_per_minute=40)]
    router = make_router(*arms[:2], adapters=cache, quotas=quotas, clock=FakeClock())
    decisions = [serve(router, quality=1.0) for _ in range(200)]
    assert any(decision.reason.startswith("adapters: ") for decision in decisions)
    assert all(decision.fell_back for decision in decisions[60:])
