"""Synthetic environments: what they say they are."""

import numpy as np
import pytest

from banditroute.beliefs import Linear, PageHinkley
from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, ThompsonSampling
from banditroute.policies import Uniform
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.environments import ENVIRONMENTS, adversarial, drifting, hybrid, linear
from banditroute.simulate.replay import replay

SIZES = {"n": 600, "arms": 4, "features": 3}
TIME = Conditions(chronological=True)


def quality_had(environment, learner, seed=0, conditions=TIME):
    table, x = environment
    trace = replay(table, x, learner=learner, preference=Preference(quality=1.0), seed=seed, conditions=conditions)
    return trace.outcome(table.outcomes["quality"])


@pytest.mark.parametrize("name", ENVIRONMENTS)
class TestEvery:
    def test_is_a_function_of_its_seed(self, name):
        one, again, other = (ENVIRONMENTS[name](**SIZES, seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(one.x, again.x)
        for objective, values in one.table.outcomes.items():
            assert np.array_equal(values, again.table.outcomes[objective])
            assert not np.array_equal(values, other.table.outcomes[objective])

    def test_shapes_and_ranges(self, name):
        table, x = ENVIRONMENTS[name](**SIZES)
        assert (table.name, len(table), table.arms) == (name, 600, ("arm0", "arm1", "arm2", "arm3"))
        assert x.shape == (600, 3)
        quality, cost = table.outcomes["quality"], table.outcomes["cost_usd"]
        assert 0.0 <= quality.min() < quality.max() <= 1.0
        assert (np.diff(cost, axis=1) > 0.0).all()
        assert cost[:, -1] / cost[:, 0] == pytest.approx(100.0)

    def test_smallest_environment_is_made(self, name):
        assert ENVIRONMENTS[name](n=1, arms=1, features=1).table.outcomes["quality"].shape == (1, 1)

    @pytest.mark.parametrize("wrong", [{"n": 0}, {"arms": 1.5}, {"features": True}, {"noise": -1}, {"noise": np.nan}])
    def test_bad_environment_settings_are_refused(self, name, wrong):
        with pytest.raises(InvalidConfigurationError, match=f"{next(iter(wrong))} is"):
            ENVIRONMENTS[name](**{**SIZES, **wrong})


def test_linear_is_linear_where_nothing_is_cut_off():
    table, x = linear(**SIZES, noise=0.0)
    inside = (table.outcomes["quality"] > 0.0) & (table.outcomes["quality"] < 1.0)
    rows = inside.all(axis=1)
    assert rows.mean() > 0.5
    full = np.hstack([x, np.ones((600, 1))])[rows]
    fitted, *_ = np.linalg.lstsq(full, table.outcomes["quality"][rows])
    assert full @ fitted == pytest.approx(table.outcomes["quality"][rows])
    assert fitted[-1] == pytest.approx([0.3, 0.3 + 0.4 / 3, 0.7 - 0.4 / 3, 0.7])


def test_noise_is_as_asked():
    noisy, clean = (hybrid(n=4000, arms=2, features=2, noise=noise).table.outcomes["quality"] for noise in (0.05, 0.0))
    inside = (noisy > 0.0) & (noisy < 1.0) & (clean > 0.2) & (clean < 0.8)
    assert (noisy - clean)[inside].std() == pytest.approx(0.05, rel=0.05)


def test_arms_of_hybrid_have_more_in_common_than_those_of_linear():
    common = {
        make.__name__: np.mean(
            [np.corrcoef(make(**SIZES, noise=0.0, seed=s).table.outcomes["quality"].T)[0, 1] for s in range(20)]
        )
        for make in (linear, hybrid)
    }
    assert common["hybrid"] > 0.6 > 0.3 > abs(common["linear"])


def test_contextual_learner_beats_one_without_context():
    for make in (linear, hybrid):
        environment = make(n=1000, arms=3, features=3, noise=0.05, seed=1)
        best_arm = environment.table.outcomes["quality"].mean(axis=0).max()
        assert quality_had(environment, LinUCB())[500:].mean() > best_arm


def test_no_turn_is_linear():
    still, turned = (drifting(**SIZES, noise=0.0, turns=turns).table.outcomes["quality"] for turns in (0.0, 0.5))
    assert still[:10] == pytest.approx(turned[:10], abs=0.05)
    assert np.abs(still[-10:] - turned[-10:]).max() > 0.2
    with pytest.raises(InvalidConfigurationError, match="turns is -1"):
        drifting(**SIZES, turns=-1)


def test_forgetting_does_better_when_arms_drift():
    had = {}
    for half_life in (None, 150.0):
        learner = ThompsonSampling(belief=Linear(half_life_requests=half_life))
        had[half_life] = np.mean(
            [quality_had(drifting(n=1500, arms=3, features=1, seed=s), learner)[750:].mean() for s in range(3)]
        )
    assert had[150.0] > had[None] + 0.02


class TestAdversarial:
    def test_best_arm_so_far_is_worst_next(self):
        quality = adversarial(n=900, arms=3, features=1, noise=0.0).table.outcomes["quality"]
        changes = np.flatnonzero((np.diff(quality, axis=0) != 0.0).any(axis=1)) + 1
        assert changes.tolist() == [11, 33, 100, 300]
        for begin in changes:
            assert quality[begin].argmin() == quality[:begin].sum(axis=0).argmax()

    def test_drift_detection_or_exploration_is_needed(self):
        environment = adversarial(n=2000, arms=2, features=1, seed=3)
        stubborn = quality_had(environment, EpsilonGreedy(epsilon=0.0)).mean()
        alert = quality_had(environment, ThompsonSampling(drift=PageHinkley())).mean()
        assert alert > stubborn + 0.1
        assert alert > quality_had(environment, Learner(policy=Uniform())).mean() + 0.1
