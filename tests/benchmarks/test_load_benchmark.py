"""The benchmark of load: the queues by hand, and every policy on a few requests."""

import numpy as np
import pytest

from benchmarks import load
from benchmarks.load import Fleet, Server, run, traffic


def test_requests_wait_for_a_free_slot_first_come_first_served(monkeypatch):
    monkeypatch.setattr(load, "FLEET", {"a": Server(2, 1.0, 0.5)})
    fleet = Fleet()
    assert [fleet.serve("a", 0.0, seconds) for seconds in (3.0, 1.0, 1.0)] == [3.0, 1.0, 2.0]
    assert fleet.wait("a", 1.5) == 0.5
    assert fleet.serve("a", 1.5, 1.0) == 1.5
    assert fleet.wait("a", 9.0) == 0.0


def test_traffic_comes_at_the_share_of_the_capacity():
    for batch in (1, 50):
        made = traffic(0.8, batch, np.random.default_rng(0))
        rate = len(made.arrivals) / made.arrivals[-1]
        assert rate == pytest.approx(0.8 * load.CAPACITY, rel=0.35 if batch > 1 else 0.1)
        assert len(set(made.arrivals[:batch])) == 1


@pytest.mark.parametrize("case", ["load 0.8", "batches of 200, load 0.8"])
def test_every_policy_serves_every_request(monkeypatch, case):
    monkeypatch.setattr(load, "REQUESTS", 60)
    found = run((case, 0))
    assert list(found) == ["banditroute", "banditroute/load_blind", "uniform", "static_mix", "oracle"]
    for latencies, qualities in found.values():
        assert (latencies > 0.0).all()
        assert set(qualities) <= {0.0, 1.0}
