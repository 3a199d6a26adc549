"""The time that routing adds to a call of the bare client, against a server on this machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip

from banditroute.integrations import RoutedClient
from banditroute.router import Router
from banditroute.store import MemoryStore
from benchmarks.chat_server import chat_server

QUESTION = [{"role": "user", "content": "How many roads must a man walk down? Answer with one number, and say why."}]


@command(options=[click.option("--calls", default=200, show_default=True, type=click.IntRange(min=1))], seeds=5)
def main(*, files: list[Path], seeds: int, calls: int) -> list[Row]:
    """Microseconds of a call by the client of `openai` alone, and behind a router that learns.

    The calls take turns, and the median of each repeat counts, so that other load on the machine hits both alike.
    """
    if files:
        raise click.UsageError("this benchmark takes no file")
    import openai

    with (
        chat_server() as url,
        openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client,
        Router(arms=["small", "large"], store=MemoryStore(), seed=0) as router,
    ):
        chat = RoutedClient(router, dict.fromkeys(("small", "large"), client))
        ways: dict[str, Callable[[], object]] = {
            "openai": lambda: client.chat.completions.create(model="small", messages=QUESTION),
            "banditroute": lambda: chat.create(QUESTION),
        }
        medians: dict[str, list[float]] = {name: [] for name in ways}
        for way in ways.values():  # connections and caches
            for _ in range(20):
                way()
        for _ in range(seeds):
            microseconds: dict[str, list[float]] = {name: [] for name in ways}
            for _ in range(calls):
                for name, way in ways.items():
                    began = time.perf_counter()
                    way()
                    microseconds[name].append((time.perf_counter() - began) * 1e6)
            for name, values in microseconds.items():
                medians[name].append(statistics.median(values))
    pairs = list(zip(medians["banditroute"], medians["openai"], strict=True))
    added = [routed_call - bare for routed_call, bare in pairs]
    ratio = [routed_call / bare for routed_call, bare in pairs]
    return [
        *(row("chat", name, "microseconds", values, higher_is_better=False) for name, values in medians.items()),
        row("chat", "banditroute", "added_microseconds", added, higher_is_better=False),
        row("chat", "banditroute", "ratio", ratio, higher_is_better=False),
    ]


if __name__ == "__main__":
    main()
