"""Real LoRA adapters, trained here: in this process by PeftBackend, and on two loopback servers by RoutedClient."""

from __future__ import annotations

import copy
import runpy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
import openai
import torch
from tqdm import tqdm

from banditroute import Arm, Preference, Router
from banditroute.adapters import AdapterCache, AdapterSpec, Controller, Fleet, PeftBackend, VLLMBackend, lru
from banditroute.features import Metadata
from banditroute.integrations import RoutedClient
from benchmarks.lora_server import LoraServer, serving

EXAMPLE = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "03_adapters.py"))
RANK = 8
SERVERS = ("gpu-1", "gpu-2")
POLICIES = ("always_base", "random", "lru", "banditroute", "oracle")
LEARNED = ("lru", "banditroute")
RULES: dict[str, Callable[[np.random.Generator, int, int], int | None]] = {  # random, topic, topics -> adapter
    "always_base": lambda rng, topic, topics: None,
    "random": lambda rng, topic, topics: int(rng.integers(topics)),
    "oracle": lambda rng, topic, topics: topic,
}
OPTIONS = [
    click.option("--adapters", default=20, show_default=True, type=click.IntRange(min=2)),
    click.option("--slots", default=4, show_default=True, type=click.IntRange(min=1), help="of each model"),
    click.option("--requests", default=2000, show_default=True, type=click.IntRange(min=2)),
    click.option(
        "--quality-per-second", default=20.0, show_default=True, help="price of waiting for a load, in right answers"
    ),
    click.option("--watts", default=15.0, show_default=True, help="of one busy core, assumed for the joules"),
]


@command(seeds=3, options=OPTIONS)
def main(
    *, files: list[Path], seeds: int, adapters: int, slots: int, requests: int, quality_per_second: float, watts: float
) -> list[Row]:
    """Quality, loads, seconds and joules of the adapters of examples/03_adapters.py, each trained for one topic.

    An answer is right if both its letters are. `lru` is a router that ignores loads, with the eviction of servers;
    `oracle` knows the adapter of every topic. Joules are estimated from the processor's time. Model, server and client
    share one process, so the seconds of the servers' case are those of all three.
    """
    warnings.filterwarnings("ignore", module="peft|transformers")
    torch.set_num_threads(1)
    figures: dict[tuple[str, str, str], list[float]] = {}
    for seed in tqdm(range(seeds)):
        ciphers = EXAMPLE["make_ciphers"](adapters, seed=seed)
        served = EXAMPLE["draw_requests"](ciphers, requests, seed=seed + 1)
        with TemporaryDirectory() as folder:
            base, specs = EXAMPLE["train"](Path(folder), ciphers)
            for case, place in (("peft", _InProcess), ("servers", _OnServers)):
                for policy in POLICIES:
                    with place(base, specs, slots=slots, policy=policy, price=quality_per_second, seed=seed) as asked:
                        for metric, value in _run(asked, served, watts).items():
                            figures.setdefault((case, policy, metric), []).append(value)
    lower = ("loads", "processor_seconds", "joules")
    return [row(*key, values, higher_is_better=key[2] not in lower) for key, values in figures.items()]


