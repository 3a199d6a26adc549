"""Six real LoRA adapters, two slots: the router learns which adapter answers best and which should stay resident.

A tiny transformer learns to copy letters. Six adapters then learn one cipher each, in families of three that share
most letters, so an adapter is perfect at its own topic, fair at two others and useless at the rest. Requests come by
Zipf's law, and every answer is graded by exact match. All policies serve the same requests with the same memory.

Run it with ``python examples/03_adapters.py`` (``pip install '.[peft]'``). It also takes the number of adapters, slots
and requests: ``python examples/03_adapters.py 12 4 1000`` takes half a minute on one core. Joules are estimated from
the processor's time and the power that is assumed below.
"""

from __future__ import annotations

import copy
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import peft
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from banditroute import Arm, Preference, Router
from banditroute.adapters import AdapterCache, AdapterSpec, Controller, PeftBackend, lru
from banditroute.features import Metadata

FAMILY, LETTERS, SHARED = 3, 12, 9
ASSUMED_WATTS = 15.0  # of one busy core, for the estimate
QUALITY_PER_SECOND = 150.0  # a load of a millisecond from RAM is worth .15 of a right answer

Choose = Callable[[int], str]  # topic -> adapter


class Result(NamedTuple):
    """Figures of one policy over all requests."""

    quality: float
    late_quality: float
    loads: int
    waited_seconds: float
    processor_seconds: float


def train(folder: Path, ciphers: np.ndarray) -> tuple[LlamaForCausalLM, list[AdapterSpec]]:
    """Train the base model and the adapters, and save these in ``folder``."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=LETTERS,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    base = LlamaForCausalLM(config)
    fit(base, np.arange(LETTERS), steps=60, rate=1e-2)
    specs = []
    for topic, cipher in enumerate(ciphers):
        settings = peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear")
        adapter = peft.get_peft_model(copy.deepcopy(base), settings)
        fit(adapter, cipher, steps=35, rate=2e-2)
        adapter.save_pretrained(folder / f"cipher-{topic}", save_embedding_layers=False)
        specs.append(AdapterSpec.read(folder / f"cipher-{topic}", name=f"cipher-{topic}"))
    return base.eval(), specs


def fit(model: torch.nn.Module, cipher: np.ndarray, *, steps: int, rate: float) -> None:
    """Teach ``model`` to answer every letter with its letter in ``cipher``."""
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=rate)
    answers = torch.as_tensor(cipher)
    for _ in range(steps):
        letters = torch.randint(LETTERS, (16, 8))
        logits = model(letters).logits
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), answers[letters].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()


def answer(model: torch.nn.Module, backend: PeftBackend, letters: np.ndarray, adapter: str | None) -> np.ndarray:
    """Serve one request through ``adapter``."""
    with torch.no_grad(), backend.serving([adapter]):
        return model(torch.as_tensor(letters[None])).logits[0].argmax(dim=1).numpy()


class Served(NamedTuple):
    """The requests, the same for every policy."""

    topics: np.ndarray
    letters: np.ndarray
    expected: np.ndarray


def make_ciphers(topics: int, *, seed: int = 0) -> np.ndarray:
    """Return one permutation of the letters for each topic; topics of a family share most letters."""
    rng = np.random.default_rng(seed)
    ciphers = np.empty((topics, LETTERS), dtype=np.int64)
    for topic in range(topics):
        if topic % FAMILY == 0:
            ciphers[topic] = rng.permutation(LETTERS)
        else:
            ciphers[topic] = ciphers[topic - topic % FAMILY]
            others = rng.choice(LETTERS, size=LETTERS - SHARED, replace=False)
            ciphers[topic, others] = ciphers[topic, np.roll(others, 1)]
    return ciphers


def draw_requests(ciphers: np.ndarray, count: int, *, seed: int = 1) -> Served:
    """Draw topics by Zipf's law, and two letters for each request."""
    rng = np.random.default_rng(seed)
    popularity = 1.0 / np.arange(1, len(ciphers) + 1)
    topics = rng.permutation(len(ciphers))[rng.choice(len(ciphers), size=count, p=popularity / popularity.sum())]
    letters = rng.integers(LETTERS, size=(count, 2))
    return Served(topics, letters, np.take_along_axis(ciphers[topics], letters, axis=1))


