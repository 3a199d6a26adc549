"""Drawn pools whose truth is known: specialists, tenants and newcomers, each beside the same learner without help."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row, command, row  # first: it sets the BLAS threads

import click  # isort: skip
import numpy as np
from tqdm import tqdm

from banditroute.beliefs import Linear
from banditroute.core.arm import Arm
from banditroute.core.request import Request
from banditroute.features import Hashed, Metadata
from banditroute.learners import Learner, ThompsonSampling, profile
from banditroute.router import Router
from banditroute.store import MemoryStore

FIRST_SEED = 1000  # tests and tuning use the seeds below
REQUESTS, ARRIVAL = 3000, 1000
EVALUATED = 200  # prompts, from which a profile is made


class Toy(NamedTuple):
    """A drawn pool.

    Attributes
    ----------
    kinds : (n,)
        The kind of each request: a task, or a tenant.
    quality : (kinds, K)
        Probability that an arm's answer to a kind of request is right.
    """

    kinds: np.ndarray
    quality: np.ndarray


def specialists(seed: int, *, right: float, wrong: float, kinds: int = 8) -> Toy:
    """One right arm for each kind of request."""
    rng = np.random.default_rng(seed)
    quality = np.full((kinds, kinds), wrong)
    quality[range(kinds), rng.permutation(kinds)] = right
    return Toy(rng.integers(kinds, size=REQUESTS), quality)


def tenants(seed: int, *, differ: float, tenants: int = 20, arms: int = 5) -> Toy:
    """Tenants of unequal traffic, who agree on the arms up to a normal difference."""
    rng = np.random.default_rng(seed)
    averages = rng.permutation(np.linspace(0.45, 0.65, arms))
    quality = np.clip(averages + differ * rng.normal(size=(tenants, arms)), 0.02, 0.98)
    traffic = 1.0 / np.arange(1, tenants + 1)
    return Toy(rng.choice(tenants, size=REQUESTS, p=traffic / traffic.sum()), quality)


def newcomer(seed: int, *, quality: float) -> Toy:
    """Four arms and one that comes later, for requests of one kind."""
    rng = np.random.default_rng(seed)
    known = rng.permutation([0.4, 0.5, 0.6, 0.7])
    return Toy(np.zeros(REQUESTS, dtype=int), np.append(known, quality)[None])


def newcomer_at_tasks(seed: int, *, average: float) -> Toy:
    """Four arms and one that comes later, for 8 tasks of unequal difficulty, where arms differ by task."""
    rng = np.random.default_rng(seed)
    averages = np.append(rng.permutation([0.45, 0.5, 0.55, 0.6]), average)
    difficulty, interaction = 0.12 * rng.normal(size=(8, 1)), 0.15 * rng.normal(size=(8, 5))
    quality = np.clip(averages + difficulty - difficulty.mean() + interaction - interaction.mean(axis=0), 0.02, 0.98)
    return Toy(rng.integers(8, size=REQUESTS), quality)


def evaluated(name: str, quality: np.ndarray, seed: int) -> Arm:
    """Return an arm with the profile of 200 evaluated prompts, of kinds that it answers with ``quality (kinds,)``."""
    rng = np.random.default_rng([seed, 2])
    kinds = rng.integers(len(quality), size=EVALUATED)
    results = [
        (Request(text="a request", metadata={"kind": f"kind-{kind}"}), {"quality": float(rng.random() < quality[kind])})
        for kind in kinds
    ]
    return profile(name, results, features=Metadata(categorical={"kind": [f"kind-{k}" for k in range(len(quality))]}))


def regret(
    toy: Toy,
    seed: int,
    *,
    features: Metadata | None = None,
    learner: Learner | None = None,
    arriving: Callable[[str, np.ndarray, int], Arm] | None = None,
) -> np.ndarray:
    """Return how far the chosen arm's quality is below the best present arm's, for each request ``(n,)``.

    Parameters
    ----------
    features
        What the router sees of the kind; None: nothing.
    arriving
        Makes the last arm, which comes after 1,000 requests, of its name, its quality and the seed; None: it is there
        from the start.
    """
    rng = np.random.default_rng([seed, 1])
    names = [f"arm-{k}" for k in range(toy.quality.shape[1])]
    present = len(names) if arriving is None else len(names) - 1
    lost = np.empty(len(toy.kinds))
    with Router(
        arms=names[:present],
        features=1 if features is None else features,
        learner=learner or ThompsonSampling(),
        store=MemoryStore(capacity=1),
        seed=seed,
    ) as router:
        for i, kind in enumerate(toy.kinds.tolist()):
            if arriving is not None and i == ARRIVAL:
                router.add_arm(arriving(names[-1], toy.quality[:, -1], seed))
                present += 1
            if features is None:
                decision = router.route([0.0])
            else:
                decision = router.route("a request", metadata={"kind": f"kind-{kind}"})
            truth = toy.quality[kind][:present]
            chosen = truth[names.index(decision.arm)]
            router.feedback(decision.id, quality=float(rng.random() < chosen))
            lost[i] = truth.max() - chosen
    return lost


def _cases() -> dict[str, dict[str, tuple[object, ...]]]:
    """Case -> policy -> what draws the toy, and the options of its run."""

    def declared(count: int) -> Metadata:
        return Metadata(categorical={"kind": [f"kind-{k}" for k in range(count)]})

    def hashed(count: int) -> Metadata:
        return Metadata(categorical={"kind": Hashed(slots=2 * count)})

    cases: dict[str, dict[str, tuple[object, ...]]] = {}
    for right, wrong in ((1.0, 0.0), (0.9, 0.5)):
        draw = lambda seed, right=right, wrong=wrong: specialists(seed, right=right, wrong=wrong)  # noqa: E731
        cases[f"specialists {right:g}/{wrong:g}"] = {
            "banditroute": (draw, {"features": declared(8)}),
            "banditroute/hashed": (draw, {"features": hashed(8)}),
            "banditroute/linear": (draw, {"features": declared(8), "learner": ThompsonSampling(belief=Linear())}),
            "banditroute/no-context": (draw, {}),
        }
    for differ in (0.0, 0.05, 0.15):
        draw = lambda seed, differ=differ: tenants(seed, differ=differ)  # noqa: E731
        cases[f"tenants differ by {differ:g}"] = {
            "banditroute": (draw, {"features": declared(20)}),
            "banditroute/hashed": (draw, {"features": hashed(20)}),
            "banditroute/no-context": (draw, {}),
        }
    for quality in (0.8, 0.5):
        draw = lambda seed, quality=quality: newcomer(seed, quality=quality)  # noqa: E731
        cases[f"newcomer of {quality:g}"] = {
            "banditroute": (draw, {"arriving": _expecting(quality)}),
            "banditroute/no-expectation": (draw, {"arriving": _unknown}),
            "banditroute/wrong-expectation": (draw, {"arriving": _expecting(1.3 - quality)}),
        }
    for average in (0.5, 0.6):
        draw = lambda seed, average=average: newcomer_at_tasks(seed, average=average)  # noqa: E731
        cases[f"newcomer at tasks of {average:g}"] = {
            "banditroute": (draw, {"features": declared(8), "arriving": evaluated}),
            "banditroute/no-profile": (draw, {"features": declared(8), "arriving": _unknown}),
            "banditroute/average": (draw, {"features": declared(8), "arriving": _expecting(average)}),
            "banditroute/wrong-profile": (draw, {"features": declared(8), "arriving": _evaluated_wrongly}),
        }
    return cases


def _unknown(name: str, quality: np.ndarray, seed: int) -> Arm:
    return Arm(name=name)


def _expecting(average: float) -> Callable[[str, np.ndarray, int], Arm]:
    return lambda name, quality, seed: Arm(name=name, expected={"quality": average})


def _evaluated_wrongly(name: str, quality: np.ndarray, seed: int) -> Arm:
    return evaluated(name, 2.0 * quality.mean() - quality, seed)  # good where it is bad


@command(default_files=[], options=[click.option("--case", "chosen", help="Cases whose name contains this.")])
def main(*, files: list[Path], seeds: int, chosen: str | None) -> list[Row]:
    """Regret per request in drawn pools, beside the same learner without what the application says.

    `specialists` have one right arm for each of 8 kinds of requests. 20 `tenants` have the same opinion of 5 arms up to
    a normal difference. A `newcomer` joins 4 arms after 1,000 requests, and says right, nothing or wrong of itself. A
    `newcomer at tasks` joins arms that differ by 8 tasks, with a profile from 200 evaluated prompts; a wrong one says
    that it is good where it is bad.
    `regret_pass` is the mean over all 3,000 requests, `regret_late` over those from 1,000 on; `right_late` is the share
    of these that the best arm served.
    """
    rows = []
    cases = {case: policies for case, policies in _cases().items() if chosen is None or chosen in case}
    with tqdm(total=seeds * sum(map(len, cases.values())), desc="toys") as progress:
        for case, policies in cases.items():
            for policy, (draw, options) in policies.items():
                runs = []
                for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                    runs.append(regret(draw(seed), seed, **options))  # type: ignore[operator, arg-type]
                    progress.update()
                late = [run[ARRIVAL:] for run in runs]
                rows.append(row(case, policy, "regret_pass", [run.mean() for run in runs], higher_is_better=False))
                rows.append(row(case, policy, "regret_late", [run.mean() for run in late], higher_is_better=False))
                rows.append(row(case, policy, "right_late", [(run == 0.0).mean() for run in late]))
    return rows


if __name__ == "__main__":
    main()
