"""A drift monitor reports what leaves its predictions, and changes nothing."""

import numpy as np
import pytest

from banditroute.core.events import DriftDetected, DriftSuspected
from banditroute.errors import InvalidConfigurationError, MissingDependencyError
from banditroute.observe import PrometheusObserver, RiverDriftMonitor, river_drift_monitor
from tests.support import FakeClock, belief_of, make_router, serve

drift = pytest.importorskip("river.drift")
base = pytest.importorskip("river.base")


class Alarms:
    """Keeps the events that it sees."""

    def __init__(self):
        self.seen = []

    def on_event(self, event):
        self.seen.append(event)


class EveryTenth(base.DriftDetector):
    """Keeps what it sees, all copies together, and gives alarm at its tenth value."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen
        self.n = 0

    def __deepcopy__(self, memo):
        return EveryTenth(self.seen)

    def update(self, x):
        self.n += 1
        self.seen.append(x)
        self._drift_detected = self.n == 10


def run(monitor, change_at, *, n=400, scale=1.0, **settings):
    """Serve n requests of two arms; the quality of arm a falls at one of them."""
    rng, clock = np.random.default_rng(0), FakeClock(1.7e9)
    with make_router(observers=[monitor], clock=clock, **settings) as router:
        for i in range(n):
            clock.advance(1.0)
            for arm in "ab":
                level = 0.7 if arm == "b" or i < change_at else 0.2
                latency, quality = level + 1.0 + 0.05 * rng.normal(), 0.5 + 0.2 * rng.uniform()
                serve(router, arm, latency_seconds=scale * latency, quality=quality)
        belief = belief_of(router)
        x = np.array([0.3, -0.2, 1.0])
        predictions = belief.predict(x).means
    return predictions


@pytest.mark.parametrize("make", [drift.ADWIN, drift.PageHinkley], ids=["adwin", "page_hinkley"])
@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_a_change_is_reported_for_its_arm_and_objective_in_any_unit(make, scale, caplog):
    alarms = Alarms()
    run(RiverDriftMonitor(detector=make(), observers=[alarms]), 200, scale=scale)
    first = alarms.seen[0]
    assert isinstance(first, DriftSuspected)
    assert (first.arm, first.objective, first.times, first.detector) == ("a", "latency_seconds", 1, make.__name__)
    assert 200 < first.at - 1.7e9 < 280
    assert {(event.arm, event.objective) for event in alarms.seen} == {("a", "latency_seconds")}
    assert "suspects that latency_seconds of arm 'a' has changed, alarm 1" in caplog.text


def test_steady_outcomes_raise_no_alarm(caplog):
    alarms = Alarms()
    run(RiverDriftMonitor(detector=drift.ADWIN(), observers=[alarms]), 10_000)
    assert alarms.seen == []
    assert "suspects" not in caplog.text


def test_beliefs_are_the_same_with_a_monitor_and_no_reset_is_reported():
    alarms = Alarms()
    with_monitor = run(RiverDriftMonitor(detector=drift.ADWIN(), observers=[alarms]), 200)
    np.testing.assert_array_equal(with_monitor, run(Silent(), 200))
    assert alarms.seen
    assert not any(isinstance(event, DriftDetected) for event in alarms.seen)


class Silent:
    def on_decision(self, decision): ...

    def on_feedback(self, feedback): ...

    def on_event(self, event): ...


def test_residuals_are_in_units_of_their_root_mean_square_and_clipped():
    detector, residuals = EveryTenth([]), []
    with make_router("a", observers=[RiverDriftMonitor(detector=detector)]) as router:
        for value in [1.0, 1.0, *[1.0, 3.0] * 15, 2.5, 1000.0]:
            decision = serve(router, latency_seconds=value)
            if "latency_seconds" in decision.objectives:  # it is not known before it is reported
                mean = decision.means[decision.objectives.index("latency_seconds"), 0]
                residuals.append(value - mean)
    noises = np.sqrt(np.cumsum(np.square(residuals)) / np.arange(1, len(residuals) + 1))
    expected = [residual / noise for residual, noise in zip(residuals[30:], noises[29:], strict=False)]
    assert expected[-1] > 4.0
    np.testing.assert_allclose(detector.seen, [*expected[:-1], 4.0])
    assert len(expected) >= 2


def test_a_detector_begins_again_after_its_alarm():
    alarms = Alarms()
    with make_router("a", observers=[RiverDriftMonitor(detector=EveryTenth([]), observers=[alarms])]) as router:
        for i in range(100):
            serve(router, latency_seconds=1.0 + i % 2)
    assert [event.times for event in alarms.seen] == [1, 2]  # after 30 + 10 outcomes each


def test_decisions_are_forgotten_after_many_others(monkeypatch):
    monkeypatch.setattr(river_drift_monitor, "_DECISIONS_KEPT", 5)
    detector = EveryTenth([])
    monitor = RiverDriftMonitor(detector=detector)
    with make_router("a", observers=[monitor]) as router:
        ids = [serve(router).id for _ in range(100)]
        for i, id in enumerate(ids):
            router.feedback(id, latency_seconds=1.0 + i % 2)
    assert len(monitor._predicted) == 5
    assert detector.seen == []


def test_alarms_are_counted_by_prometheus():
    prometheus_client = pytest.importorskip("prometheus_client")
    registry = prometheus_client.CollectorRegistry()
    metrics = PrometheusObserver(registry=registry)
    with make_router(
        "a", observers=[RiverDriftMonitor(detector=EveryTenth([]), observers=[metrics]), metrics]
    ) as router:
        for i in range(100):
            serve(router, latency_seconds=1.0 + i % 2)
    labels = {"router": "default", "arm": "a", "objective": "latency_seconds"}
    assert registry.get_sample_value("banditroute_drift_alarms_total", labels) == 2.0


@pytest.mark.parametrize("detector", [None, "ADWIN", drift.ADWIN, drift.binary.DDM()], ids=str)
def test_another_detector_is_refused(detector):
    with pytest.raises(InvalidConfigurationError, match=r"such as ADWIN\(\)"):
        RiverDriftMonitor(detector=detector)


def test_an_observer_without_on_event_is_refused():
    with pytest.raises(InvalidConfigurationError, match="has no on_event"):
        RiverDriftMonitor(detector=drift.ADWIN(), observers=[object()])


def test_a_missing_package_is_named_with_its_pip_line(monkeypatch):
    def missing(module):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    detector = drift.ADWIN()
    monkeypatch.setattr("banditroute.core.optional_imports.importlib.import_module", missing)
    with pytest.raises(MissingDependencyError, match=r"pip install 'banditroute\[river\]'"):
        RiverDriftMonitor(detector=detector)
