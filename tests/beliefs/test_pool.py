"""What kind of pool the arms are: by hand-computed numbers, and on drawn pools whose truth is known."""

import json

import numpy as np
import pytest

from banditroute import Router
from banditroute.beliefs import Linear, Logistic
from banditroute.beliefs.pool import PoolStatus, describe
from banditroute.beliefs.relevance import Choices, Relevance
from banditroute.learners import ThompsonSampling

ARMS, FEATURES = "abcd", 6
AVERAGES = np.array([0.4, 0.5, 0.55, 0.6])


def served(own_std, *, n=1500, seed=0, **settings):
    """A router after n requests to arms whose own weights have this standard deviation, and the weights ``(K, d)``."""
    rng = np.random.default_rng(seed)
    router = Router(arms=list(ARMS), features=FEATURES, seed=seed, **settings)
    weights = rng.normal(size=(len(ARMS), FEATURES)) * own_std + rng.normal(size=FEATURES) * 0.03
    for _ in range(n):
        x = rng.normal(size=FEATURES)
        decision = router.route(x)
        k = ARMS.index(decision.arm)
        quality = float(rng.random() < np.clip(AVERAGES[k] + x @ weights[k], 0.0, 1.0))
        router.feedback(decision.id, quality=quality)
    return router, weights


class TestDescribe:
    def test_the_parts_of_two_arms_by_hand(self):
        # One feature of mean 1 and variance 4: s = n (x x', x; x', 1).
        n = 50.0
        s = n * np.array([[5.0, 1.0], [1.0, 1.0]])
        theta = np.array([[0.3, 0.2], [0.1, 0.4]])
        found = describe(theta, s, n, objective="quality", higher_is_better=True, nats=None)
        assert found.request_std == pytest.approx(0.2 * 2.0)  # the mean slope times the standard deviation
        assert found.own_std == pytest.approx(0.1 * 2.0)
        assert found.arm_std == pytest.approx(0.0)  # both average .5
        # the difference is N(0, .4^2), and the better arm gains its positive part
        assert found.context_worth == pytest.approx(0.4 / np.sqrt(2.0 * np.pi), rel=0.1)
        assert found.other_arm_share == pytest.approx(0.5, abs=0.04)
        assert found.kind == "unknown"

    def test_lowest_mean_is_best_for_a_cost(self):
        s, theta = np.diag([10.0, 10.0]), np.array([[0.0, 1.0], [0.0, 5.0]])
        found = describe(theta, s, 10.0, objective="cost_usd", higher_is_better=False, nats=(0.0, 0.0))
        assert (found.context_worth, found.other_arm_share, found.kind) == (0.0, 0.0, "generalists")

    def test_pool_is_undescribed_without_outcomes(self):
        none = describe(np.zeros((2, 1)), np.zeros((1, 1)), 0.0, objective="q", higher_is_better=True, nats=None)
        assert none is None


class TestRouter:
    def test_specialists_are_recognised_and_the_worth_of_context_is_near_the_truth(self):
        router, weights = served(0.2)
        found = router.status().pool[0]
        x = np.random.default_rng(9).normal(size=(20_000, FEATURES))
        expected = np.clip(AVERAGES + x @ weights.T, 0.0, 1.0)
        truth = expected.max(axis=1).mean() - expected.mean(axis=0).max()
        assert (found.objective, found.kind) == ("quality", "specialists")
        assert found.own_nats > 20.0
        assert found.context_nats > 20.0
        assert found.context_worth == pytest.approx(truth, abs=0.06)
        assert "pool: quality: arms are specialists" in str(router.status())
        assert json.loads(json.dumps(router.status().as_dict()))["pool"][0]["kind"] == "specialists"

    def test_generalists_are_recognised(self):
        found = served(0.0)[0].status().pool[0]
        assert found.kind == "generalists"
        assert found.own_nats < 3.0
        assert found.context_worth < 0.01

    def test_pool_kind_is_unknown_before_there_is_evidence(self):
        router, _ = served(0.2, n=50)
        assert router.status().pool[0].kind == "unknown"
        assert "pool" not in str(router.status())
        assert Router(arms=["a"], features=1).status().pool == ()

    def test_a_linear_belief_gives_figures_without_evidence_and_a_logistic_one_none(self):
        found = served(0.2, n=300, learner=ThompsonSampling(belief=Linear()))[0].status().pool[0]
        assert found.own_std > 0.1
        assert found.kind == "unknown"
        assert served(0.2, n=50, learner=ThompsonSampling(belief=Logistic()))[0].status().pool == ()


def test_choices_without_evidence_are_read_as_an_earlier_version_wrote_them():
    earlier = json.dumps({"count": 2, "relevance": {"quality": [[1.0], [0.5]]}}).encode()
    assert Choices.from_bytes(earlier, blocks=1) == Choices(2, {"quality": Relevance((1.0,), (0.5,))}, {})


def test_text_shows_no_rounding_as_a_worth():
    pool = PoolStatus(
        objective="latency_seconds",
        outcomes=800.0,
        request_std=0.1,
        arm_std=0.1,
        own_std=0.0,
        context_worth=9.25e-17,
        other_arm_share=0.3,
    )
    assert "choosing by request is worth 0 over the best arm" in str(pool)