def _run(place: _Place, served: Any, watts: float) -> dict[str, float]:
    right, tokens, started = [], 0, time.process_time()
    for topic, letters, expected in zip(*served, strict=True):
        right.append(place.ask(int(topic), letters, expected))
        tokens += 2 * len(letters)
    seconds = time.process_time() - started
    return {
        "quality": float(np.mean(right)),
        "second_half": float(np.mean(right[len(right) // 2 :])),
        "loads": float(place.loads()),
        "tokens": float(tokens),
        "processor_seconds": seconds,
        "joules": watts * seconds,
    }


class _Place:
    """Where requests are served, by one policy."""

    def __init__(
        self,
        base: torch.nn.Module,
        specs: Sequence[AdapterSpec],
        *,
        slots: int,
        policy: str,
        price: float,
        seed: int,
    ) -> None:
        self.base, self.specs, self.slots, self.policy, self.price, self.seed = base, specs, slots, policy, price, seed
        self.rng = np.random.default_rng(seed + 2)
        self.resources = ExitStack()

    def __enter__(self) -> _Place:
        self.start()
        return self

    def __exit__(self, *trace: object) -> None:
        self.resources.close()

    def start(self) -> None:
        raise NotImplementedError

    def loads(self) -> int:
        raise NotImplementedError

    def ask(self, topic: int, letters: np.ndarray, expected: np.ndarray) -> float:
        raise NotImplementedError

    def router(self, adapters: AdapterCache | Fleet) -> Router:
        arms = [*(Arm(name=spec.name, adapter=spec) for spec in self.specs), Arm(name="base")]
        price = {"latency_seconds": self.price} if self.policy == "banditroute" else {}
        topics = [str(topic) for topic in range(len(self.specs))]
        router = Router(
            arms=arms,
            features=Metadata(categorical={"topic": topics}),
            adapters=adapters,
            preference=Preference(quality=1.0, **price),
            seed=self.seed,
        )
        return self.resources.enter_context(router)

    def control(self) -> Any:
        return Controller() if self.policy == "banditroute" else lru

    def chosen(self, topic: int) -> AdapterSpec | None:
        position = RULES[self.policy](self.rng, topic, len(self.specs))
        return None if position is None else self.specs[position]


class _InProcess(_Place):
    def start(self) -> None:
        self.model: Any = copy.deepcopy(self.base)
        self.backend = PeftBackend(model=self.model, slots=self.slots, max_rank=RANK)
        for spec in self.specs:  # all start in host memory
            self.backend.load(spec)
            self.backend.unload(spec.name)
        self.cache = AdapterCache(backend=self.backend, control=self.control())
        if self.policy in LEARNED:
            self.learned = self.router(self.cache)
        else:
            self.cache.start(self.specs)

    def loads(self) -> int:
        return self.cache.loads

    def said(self, letters: np.ndarray, adapter: str | None) -> np.ndarray:
        said: np.ndarray = EXAMPLE["answer"](self.model, self.backend, letters, adapter)
        return said

    def ask(self, topic: int, letters: np.ndarray, expected: np.ndarray) -> float:
        if self.policy not in LEARNED:
            spec = self.chosen(topic)
            if spec is None:
                return float((self.said(letters, None) == expected).all())
            hold = self.cache.hold(spec)
            said = self.said(letters, spec.name)
            hold.release()
            return float((said == expected).all())
        with self.learned.lease(self.learned.route("", metadata={"topic": str(topic)})) as decision:
            adapter = None if decision.residency is None else decision.residency.adapter.name
            right = float((self.said(letters, adapter) == expected).all())
        self.learned.feedback(decision.id, quality=right)
        return right


class _OnServers(_Place):
    def start(self) -> None:
        self.servers = {name: LoraServer(self.base, slots=self.slots, max_rank=RANK) for name in SERVERS}
        urls = {name: self.resources.enter_context(serving(server)) for name, server in self.servers.items()}
        self.clients = {name: self.resources.enter_context(_client(url)) for name, url in urls.items()}
        self.fleet = Fleet(
            servers={
                name: VLLMBackend(base_url=url, max_loras=self.slots, max_cpu_loras=len(self.specs))
                for name, url in urls.items()
            },
            control=self.control(),
        )
        if self.policy in LEARNED:
            arms: dict[str, Any] = dict.fromkeys((spec.name for spec in self.specs), self.clients)
            self.chat = RoutedClient(self.router(self.fleet), {**arms, "base": self.clients[SERVERS[0]]})
        else:
            self.fleet.start(self.specs)

    def loads(self) -> int:
        self.fleet.wait()
        return sum(server.loads for server in self.servers.values())

    def ask(self, topic: int, letters: np.ndarray, expected: np.ndarray) -> float:
        content, right = " ".join(map(str, letters)), " ".join(map(str, expected))
        if self.policy in LEARNED:
            answer = self.chat.create(content, route={"metadata": {"topic": str(topic)}})
            quality = float(answer.text == right)
            self.chat.router.feedback(answer.decision_id, quality=quality)
            return quality
        spec = self.chosen(topic)
        if spec is None:
            return float(self.said(SERVERS[0], "base", content) == right)
        hold = self.fleet.hold(spec)
        said = self.said(hold.server or "", spec.name, content)
        hold.release()
        return float(said == right)

    def said(self, server: str, model: str, content: str) -> str | None:
        messages: Any = [{"role": "user", "content": content}]
        completion = self.clients[server].chat.completions.create(model=model, messages=messages)
        return completion.choices[0].message.content


@contextmanager
def _client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        yield client


if __name__ == "__main__":
    main()
