"""Where prices come from: a file of the user's, LiteLLM's price map, the bundle of ``genai-prices``.

All give :class:`ModelPrice` by model name; a model that a source does not know is missing from it. The record holds
plain numbers: look it up once, when the arm is made, and price every call with it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidConfigurationError
from banditroute.pricing.model_price import RATES, ModelPrice

_LITELLM = dict(
    zip(
        (
            "input_cost_per_token",
            "output_cost_per_token",
            "cache_read_input_token_cost",
            "cache_creation_input_token_cost",
            "output_cost_per_reasoning_token",
        ),
        RATES,
        strict=True,
    )
)
_LITELLM_ABOVE = re.compile(rf"({'|'.join(_LITELLM)})_above_(\d+)k_tokens")
_GENAI = dict(
    zip(
        ("input_mtok", "output_mtok", "cache_read_mtok", "cache_write_mtok", "output_reasoning_mtok"),
        RATES,
        strict=True,
    )
)


def read_prices(path: str | os.PathLike[str]) -> dict[str, ModelPrice]:
    """Prices from a table of one's own: a ``.toml`` or ``.json`` file, model name -> the parameters of ``ModelPrice``.

    ::

        ["gpt-4.1"]
        input_usd_per_million_tokens = 2.0
        output_usd_per_million_tokens = 8.0
        cached_input_usd_per_million_tokens = 0.5

        ["long".above_tokens.200000]   # what differs for a request with more input
        input_usd_per_million_tokens = 2.5

    Raises
    ------
    InvalidConfigurationError
        For a file that cannot be read, a row that is no table, a name that is no parameter, and a rate that is not a
        number of at least 0.
    """
    prices = {}
    for model, row in _rows(path).items():
        longer = row.pop("above_tokens", {})
        if not isinstance(longer, dict) or not all(isinstance(tier, dict) for tier in longer.values()):
            raise InvalidConfigurationError(f"above_tokens of {model!r} is {longer!r}; give a table for each threshold")
        for key in chain(row, *longer.values()):
            if key not in RATES:
                raise InvalidConfigurationError(f"{model!r} has {key!r}; give some of {', '.join(RATES)}, above_tokens")
        tiers = {int(tokens) if tokens.isdecimal() else tokens: {**row, **tier} for tokens, tier in longer.items()}
        prices[model] = _price(row, tiers, model=model, source=str(path))
    return prices


def read_litellm_prices(path: str | os.PathLike[str]) -> dict[str, ModelPrice]:
    """Prices from a copy of LiteLLM's ``model_prices_and_context_window.json``.

    A row with no token price above 0 is left out: LiteLLM writes 0 also where it does not know, and where tokens are
    not what is paid for. Batch, flex, priority and off-peak prices are not read.

    Raises
    ------
    InvalidConfigurationError
        For a file that cannot be read or has another form.
    """
    prices = {}
    for model, row in _rows(path).items():
        try:
            # A search is tiered by its results, not by tokens.
            base, *longer = [tier for tier in row.get("tiered_pricing", ()) if "range" in tier] or [row]
            tiers = {int(tier["range"][0]): _litellm_rates(tier) for tier in longer}
            for key, rate in row.items():
                if match := _LITELLM_ABOVE.fullmatch(key):
                    tiers.setdefault(int(match[2]) * 1000, _litellm_rates(row)).update(_litellm_rates({match[1]: rate}))
            price = _price(_litellm_rates(base), tiers, model=model, source="litellm")
        except (AttributeError, LookupError, TypeError) as error:
            raise InvalidConfigurationError(
                f"{model!r} in {path} is not as in LiteLLM's price map: {error!r}"
            ) from error
        if any(getattr(price, name) for name in RATES):
            prices[model] = price
    return prices


def genai_price(model: str, *, provider: str | None = None, at: datetime | None = None) -> ModelPrice | None:
    """The price of a model in the bundle that comes with ``genai-prices``; None if it is not there. Asks no network.

    Parameters
    ----------
    model, provider
        As ``genai_prices.calc_price`` takes them: names are matched by its rules, and ``source`` says with what. None:
        the provider that the model's name suggests.
    at
        The time for which the price is asked, for those that change with the date or the hour; None: now.

    Raises
    ------
    MissingDependencyError
        Without the extra ``prices``.

    Examples
    --------
    >>> from datetime import UTC
    >>> price = genai_price("gpt-4o", at=datetime(2025, 6, 1, tzinfo=UTC))
    >>> price.input_usd_per_million_tokens, price.cached_input_usd_per_million_tokens, price.source
    (2.5, 1.25, 'genai-prices: openai/gpt-4o')
    >>> genai_price("a-model-of-my-own") is None
    True
    """
    genai_prices = optional("genai_prices", extra="prices")
    try:
        found = genai_prices.calc_price(genai_prices.Usage(), model, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        return None
    listed = {name: getattr(found.model_price, unit, None) for unit, name in _GENAI.items()}
    starts = {tier.start for price in listed.values() for tier in getattr(price, "tiers", ())}
    return _price(
        {name: _genai_rate(price, 0) for name, price in listed.items()},
        {start: {name: _genai_rate(price, start + 1) for name, price in listed.items()} for start in starts},
        model=model,
        source=f"genai-prices: {found.provider.id}/{found.model.id}",
    )


def _price(rates: Mapping[str, Any], tiers: Mapping[Any, Mapping[str, Any]], *, model: str, source: str) -> ModelPrice:
    try:
        longer = {tokens: ModelPrice(**tier, source=source) for tokens, tier in tiers.items()}
        return ModelPrice(**rates, above_tokens=longer, source=source)
    except InvalidConfigurationError as error:
        raise InvalidConfigurationError(f"price of {model!r} ({source}): {error}") from error


def _rows(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The table in a file: model name -> row."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        rows = tomllib.loads(text) if Path(path).suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidConfigurationError(f"{path} cannot be read ({error}); give a .toml or .json file") from error
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise InvalidConfigurationError(f"{path} is no table of prices; give model name -> table of prices")
    return rows


def _litellm_rates(row: Mapping[str, Any]) -> dict[str, float]:
    """A row's dollars per token, per million; rounded, for 1.5e-07 x 1e6 is not quite 0.15."""
    return {name: round(row[key] * 1e6, 9) for key, name in _LITELLM.items() if row.get(key) is not None}


def _genai_rate(price: Any, input_tokens: int) -> float | None:
    """A rate of ``genai-prices``, which is one number or a base with tiers, for a request of so many tokens."""
    for tier in getattr(price, "tiers", ()):
        if input_tokens > tier.start:
            price = tier.price
    return None if price is None else float(getattr(price, "base", price))
