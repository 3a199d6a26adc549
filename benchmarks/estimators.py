"""Estimators, intervals and sequences from simulated logs, against the truth of tables with every arm's outcome."""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.evaluate import (
    Interval,
    asymptotic_sequence,
    bootstrap_interval,
    clipped,
    cross_fitted,
    diagnose,
    direct_method,
    doubly_robust,
    importance_weights,
    ips,
    normal_interval,
    progressive,
    replay_by_rejection,
    self_normalized_doubly_robust,
    shrunk,
    snips,
    switched,
)
from banditroute.features import TextFeatures
from banditroute.learners import LinUCB
from banditroute.logs import DecisionLog, OutcomeTable, read_outcomes
from banditroute.simulate.replay import replay
from banditroute.statistics.confidence_sequences import confidence_sequence, pseudo_outcomes

DECISIONS = 2_000
HEADLINES = ("SNIPS", "DR", "SNDR")
DRAWS = 399  # of the bootstrap, fewer than by default: there are many
LARGE = 10.0  # a weight that is clipped or switched; its square is the strength of the shrinkage
TRUNCATION = 4.0
LOWER_IS_BETTER = ("missed", "missed_normal", "width")
STEPS = 200  # of a learner that is replayed


@dataclass(frozen=True, kw_only=True)
class World:
    """A table as a population: contexts, quality and cost of every arm, and policies over all its rows."""

    table: OutcomeTable
    x: np.ndarray
    quality: np.ndarray
    cost: np.ndarray | None
    logging: dict[str, np.ndarray]
    targets: dict[str, np.ndarray]


@command(
    default_files=["routerbench3.parquet", "cascades9.parquet"],
    options=[
        click.option("--repetitions", default=1_000, show_default=True, type=click.IntRange(min=2)),
        click.option("--rows", default=1_000_000, show_default=True, type=click.IntRange(min=2_000)),
    ],
)
def main(*, files: list[Path], seeds: int, repetitions: int, rows: int) -> list[Row]:
    """Bias, RMSE and coverage of quality estimates from logs of 2,000 decisions; time and memory for many rows.

    Each repetition draws prompts from the table with replacement, so that its mean is the truth, and one arm for each
    by the logging policy. `coverage` is of 95% bootstrap-t intervals, `coverage_normal` of normal ones, over the logs
    that pass the gates (`answered`). `missed` is how often a 95% confidence sequence misses at any of the 2,000 times,
    over all logs, and `width` how wide it is in the end. `dollars` are bounded asymptotically, where the table has them
    of every arm: `missed` is at any time at which there are bounds, over the logs that pass the gates, `bounded` how
    often there are any, and `missed_normal` how often a normal interval misses at any of these times. `seeds` is the
    number of replays of a learner.
    """
    measured = _speed(rows)
    for file in files:
        world = world_of(read_outcomes(file))
        measured += _rejection(world, seeds=seeds)
        errors: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        for repetition in tqdm(range(repetitions), desc=world.table.name):
            for case, policy, metric, value in one_repeat(world, np.random.default_rng(repetition + 1)):
                errors[case, policy, metric].append(value)
        for (case, policy, metric), values in errors.items():
            if metric == "error":
                measured.append(row(case, policy, "bias", values))
                measured.append(row(case, policy, "rmse", [float(np.sqrt(np.mean(np.square(values))))]))
            else:
                measured.append(row(case, policy, metric, values, higher_is_better=metric not in LOWER_IS_BETTER))
    return measured


