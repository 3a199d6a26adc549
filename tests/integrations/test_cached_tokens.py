"""A routed client reports the cached tokens that the server counted, to a router that prices prompt caches."""

from types import SimpleNamespace

import pytest
from anthropic import Anthropic

from banditroute import Arm, Router
from banditroute.core.turn import NO_SESSION
from banditroute.integrations import RoutedClient
from banditroute.integrations.apis.base import Counts
from banditroute.integrations.call import answered_outcomes
from banditroute.pricing import ModelPrice
from banditroute.router.assembly import parts_of


@pytest.mark.parametrize(
    ("turn", "cached", "expected"),
    [(NO_SESSION, 20_000, {"cached_tokens": 20_000}), (NO_SESSION, None, {}), (None, 20_000, {})],
)
def test_cached_tokens_are_reported_where_the_router_learns_from_them(turn, cached, expected):
    counts = Counts(input_tokens=25_000, output_tokens=300, cached_input_tokens=cached)
    call = SimpleNamespace(decision=SimpleNamespace(turn=turn), counts=counts)
    answer = SimpleNamespace(latency_seconds=1.0, cost_usd=0.01)
    outcomes = answered_outcomes(call, answer)
    assert outcomes == {"latency_seconds": 1.0, "output_tokens": 300, "cost_usd": 0.01, **expected}


@pytest.mark.parametrize("stream", [False, True])
def test_cost_of_an_arm_with_cache_prices_is_that_of_its_cached_tokens(server, stream):
    arm = Arm(
        name="claude",
        input_usd_per_million_tokens=1.0,
        output_usd_per_million_tokens=10.0,
        cached_input_usd_per_million_tokens=0.1,
        cache_write_usd_per_million_tokens=1.25,
    )
    chat = RoutedClient(Router(arms=[arm], seed=0), {"claude": Anthropic(base_url=server.url, api_key="x")})
    answer = chat.create("hi", stream=stream)
    if stream:
        list(answer)
        answer = answer.answer
    # 150 tokens of input, 800 read from the cache, 50 written to it, 100 of output
    assert answer.cost_usd == pytest.approx((150 * 1.0 + 800 * 0.1 + 50 * 1.25 + 100 * 10.0) / 1e6)


def test_client_follows_a_price_that_is_changed_at_run_time_and_keeps_its_own(server):
    prices = {"input_usd_per_million_tokens": 1.0, "output_usd_per_million_tokens": 10.0}
    router = Router(arms=[Arm(name="claude", **prices), Arm(name="other", **prices)], seed=0)
    client = Anthropic(base_url=server.url, api_key="x")
    own = ModelPrice(input_usd_per_million_tokens=7.0, output_usd_per_million_tokens=7.0)
    chat = RoutedClient(router, {"claude": client, "other": client}, prices={"other": own})
    before = chat.create("hi", route={"arms": ["claude"]}).cost_usd
    for arm in ("claude", "other"):
        parts_of(router).registry.set_prices(arm, {name: 2.0 * price for name, price in prices.items()})
    assert chat.create("hi", route={"arms": ["claude"]}).cost_usd == pytest.approx(2.0 * before)
    assert chat.create("hi", route={"arms": ["other"]}).cost_usd == pytest.approx(1100 * 7.0 / 1e6)
