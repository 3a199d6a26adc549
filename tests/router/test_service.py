"""A router on a real SQLite file, as a service runs it: many callers at once, a database that fails and comes back."""

import asyncio
import sqlite3
import time
from contextlib import closing

import numpy as np
import pytest

from banditroute import Router, SQLStore, StoreError, ThompsonSampling
from banditroute.beliefs import Linear


@pytest.fixture
def path(tmp_path):
    return tmp_path / "routes.db"


def count(path, table):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT count(*) FROM banditroute_{table}").fetchone()[0]


def wait_until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


async def test_many_tasks_route_and_report_while_the_loop_stays_free(path):
    with Router(arms=["a", "b"], features=2, store=SQLStore(f"sqlite:///{path}"), seed=0) as router:
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.0)

        async def serve(i):
            decision = await router.aroute([i / 100.0, 1.0])
            await router.afeedback(decision.id, quality=(i % 5) / 4.0, latency_seconds=0.1)
            await router.afeedback(decision.id, cost_usd=0.001 * i)

        ticker = asyncio.create_task(tick())
        await asyncio.gather(*(serve(i) for i in range(100)))
        ticker.cancel()
        assert ticks > 100
        assert router.status().learned == 100
    assert (count(path, "decision"), count(path, "feedback")) == (100, 300)


def test_a_database_that_cannot_be_written_costs_no_request_and_comes_back(path):
    with Router(arms=["a", "b"], features=0, store=SQLStore(f"sqlite:///{path}?timeout=0.1"), fallback="b") as router:
        told = router.route([])
        router.flush()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # another application holds the file and does not let go
            router.route([])
            wait_until(lambda: router.route([]).fell_back)
            decision = router.route([])
            assert decision.arm == "b"
            assert "database is locked" in decision.reason
            with pytest.raises(StoreError, match="another process is writing for too long"):
                router.feedback(told.id, quality=1.0)
            assert router.status().learned == 0
        wait_until(lambda: not router.route([]).fell_back)
        router.feedback(told.id, quality=1.0)
        router.feedback(decision.id, quality=0.5)  # decided while nothing could be written
        assert router.status().learned == 2
        assert router.status().fallbacks >= 2


def test_thompson_chooses_as_often_as_sampled_weights_would():
    """Agrawal and Goyal, algorithm 1, drawn 200,000 times: weights of every arm, then the best arm at the context."""
    rng = np.random.default_rng(0)
    spec = Linear(feature_precision=2.0, intercept_precision=1.0, noise={"quality": 0.3})
    scale, floor, d, arms = 0.8, 0.05, 4, ["a", "b", "c"]
    learner = ThompsonSampling(scale=scale, floor=floor, belief=spec, context_exploration=1.0)
    router = Router(arms=arms, features=d - 1, learner=learner, seed=1)
    s, b = np.zeros((3, d, d)), np.zeros((3, d))
    for _ in range(60):
        features = rng.normal(size=d - 1)
        decision = router.route(features)
        quality = float(rng.random())
        router.feedback(decision.id, quality=quality)
        k = arms.index(decision.arm)
        s[k] += np.outer(decision.x, decision.x)
        b[k] += quality * decision.x
    decision = router.route(rng.normal(size=d - 1))
    prior = np.diag([2.0, 2.0, 2.0, 1.0])
    sampled = np.empty((200_000, 3))
    for k in range(3):
        inverse = np.linalg.inv(prior + s[k])
        mean = inverse @ (b[k] + prior @ np.array([0.0, 0.0, 0.0, 0.5]))
        sampled[:, k] = rng.multivariate_normal(mean, (scale * 0.3) ** 2 * inverse, size=200_000) @ decision.x
    frequencies = np.bincount(sampled.argmax(axis=1), minlength=3) / 200_000
    expected = (1.0 - floor) * frequencies + floor / 3
    assert decision.probabilities == pytest.approx(expected, abs=0.006)
    assert decision.propensity == decision.probabilities[arms.index(decision.arm)]
