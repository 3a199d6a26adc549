"""The benchmark of sessions: the provider's bill by hand, and every policy on a few sessions."""

import numpy as np
import pytest

from banditroute.pricing import genai_price
from benchmarks import sessions
from benchmarks.sessions import Caches, Cell, Price, Step, Total, equal_quality_usd, run

PRICE = Price(1.0, 0.1, 1.25, 5.0)


def step(tokens, evicted=0.5):
    return Step(hard=False, score=0.0, tokens=tokens, output_tokens=100.0, idle_seconds=1.0, luck=0.5, evicted=evicted)


def test_provider_bills_what_it_reads_writes_and_answers():
    caches = Caches(live_seconds=300.0, prices={"small": PRICE})
    assert caches.call("small", step(10_000), 0.0) == (pytest.approx((12_500 + 500) / 1e6), 0.0)
    usd, cached = caches.call("small", step(12_000), 100.0)
    assert (usd, cached) == (pytest.approx((0.1 * 10_000 + 1.25 * 2_000 + 500) / 1e6), 10_000)
    assert caches.call("small", step(13_000), 1_000.0)[1] == 0.0


def test_dollars_at_equal_quality_add_the_worth_of_what_fails():
    cell = Cell(8, "3x", "5min")
    total, reference = Total(10.0, 0.8, 100), Total(12.0, 0.9, 100)
    assert equal_quality_usd(total, cell, reference) == pytest.approx(10.0 + cell.worth_usd * 10.0)
    assert equal_quality_usd(reference, cell, reference) == 12.0


def test_every_policy_serves_the_same_sessions(monkeypatch):
    monkeypatch.setattr(sessions, "STEPS_PER_RUN", 160)
    cell = Cell(8, "3x", "5min")
    totals = run((cell, 0, True))
    assert set(totals) == {*sessions.REFERENCES, *sessions.ROUTERS}
    assert len({total.steps for total in totals.values()}) == 1
    net = {name: cell.worth_usd * total.score_pass * total.steps - total.cost_usd for name, total in totals.items()}
    assert net["oracle"] >= max(net["never_switch"], net["always_switch"], net["sticky"]) - 0.5
    assert all(np.isfinite(list(net.values())))


@pytest.mark.parametrize(("gap", "arm"), [(gap, arm) for gap, models in sessions.MODELS.items() for arm in models])
def test_prices_are_those_of_the_table_of_genai_prices(gap, arm):
    pytest.importorskip("genai_prices")
    listed = genai_price(sessions.MODELS[gap][arm])
    written = listed.cache_write_usd_per_million_tokens
    assert sessions.PAIRS[gap][arm] == Price(
        listed.input_usd_per_million_tokens,
        listed.cached_input_usd_per_million_tokens,
        listed.input_usd_per_million_tokens if written is None else written,
        listed.output_usd_per_million_tokens,
    )
