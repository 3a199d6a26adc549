"""What loads are expected to take: the mean of an adapter's own, helped out by those like it."""

import numpy as np
import pytest

from banditroute.adapters.backends.base import CostEstimate
from banditroute.adapters.paging_cost import PagingCosts
from banditroute.core.adapter import AdapterSpec

PRIOR = CostEstimate(mean_seconds=1.0, p95_seconds=1.5)
MIB = 2**20


def spec(name, *, size=10, modules=28):
    return AdapterSpec(name=name, path=name, size_bytes=size * MIB, modules=modules)


def test_before_any_load_it_is_what_the_backend_says():
    estimate = PagingCosts().estimate(spec("a"), prior=PRIOR, residents=0)
    assert estimate == CostEstimate(mean_seconds=1.0, p95_seconds=1.5, n=0)


def test_own_loads_outweigh_it():
    costs = PagingCosts()
    for seconds in (0.1, 0.2, 0.3):
        costs.add(spec("a"), seconds, residents=1)
    estimate = costs.estimate(spec("a"), prior=PRIOR, residents=1)
    assert estimate.mean_seconds == pytest.approx((0.6 + 2.0) / 5)
    assert estimate.n == 3
    assert costs.estimate(spec("b"), prior=PRIOR, residents=1).mean_seconds == 1.0  # three loads are no line yet


def test_only_the_latest_count():
    costs = PagingCosts()
    for seconds in [9.0] * 50 + [0.5] * 50:
        costs.add(spec("a"), seconds, residents=1)
    assert costs.estimate(spec("a"), prior=PRIOR, residents=1).mean_seconds == pytest.approx(0.5)


def test_an_adapter_never_loaded_costs_what_its_modules_bytes_and_company_say():
    rng = np.random.default_rng(0)
    costs = PagingCosts()

    def truth(adapter, residents):
        return 0.01 + 0.003 * adapter.modules + adapter.size_bytes / MIB / 500.0 + 0.02 * residents

    for i in range(60):
        adapter = spec(f"a{i % 12}", size=int(rng.integers(5, 100)), modules=int(rng.integers(28, 168)))
        residents = int(rng.integers(0, 8))
        costs.add(adapter, truth(adapter, residents) + 0.01 * rng.normal(), residents=residents)
    new = spec("new", size=50, modules=100)
    assert costs.estimate(new, prior=PRIOR, residents=4).mean_seconds == pytest.approx(truth(new, 4), rel=0.03)
    huge = spec("huge", size=10**6, modules=100)
    assert costs.estimate(huge, prior=PRIOR, residents=4).mean_seconds < 2.0  # nothing like it was seen: twice the most


def test_p95_is_measured_once_there_are_loads_enough():
    rng = np.random.default_rng(0)
    draws = 0.2 * np.exp(0.3 * rng.normal(size=50))
    costs = PagingCosts()
    for i, seconds in enumerate(draws):
        costs.add(spec("a"), float(seconds), residents=1)
        p95 = costs.estimate(spec("a"), prior=PRIOR, residents=1).p95_seconds
        if i == 4:
            assert p95 >= draws[:5].max()
    assert p95 == pytest.approx(np.quantile(draws, 0.95))


def test_survives_a_restart():
    costs = PagingCosts()
    for i in range(10):
        costs.add(spec(f"a{i % 3}", size=10 + i), 0.1 * i, residents=i)
    again = PagingCosts(blob=costs.to_bytes())
    for name in ("a0", "new"):
        assert again.estimate(spec(name), prior=PRIOR, residents=2) == costs.estimate(
            spec(name), prior=PRIOR, residents=2
        )
    assert again.to_bytes() == costs.to_bytes()
