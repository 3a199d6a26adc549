"""The upper confidence bound against its formula."""

import math

import numpy as np
import pytest

from banditroute.errors import InvalidConfigurationError
from banditroute.policies import UCB


def ask(policy, means, stds, information=None):
    arms = [f"arm {k}" for k in range(len(means))]
    known = None if information is None else np.array(information)
    return policy.probabilities(np.array(means), np.array(stds), arms=arms, information=lambda: known)


def test_choice_equals_the_hand_computed_one():
    # 0.5 + 1 x 0.2 = 0.7 against 0.6 + 1 x 0.05 = 0.65; with alpha = 0.5: 0.6 against 0.625.
    assert ask(UCB(alpha=1.0, floor=0.0), (0.5, 0.6), (0.2, 0.05)).tolist() == [1.0, 0.0]
    assert ask(UCB(alpha=0.5, floor=0.0), (0.5, 0.6), (0.2, 0.05)).tolist() == [0.0, 1.0]


def test_the_confidence_width_by_hand():
    # delta = e^-2: sqrt(2 x 2 + 0) + 1 = 3 and sqrt(2 x 2 + 5) + 1 = 4; 0 + 3 x 0.2 = 0.6 against 0 + 4 x 0.16 = 0.64.
    policy = UCB(alpha=1.0, delta=math.exp(-2.0), norm_bound=1.0, floor=0.0)
    assert ask(policy, (0.0, 0.0), (0.2, 0.16), (0.0, 5.0)).tolist() == [0.0, 1.0]
    assert ask(policy, (0.05, 0.0), (0.2, 0.16), (0.0, 5.0)).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("delta", [None, 0.5, 0.01])
def test_against_brute_force(delta):
    rng = np.random.default_rng(0)
    for _ in range(200):
        k = int(rng.integers(1, 8))
        alpha, bound, floor = rng.random(), rng.random(), rng.random()
        means, stds, known = rng.normal(size=k), rng.random(k), 10.0 * rng.random(k)
        scores = []
        for mean, std, nats in zip(means, stds, known, strict=True):
            width = 1.0 if delta is None else math.sqrt(2.0 * math.log(1.0 / delta) + nats) + bound
            scores.append(mean + alpha * width * std)
        expected = np.full(k, floor / k)
        expected[scores.index(max(scores))] += 1.0 - floor
        answer = ask(UCB(alpha=alpha, delta=delta, norm_bound=bound, floor=floor), means, stds, known)
        assert answer == pytest.approx(expected, abs=1e-12)


def test_the_constant_width_does_not_ask_what_was_learned():
    UCB().probabilities(np.zeros(2), np.zeros(2), arms=["a", "b"], information=lambda: 1 / 0)


def test_ties_share_what_the_floor_leaves():
    assert ask(UCB(floor=0.3), (0.5, 0.5, 0.1), (0.2, 0.2, 0.2)) == pytest.approx([0.45, 0.45, 0.1], abs=1e-15)


@pytest.mark.parametrize("setting", ["alpha", "norm_bound", "floor"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.1, True, np.True_, "1", None])
def test_bad_settings_are_refused(setting, bad):
    with pytest.raises(InvalidConfigurationError, match=f"^{setting} is "):
        UCB(**{setting: bad})


@pytest.mark.parametrize("bad", [0.0, 1.0, -0.1, 1.1, math.nan, True, "0.1"])
def test_a_delta_outside_its_open_range_is_refused(bad):
    with pytest.raises(InvalidConfigurationError, match=r"^delta is "):
        UCB(delta=bad)
