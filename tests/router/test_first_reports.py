"""The first report of an objective and the first preference that weighs it take long with many arms: nobody waits."""

import threading

import numpy as np
import pytest

from banditroute import Preference
from banditroute.router.models import ArmModels
from tests.support import X, belief_of, engine_of, make_router, serve

COSTS = Preference(quality=1.0, cost_usd=1.0)


def while_it_waits(monkeypatch, method, act, meanwhile):
    """Do ``act`` in a thread, and ``meanwhile`` while the thread is within a method of the models."""
    inside, go_on = threading.Event(), threading.Event()
    original = getattr(ArmModels, method)

    def waiting(self, *arguments):
        inside.set()
        assert go_on.wait(30.0)
        return original(self, *arguments)

    monkeypatch.setattr(ArmModels, method, waiting)
    thread = threading.Thread(target=act)
    thread.start()
    assert inside.wait(30.0)
    try:
        meanwhile()
    finally:
        go_on.set()
        thread.join(30.0)
    assert not thread.is_alive()


def test_decisions_go_on_while_a_first_report_is_derived(monkeypatch):
    router = make_router()
    decision = serve(router, "a")

    def route():
        assert router.route(X).reason == "policy"
        assert "cost_usd" not in belief_of(router).objectives

    while_it_waits(monkeypatch, "prepare", lambda: router.feedback(decision.id, cost_usd=0.5), route)
    assert belief_of(router).counts("cost_usd").tolist() == [1.0, 0.0]


def test_decisions_go_on_while_a_first_preference_is_derived(monkeypatch):
    router = make_router()
    serve(router, "a", quality=1.0)
    first = []

    def route():
        assert router.route(X).objectives == ("quality",)

    while_it_waits(monkeypatch, "watching_aside", lambda: first.append(router.route(X, preference=COSTS)), route)
    assert first[0].reason == "policy"
    assert first[0].objectives == ("quality", "cost_usd")
    assert first[0].ordinal == 2


def test_preview_weighs_a_new_objective_and_counts_nothing():
    router = make_router()
    before = router.status().decisions
    assert set(router.preview(X, preference=COSTS).objectives) == {"quality", "cost_usd"}
    assert router.status().decisions == before


@pytest.mark.parametrize("during", ["report", "nothing"])
def test_report_that_came_in_between_is_not_lost(monkeypatch, during):
    """A signal handler may report in the very thread that derives a belief."""
    router = make_router()
    outer, inner = serve(router, "a"), serve(router, "b")
    engine, original = engine_of(router), ArmModels.prepare

    def interrupted(self, event):
        prepared = original(self, event)
        if during == "report":
            monkeypatch.setattr(ArmModels, "prepare", original)
            router.feedback(inner.id, quality=1.0)
        return prepared

    monkeypatch.setattr(ArmModels, "prepare", interrupted)
    router.feedback(outer.id, quality=0.0)
    counts = [1.0, 1.0 if during == "report" else 0.0]
    assert engine.models.belief.counts("quality").tolist() == counts
    assert np.isfinite(router.route(X).means).all()


def test_signal_handler_within_a_decision_waits_for_no_rebuild():
    router = make_router()
    serve(router, "a", quality=1.0)
    engine, held, done = engine_of(router), threading.Event(), threading.Event()

    def rebuild():
        with engine._rebuilding:
            held.set()
            done.wait(30.0)

    thread = threading.Thread(target=rebuild)
    thread.start()
    assert held.wait(30.0)
    # As if a handler interrupted a decision: the lock is held.
    decision = engine.with_constraints(lambda _: router.route(X, preference=COSTS))
    done.set()
    thread.join(30.0)
    assert decision.objectives == ("quality", "cost_usd")
