"""A monitor of collapse speaks once when one arm gets nearly everything, also if that was so from the start."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from banditroute.core.events import TrafficCollapsed
from banditroute.errors import InvalidConfigurationError
from banditroute.observe import CollapseMonitor, LoggingObserver, PrometheusObserver
from tests.support import X, make_router


class Seen:
    """Keeps the events that it sees."""

    def __init__(self):
        self.events = []

    def on_event(self, event):
        self.events.append(event)


def traffic(monitor, arms):
    """Show the monitor one decision for each named arm, of a router that could choose either of two."""
    with make_router("a", "b") as router:
        both = router.route(X)
    for arm in arms:
        monitor.on_decision(replace(both, arm=arm))


def test_one_arm_from_the_start_is_reported_once(caplog):
    seen = Seen()
    traffic(CollapseMonitor(last=100, observers=[seen]), ["a"] * 250)
    (event,) = seen.events
    assert isinstance(event, TrafficCollapsed)
    assert (event.arm, event.share, event.decisions) == ("a", 1.0, 100)
    assert "100.0% of the last 100 decisions are arm 'a'" in caplog.text


def test_no_report_before_enough_decisions():
    seen = Seen()
    traffic(CollapseMonitor(last=100, observers=[seen]), ["a"] * 99)
    assert seen.events == []


def test_a_second_collapse_is_reported_after_recovery():
    seen = Seen()
    traffic(CollapseMonitor(last=50, observers=[seen]), ["a"] * 60 + ["a", "b"] * 50 + ["b"] * 60)
    assert [event.arm for event in seen.events] == ["a", "b"]


def test_even_traffic_is_not_reported():
    seen = Seen()
    arms = np.random.default_rng(0).choice(["a", "b"], p=[0.9, 0.1], size=400)
    traffic(CollapseMonitor(last=100, observers=[seen]), arms.tolist())
    assert seen.events == []


def test_decisions_without_a_choice_do_not_count():
    seen = Seen()
    with make_router("a", "b", observers=[CollapseMonitor(last=5, observers=[seen])]) as router:
        for _ in range(20):
            router.route(X, arms=["a"])
    assert seen.events == []


def test_metric_of_a_running_router_shows_the_collapse():
    registry = CollectorRegistry()
    observer = PrometheusObserver(registry=registry)
    with make_router("a", "b", observers=[observer]) as router:
        observer.watch(router)
        for _ in range(10):
            router.route(X, arms=["a"])
        assert router.status().effective_arms == 1.0
        assert registry.get_sample_value("banditroute_effective_arms", {"router": "default"}) == 1.0
        for _ in range(10):
            router.route(X, arms=["b"])
        assert router.status().effective_arms == pytest.approx(2.0)


def test_bad_settings_are_refused():
    with pytest.raises(InvalidConfigurationError, match="last is 1"):
        CollapseMonitor(last=1)
    with pytest.raises(InvalidConfigurationError, match="has no on_event"):
        CollapseMonitor(observers=[7])


def test_a_logger_writes_it_as_a_warning(caplog):
    LoggingObserver().on_event(TrafficCollapsed(at=1.0, arm="a", share=1.0, decisions=9))
    assert caplog.records[0].levelname == "WARNING"
    assert caplog.records[0].banditroute["arm"] == "a"
