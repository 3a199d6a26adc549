"""The Bradley-Terry step, against the likelihood that it stands for."""

import math
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.beliefs import Linear
from banditroute.beliefs.base import Prior
from banditroute.beliefs.comparison import WEIGHT, outcomes, weight

qualities = st.floats(-1.0, 2.0)
noises = st.floats(0.05, 2.0)


def log_likelihood(difference, noise):
    return -math.log1p(math.exp(-difference / (noise * math.sqrt(6.0) / math.pi)))


def test_even_odds_by_hand():
    won, lost = outcomes(0.5, 0.5, noise=math.pi / math.sqrt(6.0))  # s = 1, p = 1/2: the step is 2 s / 2
    assert (won, lost) == pytest.approx((1.5, -0.5))


@given(winner=qualities, loser=qualities, noise=noises)
def test_the_average_stays_and_the_winner_gains(winner, loser, noise):
    won, lost = outcomes(winner, loser, noise=noise)
    assert won + lost == pytest.approx(winner + loser, abs=1e-12)
    assert won >= winner


@given(winner=qualities, loser=qualities, noise=noises, at=st.floats(-5.0, 5.0))
def test_the_two_outcomes_bound_the_likelihood_and_touch_it(winner, loser, noise, at):
    """On the difference they are a parabola with the likelihood's value and slope, nowhere above it."""
    won, lost = outcomes(winner, loser, noise=noise)
    believed, target = winner - loser, won - lost
    precision = WEIGHT / (2.0 * noise**2)  # of a difference of two outcomes that each count WEIGHT

    def parabola(difference):
        return log_likelihood(believed, noise) - 0.5 * precision * (
            (difference - target) ** 2 - (believed - target) ** 2
        )

    assert parabola(at) <= log_likelihood(at, noise) + 1e-9
    slope = precision * (target - believed)
    step = 1e-5
    numeric = (log_likelihood(believed + step, noise) - log_likelihood(believed - step, noise)) / (2.0 * step)
    assert slope == pytest.approx(numeric, rel=1e-4, abs=1e-6)


@given(one=qualities, other=qualities, noise=noises)
def test_a_tie_is_half_a_win_of_each(one, other, noise):
    won, lost = outcomes(one, other, noise=noise)[0], outcomes(other, one, noise=noise)[1]
    assert outcomes(one, other, noise=noise, tied=True)[0] == pytest.approx((won + lost) / 2.0)


@pytest.mark.parametrize("answers", [2, 3, 4, 5])
def test_the_pairs_of_a_ranking_hold_the_information_of_plackett_luce(answers):
    """Of the strength of one of n equal answers: the mean square of the slope of the log-likelihood, over all rankings.

    A pair of equal answers holds 1/4.
    """
    slopes = []
    for order in permutations(range(answers)):
        left_at_its_choices = range(answers, answers - order.index(0) - 1, -1)
        slopes.append(1.0 - sum(1.0 / left for left in left_at_its_choices))
    of_pairs = (answers - 1) * 0.25 * weight(answers) / WEIGHT
    assert np.mean(np.square(slopes)) == pytest.approx(of_pairs)


def test_a_weight_counts_as_so_many_observations():
    spec = Linear(feature_precision=1.0)
    x = np.array([0.5, 1.0])
    live = spec.start(arms=["a"], dimension=2, priors={"quality": Prior(mean=0.5, noise=0.4)}, statistics={})
    live.update("a", x, {"quality": 0.9}, weight=0.25)
    live.update("a", x, {"quality": 0.1}, weight=1.5)
    again = spec.start(
        arms=["a"], dimension=2, priors={"quality": Prior(mean=0.5, noise=0.4)}, statistics=live.statistics()
    )
    s = np.eye(2) * [1.0, 1.0] + 1.75 * np.outer(x, x)
    b = (0.25 * 0.9 + 1.5 * 0.1) * x + 1.0 * 0.5 * np.array([0.0, 1.0])
    for belief in (live, again):
        assert belief.counts("quality") == pytest.approx([1.75])
        np.testing.assert_allclose(belief.predict(x).means, [[np.linalg.solve(s, b) @ x]], rtol=1e-12)


def test_repeated_steps_reach_the_maximum_of_the_likelihood():
    """Of 30 answers, one arm's was preferred 21 times: steps from what they left lead to log(21 / 9) times s."""
    noise, scale = 0.4, 0.4 * math.sqrt(6.0) / math.pi
    difference = 0.0
    for _ in range(200):
        ahead, behind = outcomes(difference, 0.0, noise=noise), outcomes(0.0, difference, noise=noise)
        difference = (21 * (ahead[0] - ahead[1]) + 9 * (behind[1] - behind[0])) / 30
    assert difference == pytest.approx(scale * math.log(21 / 9), rel=1e-9)
