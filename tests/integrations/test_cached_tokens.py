"""A routed client reports the cached tokens that the server counted, to a router that prices prompt caches."""

from types import SimpleNamespace

import pytest

from banditroute.core.turn import NO_SESSION
from banditroute.integrations.apis.base import Counts
from banditroute.integrations.call import answered_outcomes


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
