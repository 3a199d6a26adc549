"""Load through the router: expected latencies follow open decisions, in batches and in several processes."""

import time
from collections import Counter

import numpy as np
import pytest

from banditroute import Preference, Router
from banditroute.store import SQLStore
from tests.support import FakeClock, engine_of, wait_until

SECONDS = {"fast": 1.0, "slow": 3.0}  # and as much again for each open decision of the arm


def make(clock=None, **settings):
    given = {"preference": Preference(quality=1.0, latency_seconds=0.1), "seed": 0, **settings}
    return Router(arms=list(SECONDS), features=1, clock=clock or FakeClock(), **given)


def serve(router, count, arms=None):
    """Route ``count`` requests at once; report a latency that grows with the requests that the arm has already."""
    decisions, queue = router.route_many([[0.0]] * count, arms=arms), Counter()
    for decision in decisions:
        queue[decision.arm] += 1
        router.feedback(decision.id, quality=1.0, latency_seconds=SECONDS[decision.arm] * queue[decision.arm])
    return decisions


def learned(clock=None, **settings):
    router = make(clock, **settings)
    for arm in SECONDS:
        for _ in range(6):
            serve(router, 10, arms=[arm])
    return router


def latency(decision, arm):
    return decision.means[decision.objectives.index("latency_seconds"), decision.arms.index(arm)]


def test_expected_latency_follows_the_open_decisions():
    router = learned()
    idle = router.preview([0.0])
    opened = [router.route([0.0], arms=["fast"]) for _ in range(8)]
    busy = router.preview([0.0])
    assert latency(busy, "fast") - latency(idle, "fast") == pytest.approx(8 * SECONDS["fast"], rel=0.1)
    assert latency(busy, "slow") == pytest.approx(latency(idle, "slow"))
    quality, seconds = (busy.means[busy.objectives.index(name)] for name in ("quality", "latency_seconds"))
    assert busy.utilities == pytest.approx(quality - 0.1 * seconds)
    for decision in opened:
        router.feedback(decision.id, quality=1.0)
    assert latency(router.preview([0.0]), "fast") == pytest.approx(latency(idle, "fast"), abs=0.5)


def test_batch_does_not_go_to_the_arm_that_is_empty_now():
    served = Counter(decision.arm for decision in serve(learned(), 200))
    # the last request waits equally long for both where 3 of 4 go to the arm that is three times as fast
    assert served["fast"] / 200 == pytest.approx(0.75, abs=0.06)


def test_draws_within_a_batch_agree_with_the_propensities():
    drawn, expected = [], []
    for seed in range(40):
        router = make(seed=seed)
        for arm in SECONDS:
            serve(router, 10, arms=[arm])
        for decision in router.route_many([[0.0]] * 20):
            drawn.append(decision.arm == "fast")
            expected.append(decision.probabilities[decision.arms.index("fast")])
    variance = sum(p * (1.0 - p) for p in expected)
    assert variance > 5.0
    assert abs(sum(drawn) - sum(expected)) < 4.0 * variance**0.5


def test_deadline_excludes_an_arm_that_is_too_busy():
    router = learned()
    assert "fast" in router.route([0.0], deadline_seconds=6.0).arms
    for _ in range(10):
        router.route([0.0], arms=["fast"])
    assert "limits" in router.preview([0.0], deadline_seconds=6.0).excluded["fast"]


def test_open_decisions_are_not_counted_where_latency_does_not_matter():
    router = make(preference=Preference(quality=1.0))
    serve(router, 10)
    load = engine_of(router).with_constraints(lambda constraints: constraints.load)
    assert not load.watched
    assert load.open_decisions("fast") == 0


def test_open_decisions_of_other_processes_count(tmp_path):
    url = f"sqlite:///{tmp_path}/routes.db"
    clock = FakeClock(time.time() // 60.0 * 60.0 + 5.0)
    with learned(clock, store=SQLStore(url)) as one, make(clock, store=SQLStore(url)) as other:
        load = engine_of(one).with_constraints(lambda constraints: constraints.load)
        idle = latency(one.preview([0.0]), "fast")
        for _ in range(8):
            clock.advance(0.3)
            other.route([0.0], arms=["fast"])
        other.flush()
        clock.advance(0.3)
        one.feedback(one.route([0.0], arms=["slow"]).id, quality=1.0)

        def heard():
            clock.advance(0.3)
            one.feedback(one.route([0.0], arms=["fast"]).id, quality=1.0)
            one.flush()
            return load.open_decisions("fast") == 8

        wait_until(heard)
        assert latency(one.preview([0.0]), "fast") > idle + 5.0


def test_preview_opens_nothing():
    router = learned()
    before = latency(router.preview([0.0]), "fast")
    for _ in range(20):
        router.preview([0.0])
    assert latency(router.preview([0.0]), "fast") == before


def test_decisions_stay_finite_where_latencies_are_extreme():
    router = make()
    for seconds in (0.0, 1e6) * 20:
        first, second = router.route_many([[0.0]] * 2)
        router.feedback(first.id, quality=1.0, latency_seconds=0.0)
        router.feedback(second.id, quality=1.0, latency_seconds=seconds)
    decision = router.route([0.0])
    assert not decision.fell_back
    assert np.isfinite(decision.means).all()
    assert (decision.means[decision.objectives.index("latency_seconds")] >= 0.0).all()
