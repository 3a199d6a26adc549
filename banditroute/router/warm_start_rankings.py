"""Warm start from rankings: each pair is a Bradley-Terry step from the strengths that explain the whole log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

import numpy as np

from banditroute.beliefs import comparison
from banditroute.objectives.objective import Objective
from banditroute.router.warm_start_state import Taught


class Ranks(dict[str, int]):
    """The rank of each arm's answer to one request, the best first; equal ranks tie."""


Row: TypeAlias = dict[str, Taught] | Ranks
"""The outcomes of each arm, or the ranks of some."""


def taught(rows: Sequence[Row], quality: Objective) -> list[Mapping[str, Taught]]:
    """Return what each row teaches of each arm."""
    rankings = [row for row in rows if isinstance(row, Ranks)]
    noise = quality.prior_noise or 1.0
    means = _strengths(rankings, quality.prior_mean or 0.0, noise) if rankings else {}
    return [_steps(row, means, noise) if isinstance(row, Ranks) else row for row in rows]


def _strengths(rankings: Sequence[Ranks], mean: float, noise: float) -> dict[str, float]:
    """Return the quality of each arm by all rankings, whatever the request."""
    names = sorted({arm for ranks in rankings for arm in ranks})
    index = {arm: k for k, arm in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for ranks in rankings:
        share = comparison.weight(len(ranks)) / comparison.WEIGHT
        for better, worse in combinations(ranks, 2):
            k, j = index[better], index[worse]
            if ranks[better] == ranks[worse]:
                wins[k, j] += share / 2.0
                wins[j, k] += share / 2.0
            else:
                wins[k, j] += share
    return dict(zip(names, comparison.strengths(wins, mean=mean, noise=noise).tolist(), strict=True))


def _steps(ranks: Ranks, means: Mapping[str, float], noise: float) -> dict[str, Taught]:
    """Return what a ranking teaches of each arm: the mean of the steps of its pairs, with the weight of all of them."""
    sums = dict.fromkeys(ranks, 0.0)
    for better, worse in combinations(ranks, 2):
        tied = ranks[better] == ranks[worse]
        won, lost = comparison.outcomes(means[better], means[worse], noise=noise, tied=tied)
        sums[better] += won
        sums[worse] += lost
    others = len(ranks) - 1
    weight = others * comparison.weight(len(ranks))
    return {arm: Taught({"quality": total / others}, weight) for arm, total in sums.items()}
