"""Budgets of arms with cache prices: what tokens cost when a report names tokens and no dollars."""

import pytest

from banditroute import Arm, Budget, Router
from banditroute.core.token_costs import TokenCosts
from banditroute.store import SQLStore
from tests.support import FakeClock

TOKENS = 10_000
WRITTEN, USUAL, READ, ANSWER = 0.0125, 0.01, 0.001, 0.005  # dollars for the input, and for 1,000 tokens of output


def arm(**changed):
    given = {
        "input_usd_per_million_tokens": 1.0,
        "output_usd_per_million_tokens": 5.0,
        "cached_input_usd_per_million_tokens": 0.1,
        "cache_write_usd_per_million_tokens": 1.25,
        "cache_min_tokens": 1024,
        "max_output_tokens": 1_000,
    }
    return Arm(name="small", **{**given, **changed})


def router_on(*, hard, store=None, **changed):
    budgets = [Budget(usd=100.0, per="day", hard=hard)]
    return Router(arms=[arm(**changed)], features=1, budgets=budgets, store=store, clock=FakeClock(), seed=0)


def spent(router, *, session=None, tokens=TOKENS, **reported):
    before = router.status().budgets[0].spent
    decision = router.route([0.5], session=session, input_tokens=tokens)
    router.feedback(decision.id, **reported)
    return router.status().budgets[0].spent - before


@pytest.mark.parametrize("hard", [True, False])
@pytest.mark.parametrize(
    ("cached", "expected"),
    [(0.0, WRITTEN), (10_000, READ), (2_500, 0.75 * WRITTEN + 0.25 * READ), (99_999, READ)],
)
def test_cached_tokens_are_paid_as_cached_and_the_rest_as_written(hard, cached, expected):
    router = router_on(hard=hard)
    assert spent(router, output_tokens=1_000, cached_tokens=cached) == pytest.approx(expected + ANSWER)


def test_hard_budget_counts_no_token_as_cached_where_none_is_reported():
    router = router_on(hard=True)
    for _ in range(3):
        assert spent(router, session="s", output_tokens=1_000) == pytest.approx(WRITTEN + ANSWER)
    assert router.status().budgets[0].above_bound == 0


def test_other_budgets_count_what_is_expected_of_the_cache():
    router = router_on(hard=False)
    assert spent(router, output_tokens=1_000) == pytest.approx(USUAL + ANSWER)  # no session: no cache is expected
    assert spent(router, session="s", output_tokens=1_000) == pytest.approx(WRITTEN + ANSWER)
    warm = 0.95  # after no idle time
    expected = warm * READ + (1.0 - warm) * WRITTEN
    assert spent(router, session="s", output_tokens=1_000) == pytest.approx(expected + ANSWER, rel=0.05)


def test_reported_dollars_are_the_truth():
    assert spent(router_on(hard=True), cost_usd=0.002, output_tokens=1_000, cached_tokens=5) == pytest.approx(0.002)


def test_input_too_short_for_the_cache_costs_the_usual_price():
    assert spent(router_on(hard=True), tokens=1_000, output_tokens=0) == pytest.approx(0.001)


def test_arm_without_cache_prices_pays_its_usual_price_for_cached_tokens():
    prices = {"cached_input_usd_per_million_tokens": None, "cache_write_usd_per_million_tokens": None}
    router = router_on(hard=True, **prices)
    assert spent(router, output_tokens=1_000, cached_tokens=5_000) == pytest.approx(USUAL + ANSWER)


def test_report_in_another_process_is_settled_by_the_same_prices(tmp_path):
    url = f"sqlite:///{tmp_path}/routes.db"
    with router_on(hard=True, store=SQLStore(url)) as router:
        decision = router.route([0.5], input_tokens=TOKENS)
    with router_on(hard=True, store=SQLStore(url)) as router:
        router.feedback(decision.id, output_tokens=1_000, cached_tokens=TOKENS)
        assert router.status().budgets[0].spent == pytest.approx(READ + ANSWER)


def test_costs_that_an_earlier_version_stored_know_no_cache():
    stored = TokenCosts(*(0.01, 5e-6))
    assert stored.cost_usd(1_000, cached_tokens=500) == pytest.approx(USUAL + ANSWER)
    assert stored.cost_usd(1_000, at_most=True) == pytest.approx(USUAL + ANSWER)
