"""Observers see each thing once and in order, on a thread of their own, and cannot disturb the router."""

import logging
import threading

import pytest

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, SimulatedBackend
from banditroute.beliefs import PageHinkley
from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.events import (
    AdapterLoaded,
    BudgetChanged,
    CircuitChanged,
    DriftDetected,
    EpochBegun,
    Event,
    FeedbackRecorded,
    FellBack,
    RolloutChanged,
    StoreTrouble,
)
from banditroute.errors import InvalidConfigurationError
from banditroute.features import Complexity
from banditroute.guard import Guard
from banditroute.learners import EpsilonGreedy, ThompsonSampling
from banditroute.observe import LoggingObserver
from banditroute.router import observation
from banditroute.store.memory import MemoryStore
from tests.support import FakeClock, X, make_router, serve, wait_until


class Recorder:
    """Keeps all that it sees, and the threads that it was called on."""

    def __init__(self):
        self.seen = []
        self.threads = set()

    def on_decision(self, decision):
        self.see(decision)

    def on_feedback(self, feedback):
        self.see(feedback)

    def on_event(self, event):
        self.see(event)

    def see(self, item):
        self.threads.add(threading.current_thread().name)
        self.seen.append(item)

    def of(self, kind):
        return [item for item in self.seen if isinstance(item, kind)]


def test_each_decision_is_seen_once_whichever_way_it_was_made():
    recorder = Recorder()
    with make_router("a", "b", "c", observers=[recorder]) as router:
        made = [router.route(X), *router.route_many([X, X])]
        made.append(router.escalate(serve(router, route={"arms": ["a", "b"]}).id, signal=0.0))
        with router.lease(router.route(X)) as leased:
            made.append(leased)
    ids = [decision.id for decision in recorder.of(Decision)]
    assert len(ids) == len(set(ids)) == len([each for each in made if each is not None]) + 1
    assert {each.id for each in made if each is not None} < set(ids)
    assert recorder.threads == {"banditroute-observers"}


async def test_decisions_and_feedback_of_asyncio_are_seen_once():
    recorder = Recorder()
    with make_router(observers=[recorder]) as router:
        decision = await router.aroute(X)
        await router.afeedback(decision.id, quality=1.0)
    assert [type(item) for item in recorder.seen] == [EpochBegun, Decision, FeedbackRecorded]


def test_feedback_is_seen_after_its_decision_and_only_once():
    recorder = Recorder()
    with make_router(observers=[recorder], clock=FakeClock(5.0)) as router:
        decision = serve(router, "b", quality=0.5)
        router.feedback(decision.id, quality=0.5)  # nothing new
        router.feedback(decision.id, cost_usd=0.1)
    assert [type(item) for item in recorder.seen] == [EpochBegun, Decision, FeedbackRecorded, FeedbackRecorded]
    first, second = recorder.of(FeedbackRecorded)
    assert first == FeedbackRecorded(
        decision_id=decision.id, arm="b", values={"quality": 0.5}, received_at=5.0, decided_at=5.0
    )
    assert second.values == {"cost_usd": 0.1}


def test_a_new_router_begins_an_epoch_and_a_restarted_one_does_not():
    store = MemoryStore()
    first, second = Recorder(), Recorder()
    with make_router(store=store, observers=[first], clock=FakeClock(1.0)) as router:
        serve(router, quality=1.0)
    with make_router(store=store, observers=[second]) as router:
        serve(router)
    (begun,) = first.of(Event)
    assert begun == EpochBegun(at=1.0, router="default", features_version="given-2", dimension=3)
    assert second.of(Event) == []


def test_a_circuit_that_opens_and_closes_is_seen():
    recorder, clock = Recorder(), FakeClock()
    with make_router(observers=[recorder], clock=clock) as router:
        for _ in range(5):
            clock.advance(1.0)
            serve(router, "a", failed=True)
        clock.advance(100.0)
        serve(router, "a", quality=1.0)
    assert [(event.arm, event.open) for event in recorder.of(CircuitChanged)] == [("a", True), ("a", False)]


def test_a_budget_that_begins_to_bind_is_seen():
    recorder = Recorder()
    learner = EpsilonGreedy(epsilon=0.1)
    with make_router(observers=[recorder], budgets=[Budget(usd=0.001)], learner=learner) as router:
        for _ in range(60):
            decision = router.route(X)
            router.feedback(decision.id, quality=float(decision.arm == "b"), cost_usd=0.01 * (decision.arm == "b"))
    first = recorder.of(BudgetChanged)[0]
    assert first.budget == "cost_usd per request"
    assert first.shadow_price > 0.0


def test_a_change_of_an_arm_is_seen():
    recorder = Recorder()
    learner = ThompsonSampling(drift=PageHinkley(threshold=3.0))
    with make_router("a", observers=[recorder], learner=learner) as router:
        for i in range(120):
            serve(router, "a", quality=0.9 + 0.01 * (i % 2) if i < 60 else 0.1)
    first = recorder.of(DriftDetected)[0]
    assert (first.arm, first.objective, first.times) == ("a", "quality", 1)


