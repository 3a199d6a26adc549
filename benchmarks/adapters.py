"""Choosing adapters and what is resident together, against caches and routers that do not know of each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import numpy as np  # isort: skip
from tqdm import tqdm

from banditroute.adapters.controller import Controller
from banditroute.adapters.eviction import gdsf, lfu, lru
from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.logs import OutcomeTable, read_outcomes
from banditroute.simulate.adapter_traffic import AdapterTraffic, adapter_traffic
from banditroute.simulate.adapters import LinearUCB, PagingPolicy, PagingRun, run

REQUESTS = 8000
UTILITY_PER_SECOND = 0.3  # so that a mean miss of .15 in utility is half a second of paging
NOISE = 0.1
PROMPT_UTILITY_PER_SECOND = 5.0
PROMPT_NOISE = 0.45  # of an answer that is right or wrong
MODEL = (4, 256)  # layers and width of the transformer whose loads are measured
POLICIES = {  # the oracles first: the others are measured against them
    "oracle": PagingPolicy(route="omniscient", cache="oracle"),
    "oracle_cache": PagingPolicy(cache="oracle"),
    "banditroute": PagingPolicy(),
    "polar": PagingPolicy(cache=Controller.polar()),
    "polar_plus": PagingPolicy(cache=Controller.polar_plus()),
    "lru_oblivious": PagingPolicy(route="oblivious", cache=lru),
    "lfu_oblivious": PagingPolicy(route="oblivious", cache=lfu),
    "lru_aware": PagingPolicy(cache=lru),
    "gdsf_aware": PagingPolicy(cache=gdsf),
    "edgelora": PagingPolicy(route="edgelora", cache=lru),
    "static_random": PagingPolicy(cache="random"),
    "static_popular": PagingPolicy(cache="popular"),
}
BASE = {"slots": 5, "miss_cost": 0.15, "adapters": 15, "shift_at": None, "exploration": 0.3}
CELLS: Mapping[str, dict[str, float | None]] = {
    "base": {},
    "K=3": {"slots": 3},
    "K=8": {"slots": 8},
    "cost=0.05": {"miss_cost": 0.05},
    "cost=0.3": {"miss_cost": 0.3},
    "cost=0.6": {"miss_cost": 0.6},
    "N=50": {"adapters": 50},
    "N=200": {"adapters": 200},
    "shift": {"shift_at": REQUESTS // 2},
    "exploration=0.1": {"exploration": 0.1},
    "exploration=1": {"exploration": 1.0},
}


@command()
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Regret, net utility, paging and hits of every policy, in a base case and where one thing is different from it.

    15 adapters, 15 task types of Zipf(0.9) popularity, 5 slots and one for staging, 8,000 requests, noise 0.1, a mean
    miss costs 0.15 of utility. All policies have the same learner, whose prior mean is the best an adapter can be, and
    the same memory. Regret is against the best fixed cache with an omniscient router; `log_slope` is that of the mean
    regret over the last three quarters, `ratio_to_oracle_cache` regret over that of the best fixed cache with the same
    learner. The base case explores with strength 0.3: three standard deviations of noise.

    With FILEs of outcomes, their models are the adapters and their prompts the requests, with 2 and with 3 slots. Loads
    take what PeftBackend takes for adapters of rank 8 on a small model, at a price at which 10 ms are .05 of quality;
    the oracle knows every single outcome there, so that regret is large for all.
    """
    if files:
        return [row for file in files for row in _prompts(read_outcomes(file), seeds)]
    rows: list[Row] = []
    for case, differs in CELLS.items():
        cell = {**BASE, **differs}
        traffics = [
            adapter_traffic(
                seed=seed,
                adapters=cell["adapters"],
                requests=REQUESTS,
                miss_cost=cell["miss_cost"],
                shift_at=cell["shift_at"],
            )
            for seed in range(seeds)
        ]
        learner = LinearUCB(alpha=cell["exploration"] / NOISE)
        rows += _case(case, traffics, cell["slots"], learner, UTILITY_PER_SECOND)
    return rows


def _prompts(table: OutcomeTable, seeds: int) -> list[Row]:
    """Real prompts in an order for each seed, and the load times of adapters of rank 8 in slots of this process."""
    loads = _load_seconds()
    features = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
    x = np.column_stack([features, np.ones(len(table))])
    learner = LinearUCB(alpha=3.0, noise=PROMPT_NOISE, feature_precision=None)
    costs = np.full(len(table.arms), PROMPT_UTILITY_PER_SECOND * np.mean(loads))
    traffics = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(table))
        utilities = table.outcomes["quality"][order]
        zeros = np.zeros(len(table))
        traffics.append(
            AdapterTraffic(x=x[order], task=zeros.astype(int), utilities=utilities, noise=zeros, costs=costs)
        )
    rows = [row(table.name, "peft", "load_seconds", loads, higher_is_better=False)]
    for slots in (2, 3):
        rows += _case(f"{table.name}@K={slots}", traffics, slots, learner, PROMPT_UTILITY_PER_SECOND)
    return rows


def _load_seconds() -> list[float]:
    """What loads of an adapter of rank 8 take, each."""
    from benchmarks import peft_paging  # here: it needs torch

    with TemporaryDirectory() as folder:
        peft_paging.save(Path(folder), 8, *MODEL)
        return peft_paging.slots(peft_paging.model(*MODEL), folder, 2, 8, 20)["banditroute/from_disk"]


def _case(
    case: str, traffics: Sequence[AdapterTraffic], slots: int, learner: LinearUCB, utility_per_second: float
) -> list[Row]:
    """The figures of all policies."""
    rows: list[Row] = []
    best: dict[str, np.ndarray] = {}
    for name, policy in tqdm(POLICIES.items(), desc=case):
        found = run(traffics, policy=policy, slots=slots, learner=learner)
        if name == "oracle":
            best["net"] = found.net
        rows += figure_rows(case, name, found, best, utility_per_second)
    return rows


def figure_rows(
    case: str, policy: str, found: PagingRun, best: dict[str, np.ndarray], utility_per_second: float
) -> list[Row]:
    """The figures of one policy, where ``best`` has the net utility of the oracle and the regret of its cache."""
    requests = found.net.shape[1]
    regret = (best["net"] - found.net).cumsum(axis=1)
    total = regret[:, -1]
    if policy == "oracle_cache":
        best["regret"] = total
    seconds = found.paid.sum(axis=1) / utility_per_second
    rows = [
        row(case, policy, "regret", total, higher_is_better=False),
        row(case, policy, "net_utility", found.net.mean(axis=1)),
        row(case, policy, "paging_seconds", 1000.0 * seconds / requests, higher_is_better=False),
        row(case, policy, "hit_rate", found.hit.mean(axis=1)),
    ]
    if policy != "oracle":
        mean = regret.mean(axis=0)
        slope = np.log(mean[-1] / mean[requests // 4 - 1]) / np.log(4.0)
        rows += [
            row(case, policy, "log_slope", [slope]),
            row(case, policy, "ratio_to_oracle_cache", [total.mean() / best["regret"].mean()], higher_is_better=False),
        ]
    return rows


if __name__ == "__main__":
    main()
