"""Cascades next to single calls and fixed chains: what the best arm's quality costs, and what a guarantee costs."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row, command, priced, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.core.request import Request
from banditroute.features import TextFeatures
from banditroute.guard.guarantee import LossAccount
from banditroute.logs import OutcomeTable, read_outcomes
from banditroute.objectives import willingness_to_pay
from banditroute.simulate import cascades
from banditroute.simulate.frontier import frontier

DOLLARS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""For a right answer."""
SIGNALS = ("none", "verifier", "agreement")
"""Other signals than a judge's; none: single calls."""
ERRORS = (0.1, 0.2, 0.3)
"""How often the judge is wrong about an answer."""
LABELLED = 300
"""Prompts with all outcomes, on which fixed chains are tuned; they are charged with nothing."""
_ALIKE_WHEN_WRONG = 0.5  # how often two wrong answers are the same one


class Cell(NamedTuple):
    """One pass: a table, its features, dollars for a right answer, the kind of signal, a seed."""

    table: OutcomeTable
    x: np.ndarray
    usd: float
    signal: str
    seed: int


def signals_of(kind: str, quality: np.ndarray, rng: np.random.Generator) -> cascades.Signals:
    """Return what gives the signals of arm k's answer to prompt i, after the arms that answered before."""
    name, _, error = kind.partition("=")
    if name == "judge_errs":
        looks = np.abs(quality - (rng.random(quality.shape) < float(error)))
        return lambda i, k, before: {"judge": float(looks[i, k])}
    if name == "verifier":  # noise-free, of a third of the prompts
        known = rng.random(len(quality)) < 1.0 / 3.0
        return lambda i, k, before: {"verifier": float(quality[i, k])} if known[i] else {}
    if name == "agreement":
        alike = rng.random(quality.shape) < _ALIKE_WHEN_WRONG

        def agreement(i: int, k: int, before: Sequence[int]) -> dict[str, float]:
            same = [quality[i, k] == quality[i, j] and (quality[i, k] > 0.5 or alike[i, k]) for j in before]
            return {"agreement": float(any(same))} if before else {}

        return agreement
    return lambda i, k, before: {}


def serve(cell: Cell) -> tuple[float, float]:
    """Return the mean cost of a request and the quality of its answer over one cold pass."""
    table, x, usd, kind, seed = cell
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(table))
    signals = None if kind == "none" else signals_of(kind, table.outcomes["quality"], rng)
    served = cascades.serve(
        table, x, learner=None, signals=signals, order=order, preference=willingness_to_pay(usd), seed=seed
    )
    return served.cost_usd, served.quality


def fixed_chain(cell: Cell, longest: int) -> tuple[float, float]:
    """Return cost and quality of the best fixed chain, tuned on labelled prompts, over all others.

    Of two arms, it is the cascade of UCCI (a calibrated signal of the small arm and a threshold) where a signal has two
    values; of three, that of FrugalGPT.
    """
    table, _, usd, kind, seed = cell
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(table))
    quality = table.outcomes["quality"]
    looks = np.abs(quality - (rng.random(quality.shape) < float(kind.partition("=")[2])))
    served = cascades.fixed_chain(table, looks, order, LABELLED, willingness_to_pay(usd), longest)
    return served.cost_usd, served.quality