def test_a_rollout_that_is_restarted_is_seen():
    recorder = Recorder()
    with make_router(observers=[recorder], guard=Guard(baseline="a")) as router:
        router.set_guard_mode("bypass")
    assert [(event.mode, event.share) for event in recorder.of(RolloutChanged)] == [("bypass", 0.0)]


def test_a_fallback_is_seen_with_its_trouble():
    class Failing(Complexity):
        def transform_one(self, request):
            raise RuntimeError("out of order")

    recorder = Recorder()
    with make_router(features=Failing(), observers=[recorder]) as router:
        decision = router.route("Why?")
    (fell_back,) = recorder.of(FellBack)
    assert (fell_back.decision_id, fell_back.arm) == (decision.id, "a")
    assert fell_back.trouble == decision.reason.removeprefix("fallback: ")
    assert fell_back.trouble.startswith("RuntimeError in transform_one()")


def test_trouble_of_the_store_is_seen_once_when_it_comes_and_goes():
    class Troubled(MemoryStore):
        problem = None
        trouble = property(lambda self: self.problem)

    recorder, store = Recorder(), Troubled()
    with make_router(observers=[recorder], store=store) as router:
        for store.problem in ("the disk is full", "the disk is full", None, None):
            serve(router, quality=1.0)
    assert [event.trouble for event in recorder.of(StoreTrouble)] == ["the disk is full", None]


def test_an_adapter_that_was_waited_for_is_seen():
    recorder = Recorder()
    cache = AdapterCache(backend=SimulatedBackend(capacity=Capacity(slots=1), jitter=0.0))
    arm = Arm(name="law", adapter=AdapterSpec(name="law-1", path="law", size_bytes=10**8))
    with make_router(arm, adapters=cache, observers=[recorder]) as router:
        for _ in range(2):  # the second time it is resident
            with router.lease(router.route(X)) as decision:
                pass
    (loaded,) = recorder.of(AdapterLoaded)
    assert (loaded.arm, loaded.adapter, loaded.seconds) == ("law", "law-1", pytest.approx(0.1))
    assert loaded.decision_id != decision.id


def test_an_observer_that_raises_is_called_again_and_harms_nobody(caplog):
    class Broken(Recorder):
        def see(self, item):
            super().see(item)
            raise ValueError("cannot")

    broken, recorder = Broken(), Recorder()
    with make_router(observers=[broken, recorder]) as router:
        for _ in range(3):
            assert serve(router, quality=1.0).reason == "policy"
    assert len(broken.seen) == len(recorder.seen) == 7
    assert [record.message.count("failed; it is called again: cannot") for record in caplog.records] == [1]


def test_an_observer_that_hangs_is_not_waited_for_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(observation, "_QUEUE_ITEMS", 10)
    monkeypatch.setattr(observation, "_CLOSE_SECONDS", 0.05)
    hangs = threading.Event()

    class Hanging(Recorder):
        def see(self, item):
            super().see(item)
            hangs.wait()

    with make_router(observers=[Hanging()]) as router:
        for _ in range(50):
            assert serve(router).reason == "policy"
        unobserved = router.status().unobserved
    hangs.set()
    assert unobserved in (40, 41)  # of 50 decisions and the beginning, 10 wait and one may be with the observer


def test_the_observer_thread_ends_with_its_router():
    recorder = Recorder()
    router = make_router(observers=[recorder])
    serve(router)
    wait_until(lambda: len(recorder.seen) == 2)
    (thread,) = (each for each in threading.enumerate() if each.name == "banditroute-observers")
    router.close()
    thread.join(5.0)
    assert not thread.is_alive()


@pytest.mark.parametrize("observers", ["log", [object()], [Recorder], 3])
def test_an_observer_needs_its_three_methods(observers):
    with pytest.raises(InvalidConfigurationError, match="observer"):
        make_router(observers=observers)


def test_the_logging_observer_writes_structured_fields_and_no_id_in_the_message(caplog):
    caplog.set_level(logging.INFO, logger="banditroute.observe")
    with make_router(observers=[LoggingObserver()]) as router:
        decision = serve(router, "b", quality=1.0, route={"session": "Ann"})
    kinds = {record.banditroute["kind"]: record for record in caplog.records}
    assert kinds.keys() == {"EpochBegun", "decision", "feedback"}
    assert kinds["decision"].banditroute["decision_id"] == decision.id
    assert kinds["decision"].banditroute["session"] == "Ann"
    assert kinds["feedback"].banditroute["values"] == {"quality": 1.0}
    assert not any(decision.id in record.getMessage() for record in caplog.records)


def test_the_logging_observer_writes_trouble_as_a_warning(caplog):
    logger = logging.getLogger("app.routing")
    with caplog.at_level(logging.INFO, logger="app.routing"):
        clock = FakeClock()
        with make_router(observers=[LoggingObserver(logger=logger)], clock=clock) as router:
            for _ in range(5):
                clock.advance(1.0)
                serve(router, "a", failed=True)
    (record,) = (each for each in caplog.records if each.levelno == logging.WARNING)
    assert record.banditroute == {"kind": "CircuitChanged", "at": clock.now, "arm": "a", "open": True}
