"""Prices from files and from the bundle, against the library that the bundle comes with."""

import json
import os
import random
import sys
import tomllib
from datetime import UTC, datetime

import genai_prices
import pytest
from genai_prices.data_snapshot import get_snapshot

from banditroute.errors import InvalidConfigurationError, MissingDependencyError
from banditroute.pricing import GENAI_UNKNOWN, PriceTable, Usage, genai_price, read_litellm_prices, read_prices

CALL = Usage(input_tokens=1000, output_tokens=100)


@pytest.fixture
def table(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    return write


class TestOwnTable:
    TOML = """
        ["gpt-4.1"]
        input_usd_per_million_tokens = 2
        output_usd_per_million_tokens = 8.0
        cached_input_usd_per_million_tokens = 0.5

        ["gpt-4.1".above_tokens.200000]
        input_usd_per_million_tokens = 4

        [unknown]
    """

    def test_toml_and_json_say_the_same(self, table):
        path = table("prices.toml", self.TOML)
        prices = read_prices(path)
        again = read_prices(table("prices.json", tomllib.loads(self.TOML)))
        assert [price.cost_usd(CALL) for price in prices.values()] == [price.cost_usd(CALL) for price in again.values()]
        assert prices["gpt-4.1"].source == str(path)

    def test_a_longer_request_differs_in_what_is_given(self, table):
        price = read_prices(table("prices.toml", self.TOML))["gpt-4.1"]
        assert price.cost_usd(CALL) == pytest.approx((1000 * 2 + 100 * 8) / 1e6)
        long = Usage(input_tokens=300_000, output_tokens=100, cached_input_tokens=100_000)
        assert price.cost_usd(long) == pytest.approx((200_000 * 4 + 100_000 * 0.5 + 100 * 8) / 1e6)

    def test_an_empty_row_and_a_missing_one_are_unknown(self, table):
        prices = read_prices(table("prices.toml", self.TOML))
        assert prices["unknown"].cost_usd(CALL) is None
        assert prices.get("other") is None

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("a.toml", "[m]\ninput_usd = 2", "m.input_usd: unknown; did you mean 'input_usd_per_million_tokens'"),
            (
                "a.toml",
                "[m]\ninput_usd_per_million_tokens = nan",
                r"m: input_usd_per_million_tokens is nan",
            ),
            ("a.toml", "[m]\ninput_usd_per_million_tokens = true", "m.input_usd_per_million_tokens: it is True"),
            ("a.toml", "[m]\ninput_usd_per_million_tokens = '2'", "give a number"),
            ("a.toml", "[m.above_tokens.200k]\n", r"m\.above_tokens\.200k.*give a whole number"),
            ("a.toml", "[m.above_tokens.200000]\nprice = 1", "m.above_tokens.200000.price: unknown"),
            ("a.toml", "[m]\nabove_tokens = 3", r"m\.above_tokens: it is 3 \(int\); give a table"),
            ("a.toml", "m = 2", "is no table of prices"),
            ("a.toml", "[m", "cannot be read"),
            ("a.json", "[1]", "is no table of prices"),
            ("a.json", '{"m": 3}', "is no table of prices"),
            ("a.json", "{", "cannot be read"),
        ],
    )
    def test_unusable_table_is_refused_with_the_place(self, table, name, content, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            read_prices(table(name, content))

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(InvalidConfigurationError, match="cannot be read"):
            read_prices(tmp_path / "none.toml")


class TestLiteLLM:
    """Rows as they stand in the map that LiteLLM publishes."""

    MAP = {  # noqa: RUF012
        "sample_spec": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0, "mode": "one of: chat, ..."},
        "mini": {
            "input_cost_per_token": 1.5e-07,
            "output_cost_per_token": 6e-07,
            "cache_read_input_token_cost": 7.5e-08,
            "input_cost_per_token_batches": 7.5e-08,
            "max_input_tokens": 128000,
        },
        "gemini": {
            "input_cost_per_token": 1.25e-06,
            "output_cost_per_token": 1e-05,
            "cache_read_input_token_cost": 1.25e-07,
            "input_cost_per_token_above_200k_tokens": 2.5e-06,
            "output_cost_per_token_above_200k_tokens": 1.5e-05,
            "output_cost_per_token_above_200k_tokens_priority": 1.0,
        },
        "qwen": {
            "tiered_pricing": [
                {"input_cost_per_token": 5e-08, "output_cost_per_token": 4e-07, "range": [0, 256000.0]},
                {
                    "input_cost_per_token": 2.5e-07,
                    "output_cost_per_token": 2e-06,
                    "output_cost_per_reasoning_token": 4e-06,
                    "range": [256000.0, 1000000.0],
                },
            ]
        },
        "embedding": {"input_cost_per_token": 2e-08, "output_cost_per_token": 0.0},
        "unlisted": {"input_cost_per_token": 0, "output_cost_per_token": 0.0, "mode": "chat"},
        "search": {"tiered_pricing": [{"input_cost_per_query": 0.005, "max_results_range": [0, 25]}], "mode": "search"},
        "by-the-image": {"output_cost_per_image": 0.04},
        "null": {"input_cost_per_token": None, "output_cost_per_token": None},
    }

    @pytest.fixture
    def prices(self, table):
        return read_litellm_prices(table("map.json", self.MAP))

    def test_zero_and_missing_are_left_out(self, prices):
        assert prices.keys() == {"mini", "gemini", "qwen", "embedding"}

    def test_prices_are_read_per_million_tokens(self, prices):
        mini = prices["mini"]
        assert mini.input_usd_per_million_tokens == 0.15
        assert mini.output_usd_per_million_tokens == 0.6
        assert mini.cached_input_usd_per_million_tokens == 0.075
        assert mini.reasoning_usd_per_million_tokens is None
        assert mini.source == "litellm"

    def test_above_a_threshold_the_rest_stays(self, prices):
        long = Usage(input_tokens=300_000, output_tokens=100, cached_input_tokens=100_000)
        assert prices["gemini"].cost_usd(long) == pytest.approx((200_000 * 2.5 + 100_000 * 0.125 + 100 * 15) / 1e6)

    def test_tiers_of_long_prompts_are_read(self, prices):
        assert prices["qwen"].cost_usd(Usage(input_tokens=256_000, output_tokens=0)) == pytest.approx(0.0128)
        long = Usage(input_tokens=300_000, output_tokens=100, reasoning_tokens=50)
        assert prices["qwen"].cost_usd(long) == pytest.approx((300_000 * 0.25 + 50 * 2 + 50 * 4) / 1e6)

    @pytest.mark.parametrize(
        "content",
        [
            {"a": {"input_cost_per_token": "x"}},
            {"a": {"tiered_pricing": [{"range": [0]}, {"range": [], "input_cost_per_token": 1e-6}]}},
            {"a": {"tiered_pricing": 3}},
            {"a": {"input_cost_per_token": -1.0}},
            {"a": 3},
            [],
        ],
    )
    def test_table_of_another_form_is_refused(self, table, content):
        with pytest.raises(InvalidConfigurationError):
            read_litellm_prices(table("map.json", content))


