"""Signal handlers that use the router whose decision they interrupted."""

import signal
import threading

import pytest

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, SimulatedBackend
from banditroute.adapters.resident_set import ResidentSet
from banditroute.core import Arm
from banditroute.errors import StoreError
from banditroute.store import MemoryStore, SQLStore
from tests.support import X, engine_of, make_router


@pytest.fixture
def interrupt(monkeypatch):
    """Return a function that lets ``handle()`` run in a signal handler within the router's next decision."""
    handled = []

    def arrange(router, handle):
        models = engine_of(router).models
        weigh_costs = models.weigh_costs

        def interrupted(candidates, preference):
            if not handled:
                handled.append(None)
                signal.raise_signal(signal.SIGTERM)
            return weigh_costs(candidates, preference)

        monkeypatch.setattr(models, "weigh_costs", interrupted)
        signal.signal(signal.SIGTERM, lambda *_: handled.append(handle()))
        return handled

    before = signal.getsignal(signal.SIGTERM)
    yield arrange
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_handler_routes_and_reports_within_a_decision(kind, interrupt, tmp_path):
    store = MemoryStore() if kind == "memory" else SQLStore(f"sqlite:///{tmp_path / 'routes.db'}")
    with make_router(store=store) as router:
        known = router.route(X)
        handled = interrupt(
            router, lambda: (router.route(X).reason, router.feedback(known.id, quality=1.0), router.flush())
        )
        assert router.route(X).reason == "policy"
        assert handled[1:] == [("policy", "accepted", None)]


def test_handler_closes_a_router_in_which_other_threads_report(interrupt, tmp_path):
    router = make_router(store=SQLStore(f"sqlite:///{tmp_path / 'routes.db'}"))
    known = [router.route(X) for _ in range(20)]
    answers = []

    def close():
        threads = [threading.Thread(target=report, args=(decision,)) for decision in known]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(0.01)  # they wait for the lock that this thread holds
        router.close()
        for thread in threads:
            thread.join(30.0)
        return "closed"

    def report(decision):
        try:
            answers.append(router.feedback(decision.id, quality=1.0))
        except StoreError:  # it came after the close
            answers.append("closed")

    handled = interrupt(router, close)
    router.route(X)
    assert handled[1:] == ["closed"]
    assert len(answers) == 20


def test_handler_reports_a_failure_while_an_adapter_is_requested(monkeypatch):
    """A failure doubts the adapter, and so needs the lock that the interrupted request holds."""
    arms = [Arm(name=name, adapter=AdapterSpec(name=name, path=name, size_bytes=100)) for name in "ab"]
    cache = AdapterCache(backend=SimulatedBackend(capacity=Capacity(slots=1), jitter=0.0))
    router = make_router(*arms, adapters=cache)
    first, second = (router.route(X, arms=[name]) for name in "ab")
    with router.lease(first):
        pass
    handled = []
    signal.signal(signal.SIGTERM, lambda *_: handled.append(router.feedback(first.id, failed=True)))
    victims = ResidentSet._victims

    def interrupted(self, *arguments):
        signal.raise_signal(signal.SIGTERM)
        return victims(self, *arguments)

    monkeypatch.setattr(ResidentSet, "_victims", interrupted)
    try:
        with router.lease(second):
            pass
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    assert handled == ["accepted"]
    router.close()
