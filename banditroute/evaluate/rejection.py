"""Replay of a policy that learns, by rejection sampling; and of one that has learned, frozen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.learners import Learner
from banditroute.rewards.objectives import Objective
from banditroute.rewards.utility import Prefer
from banditroute.router import Router
from banditroute.store.memory import MemoryStore
from banditroute.types import Vector

if TYPE_CHECKING:
    from banditroute.simulate.bandit_log import BanditLog


def replay_by_rejection(
    log: BanditLog, *, learner: Learner, prefer: Prefer, objectives: Sequence[Objective] = (), seed: int = 0
) -> NDArray[np.bool_]:
    """Which logged decisions a learner would have made too, each learned from as it comes ``(n,)``.

    A row is kept with probability ``p_min / propensity``, which leaves every arm the same chance ``p_min``; the router
    then decides, and the row is accepted where it chose the logged arm. What is accepted, in its order, is a history as
    the learner would have had it online: of ``n p_min`` rows on average, whatever it learns.

    The router's clock stands still over rows that are not accepted, yet it counts its decisions there: a belief that
    forgets is to do so by time (``half_life_seconds``).

    Parameters
    ----------
    log
        With a propensity in every row.
    learner, prefer, objectives
        What to replay, as of :class:`banditroute.Router`.
    seed
        Of what is kept and chosen.

    Source: Li, Chu, Langford and Wang 2011, "Unbiased offline evaluation of contextual-bandit-based news article
    recommendation algorithms", algorithm 2; Dudik, Erhan, Langford and Li 2012, "Sample-efficient nonstationary policy
    evaluation for contextual bandits", for propensities that differ.
    """
    assert log.propensities is not None
    rng = np.random.default_rng(seed)
    least = log.propensities.min()
    if log.probabilities is not None:
        least = min(least, log.probabilities[log.eligible].min())
    accepted = np.zeros(len(log), dtype=np.bool_)
    among = _eligible(log)
    x = features(log)
    with _router(log, learner, prefer, objectives, rng, at=lambda: float(accepted.sum())) as router:
        for i in np.flatnonzero(rng.random(len(log)) <= least / log.propensities):
            decision = router.route(x[i], arms=among[i])
            if decision.arm == log.arms[log.chosen[i]]:
                accepted[i] = True
                outcome = {name: values[i] for name, values in log.outcomes.items() if not math.isnan(values[i])}
                if outcome:
                    router.feedback(decision.id, **outcome)
    return accepted