class TestGenaiPrices:
    def test_every_text_model_of_the_bundle_costs_what_the_library_says(self):
        now, rng, compared = datetime(2026, 6, 1, 12, tzinfo=UTC), random.Random(0), 0
        for provider in get_snapshot().providers:
            for model in provider.models:
                listed = {key for key, value in vars(model.get_prices(now)).items() if value is not None}
                if not {"input_mtok", "output_mtok"} <= listed or "requests_kcount" in listed:
                    continue
                price = genai_price(model.id, provider=provider.id, at=now)
                if price is None or not price.source.endswith(f"/{model.id}"):
                    continue  # the library itself matches another model, or none
                cached, write, reasoning = (rng.randrange(1000) for _ in range(3))
                total = cached + write + rng.choice([0, 500, 40_000, 250_000, 600_000])
                theirs = {"input_tokens": total, "output_tokens": reasoning + 70}
                theirs |= {"cache_read_tokens": cached, "cache_write_tokens": write}
                if "output_reasoning_mtok" in listed:
                    theirs["output_reasoning_tokens"] = reasoning
                theirs = {key: count for key, count in theirs.items() if count}
                expected = genai_prices.calc_price(
                    genai_prices.Usage(**theirs), model.id, provider_id=provider.id, genai_request_timestamp=now
                )
                call = Usage(
                    input_tokens=total,
                    output_tokens=reasoning + 70,
                    cached_input_tokens=cached,
                    cache_write_tokens=write,
                    reasoning_tokens=reasoning,
                )
                assert price.cost_usd(call) == pytest.approx(float(expected.total_price)), (provider.id, model.id)
                compared += 1
        assert compared > 1000

    def test_a_model_that_is_not_priced_by_tokens_is_unknown(self):
        price = genai_price("whisper-1", provider="openai")
        assert price.cost_usd(CALL) is None  # the library says $0.00

    def test_the_hour_counts(self):
        prices = {genai_price("deepseek-chat", at=datetime(2025, 6, 1, hour, tzinfo=UTC)) for hour in (12, 20)}
        assert len(prices) == 2

    def test_unknown_model_has_no_price(self):
        assert genai_price("no-such-model-of-ours") is None
        assert genai_price("gpt-4o", provider="no-such-provider") is None

    def test_missing_package_is_named_with_the_pip_line(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "genai_prices", None)
        with pytest.raises(MissingDependencyError, match=r"banditroute\[prices\]"):
            genai_price("gpt-4o")


