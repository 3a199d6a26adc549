"""Time per prompt: what is reported, not how long it took."""

import pytest

from benchmarks import feature_times


def test_every_subject_is_timed_and_compared_in_the_same_repeat(monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.setattr(feature_times, "LENGTHS", (30,))
    monkeypatch.setattr(feature_times, "BATCH", 4)
    monkeypatch.setattr(feature_times, "REPEATS", 2)
    clock = iter(range(10_000))  # every reading one second later: all take the same
    monkeypatch.setattr(feature_times.time, "process_time", lambda: float(next(clock)))
    rows = {
        (row.case, row.policy, row.metric): row for row in feature_times.times(["one prompt"] * 9, with_minilm=False)
    }
    assert {case for case, _, _ in rows} == {"30_characters@single", "30_characters@batch"}
    assert rows["30_characters@single", "banditroute", "microseconds"].mean == 250_000.0  # one second for four texts
    ratios = {policy: row.mean for (_, policy, metric), row in rows.items() if metric == "ratio_to_hashing"}
    assert ratios == dict.fromkeys(
        ("banditroute", "banditroute/complexity", "banditroute/static16", "banditroute/clusters"), 1.0
    )
