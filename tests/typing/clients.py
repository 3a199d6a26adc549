"""Routed clients and pricing as a user writes them: never run, checked by ``mypy --strict``.

``assert_type`` fails where a name has become ``Any`` or a union.
"""

from __future__ import annotations

from typing import Any, assert_type

from banditroute import Router
from banditroute.core import Failure
from banditroute.integrations import Answer, AnswerStream, AsyncAnswerStream, AsyncRoutedClient, RoutedClient
from banditroute.pricing import ModelPrice, PriceTable, Usage, genai_price, read_litellm_prices, read_prices


def blocking(router: Router, clients: dict[str, Any]) -> str:
    chat = RoutedClient(router, clients, prices={"large": ModelPrice(input_usd_per_million_tokens=2.0)})
    answer = chat.create("Why?", temperature=0, route={"session": "ticket 7"}, options={"large": {"max_tokens": 9}})
    assert_type(answer, Answer)
    assert_type(answer.text, str)
    assert_type(answer.usage, Usage | None)
    assert_type(answer.failures, tuple[tuple[str, Exception], ...])
    assert_type(chat.create([("user", "Why?")], stream=False), Answer)
    with chat.create([{"role": "user", "content": "Why?"}], stream=True) as stream:
        assert_type(stream, AnswerStream)
        for _ in stream:
            pass
        assert_type(stream.answer, Answer | None)
    assert_type(chat.respond("Why?"), Answer)
    assert_type(chat.respond("Why?", stream=True), AnswerStream)
    assert_type(chat.parse("Which city?", response_format=dict), Answer)
    assert_type(chat.embed(["a", "b"]), Answer)
    chat.add_client("new", object(), price=ModelPrice())
    chat.create("Why?", route={"sesion": "ticket 7"})  # type: ignore[call-overload]
    chat.create("Why?", stream="yes")  # type: ignore[call-overload]
    router.feedback(answer.decision_id, failure=Failure.RATE_LIMIT, retry_after_seconds=60.0)
    router.feedback(answer.decision_id, failure="timeout")
    return answer.text


async def waiting(router: Router, clients: dict[str, Any]) -> None:
    chat = AsyncRoutedClient(router, clients)
    assert_type(await chat.create("Why?"), Answer)
    async with await chat.create("Why?", stream=True) as stream:
        assert_type(stream, AsyncAnswerStream)
        async for _ in stream:
            pass
    assert_type(await chat.respond("Why?"), Answer)
    assert_type(await chat.respond("Why?", stream=True), AsyncAnswerStream)
    assert_type(await chat.parse("Which city?", response_format=dict), Answer)
    assert_type(await chat.embed("a"), Answer)


def prices() -> float | None:
    table = read_prices("prices.toml")
    assert_type(table, PriceTable)
    assert_type(table["large"], ModelPrice)
    assert_type(table.get("large"), ModelPrice | None)
    assert_type(table.age_days(), float | None)
    assert_type(read_litellm_prices("map.json").version, str | None)
    price = genai_price("gpt-4o")
    assert_type(price, ModelPrice | None)
    return None if price is None else price.cache_seconds
