"""The status of a router: figures of this process, without reading a database."""

import json

import pytest

from banditroute.budgets import Budget
from banditroute.guard import Guard
from banditroute.store.memory import MemoryStore
from tests.support import FakeClock, X, make_router, serve


def test_a_new_router_has_decided_nothing():
    status = make_router(name="docs", clock=FakeClock(7.0)).status()
    assert (status.router, status.at) == ("docs", 7.0)
    assert (status.decisions, status.learned, status.fallbacks, status.unobserved) == (0, 0, 0, 0)
    assert [(arm.arm, arm.decisions, arm.share, arm.means) for arm in status.arms] == [
        ("a", 0, 0.0, {}),
        ("b", 0, 0.0, {}),
    ]
    assert (status.trouble, status.rollout, status.budgets, status.resets) == (None, None, (), ())


def test_shares_and_means_of_every_arm():
    router = make_router()
    for quality in (0.2, 0.4, 0.9):
        serve(router, "a", quality=quality)
    serve(router, "b", cost_usd=0.5)
    status = router.status()
    assert status.decisions == status.learned == 4
    assert (status.arm("a").share, status.arm("b").share) == (0.75, 0.25)
    assert status.arm("a").means == {"quality": pytest.approx(0.5)}
    assert status.arm("b").means == {"cost_usd": 0.5}
    with pytest.raises(KeyError):
        status.arm("c")


def test_a_correction_replaces_the_outcome_in_the_means():
    clock = FakeClock(0.0)
    router = make_router(clock=clock)
    first, second = (serve(router, "a", quality=quality) for quality in (0.2, 0.6))
    router.correct(first.id, quality=0.8)
    assert router.status().arm("a").means == {"quality": pytest.approx(0.7)}  # (0.8 + 0.6) / 2
    for minute in range(1, 90):  # the hour of these outcomes ends
        clock.now = 60.0 * minute
        serve(router, "b", quality=1.0)
    router.correct(second.id, quality=0.0)
    assert router.status().arm("a").means == {"quality": pytest.approx(0.4)}  # (0.8 + 0.0) / 2
    assert router.status().arm("a").means_last_hour == {}


def test_an_outcome_of_a_session_counts_by_shares():
    router = make_router()
    own = router.route(X, session="s", arms=["a"])
    for arm in ("a", "b", "b"):
        router.route(X, session="s", arms=[arm])
    router.feedback(own.id, quality=0.2)
    router.session_feedback("s", quality=0.8)
    status = router.status()
    assert status.arm("a").means == {"quality": pytest.approx((0.2 + 0.8 / 4) / (1 + 1 / 4))}
    assert status.arm("b").means == {"quality": pytest.approx(0.8)}


def test_an_outcome_credited_by_advantage_counts_as_it_was_reported():
    router = make_router()
    for arm in ("a", "b", "b"):
        serve(router, arm, quality=0.9 if arm == "a" else 0.1)
    for _ in range(2):
        router.route(X, session="s")
    router.session_feedback("s", quality=0.5, credit="advantage")
    weights = {arm.arm: arm.decisions for arm in router.status().arms}
    means = {name: router.status().arm(name).means["quality"] for name in ("a", "b")}
    extra = {"a": weights["a"] - 1, "b": weights["b"] - 2}  # decisions of the session, each half an outcome
    assert means["a"] == pytest.approx((0.9 + 0.25 * extra["a"]) / (1 + extra["a"] / 2))
    assert means["b"] == pytest.approx((0.2 + 0.25 * extra["b"]) / (2 + extra["b"] / 2))


def test_an_outcome_of_its_own_replaces_the_share_of_a_session():
    router = make_router()
    decision = router.route(X, session="s", arms=["a"])
    router.route(X, session="s", arms=["b"])
    router.session_feedback("s", quality=0.8)
    router.feedback(decision.id, quality=0.2)
    assert router.status().arm("a").means == {"quality": pytest.approx(0.2)}
    assert router.status().arm("b").means == {"quality": pytest.approx(0.8)}


def test_the_last_hour_leaves_out_what_is_older():
    clock = FakeClock(0.0)
    router = make_router(clock=clock)
    for minute in range(90):
        clock.now = 60.0 * minute
        serve(router, "a" if minute < 60 else "b", quality=minute / 100.0)
    status = router.status()
    assert (status.arm("a").decisions, status.arm("b").decisions) == (60, 30)
    assert (status.arm("a").decisions_last_hour, status.arm("b").decisions_last_hour) == (30, 30)
    assert status.arm("a").share_last_hour == 0.5
    assert status.arm("a").means_last_hour == {"quality": pytest.approx(sum(range(30, 60)) / 3000.0)}
    clock.now = 60.0 * 300
    assert router.status().arm("b").decisions_last_hour == 0


def test_learned_counts_what_earlier_processes_learned_and_decisions_do_not():
    store = MemoryStore()
    with make_router(store=store) as router:
        serve(router, quality=1.0)
    with make_router(store=store) as router:
        status = router.status()
    assert (status.learned, status.decisions) == (1, 0)


def test_an_open_circuit_is_named():
    router = make_router(clock=FakeClock())
    for _ in range(5):
        serve(router, "b", failed=True)
    status = router.status()
    assert status.open_circuits == ("b",)
    assert status.arm("b").means == {"availability": 0.0}


def test_budgets_and_rollout_are_shown():
    router = make_router(budgets=[Budget(usd=0.01)], guard=Guard(baseline="a"))
    serve(router, "a", cost_usd=0.005)
    status = router.status()
    assert status.budgets[0].spent == pytest.approx(0.005)
    assert (status.rollout.mode, status.rollout.share) == ("apply", 0.05)


def test_trouble_of_the_store_is_shown():
    router = make_router()
    router.close()
    router.route(X)
    status = router.status()
    assert status.fallbacks == 1
    assert status.trouble.startswith("the store is closed")


def test_status_prints_as_a_table_and_dumps_as_json():
    router = make_router(budgets=[Budget(usd=0.01)], guard=Guard(baseline="a"))
    serve(router, "a", quality=0.5, cost_usd=0.005)
    text = str(router.status())
    assert text.splitlines()[:3] == [
        "router default: 1 decisions, 1 learned, 0 fallbacks",
        "a  100.0%  quality 0.5  cost_usd 0.005",
        "b    0.0%",
    ]
    assert "budget cost_usd per request: 0.005 spent, pace 0.50, shadow price 0" in text
    assert "guard: apply, the learner decides 5.0% of the requests" in text
    content = json.loads(json.dumps(router.status().as_dict()))
    assert content["arms"][0]["means"] == {"quality": 0.5, "cost_usd": 0.005}
    assert content["rollout"]["share"] == 0.05
