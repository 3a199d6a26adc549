"""The cheapest of the arms within some loss of the best, by hand-made numbers and in decisions."""

import numpy as np
import pytest

from banditroute import Preference, Router
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import EpsilonGreedy
from banditroute.objectives import Objective, Scaled
from banditroute.policies.thompson import best_probabilities
from banditroute.router.candidates import Candidates
from banditroute.router.within import prefer_cheapest
from banditroute.simulate import replay
from banditroute.simulate.environments import linear
from banditroute.store import SQLStore


def candidates(quality, cost, **changed):
    means, zeros = np.array([quality, cost], dtype=float), np.zeros(len(cost))
    arms = tuple("abcdef"[: len(cost)])
    stds, utilities = means * 0, means[0]
    objectives = ("quality", "cost_usd")
    return Candidates(arms, objectives, means, stds, utilities, zeros, zeros, lambda: zeros, len, **changed)


class TestLead:
    def test_the_cheapest_within_the_loss_leads_by_brute_force(self):
        rng = np.random.default_rng(0)
        for _ in range(500):
            quality, cost = rng.uniform(0.8, 0.9, 5), rng.random(5)
            close = [k for k in range(5) if quality[k] >= quality.max() - 0.02]
            wanted = min(close, key=lambda k: cost[k])
            assert prefer_cheapest(candidates(quality, cost), 0.02).utilities.argmax() == wanted

    def test_cheaper_arm_has_the_probability_that_it_is_close_enough(self):
        led = prefer_cheapest(candidates([0.85, 0.9], [0.1, 1.0]), 0.06)
        stds = np.array([0.03, 0.04])
        rng = np.random.default_rng(0)
        drawn = rng.normal([0.85, 0.9], stds, size=(200_000, 2))
        assert best_probabilities(led.utilities, stds)[0] == pytest.approx(
            (drawn[:, 0] >= drawn[:, 1] - 0.06).mean(), abs=0.005
        )

    def test_only_eligible_arms_count(self):
        led = prefer_cheapest(candidates([0.99, 0.9, 0.89], [0.5, 1.0, 0.1], eligible=[1, 2]), 0.02)
        assert led.utilities[[1, 2]].argmax() == 1


class TestPreference:
    def test_quality_is_what_counts_unless_weights_are_given(self):
        assert dict(Preference(within=0.02)) == {"quality": 1.0}
        assert dict(Preference(within=0.02, latency_seconds=1)) == {"latency_seconds": 1.0}

    def test_preference_with_a_margin_differs_from_the_same_weights_alone(self):
        assert Preference(within=0.02) != Preference(quality=1)
        assert Preference(within=0.02) == Preference(**Preference(within=0.02).as_dict())
        assert hash(Preference(within=0.02)) != hash(Preference(quality=1))
        assert Preference(quality=1) == {"quality": 1.0}

    def test_a_negative_loss_is_refused(self):
        with pytest.raises(InvalidConfigurationError, match="within"):
            Preference(within=-0.1)

    def test_no_objective_has_its_name(self):
        with pytest.raises(InvalidConfigurationError, match="setting of Preference"):
            Router(arms=["a"], objectives=[Objective(name="within", higher_is_better=True)])

    def test_scaled_weights_keep_it(self):
        router = Router(
            arms=["a", "b"], features=1, preference=Scaled(weights=Preference(quality=2, within=0.1)), seed=0
        )
        assert router.route([0.0]).preference == Preference(quality=2, within=0.1)


class TestRouter:
    def test_the_cheaper_of_two_nearly_equal_arms_serves(self):
        quality, price = {"a": 0.5, "b": 0.89, "c": 0.9}, {"a": 0.001, "b": 0.01, "c": 0.1}
        router = Router(arms=list(quality), features=1, learner=EpsilonGreedy(epsilon=0.0), seed=0)
        for arm in [*quality] * 300:
            router.feedback(router.route([0.0], arms=[arm]).id, quality=quality[arm], cost_usd=price[arm])
        assert router.route([0.0], preference=Preference(within=0.05)).arm == "b"
        assert router.route([0.0], preference=Preference(within=0.0005)).arm == "c"
        assert router.route([0.0], preference=Preference(within=0.6)).arm == "a"
        assert router.route([0.0], preference=Preference(within=0.6), arms=["b", "c"]).arm == "b"

    def test_a_stored_decision_keeps_its_preference(self, tmp_path):
        store = SQLStore(f"sqlite:///{tmp_path / 'r.db'}")
        with Router(arms=["a", "b"], features=1, preference=Preference(within=0.02), store=store) as router:
            id = router.route([0.0]).id
            router.flush()
            assert store.find(id).preference == Preference(within=0.02)

    def test_a_replay_makes_the_choices_of_a_router(self, monkeypatch):
        from banditroute.simulate import fast_path

        table, x = linear(n=300, arms=3, features=3, seed=1)
        options = {"learner": EpsilonGreedy(), "preference": Preference(within=0.05), "seed": 2}
        short = replay(table, x, **options)
        monkeypatch.setattr(fast_path, "applies", lambda *arguments: False)
        assert replay(table, x, **options).chosen.tolist() == short.chosen.tolist()