def guaranteed(table: OutcomeTable, error: float, drifts: bool, watched: bool, seed: int) -> tuple[float, ...]:
    """Return what one run loses against the best arm, its calls of that arm per request, and audits until noticed.

    The cascade asks a middling arm first and stops if a judge likes the answer. From the middle of a run that drifts,
    the judge says nothing. A change is noticed when the share of audits rises, or is 1; NaN if it never is.
    """
    rng = np.random.default_rng(seed)
    quality = table.outcomes["quality"]
    order = np.argsort(-quality.mean(axis=0))
    best, small = quality[:, order[0]], quality[:, order[len(order) // 2]]
    prompts, half = rng.permutation(len(table)), len(table) // 2
    account = LossAccount(max_loss=0.02, confidence=0.95)
    lost, calls, noticed, at_change = 0.0, 0, np.nan, (0, 1.0)
    for n, i in enumerate(prompts):
        if n == half:
            at_change = account.audits, account.audit_share
        looks_good = (small[i] > 0.5) != (rng.random() < (0.5 if drifts and n >= half else error))
        share = account.audit_share if watched else 0.0
        account.deliver()
        if not looks_good:
            calls += 1
        elif rng.random() < share:
            calls += 1
            account.settle(best[i] - small[i], share)
        else:
            lost += best[i] - small[i]
            if watched:
                account.stop(share)
        if (
            drifts
            and n >= half
            and np.isnan(noticed)
            and (account.audit_share > at_change[1] or account.audit_share == 1.0)
        ):
            noticed = account.audits - at_change[0]
    return lost / len(table), calls / len(table), noticed


@command(
    default_files=["cascades9.parquet", "routerbench3.parquet"],
    options=[
        click.option("--error", "errors", multiple=True, type=click.FloatRange(0.0, 1.0), default=ERRORS),
        click.option("--signal", "others", multiple=True, type=click.Choice(SIGNALS), default=SIGNALS),
        click.option("--guarantee", is_flag=True, help="Measure the guarantee in place of the costs."),
        click.option(
            "--runs", default=112, type=click.IntRange(min=1), help="Of each file and judge, for --guarantee."
        ),
    ],
)
def main(
    *, files: list[Path], seeds: int, errors: Sequence[float], others: Sequence[str], guarantee: bool, runs: int
) -> list[Row]:
    """For every FILE that knows the cost of all its arms: what a cascade costs at the best arm's quality.

    A judge says of each answer whether it is right, and errs in a given share of the cases; a verifier is never wrong
    and knows a third of the prompts; or all that is seen is whether an answer agrees with an earlier one (two wrong
    ones agree in half of the cases). The router learns what that is worth from the quality of delivered answers alone.
    One cold pass for each price of a right answer and seed; all calls of a request are charged to it. `cost_of_best` is
    the cost at the quality of the best arm, as a share of that arm's own; `cost_of_98_percent` that at 98% of its
    quality; a policy that does not get there sends some requests to the best arm. `gain_at_top_price` is the quality
    above the best arm's at the most expensive arm's cost. Chains are tuned on 300 labelled prompts that cost nothing.

    With --guarantee: runs of a two-arm cascade under `Guarantee(max_loss=.02, confidence=.95)`; whether a run lost more
    than .02 per answer, how often the best arm was called, and the same with a judge that turns bad half-way.
    """
    if guarantee:
        return [each for file in files for each in _guarantee_rows(read_outcomes(file), runs)]
    kinds = [*others, *(f"judge_errs={error:g}" for error in errors)]
    rows: list[Row] = []
    for file in files:
        table = priced(file)
        x = TextFeatures().transform([Request(text=prompt) for prompt in table.prompts])
        cells = [Cell(table, x, usd, kind, seed) for kind in kinds for seed in range(seeds) for usd in DOLLARS]
        with ProcessPoolExecutor() as pool:
            found = list(tqdm(pool.map(serve, cells, chunksize=2), total=len(cells), desc=table.name))
        for kind, points in zip(kinds, np.array(found).reshape(len(kinds), seeds, len(DOLLARS), 2), strict=True):
            rows += _rows(table, kind, "banditroute" if kind == "none" else "banditroute/cascade", points)
            if kind.startswith("judge"):
                for policy, longest in (("ucci_rederived", 2), ("frugal_chain", 3)):
                    chains = [
                        [fixed_chain(Cell(table, x, usd, kind, s), longest) for usd in DOLLARS] for s in range(seeds)
                    ]
                    rows += _rows(table, kind, policy, np.array(chains))
    return rows


def _rows(table: OutcomeTable, kind: str, policy: str, points: np.ndarray) -> list[Row]:
    """Return the figures of one signal from the cost and quality of each seed and price."""
    case = table.name if kind == "none" else f"{table.name}/{kind}"
    price, single = table.outcomes["cost_usd"].mean(axis=0), table.outcomes["quality"].mean(axis=0)
    best = int(single.argmax())
    rows = [
        row(f"{case}@{usd:g}", policy, metric, points[:, k, j], higher_is_better=j == 1)
        for k, usd in enumerate(DOLLARS)
        for j, metric in enumerate(("cost_usd_pass", "score_pass"))
    ]
    lines = [frontier(np.append(p[:, 0], price[best]), np.append(p[:, 1], single[best])) for p in points]
    for metric, share in (("cost_of_best", 1.0), ("cost_of_98_percent", 0.98)):
        costs = [line.cost_of(share * float(single[best])) / float(price[best]) for line in lines]
        rows.append(row(case, policy, metric, costs, higher_is_better=False))
    gains = [max([q for usd, q in p if usd <= price.max()], default=single[best]) - single[best] for p in points]
    return [*rows, row(case, policy, "gain_at_top_price", gains)]


def _guarantee_rows(table: OutcomeTable, runs: int) -> list[Row]:
    rows = []
    for error in (0.1, 0.2, 0.3):
        for drifts in (False, True):
            case = f"{table.name}/judge_errs={error:g}" + ("/turns_bad" if drifts else "")
            for watched in (True, False):
                lost, calls, noticed = np.array([guaranteed(table, error, drifts, watched, s) for s in range(runs)]).T
                policy = "banditroute/guarantee" if watched else "banditroute/cascade"
                rows += [
                    row(case, policy, "loss", lost, higher_is_better=False),
                    row(case, policy, "violated", (lost > 0.02).astype(float), higher_is_better=False),
                    row(case, policy, "calls_of_best_arm", calls, higher_is_better=False),
                ]
                if drifts and watched:
                    seen = noticed[~np.isnan(noticed)]
                    rows.append(row(case, policy, "noticed", [float(len(seen)) / runs]))
                    rows.append(row(case, policy, "audits_until_noticed", seen, higher_is_better=False))
    return rows


if __name__ == "__main__":
    main()