class TestLookups:
    def test_unknown_names_are_counted_and_logged_once(self, table, caplog):
        prices = read_prices(table("prices.toml", TestOwnTable.TOML))
        assert [prices.get("gpt-4") for _ in range(3)] == [None] * 3
        with pytest.raises(KeyError, match=r"no price of 'gpt-4' in .*; similar names: gpt-4.1"):
            prices["gpt-4"]
        assert prices.unknown == {"gpt-4": 4}
        assert caplog.text.count("no price of 'gpt-4'") == 1
        assert "gpt-4" not in prices
        assert prices.unknown == {"gpt-4": 4}

    def test_unknown_names_of_the_bundle_are_counted_and_logged_once(self, caplog):
        for _ in range(3):
            assert genai_price("a-name-of-this-test") is None
        assert GENAI_UNKNOWN["a-name-of-this-test"] == 3
        assert caplog.text.count("'a-name-of-this-test'") == 1

    def test_retired_models_are_counted_and_logged_once(self, table, caplog):
        row = {"input_cost_per_token": 1e-6, "deprecation_date": "2024-01-01", "litellm_provider": "openai"}
        later = {**row, "deprecation_date": "2999-01-01"}
        prices = read_litellm_prices(table("map.json", {"old": row, "new": later}))
        for _ in range(2):
            assert prices["old"].retired
            assert not prices["new"].retired
        assert prices.retired == {"old": 2}
        assert caplog.text.count("'old' is retired") == 1

    def test_retired_models_of_the_bundle(self):
        retired = next(
            (provider.id, model.id)
            for provider in get_snapshot().providers
            for model in provider.models
            if model.deprecated
        )
        price = genai_price(retired[1], provider=retired[0])
        assert price is None or price.retired


class TestVersionAndAge:
    def test_version_is_that_of_the_content_unless_it_is_given(self, table):
        own = [read_prices(table(f"{name}.toml", TestOwnTable.TOML)).version for name in "ab"]
        assert own[0] == own[1]
        assert read_prices(table("c.toml", TestOwnTable.TOML + "\n[more]\n")).version != own[0]
        assert read_prices(table("d.toml", 'version = "2026-11"\n' + TestOwnTable.TOML)).version == "2026-11"

    def test_age_is_counted_from_the_file(self, table):
        path = table("prices.toml", TestOwnTable.TOML)
        os.utime(path, (1e9, 1e9))
        prices = read_prices(path)
        assert prices.age_days(now=datetime.fromtimestamp(1e9 + 86_400 * 10, tz=UTC)) == 10.0
        assert prices.age_days() > 1000.0
        assert PriceTable(prices={}, source="x").age_days() is None


class TestPromptCaches:
    def test_a_table_of_ones_own_says_how_long_a_prompt_is_kept(self, table):
        price = read_prices(table("prices.toml", "[m]\ncache_seconds = 600\ncache_min_tokens = 2048\n"))["m"]
        assert (price.cache_seconds, price.cache_min_tokens) == (600, 2048)

    @pytest.mark.parametrize(
        ("model", "seconds", "tokens"), [("claude-sonnet-4-5", 300, 1024), ("deepseek-chat", 3600, 64)]
    )
    def test_the_bundle_has_the_rules_of_providers(self, model, seconds, tokens):
        price = genai_price(model)
        assert (price.cache_seconds, price.cache_min_tokens) == (seconds, tokens)
        assert price.cached_input_usd_per_million_tokens < price.input_usd_per_million_tokens

    def test_litellm_has_the_rules_of_providers(self, table):
        row = {"input_cost_per_token": 1e-6}
        rows = {
            provider: {**row, "litellm_provider": provider} for provider in ("bedrock_converse", "mistral", "openai")
        }
        prices = read_litellm_prices(table("map.json", rows))
        assert [prices[name].cache_seconds for name in rows] == [300, None, 300]

    @pytest.mark.parametrize("wrong", ["-1", "nan", "'long'"])
    def test_bad_time_is_refused(self, table, wrong):
        with pytest.raises(InvalidConfigurationError, match="cache_seconds"):
            read_prices(table("prices.toml", f"[m]\ncache_seconds = {wrong}"))
