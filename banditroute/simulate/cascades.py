"""Cascades on a table of outcomes, next to single calls, a fixed chain, a static mixture and the best arm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.core.validation import shown
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import Learner
from banditroute.logs import OutcomeTable
from banditroute.router import Router
from banditroute.simulate.environments import Environment
from banditroute.simulate.metrics import Estimate, estimate, static_mixture
from banditroute.store import MemoryStore

_LABELLED = 300  # prompts with all outcomes, at most, on which a fixed chain is tuned
_LABELLED_SHARE = 0.25  # of the prompts, at most
_MOST_ARMS = 8  # of which chains are tried
_LONGEST_CHAIN = 3
_THRESHOLDS = (0.3, 0.5, 0.7, 0.9)

Signals: TypeAlias = Callable[[int, int, Sequence[int]], Mapping[str, float]]
"""Prompt, arm and the arms that answered before -> the signals of the arm's answer."""


class Served(NamedTuple):
    """Mean cost and calls of a request, and mean quality of the delivered answer, over one pass."""

    cost_usd: float
    quality: float
    calls: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeRow:
    """One policy's figures, over seeds: per request, with all calls charged."""

    policy: str
    utility: Estimate
    quality: Estimate
    cost_usd: Estimate
    calls: Estimate


def compare_cascades(
    environment: Environment,
    learners: Mapping[str, Learner],
    *,
    judge: str,
    preference: Preference,
    seeds: int,
) -> list[CascadeRow]:
    """Return the figures of cascades of each learner and of what they compete with.

    A judge looks at each answer. Routers start cold, and learn what its word is worth from the delivered answers alone.
    The fixed chain asks up to three arms in order, and delivers the first answer that looks good enough, or the last.
    It is tuned on 300 prompts (a quarter of the table, if that is less) with all outcomes, which cost it nothing, and
    runs over the others. The static mixture costs what the first cascade costs.

    Parameters
    ----------
    judge
        How often the judge is wrong, from 0 to .5, as in ``"0.1"``: it is drawn. Or the name of an outcome of the
        table, in [0, 1]: what a judge said of each answer.
    preference
        Of quality and cost_usd, both with a weight.
    seeds
        How many orders of the requests, at least 1.

    Raises
    ------
    InvalidConfigurationError
        If the table lacks the quality or cost of an answer, or the judge or preference does not fit.
    """
    table, x = environment
    _check(table, preference)
    passes: dict[str, list[Served]] = {}
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(table))
        looks = looks_of(table, judge, np.random.default_rng((seed, 1)))
        for name, learner in learners.items():
            for kind, signals in (("cascade", _signals(looks)), ("single calls", None)):
                served = serve(
                    table, x, learner=learner, signals=signals, order=order, preference=preference, seed=seed
                )
                passes.setdefault(f"{kind}: {name}", []).append(served)
        labelled = min(_LABELLED, int(_LABELLED_SHARE * len(table)))
        passes.setdefault("fixed chain", []).append(fixed_chain(table, looks, order, labelled, preference))
    cost, quality = (table.outcomes[name].mean(axis=0) for name in ("cost_usd", "quality"))
    first = float(np.mean([served.cost_usd for served in next(iter(passes.values()))]))
    shares = np.array([static_mixture(table, cost_usd=first).get(arm, 0.0) for arm in table.arms])
    passes["static mixture"] = [Served(float(shares @ cost), float(shares @ quality), 1.0)]
    best = int(np.argmax(preference["quality"] * quality - preference["cost_usd"] * cost))
    passes[f"best single arm ({table.arms[best]})"] = [Served(float(cost[best]), float(quality[best]), 1.0)]
    return [_row(policy, found, preference) for policy, found in passes.items()]


def looks_of(table: OutcomeTable, judge: str, rng: np.random.Generator) -> Vector:
    """Return how good each answer looks to a judge ``(n, K)``; see :func:`compare_cascades`."""
    if judge in table.outcomes:
        looks = table.outcomes[judge]
        if not ((looks >= 0.0) & (looks <= 1.0)).all():
            raise InvalidConfigurationError(f"judge {judge!r} has missing values or values outside of [0, 1]")
        return looks
    quality = table.outcomes["quality"]
    try:
        error = float(judge)
    except ValueError:
        error = -1.0
    if not 0.0 <= error <= 0.5:
        raise InvalidConfigurationError(
            f"judge {shown(judge)} is neither a share of errors from 0 to 0.5 nor an outcome of the table; "
            f"it has {', '.join(table.outcomes)}, and --column {shown(judge)}=COLUMN reads another one"
        )
    wrong: Vector = np.abs(quality - (rng.random(quality.shape) < error))
    return wrong