def world_of(table: OutcomeTable) -> World:
    """Policies from a ridge regression on half of the prompts: sharp, soft, and blind to the prompt."""
    x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
    quality, cost = table.outcomes["quality"], table.outcomes.get("cost_usd")
    n, arms = quality.shape
    z = np.hstack([np.ones((n, 1)), (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)])
    half = np.random.default_rng(0).permutation(n)[: n // 2]
    penalty = np.diag([1.0] + [100.0] * x.shape[1])
    score = z @ np.linalg.solve(z[half].T @ z[half] + penalty, z[half].T @ quality[half])
    soft = np.exp((score - score.max(axis=1, keepdims=True)) / 0.1)
    uniform = np.full((n, arms), 1.0 / arms)
    greedy = np.eye(arms)[score.argmax(axis=1)]
    return World(
        table=table,
        x=x,
        quality=quality,
        cost=None if cost is None or np.isnan(cost).any() else cost,
        logging={
            "uniform": uniform,
            "softmax": 0.9 * soft / soft.sum(axis=1, keepdims=True) + 0.1 * uniform,
            "greedy": 0.8 * greedy + 0.2 * uniform,
        },
        targets={
            "best_single": np.eye(arms)[np.full(n, quality.mean(axis=0).argmax())],
            "uniform": uniform,
            "greedy": greedy,
        },
    )


def _draw(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One arm for each row."""
    chosen: np.ndarray = (p.cumsum(axis=1) > rng.random((len(p), 1)) * p.sum(axis=1, keepdims=True)).argmax(axis=1)
    return chosen


def one_repeat(world: World, rng: np.random.Generator) -> Iterator[tuple[str, str, str, float]]:
    """Every logging policy once: (case, estimator, metric, value)."""
    rows = rng.integers(len(world.x), size=DECISIONS)
    every = np.arange(DECISIONS)
    x, arms = world.x[rows], world.quality.shape[1]
    for logging, probabilities in world.logging.items():
        logged = probabilities[rows]
        chosen = _draw(logged, rng)
        y, p = world.quality[rows, chosen], logged[every, chosen]
        predicted = cross_fitted(x, chosen, y, arms=arms, seed=int(rng.integers(2**31)))
        before = progressive(x, chosen, y, arms=arms)
        for name, whole in world.targets.items():
            case = f"{world.table.name}/{logging}/{name}"
            truth = float((whole * world.quality).sum(axis=1).mean())
            target = whole[rows]
            w = importance_weights(chosen, p, target)
            rest = (chosen, target, predicted)
            answered = not diagnose(w, chosen, target, probabilities=logged).refusals
            yield case, "gates", "answered", float(answered)
            terms = {
                "IPS": ips(y, w),
                "clipped IPS": ips(y, clipped(w, most=LARGE)),
                "SNIPS": snips(y, w) if w.any() else np.zeros(DECISIONS),
                "DM": direct_method(target, predicted),
                "DR": doubly_robust(y, w, *rest),
                "SNDR": self_normalized_doubly_robust(y, w, *rest) if w.any() else direct_method(target, predicted),
                "SWITCH-DR": doubly_robust(y, switched(w, most=LARGE), *rest),
                "DRos": doubly_robust(y, shrunk(w, strength=LARGE**2), *rest),
            }
            for estimator, some in terms.items():
                if answered:
                    yield case, estimator, "error", float(some.mean()) - truth
                    yield case, estimator, "coverage_normal", _holds(normal_interval(some), truth)
                    if estimator in HEADLINES:
                        seed = int(rng.integers(2**31))
                        yield (
                            case,
                            estimator,
                            "coverage",
                            _holds(bootstrap_interval(some, repetitions=DRAWS, seed=seed), truth),
                        )
            for k in (0.0, TRUNCATION):
                range_ = {"low": 0.0, "high": 1.0, "truncation": k}
                pseudo = pseudo_outcomes(y, chosen, target=target, logged=logged, predicted=before, **range_)
                lower, upper = confidence_sequence(*pseudo, **range_)
                sequence = "sequence/DR" if k else "sequence/IPS"
                yield case, sequence, "missed", float(((lower > truth) | (upper < truth)).any())
                yield case, sequence, "width", float(upper[-1] - lower[-1])
            if world.cost is not None and answered:
                dollars = world.cost[rows, chosen]
                truth_usd = float((whole * world.cost).sum(axis=1).mean())
                some = doubly_robust(dollars, w, chosen, target, cross_fitted(x, chosen, dollars, arms=arms))
                yield case, "dollars", "coverage", _holds(bootstrap_interval(some, repetitions=DRAWS), truth_usd)
                some = doubly_robust(dollars, w, chosen, target, progressive(x, chosen, dollars, arms=arms))
                yield from _dollars(case, some, truth_usd)


def _dollars(case: str, terms: np.ndarray, truth: float) -> Iterator[tuple[str, str, str, float]]:
    """Bounds of a mean for all times, and intervals for one, wherever there are the former."""
    lower, upper = asymptotic_sequence(terms)
    there = np.isfinite(lower)
    t = np.arange(1, len(terms) + 1)
    mean = np.cumsum(terms) / t
    error = np.sqrt(np.maximum(np.cumsum(terms**2) / t - mean**2, 0.0) / t)
    yield case, "dollars", "bounded", float(there.any())
    yield case, "dollars", "missed", float(((lower > truth) | (upper < truth)).any())
    yield case, "dollars", "missed_normal", float((np.abs(mean - truth) > 1.96 * error)[there].any())


def _holds(interval: Interval, truth: float) -> float:
    return float(interval.lower <= truth <= interval.upper)


def _rejection(world: World, *, seeds: int) -> list[Row]:
    """LinUCB's first decisions: online on the table, and replayed from logs of two policies."""
    learner, preference = LinUCB(), Preference(quality=1.0)
    table = world.table
    had: dict[str, list[float]] = {"online": [], "uniform": [], "softmax": []}
    for seed in tqdm(range(seeds), desc=f"{table.name}: replays"):
        rng = np.random.default_rng([seed, 7])
        some = rng.integers(len(table), size=STEPS)
        part = replace(
            table,
            prompts=("",) * STEPS,
            tasks=("",) * STEPS,
            outcomes={"quality": world.quality[some]},
        )
        trace = replay(part, world.x[some], learner=learner, preference=preference, seed=seed)
        had["online"].append(float(trace.outcome(part.outcomes["quality"]).mean()))
        for logging in ("uniform", "softmax"):
            least = world.logging[logging].min()
            rows = rng.integers(len(table), size=int(1.5 * STEPS / least))
            logged = world.logging[logging][rows]
            chosen = _draw(logged, rng)
            log = DecisionLog(
                arms=table.arms,
                chosen=chosen,
                eligible=np.ones(logged.shape, dtype=bool),
                propensities=logged[np.arange(len(rows)), chosen],
                probabilities=logged,
                contexts=np.hstack([world.x[rows], np.ones((len(rows), 1))]),
                outcomes={"quality": world.quality[rows, chosen]},
                decided_at=np.arange(float(len(rows))),
            )
            accepted = np.flatnonzero(replay_by_rejection(log, learner=learner, preference=preference, seed=seed))[
                :STEPS
            ]
            had[logging].append(float(log.outcomes["quality"][accepted].mean()))
    error = {name: np.std(values, ddof=1) / np.sqrt(seeds) for name, values in had.items()}
    apart = {
        name: (np.mean(had[name]) - np.mean(had["online"])) / np.hypot(error[name], error["online"])
        for name in ("uniform", "softmax")
    }
    case = f"{table.name}/LinUCB"
    return [
        *(row(case, name, f"quality_of_{STEPS}", values) for name, values in had.items()),
        *(row(case, name, "standard_errors_apart", [float(value)]) for name, value in apart.items()),
    ]


def _speed(n: int, *, arms: int = 8, dimension: int = 32) -> list[Row]:
    """SNIPS and DR with their intervals, from arrays in memory; the peak is of the whole process."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, dimension))
    logged = rng.dirichlet(np.full(arms, 2.0), n) * 0.9 + 0.1 / arms
    chosen = _draw(logged, rng)
    p = logged[np.arange(n), chosen]
    y = (rng.random(n) < 0.5 + 0.1 * np.tanh(x[:, 0] * (chosen - arms / 2))).astype(float)
    del logged
    target = np.zeros((n, arms))
    target[:, 0] = 1.0

    begin = time.perf_counter()
    w = importance_weights(chosen, p, target)
    diagnose(w, chosen, target)
    bootstrap_interval(snips(y, w))
    snips_seconds = time.perf_counter() - begin
    predicted = cross_fitted(x, chosen, y, arms=arms)
    bootstrap_interval(doubly_robust(y, w, chosen, target, predicted))
    both_seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0
    case = f"{n:,} rows, {arms} arms, {dimension} features"
    return [
        row(case, "SNIPS", "seconds", [snips_seconds], higher_is_better=False),
        row(case, "SNIPS and DR", "seconds", [both_seconds], higher_is_better=False),
        row(case, "SNIPS and DR", "peak_bytes", [peak], higher_is_better=False),
    ]


if __name__ == "__main__":
    main()