def serve_by_router(router: Router, cache: AdapterCache, served: Served, ask: Callable[..., np.ndarray]) -> Result:
    """Serve all requests by a router that learns from exact matches."""
    right, waited, started = [], 0.0, time.process_time()
    for topic, letters, expected in zip(*served, strict=True):
        decision = router.route("", metadata={"topic": str(topic)})
        lease = router.lease(decision)
        with lease as held:
            said = ask(letters, None if held.residency is None else held.residency.adapter.name)
        waited += lease.seconds
        right.append(float((said == expected).all()))
        router.feedback(held.id, quality=right[-1])
    cache.wait()
    return result(right, cache, waited, started)


def serve_by_rule(
    choose: Choose, cache: AdapterCache, specs: dict[str, AdapterSpec], served: Served, ask: Callable[..., np.ndarray]
) -> Result:
    """Serve all requests by a rule that does not learn."""
    right, waited, started = [], 0.0, time.process_time()
    for topic, letters, expected in zip(*served, strict=True):
        name = choose(topic)
        waited += cache.acquire(specs[name])
        said = ask(letters, name)
        cache.release(name)
        right.append(float((said == expected).all()))
    return result(right, cache, waited, started)


def result(right: list[float], cache: AdapterCache, waited: float, started: float) -> Result:
    """Sum up what one policy did."""
    late = right[len(right) // 2 :]
    return Result(sum(right) / len(right), sum(late) / len(late), cache.loads, waited, time.process_time() - started)


def main(topics: int = 6, slots: int = 2, requests: int = 300) -> None:
    warnings.filterwarnings("ignore", module="peft|transformers")
    torch.set_num_threads(1)
    ciphers = make_ciphers(topics)
    served = draw_requests(ciphers, requests)
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        base, specs = train(Path(folder), ciphers)
        print(f"trained {len(specs)} adapters in {time.perf_counter() - started:.0f} s")
        by_name = {spec.name: spec for spec in specs}

        def run(policy: str) -> Result:
            model = copy.deepcopy(base)
            backend = PeftBackend(model=model, slots=slots, max_rank=8)
            for spec in specs:  # all start in host memory
                backend.load(spec)
                backend.unload(spec.name)
            cache = AdapterCache(backend=backend, control=Controller() if policy == "banditroute" else lru)
            ask = lambda letters, name: answer(model, backend, letters, name)  # noqa: E731
            if policy in ("banditroute", "LRU, loads ignored"):
                price = {"latency_seconds": QUALITY_PER_SECOND} if policy == "banditroute" else {}
                arms = [Arm(name=spec.name, adapter=spec) for spec in specs]
                with Router(
                    arms=[*arms, Arm(name="base")],
                    features=Metadata(categorical={"topic": [str(topic) for topic in range(topics)]}),
                    adapters=cache,
                    preference=Preference(quality=1.0, **price),
                    seed=0,
                ) as router:
                    return serve_by_router(router, cache, served, ask)
            cache.start(specs)
            return serve_by_rule(lambda topic: specs[topic].name, cache, by_name, served, ask)

        print(f"\n{requests} requests, {slots} of {topics} adapters resident, {2 * requests} tokens read and answered")
        print(f"{'policy':20}{'quality':>9}{'2nd half':>10}{'net':>8}{'loads':>7}{'waited s':>10}{'joules (est.)':>15}")
        for policy in ("LRU, loads ignored", "banditroute", "oracle"):
            got = run(policy)
            joules = ASSUMED_WATTS * got.processor_seconds
            net = got.quality - QUALITY_PER_SECOND * got.waited_seconds / requests
            print(
                f"{policy:20}{got.quality:9.2f}{got.late_quality:10.2f}{net:8.2f}{got.loads:7d}{got.waited_seconds:10.2f}{joules:15.0f}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
