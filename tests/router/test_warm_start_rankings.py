"""A log of preferences that is learned before the traffic."""

import math

import numpy as np
import pytest

from banditroute import InvalidFeedbackError, Router
from banditroute.beliefs import Linear
from banditroute.beliefs.comparison import WEIGHT, outcomes, strengths, weight
from banditroute.learners import Learner
from banditroute.policies import Greedy

SCALE = 0.4 * math.sqrt(6.0) / math.pi
AVERAGES = Learner(policy=Greedy(), belief=Linear(feature_precision=1e9, intercept_precision=4.0))


def means(router, x=(0.0,)):
    return router.route(np.array(x)).means[0]


def test_strengths_solve_their_equation():
    """The pull of the prior, (m - q), equals that of the results; by hand for three wins against one."""
    one, other = strengths(np.array([[0.0, 3.0], [1.0, 0.0]]), mean=0.5, noise=0.4)
    expected = 1.0 / (1.0 + math.exp(-(one - other) / SCALE))
    assert one - 0.5 == pytest.approx(WEIGHT * 2.0 * SCALE * (3.0 - 4.0 * expected), abs=1e-8)
    assert one + other == pytest.approx(1.0)


def test_many_results_give_the_odds():
    one, other = strengths(np.array([[0.0, 3e4], [1e4, 0.0]]), mean=0.5, noise=0.4)
    assert (one - other) / SCALE == pytest.approx(math.log(3.0), rel=1e-3)


def test_ranking_with_a_tie_by_hand():
    """One row of three: each arm gets the mean of its two steps, with the weight of both."""
    router = Router(arms=["a", "b", "c"], features=1, learner=AVERAGES)
    router.warm_start([([0.0], [["b", "c"], "a"])])
    share = weight(3) / WEIGHT
    a, b, c = strengths(share * np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.5], [1.0, 0.5, 0.0]]), mean=0.5, noise=0.4)
    (won_b, lost_b), (won_c, lost_c) = (outcomes(each, a, noise=0.4) for each in (b, c))
    sums = [lost_b + lost_c, won_b + outcomes(b, c, noise=0.4, tied=True)[0], won_c + 0.5 * (b + c)]
    expected = [(4.0 * 0.5 + weight(3) * each) / (4.0 + 2.0 * weight(3)) for each in sums]
    np.testing.assert_allclose(means(router), expected, rtol=1e-9)


def test_an_arm_that_lost_against_strong_arms_is_not_taken_for_a_weak_one():
    strong, middling, weak, rng = 2.0, 0.0, -2.0, np.random.default_rng(0)
    rows = []
    for one, other, gap in [("middling", "strong", middling - strong), ("weak", "weaker", weak + 3.0)] * 500:
        wins = rng.random() < 1.0 / (1.0 + math.exp(-gap))
        rows.append(([0.0], [one, other] if wins else [other, one]))
    rows += [([0.0], ["middling", "weak"]), ([0.0], ["middling", "weak"])] * 100
    router = Router(arms=["strong", "middling", "weak", "weaker"], features=1, learner=AVERAGES)
    router.warm_start(rows)
    quality = dict(zip(["strong", "middling", "weak", "weaker"], means(router), strict=True))
    assert quality["strong"] > quality["middling"] > quality["weak"] > quality["weaker"]


def test_preferences_that_depend_on_the_context_are_learned():
    rng = np.random.default_rng(0)
    rows = [([x], ["a", "b"] if x > 0.0 else ["b", "a"]) for x in rng.normal(size=300)]
    router = Router(arms=["a", "b"], features=1, seed=0)
    router.warm_start(rows)
    (a_left, b_left), (a_right, b_right) = means(router, (-1.0,)), means(router, (1.0,))
    assert a_left < b_left
    assert a_right > b_right


def test_rankings_and_outcomes_may_come_together():
    router = Router(arms=["a", "b"], features=1, learner=AVERAGES)
    router.warm_start([([0.0], ["b", "a"]), ([0.0], {"a": {"cost_usd": 0.25}})])
    decision = router.route([0.0], preference={"quality": 1.0, "cost_usd": 1.0})
    quality, cost = (decision.means[decision.objectives.index(name)] for name in ("quality", "cost_usd"))
    assert quality[1] > quality[0]
    assert cost[0] > 0.0


@pytest.mark.parametrize(
    ("ranking", "words"),
    [
        (["a", "c"], "row 0 of the log: unknown arm 'c'; known arms: a, b"),
        (["a", 3], "row 0 of the log: unknown arm 3"),
        (["a"], "row 0 of the log: the ranking has 1 members; give 2 to 20"),
        (["a", ["b", "a"]], "row 0 of the log: 'a' is compared with itself"),
    ],
)
def test_a_mistake_is_refused(ranking, words):
    router = Router(arms=["a", "b"], features=1, seed=0)
    with pytest.raises(InvalidFeedbackError, match=words):
        router.warm_start([([0.0], ranking)])
    np.testing.assert_array_equal(means(router), [0.5, 0.5])
