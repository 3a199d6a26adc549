"""A database whose router has had everything happen to it that the page shows."""

import time

import numpy as np
import pytest

from banditroute import Budget, CircuitBreaker, Guard, Preference
from banditroute.store import SQLStore
from tests.support import FakeClock, make_router

HOSTILE = [
    "<script>alert(1)</script>",
    "<a href='https://evil.example'>x</a>",
    "{{7*7}}%{y}$x$",
    "<img src=x onerror=alert(1)>",
]


def fill(url, *, arms=("small", "large"), n=400, days=2.0, **settings):
    """Route ``n`` requests over the last days: ``arms`` get better and more expensive, one after the other."""
    clock = FakeClock(time.time() - days * 86_400.0)
    rng = np.random.default_rng(0)
    ids = []
    with make_router(*arms, store=SQLStore(url), clock=clock, name="support", **settings) as router:
        for i in range(n):
            clock.advance(days * 86_400.0 / n)
            decision = router.route(rng.normal(size=2), tags=["chat"] if i % 2 else ["code", "team-a"])
            rank = arms.index(decision.arm) + 1
            if i % 10:
                quality = float(rng.random() < 0.5 + 0.4 * rank / len(arms))
                router.feedback(decision.id, quality=quality, cost_usd=0.001 * 4.0**rank, latency_seconds=0.2)
            ids.append(decision.id)
    return ids


@pytest.fixture
def eventful(tmp_path):
    """The URL of a database with a budget that is overdrawn, a guard, and an open circuit."""
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    fill(
        url,
        budgets=[Budget(usd=0.001)],
        guard=Guard(baseline={"large": 1.0}, utility_range=(-1.0, 1.0)),
        preference=Preference(quality=1.0, cost_usd=5.0),
    )
    with make_router(
        "small", "large", store=SQLStore(url), name="support", breaker=CircuitBreaker(failures=2, reset_seconds=1e6)
    ) as router:
        for _ in range(3):
            router.feedback(router.route(np.zeros(2), arms=["small"]).id, failed=True)
    return url
