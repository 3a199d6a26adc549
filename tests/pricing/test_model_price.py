"""A call's cost by hand; what is not known is None."""

import math

import pytest

from banditroute.errors import InvalidConfigurationError, InvalidInputError
from banditroute.pricing import ModelPrice, Usage

PLAIN = ModelPrice(input_usd_per_million_tokens=2.0, output_usd_per_million_tokens=8.0)
FULL = ModelPrice(
    input_usd_per_million_tokens=2.0,
    output_usd_per_million_tokens=8.0,
    cached_input_usd_per_million_tokens=0.5,
    cache_write_usd_per_million_tokens=2.5,
    reasoning_usd_per_million_tokens=4.0,
)
CALL = Usage(input_tokens=1000, output_tokens=100, cached_input_tokens=600, cache_write_tokens=300, reasoning_tokens=40)


class TestCost:
    def test_each_kind_of_token_has_its_price(self):
        # 100 x 2 + 600 x 0.5 + 300 x 2.5 + 60 x 8 + 40 x 4
        assert FULL.cost_usd(CALL) == pytest.approx(1890e-6)

    def test_tokens_without_their_own_price_cost_as_the_rest(self):
        assert PLAIN.cost_usd(CALL) == pytest.approx((1000 * 2 + 100 * 8) / 1e6)

    def test_a_part_that_is_free_is_free(self):
        free = ModelPrice(
            input_usd_per_million_tokens=2.0, output_usd_per_million_tokens=8.0, cached_input_usd_per_million_tokens=0.0
        )
        assert free.cost_usd(Usage(input_tokens=1000, output_tokens=0, cached_input_tokens=1000)) == 0.0

    def test_unknown_is_none_and_never_zero(self):
        call = Usage(input_tokens=10, output_tokens=5)
        assert ModelPrice().cost_usd(call) is None
        assert ModelPrice(input_usd_per_million_tokens=2.0).cost_usd(call) is None
        assert ModelPrice(output_usd_per_million_tokens=2.0).cost_usd(call) is None
        assert ModelPrice(cached_input_usd_per_million_tokens=1.0).cost_usd(call) is None

    def test_a_price_that_the_call_does_not_need_may_be_unknown(self):
        embedding = ModelPrice(input_usd_per_million_tokens=0.02)
        assert embedding.cost_usd(Usage(input_tokens=500, output_tokens=0)) == pytest.approx(1e-5)

    def test_the_whole_of_a_longer_request_has_the_longer_price(self):
        longer = ModelPrice(input_usd_per_million_tokens=4.0, output_usd_per_million_tokens=12.0)
        longest = ModelPrice(input_usd_per_million_tokens=6.0, output_usd_per_million_tokens=18.0)
        price = ModelPrice(
            input_usd_per_million_tokens=2.0,
            output_usd_per_million_tokens=8.0,
            above_tokens={256_000: longest, 128_000: longer},
        )
        for tokens, expected in (
            (128_000, PLAIN),
            (128_001, longer),
            (256_000, longer),
            (256_001, longest),
            (900_000, longest),
        ):
            call = Usage(input_tokens=tokens, output_tokens=10)
            assert price.cost_usd(call) == expected.cost_usd(call)


class TestArm:
    def test_takes_the_token_prices_and_what_else_is_given(self):
        arm = FULL.arm("large", capabilities=("eu",))
        assert (arm.name, arm.capabilities) == ("large", ("eu",))
        assert (arm.input_usd_per_million_tokens, arm.output_usd_per_million_tokens) == (2.0, 8.0)

    def test_arm_of_an_unknown_price_is_not_priced(self):
        assert not ModelPrice().arm("a").priced

    def test_arm_of_a_single_token_price_is_refused(self):
        with pytest.raises(InvalidConfigurationError, match="one token price of two"):
            ModelPrice(input_usd_per_million_tokens=1.0).arm("a")


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf, True, "2"])
def test_bad_rate_is_refused(rate):
    with pytest.raises(InvalidConfigurationError, match="cached_input_usd_per_million_tokens is"):
        ModelPrice(cached_input_usd_per_million_tokens=rate)


@pytest.mark.parametrize("threshold", [0, -5, True, 1.5, "200k"])
def test_bad_threshold_is_refused(threshold):
    with pytest.raises(InvalidConfigurationError, match=r"in above_tokens is .*; give a whole number"):
        ModelPrice(above_tokens={threshold: PLAIN})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"input_tokens": -1}, "input_tokens is -1"),
        ({"output_tokens": math.nan}, "output_tokens is nan"),
        ({"reasoning_tokens": True}, r"reasoning_tokens is True \(bool\)"),
        ({"cached_input_tokens": None}, "cached_input_tokens is None"),
        ({"cached_input_tokens": 6, "cache_write_tokens": 5}, "11 tokens of the cache are more than input_tokens=10"),
        ({"reasoning_tokens": 6}, "reasoning_tokens=6 are more than output_tokens=5"),
    ],
)
def test_bad_usage_is_refused(given, message):
    with pytest.raises(InvalidInputError, match=message):
        Usage(**{"input_tokens": 10, "output_tokens": 5, **given})
