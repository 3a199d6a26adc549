"""The guard: what leaving a baseline on evidence alone costs and saves, and how long the evidence takes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.guard import Guard
from banditroute.guard.evidence import GainBounds, paired_gain
from banditroute.learners import Learner, ThompsonSampling
from banditroute.logs import OutcomeTable, read_outcomes
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.store import MemoryStore

SAMPLE = 300  # prompts with the outcomes of all arms: they name the baseline, and warm the learner
TOLERANCE = 0.01
LONGEST = 100_000  # simulated requests

POLICIES = {
    "banditroute": (ThompsonSampling(), None),
    "banditroute/guard": (ThompsonSampling(), Guard),
    "banditroute/guard_tolerance": (ThompsonSampling(), partial(Guard, tolerance=TOLERANCE)),
    "banditroute/guard_from_half": (ThompsonSampling(), partial(Guard, shares=[0.5, 0.95])),
    "uniform": (Learner(policy=Uniform()), None),
    "uniform/guard": (Learner(policy=Uniform()), Guard),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """Quality at each step ``(n,)``, and at which step, from 1, the learner was first promoted; n + 1 for never."""

    quality: Vector
    baseline: Vector
    promoted: int
    share: float


def serve(table: OutcomeTable, x: Vector, policy: str, seed: int) -> Run:
    """Route an order drawn from ``seed``, after a sample that is not scored; feedback at once."""
    quality = table.outcomes["quality"]
    sample, order = np.split(np.random.default_rng(seed).permutation(len(table)), [SAMPLE])
    best = int(quality[sample].mean(axis=0).argmax())
    learner, guard = POLICIES[policy]
    index = {arm: k for k, arm in enumerate(table.arms)}
    now, chosen, promoted = 0.0, [], len(order) + 1
    with Router(
        arms=table.arms,
        features=x.shape[1],
        learner=learner,
        guard=None if guard is None else guard(baseline=table.arms[best]),
        store=MemoryStore(capacity=1),
        seed=seed,
        clock=lambda: now,
    ) as router:
        router.warm_start((x[i], table.known(i)) for i in sample)
        first = router.status().rollout
        for i in order:
            now += 1.0
            decision = router.route(x[i])
            k = index[decision.arm]
            chosen.append(k)
            router.feedback(decision.id, quality=quality[i, k])
            if first is not None and promoted > len(order) and router.status().rollout.share > first.share:
                promoted = len(chosen)
        if router.status().fallbacks:
            raise RuntimeError(f"{router.status().fallbacks} decisions fell back")
        share = 1.0 if first is None else router.status().rollout.share
    return Run(quality=quality[order, chosen], baseline=quality[order, best], promoted=promoted, share=share)


@command(default_files=["llmrouter9.parquet", "cascades9.parquet"])
def main(*, files: list[Path], seeds: int) -> list[Row]:
    """Mean score over one pass and over its second half, with and without a guard, and of the baseline alone.

    The baseline is the best single arm on a sample of 300 prompts, which also warms the learner and is not scored.
    `promoted_after` counts requests, one more than there are for never; `share` is what the learner decides at the end.
    The `gain` cases are simulated: a learner that is better by so much, and differs from the baseline in half of the
    requests; what is counted is the requests until it is promoted from one share to the next.
    """
    rows = _needed(seeds)
    for file in files:
        table = read_outcomes(file)
        if len(table) <= SAMPLE:
            raise click.UsageError(f"{table.name} has {len(table)} prompts; the sample alone takes {SAMPLE}")
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        runs: dict[str, list[Run]] = {policy: [] for policy in POLICIES}
        for policy, run in tqdm(_sweep(table, x, seeds), total=len(POLICIES) * seeds, desc=table.name):
            runs[policy].append(run)
        for policy, some in runs.items():
            rows += _scores(table.name, policy, [run.quality for run in some])
            if POLICIES[policy][1] is not None:
                promoted = [run.promoted for run in some]
                rows.append(row(table.name, policy, "promoted_after", promoted, higher_is_better=False))
                rows.append(row(table.name, policy, "share", [run.share for run in some]))
        rows += _scores(table.name, "best_single_of_sample", [run.baseline for run in runs["banditroute"]])
    return rows


def _needed(seeds: int) -> list[Row]:
    """Requests that evidence of a given gain takes at each share, without and with a tolerance."""
    rows = []
    shares = Guard(baseline="a").shares
    for gain in (0.03, 0.1):
        for share, following in pairwise(shares):
            for tolerance in (0.0, TOLERANCE):
                taken = [requests_until(-tolerance / following, gain, share, seed) for seed in range(seeds)]
                policy = f"guard@{share:g}" + (f"/tolerance={tolerance:g}" if tolerance else "")
                rows.append(row(f"gain={gain:g}", policy, "promoted_after", taken, higher_is_better=False))
    return rows


def requests_until(lower: float, gain: float, share: float, seed: int) -> int:
    """The first tenth request after which the gain is known to be above ``lower``; outcomes are 0 or 1."""
    rng = np.random.default_rng(seed)
    differs = rng.random(LONGEST) < 0.5
    learner = np.stack([~differs, differs], axis=-1).astype(float)
    baseline = np.broadcast_to([1.0, 0.0], learner.shape)
    logged = (1.0 - share) * baseline + share * learner
    chosen = (rng.random(LONGEST) < logged[:, 1]).astype(int)
    right = rng.uniform(0.3, 0.8, LONGEST) + 2.0 * gain * chosen
    quality = rng.random(LONGEST) < right
    truncation = 0.5 / min(share, 1.0 - share)
    predicted = np.full_like(learner, 0.55)
    pseudo = paired_gain(learner, baseline, logged, predicted, low=0.0, high=1.0, truncation=truncation)
    weight, below, above = (each[np.arange(LONGEST), chosen] for each in pseudo)
    bounds = GainBounds(unit=1.0, alpha=0.025, truncation=truncation)  # of a first rollout at 5%
    for n, pair in enumerate(zip(weight * quality + below, weight * quality + above, strict=True), start=1):
        bounds.add(*pair)
        if n % 10 == 0 and bounds.lower > lower:
            return n
    return LONGEST + 1


def _sweep(table: OutcomeTable, x: Vector, seeds: int) -> Iterator[tuple[str, Run]]:
    cells = [(policy, seed) for seed in range(seeds) for policy in POLICIES]
    with ProcessPoolExecutor(max_workers=2) as pool:
        runs = pool.map(partial(serve, table, x), *zip(*cells, strict=True))
        for (policy, _), run in zip(cells, runs, strict=True):
            yield policy, run


def _scores(case: str, policy: str, runs: list[Vector]) -> list[Row]:
    return [
        row(case, policy, "score_pass", [run.mean() for run in runs]),
        row(case, policy, "score_second_half", [run[len(run) // 2 :].mean() for run in runs]),
    ]


if __name__ == "__main__":
    main()
