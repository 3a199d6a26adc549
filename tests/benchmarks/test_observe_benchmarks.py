"""Drift detectors and observers: what is reported, not how long it took."""

import numpy as np
import pytest

pytest.importorskip("river")
pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("prometheus_client")

from benchmarks import drift, observers


def test_every_detector_sees_the_same_change(monkeypatch):
    monkeypatch.setitem(drift.CASES, "far", ("normal", 4.0))
    alarms = drift.alarms_of("far", seed=0)
    assert alarms.keys() == {"banditroute", *drift.DETECTORS}
    for name, found in alarms.items():
        delays = [at - drift.CHANGE_AT for at in found if at >= drift.CHANGE_AT]
        assert delays, name
        assert delays[0] < 100, name
    assert all(at >= drift.CHANGE_AT for at in alarms["banditroute"])


def test_observers_are_compared_by_the_least_time(monkeypatch):
    monkeypatch.setattr(observers, "CALLS", 20)
    row = observers.summary_row("nothing", "emit_microseconds", [3.0, 1.0, 2.0])
    assert (row.mean, row.worst, row.n) == (1.0, 3.0, 3)
    times = observers.one_round([observers.Nothing()])
    assert times.keys() == {"emit_microseconds", "route_microseconds", "process_microseconds"}
    assert np.isfinite(list(times.values())).all()
