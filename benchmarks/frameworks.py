"""The time that routing adds to a call in a framework, whose models answer at once and without a network."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip

from banditroute.errors import MissingDependencyError
from banditroute.router import Router
from banditroute.store import MemoryStore

_QUESTION = "How many roads must a man walk down? Answer with one number, and say why."
_ANSWER = "Forty-two, as far as anybody knows."
_BACKGROUND_SECONDS = 0.005  # after a call, in which LiteLLM logs and reports it on the event loop
_REPORT_SECONDS = 1.0  # until the last call is reported
_Way = Callable[[], Awaitable[object]]


@command(options=[click.option("--calls", default=200, show_default=True, type=click.IntRange(min=1))], seeds=5)
def main(*, files: list[Path], seeds: int, calls: int) -> list[Row]:
    """Microseconds of a call of each framework that is installed: by a bare model, and routed to one of two.

    The calls take turns, and the median of each repeat counts, so that other load on the machine hits both alike.
    """
    if files:
        raise click.UsageError("this benchmark takes no file")
    return asyncio.run(_measure(seeds, calls))


async def _measure(seeds: int, calls: int) -> list[Row]:
    rows = []
    for case, make in {"langchain": _langchain, "pydantic-ai": _pydantic_ai, "litellm": _litellm}.items():
        with Router(arms=["openai/small", "openai/large"], store=MemoryStore(), seed=0) as router:
            try:
                bare, routed = make(router)
            except MissingDependencyError as error:
                click.echo(f"{case} is left out: {error}", err=True)
                continue
            medians = [await _medians(bare, routed, calls) for _ in range(seeds)]
            await asyncio.sleep(_REPORT_SECONDS)
        added = [each[1] - each[0] for each in medians]
        rows += [
            row(case, case, "microseconds", [each[0] for each in medians], higher_is_better=False),
            row(case, "banditroute", "microseconds", [each[1] for each in medians], higher_is_better=False),
            row(case, "banditroute", "added_microseconds", added, higher_is_better=False),
        ]
    return rows


async def _medians(bare: _Way, routed: _Way, calls: int) -> tuple[float, float]:
    """Return the median microseconds of a bare call, and of a routed one."""
    took: tuple[list[float], list[float]] = ([], [])
    for number in range(-10, calls):
        for way, times in zip((bare, routed), took, strict=True):
            began = time.perf_counter()
            await way()
            if number >= 0:  # the first calls fill caches
                times.append((time.perf_counter() - began) * 1e6)
            await asyncio.sleep(_BACKGROUND_SECONDS)
    return statistics.median(took[0]), statistics.median(took[1])


def _langchain(router: Router) -> tuple[_Way, _Way]:
    from banditroute.integrations.langchain import ChatBandit  # first: it names the extra that is missing

    from langchain_core.language_models import FakeListChatModel  # isort: skip

    model = FakeListChatModel(responses=[_ANSWER])
    chat = ChatBandit(router=router, models=dict.fromkeys((arm.name for arm in router.arms), model))
    return lambda: model.ainvoke(_QUESTION), lambda: chat.ainvoke(_QUESTION)


def _pydantic_ai(router: Router) -> tuple[_Way, _Way]:
    from banditroute.integrations.pydantic_ai import BanditModel  # first: it names the extra that is missing

    from pydantic_ai import Agent  # isort: skip
    from pydantic_ai.models.test import TestModel

    model = TestModel(custom_output_text=_ANSWER)
    bare = Agent(model)
    routed = Agent(BanditModel(router, dict.fromkeys((arm.name for arm in router.arms), model)))
    return lambda: bare.run(_QUESTION), lambda: routed.run(_QUESTION)


def _litellm(router: Router) -> tuple[_Way, _Way]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # otherwise its import asks a server for prices
    from banditroute.integrations.litellm import BanditPlugin  # first: it names the extra that is missing

    import litellm  # isort: skip

    models = [
        {"model_name": "auto", "litellm_params": {"model": arm.name, "api_key": "none", "mock_response": _ANSWER}}
        for arm in router.arms
    ]
    plugin = BanditPlugin(router)
    litellm.callbacks = [plugin]  # hears of bare calls as well, and has nothing to report of them
    bare = litellm.Router(model_list=models, disable_cooldowns=True)
    routed = litellm.Router(model_list=models, disable_cooldowns=True, plugins=[plugin])
    messages = [{"role": "user", "content": _QUESTION}]
    return (
        lambda: bare.acompletion(model="auto", messages=messages),
        lambda: routed.acompletion(model="auto", messages=messages),
    )


if __name__ == "__main__":
    main()