def serve(
    table: OutcomeTable,
    x: Vector,
    *,
    learner: Learner | None,
    signals: Signals | None,
    order: Sequence[int] | NDArray[np.intp],
    preference: Preference,
    seed: int,
) -> Served:
    """Serve a table once by a cold router: by ``next_step`` with signals, or in single calls with None."""
    quality, cost = table.outcomes["quality"], table.outcomes["cost_usd"]
    paid = reached = calls = 0.0
    with Router(
        arms=table.arms, features=x.shape[1], preference=preference, learner=learner, seed=seed, store=MemoryStore()
    ) as router:
        for i in order:
            decision, asked = router.route(x[i]), dict[str, int]()
            while True:
                k = table.arms.index(decision.arm)
                before, asked[decision.id] = list(asked.values()), k
                router.feedback(decision.id, cost_usd=cost[i, k])
                paid += cost[i, k]
                calls += 1.0
                answer = decision.id
                if signals is None:
                    break
                step = router.next_step(decision, signals(i, k, before))
                answer = step.answer
                if step.next is None:
                    break
                decision = step.next
            router.feedback(answer, quality=quality[i, asked[answer]])
            reached += quality[i, asked[answer]]
    n = len(order)
    return Served(paid / n, reached / n, calls / n)


def fixed_chain(
    table: OutcomeTable,
    looks: Vector,
    order: NDArray[np.intp],
    labelled: int,
    preference: Preference,
    longest: int = _LONGEST_CHAIN,
) -> Served:
    """Serve the prompts after the first ``labelled`` ones by the chain and threshold that are best on those.

    A chain asks its arms in order, and delivers the first answer that looks as good as the threshold, or the last one:
    the cascade of FrugalGPT (Chen, Zaharia and Zou 2023), with one threshold.
    """
    quality, cost = table.outcomes["quality"], table.outcomes["cost_usd"]

    def run(chain: Sequence[int], threshold: float, prompts: NDArray[np.intp]) -> Served:
        paid, reached, calls = np.zeros(len(prompts)), np.zeros(len(prompts)), 0.0
        going = np.ones(len(prompts), dtype=bool)
        for k in chain:
            calls += float(going.mean())
            paid[going] += cost[prompts[going], k]
            reached[going] = quality[prompts[going], k]
            going &= looks[prompts, k] < threshold
        return Served(float(paid.mean()), float(reached.mean()), calls)

    tuning, rest = order[:labelled], order[labelled:]
    arms = _undominated(quality[tuning].mean(axis=0), cost[tuning].mean(axis=0))
    chains = [
        (chain, threshold)
        for n in range(1, longest + 1)
        for chain in permutations(arms, n)
        for threshold in (_THRESHOLDS if n > 1 else (1.0,))
    ]
    chain, threshold = max(chains, key=lambda each: _utility(run(each[0], each[1], tuning), preference))
    return run(chain, threshold, rest)


def _undominated(quality: Vector, cost: Vector) -> list[int]:
    """Return the arms than which no cheaper one is better, at most eight; the best ones are kept."""
    found = [k for k in range(len(quality)) if not ((cost < cost[k]) & (quality >= quality[k])).any()]
    return sorted(found, key=lambda k: -quality[k])[:_MOST_ARMS]


def _signals(looks: Vector) -> Signals:
    return lambda i, k, before: {"judge": float(looks[i, k])}


def _utility(served: Served, preference: Preference) -> float:
    return preference["quality"] * served.quality - preference["cost_usd"] * served.cost_usd


def _row(policy: str, passes: Sequence[Served], preference: Preference) -> CascadeRow:
    return CascadeRow(
        policy=policy,
        utility=estimate([_utility(served, preference) for served in passes]),
        quality=estimate([served.quality for served in passes]),
        cost_usd=estimate([served.cost_usd for served in passes], higher_is_better=False),
        calls=estimate([served.calls for served in passes], higher_is_better=False),
    )


def _check(table: OutcomeTable, preference: Preference) -> None:
    for name in ("quality", "cost_usd"):
        if name not in table.outcomes or np.isnan(table.outcomes[name]).any():
            raise InvalidConfigurationError(
                f"a cascade needs the {name} of every arm for every prompt; {name} is missing"
            )
    if set(preference) != {"quality", "cost_usd"} or min(preference.values()) <= 0.0:
        raise InvalidConfigurationError(
            f"the preference of a cascade is {preference}; give weights of quality and cost_usd, "
            "as in --preference quality=1,cost_usd=50"
        )
