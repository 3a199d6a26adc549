"""Whatever an observer does, the router serves and learns as without it."""

import asyncio
import os
import threading
import time

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from banditroute.observe import PrometheusDatabaseCollector, PrometheusObserver
from banditroute.router import observation
from banditroute.store import SQLStore
from tests.support import X, belief_of, in_child, make_router, serve


class Observer:
    """Does nothing, and keeps what it saw."""

    def __init__(self):
        self.seen = []

    def on_decision(self, decision):
        self.see(decision)

    def on_feedback(self, feedback):
        self.see(feedback)

    def on_event(self, event):
        self.see(event)

    def see(self, item):
        self.seen.append(item)


class Raising(Observer):
    def __init__(self, error):
        self.error = error

    def see(self, item):
        raise self.error


class Recursing(Observer):
    def see(self, item):
        self.see(item)


class Vandal(Observer):
    """Changes the outcomes that it is given."""

    def on_feedback(self, feedback):
        feedback.values.clear()


class Slow(Observer):
    def see(self, item):
        time.sleep(0.01)


class Unprintable(Raising):
    def __repr__(self):
        raise ValueError("no name")


BAD = {
    "error": Raising(ValueError("cannot")),
    "exit": Raising(SystemExit(1)),
    "interrupt": Raising(KeyboardInterrupt()),
    "cancelled": Raising(asyncio.CancelledError()),
    "recursion": Recursing(),
    "vandal": Vandal(),
    "slow": Slow(),
    "unprintable": Unprintable(ValueError("cannot")),
}


def used(observers, store=None):
    """Return the arms that a router chose, and its predictions in the end."""
    settings = {} if store is None else {"store": store}
    with make_router(observers=observers, **settings) as router:
        arms = [serve(router, quality=0.01 * i).arm for i in range(30)]
        means = belief_of(router).predict(np.array([*X, 1.0])).means
    return arms, means


@pytest.fixture
def quiet_logging(monkeypatch):
    monkeypatch.setattr("logging.raiseExceptions", False)  # as in production: a record that cannot be printed is lost


@pytest.mark.parametrize("name", BAD)
def test_a_bad_observer_changes_no_decision_no_belief_and_no_other_observer(name, quiet_logging):
    other = Observer()
    arms, means = used([BAD[name], other])
    expected_arms, expected_means = used([])
    assert arms == expected_arms
    np.testing.assert_array_equal(means, expected_means)
    assert len(other.seen) == 61  # 30 decisions, their feedback, and the beginning


def test_route_does_not_wait_for_an_observer_that_hangs(monkeypatch):
    monkeypatch.setattr(observation, "_CLOSE_SECONDS", 0.05)
    release, begun = threading.Event(), threading.Event()

    class Hanging(Observer):
        def see(self, item):
            begun.set()
            release.wait()

    with make_router(observers=[Hanging()]) as router:
        serve(router, quality=1.0)
        assert begun.wait(30.0)
        made = [serve(router, quality=1.0) for _ in range(50)]  # would never end if it waited
        assert {decision.reason for decision in made} == {"policy"}
        assert router.status().learned == 51
    release.set()


def test_an_observer_may_use_and_close_its_router():
    routers, done = [], threading.Event()

    class Closing(Observer):
        def on_decision(self, decision):
            routers[0].feedback(decision.id, quality=1.0)
            routers[0].close()
            done.set()

    routers.append(make_router(observers=[Closing()]))
    serve(routers[0])
    assert done.wait(30.0)
    assert routers[0].status().learned == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_metrics_go_on_in_a_forked_child(tmp_path):
    url, one, all_ = f"sqlite:///{tmp_path / 'r.db'}", CollectorRegistry(), CollectorRegistry()
    observer = PrometheusObserver(registry=one)
    labels = {"router": "default", "arm": "a"}
    with make_router(store=SQLStore(url), observers=[observer]) as router:
        observer.watch(router)
        for _ in range(5):
            serve(router, "a", quality=1.0)
        PrometheusDatabaseCollector(url=url, registry=all_)
        generate_latest(all_)

        def serve_in_child():
            for _ in range(3):
                serve(router, "a", quality=1.0)
            router.close()
            return str([registry.get_sample_value("banditroute_decisions_total", labels) for registry in (one, all_)])

        assert in_child(serve_in_child) == "[3, 8]"
        assert all_.get_sample_value("banditroute_decisions_total", labels) == 8.0
    assert one.get_sample_value("banditroute_decisions_total", labels) == 5.0
