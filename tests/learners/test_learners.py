"""Learners are a belief and a policy under a well-known name."""

import numpy as np
import pytest

from banditroute.beliefs import Hybrid, Linear
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling
from banditroute.policies import UCB, Greedy, InverseGap, Thompson, Uniform
from banditroute.router import Router

SPEC = Linear(feature_precision=1.0)


@pytest.mark.parametrize(
    ("learner", "policy"),
    [
        (LinUCB(alpha=1.0, delta=0.1, floor=0.2, belief=SPEC), UCB(alpha=1.0, delta=0.1, floor=0.2)),
        (ThompsonSampling(scale=2.0, floor=0.3, belief=SPEC), Thompson(scale=2.0, floor=0.3)),
        (SquareCB(scale=2.0, belief=SPEC), InverseGap(scale=2.0)),
        (EpsilonGreedy(epsilon=0.4, belief=SPEC), Greedy(floor=0.4)),
        (Learner(policy=Uniform(), belief=SPEC), Uniform()),
    ],
)
def test_a_learner_is_its_policy_and_belief(learner, policy):
    assert learner.policy == policy
    assert learner.belief is SPEC
    assert repr(learner) == f"{type(learner).__name__}(policy={policy!r})"


@pytest.mark.parametrize(
    "learner", [LinUCB(), ThompsonSampling(), SquareCB(), EpsilonGreedy(), Learner(policy=Uniform())]
)
def test_the_belief_is_hybrid_unless_told_otherwise(learner):
    assert learner.belief == Hybrid()


@pytest.mark.parametrize(
    ("learner", "policy"),
    [(LinUCB, UCB), (ThompsonSampling, Thompson), (SquareCB, InverseGap), (EpsilonGreedy, Greedy)],
)
def test_defaults_are_those_of_the_policy(learner, policy):
    assert learner().policy == policy()


@pytest.mark.parametrize(
    "make", [lambda: LinUCB(alpha=-1.0), lambda: ThompsonSampling(scale=True), lambda: EpsilonGreedy(epsilon=1.5)]
)
def test_bad_settings_are_refused(make):
    with pytest.raises(InvalidConfigurationError):
        make()


@pytest.mark.parametrize("learner", [LinUCB(), ThompsonSampling(), SquareCB(), EpsilonGreedy()], ids=repr)
def test_constant_costs_do_not_lock_the_better_arm_out(learner):
    """One cost that never varies is no certainty about the costs of arms that were not tried."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        router = Router(
            arms=["dear", "good"],
            features=1,
            learner=learner,
            preference={"quality": 1.0, "cost_usd": 100.0},
            seed=seed,
        )
        chosen = []
        for _ in range(300):
            decision = router.route(rng.normal(size=1))
            chosen.append(decision.arm)
            good = decision.arm == "good"
            quality = np.clip((0.8 if good else 0.6) + 0.2 * rng.normal(), 0.0, 1.0)
            router.feedback(decision.id, quality=quality, cost_usd=0.001 if good else 0.003)
        assert chosen[200:].count("good") >= 80, seed


@pytest.mark.parametrize("policy", ["ucb", None, 3, UCB])
def test_learner_refuses_what_is_no_policy_object(policy):
    with pytest.raises(InvalidConfigurationError, match="give a policy object such as"):
        Learner(policy=policy)
