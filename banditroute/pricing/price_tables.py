"""Prices by the name of a model: from a file of the user's, LiteLLM's price map, or the bundle of ``genai-prices``.

Look a price up once, when the arm is made, and price every call with it.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import logging
import os
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from banditroute.core.optional_imports import optional
from banditroute.errors import InvalidConfigurationError
from banditroute.pricing.model_price import RATES, ModelPrice
from banditroute.pricing.prompt_caches import prompt_cache_of

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

GENAI_UNKNOWN: Counter[str] = Counter()
"""Model that the bundle of ``genai-prices`` does not know -> how often its price was asked for."""

GENAI_RETIRED: Counter[str] = Counter()
"""Model that the bundle of ``genai-prices`` calls retired -> how often its price was asked for."""

_log = logging.getLogger("banditroute")


class PriceTable(Mapping[str, ModelPrice]):
    """Prices by the name of a model, from one source.

    A name that the table does not know is counted in ``unknown`` and logged once: it is never priced at 0. So is a name
    that the source calls retired, in ``retired``.

    Parameters
    ----------
    prices
        Name of a model -> its price.
    source
        Where the prices come from.
    version
        The version of the source; None: not known.
    as_of
        When the prices were written; None: not known.

    Attributes
    ----------
    unknown, retired
        Name -> how often its price was asked for.

    Examples
    --------
    >>> table = PriceTable(prices={"large": ModelPrice(input_usd_per_million_tokens=2.0)}, source="a test")
    >>> table["large"].input_usd_per_million_tokens, table.get("larger"), table.unknown
    (2.0, None, Counter({'larger': 1}))
    """

    def __init__(
        self,
        *,
        prices: Mapping[str, ModelPrice],
        source: str,
        version: str | None = None,
        as_of: datetime | None = None,
    ) -> None:
        self.source = source
        self.version = version
        self.as_of = as_of
        self.unknown: Counter[str] = Counter()
        self.retired: Counter[str] = Counter()
        self._prices = dict(prices)

    def __getitem__(self, model: str) -> ModelPrice:
        price = self._prices.get(model)
        note_lookup(model, price, source=self.source, unknown=self.unknown, retired=self.retired)
        if price is None:
            near = difflib.get_close_matches(str(model), self._prices, n=3)
            hint = f"; similar names: {', '.join(near)}" if near else ""
            raise KeyError(f"no price of {model!r:.80} in {self.source}{hint}")
        return price

    def __contains__(self, model: object) -> bool:
        return model in self._prices

    def __iter__(self) -> Iterator[str]:
        return iter(self._prices)

    def __len__(self) -> int:
        return len(self._prices)

    def values(self) -> Any:
        """Return the prices."""
        return self._prices.values()

    def items(self) -> Any:
        """Return names and prices."""
        return self._prices.items()

    def age_days(self, *, now: datetime | None = None) -> float | None:
        """Return the age of the prices in days; None if it is not known.

        Parameters
        ----------
        now
            The time at which it is asked; None: the present.
        """
        if self.as_of is None:
            return None
        return max((datetime.now(UTC) if now is None else now).timestamp() - self.as_of.timestamp(), 0.0) / 86_400.0

    def __repr__(self) -> str:
        return f"PriceTable({len(self)} models, source={self.source!r}, version={self.version!r})"


def note_lookup(
    model: str, price: ModelPrice | None, *, source: str, unknown: Counter[str], retired: Counter[str]
) -> None:
    """Count a look-up of an unknown or retired model, and log the first one of each."""
    if price is None:
        unknown[model] += 1
        if unknown[model] == 1:
            _log.warning("no price of %.80r in %s; its cost is not known", model, source)
    elif price.retired:
        retired[model] += 1
        if retired[model] == 1:
            _log.warning("the model %.80r is retired, says %s; its price may be out of date", model, source)


def read_prices(path: str | os.PathLike[str]) -> PriceTable:
    """Return the prices in a table of your own: a ``.toml`` or ``.json`` file, model -> parameters of ``ModelPrice``.

    ::

        version = "2026-11"            # optional

        ["gpt-4.1"]
        input_usd_per_million_tokens = 2.0
        output_usd_per_million_tokens = 8.0
        cached_input_usd_per_million_tokens = 0.5
        cache_seconds = 300

        ["long".above_tokens.200000]   # what differs for a request with more input
        input_usd_per_million_tokens = 2.5

    Raises
    ------
    InvalidConfigurationError
        If the file cannot be read, a row is not a table, a name is not a parameter, or a rate is not a number of at
        least 0; it names all mistakes.
    """
    from banditroute.core.schema import Schemas

    rows, version, as_of = _rows(path)
    for row in rows.values():
        rates = {name: row[name] for name in RATES if name in row}
        if isinstance(longer := row.get("above_tokens"), dict):
            row["above_tokens"] = {
                tokens: {**rates, **tier, "source": str(path)} if isinstance(tier, dict) else tier
                for tokens, tier in longer.items()
            }
        row["source"] = str(path)
    prices: dict[str, ModelPrice] = Schemas().read(Mapping[str, ModelPrice], rows, source=str(path))
    return PriceTable(prices=prices, source=str(path), version=version, as_of=as_of)


def read_litellm_prices(path: str | os.PathLike[str]) -> PriceTable:
    """Return the prices in a copy of LiteLLM's ``model_prices_and_context_window.json``.

    A row with no token price above 0 is left out: LiteLLM writes 0 also where it does not know, and where tokens are
    not what is paid for. Batch, flex, priority and off-peak prices are not read.

    Raises
    ------
    InvalidConfigurationError
        If the file cannot be read or has another form.
    """
    rows, version, as_of = _rows(path)
    prices = {}
    for model, row in rows.items():
        try:
            # A search is tiered by its results, not by tokens.
            base, *longer = [tier for tier in row.get("tiered_pricing", ()) if "range" in tier] or [row]
            tiers = {int(tier["range"][0]): _litellm_rates(tier) for tier in longer}
            for key, rate in row.items():
                if match := _LITELLM_ABOVE.fullmatch(key):
                    tiers.setdefault(int(match[2]) * 1000, _litellm_rates(row)).update(_litellm_rates({match[1]: rate}))
            gone = str(row.get("deprecation_date") or "9999") <= datetime.now(UTC).date().isoformat()
            rest = {**_cache_of(row.get("litellm_provider")), "retired": gone}
            price = _price({**_litellm_rates(base), **rest}, tiers, model=model, source="litellm")
        except (AttributeError, LookupError, TypeError) as error:
            raise InvalidConfigurationError(
                f"{model!r} in {path} is not as in LiteLLM's price map: {error!r}"
            ) from error
        if any(getattr(price, name) for name in RATES):
            prices[model] = price
    return PriceTable(prices=prices, source="litellm", version=version, as_of=as_of)


def genai_price(model: str, *, provider: str | None = None, at: datetime | None = None) -> ModelPrice | None:
    """Return the price of a model in the bundle of ``genai-prices``; None if it is not there. Asks no network.

    A name that is unknown or retired is logged once, and counted in ``GENAI_UNKNOWN`` or ``GENAI_RETIRED``.

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
        If the extra ``prices`` is not installed.

    Examples
    --------
    >>> from datetime import UTC
    >>> price = genai_price("gpt-4o", at=datetime(2025, 6, 1, tzinfo=UTC))
    >>> price.input_usd_per_million_tokens, price.cached_input_usd_per_million_tokens, price.cache_seconds
    (2.5, 1.25, 300.0)
    >>> price.source
    'genai-prices: openai/gpt-4o'
    """
    genai_prices = optional("genai_prices", extra="prices")
    source = f"genai-prices {genai_prices.__version__}"
    try:
        found = genai_prices.calc_price(genai_prices.Usage(), model, provider_id=provider, genai_request_timestamp=at)
    except LookupError:
        note_lookup(model, None, source=source, unknown=GENAI_UNKNOWN, retired=GENAI_RETIRED)
        return None
    listed = {name: getattr(found.model_price, unit, None) for unit, name in _GENAI.items()}
    starts = {tier.start for price in listed.values() for tier in getattr(price, "tiers", ())}
    rest = {**_cache_of(found.provider.id), "retired": bool(found.model.deprecated)}
    price = _price(
        {**{name: _genai_rate(each, 0) for name, each in listed.items()}, **rest},
        {start: {name: _genai_rate(each, start + 1) for name, each in listed.items()} for start in starts},
        model=model,
        source=f"genai-prices: {found.provider.id}/{found.model.id}",
    )
    note_lookup(model, price, source=source, unknown=GENAI_UNKNOWN, retired=GENAI_RETIRED)
    return price


def _cache_of(provider: object) -> dict[str, Any]:
    cache = prompt_cache_of(provider)
    return {} if cache is None else {"cache_seconds": cache.seconds, "cache_min_tokens": cache.min_tokens}


def _price(rates: Mapping[str, Any], tiers: Mapping[Any, Mapping[str, Any]], *, model: str, source: str) -> ModelPrice:
    try:
        longer = {tokens: ModelPrice(**tier, source=source) for tokens, tier in tiers.items()}
        return ModelPrice(**rates, above_tokens=longer, source=source)
    except InvalidConfigurationError as error:
        raise InvalidConfigurationError(f"price of {model!r} ({source}): {error}") from error


def _rows(path: str | os.PathLike[str]) -> tuple[dict[str, dict[str, Any]], str, datetime]:
    """Return the table in a file, model -> row; its version, given or by its content; and when it was written."""
    try:
        content = Path(path).read_bytes()
        as_of = datetime.fromtimestamp(Path(path).stat().st_mtime, tz=UTC)
        text = content.decode("utf-8")
        rows = tomllib.loads(text) if Path(path).suffix == ".toml" else json.loads(text)
    except (OSError, ValueError) as error:
        raise InvalidConfigurationError(f"{path} cannot be read ({error}); give a .toml or .json file") from error
    version = hashlib.sha256(content).hexdigest()[:12]
    if isinstance(rows, dict) and isinstance(rows.get("version"), str):
        version = rows.pop("version")
    if not isinstance(rows, dict) or not all(isinstance(row, dict) for row in rows.values()):
        raise InvalidConfigurationError(f"{path} is no table of prices; give model name -> table of prices")
    return rows, version, as_of


def _litellm_rates(row: Mapping[str, Any]) -> dict[str, float]:
    """Return a row's dollars per token as dollars per million; rounded, for 1.5e-07 x 1e6 is not quite 0.15."""
    return {name: round(row[key] * 1e6, 9) for key, name in _LITELLM.items() if row.get(key) is not None}


def _genai_rate(price: Any, input_tokens: int) -> float | None:
    """Return a rate of ``genai-prices``, one number or a base with tiers, for a request of so many tokens."""
    for tier in getattr(price, "tiers", ()):
        if input_tokens > tier.start:
            price = tier.price
    return None if price is None else float(getattr(price, "base", price))
