"""``router.compare``: which of two answers was better."""

import numpy as np
import pytest

from banditroute import (
    ConflictingFeedbackError,
    InvalidFeedbackError,
    MemoryStore,
    Router,
    SQLStore,
    UnknownDecisionError,
    admin,
)
from banditroute.beliefs import Linear
from banditroute.beliefs.comparison import WEIGHT, outcomes
from banditroute.learners import Learner
from banditroute.policies import Greedy

ARMS = ["small", "large", "huge"]


def served(router, *arms, x=(0.5,)):
    return [router.route(np.array(x), arms=[arm]) for arm in arms]


def means(router, x=(0.5,)):
    return router.route(np.array(x)).means[0]


class TestLearning:
    def test_the_first_comparison_by_hand(self):
        """With the intercept alone: the prior counts as 4 outcomes of .5, the comparison as WEIGHT of one."""
        learner = Learner(policy=Greedy(), belief=Linear(feature_precision=1e9, intercept_precision=4.0))
        router = Router(arms=["small", "large"], features=1, learner=learner)
        small, large = served(router, "small", "large", x=(0.0,))
        router.compare([large.id, small.id])
        won, lost = outcomes(0.5, 0.5, noise=0.4)
        expected = [(4.0 * 0.5 + WEIGHT * y) / (4.0 + WEIGHT) for y in (lost, won)]
        np.testing.assert_allclose(means(router, x=(0.0,)), expected, rtol=1e-12)

    def test_the_first_ranking_with_a_tie_by_hand(self):
        """Each pair of three has 4 (3 - 11/6) / 6 = 7/9 of WEIGHT; of equal arms a win teaches .5 +- step, a tie .5."""
        learner = Learner(policy=Greedy(), belief=Linear(feature_precision=1e9, intercept_precision=4.0))
        router = Router(arms=ARMS, features=1, learner=learner)
        small, large, huge = served(router, *ARMS, x=(0.0,))
        router.compare([[large.id, huge.id], small.id])
        won, lost = outcomes(0.5, 0.5, noise=0.4)
        weight = WEIGHT * 7.0 / 9.0
        sums = [2.0 * lost, won + 0.5, 0.5 + won]
        expected = [(4.0 * 0.5 + weight * y) / (4.0 + 2.0 * weight) for y in sums]
        np.testing.assert_allclose(means(router, x=(0.0,)), expected, rtol=1e-12)

    def test_a_tie_draws_arms_together(self):
        router = Router(arms=["small", "large"], features=1, seed=0)
        small, large = served(router, "small", "large")
        router.feedback(small.id, quality=0.0)
        router.feedback(large.id, quality=1.0)
        before = means(router)
        router.compare([[small.id, large.id]])
        after = means(router)
        assert before[0] < after[0] < after[1] < before[1]

    def test_preferences_order_the_arms(self):
        router, rng = Router(arms=ARMS, features=1, seed=0), np.random.default_rng(0)
        strength = np.array([0.0, 1.0, 2.0])
        for _ in range(400):
            i, j = rng.choice(3, size=2, replace=False)
            first, second = served(router, ARMS[i], ARMS[j], x=rng.normal(size=1))
            if rng.random() < 1.0 / (1.0 + np.exp(strength[j] - strength[i])):
                router.compare([first.id, second.id])
            else:
                router.compare([second.id, first.id])
        small, large, huge = means(router)
        assert small < large < huge
        # Strengths are in units of s; the prior draws what was learned a little together.
        scale = 0.4 * np.sqrt(6.0) / np.pi
        assert huge - small == pytest.approx(2.0 * scale, rel=0.25)

    def test_measured_quality_and_comparisons_add_up(self):
        router = Router(arms=["small", "large"], features=1, seed=0)
        small, large = served(router, "small", "large")
        router.feedback(small.id, quality=0.0, cost_usd=1.0)
        before = means(router)
        router.compare([large.id, small.id])
        after = means(router)
        assert after[1] > before[1]
        assert after[0] < before[0] + 1e-12
        assert router.status().learned == 2

    def test_two_answers_of_one_arm_teach_nothing(self):
        router = Router(arms=["small", "large"], features=1, seed=0)
        one, other = served(router, "small", "small")
        before = means(router)
        router.compare([one.id, other.id])
        np.testing.assert_array_equal(means(router), before)

    def test_an_arm_that_was_removed_is_compared_all_the_same(self):
        router = Router(arms=ARMS, features=1, seed=0)
        small, huge = served(router, "small", "huge")
        router.remove_arm("huge")
        router.compare([huge.id, small.id])
        assert means(router)[0] < 0.5
        router.add_arm("huge")
        assert means(router)[2] > 0.5


class TestTheRecord:
    def test_repeated_comparison_is_harmless_and_a_reversed_one_is_refused(self):
        router = Router(arms=["small", "large"], features=1, seed=0)
        small, large = served(router, "small", "large")
        router.compare([large.id, small.id])
        once = means(router)
        router.compare([large.id, small.id])
        with pytest.raises(ConflictingFeedbackError, match="compare two decisions once"):
            router.compare([small.id, large.id])
        np.testing.assert_array_equal(means(router), once)

    def test_a_ranking_adds_to_an_earlier_pair_of_it_and_a_contradiction_is_refused(self):
        router = Router(arms=ARMS, features=1, seed=0)
        small, large, huge = served(router, *ARMS)
        router.compare([large.id, small.id])
        router.compare([huge.id, large.id, small.id])
        known = means(router)
        router.compare([huge.id, large.id, small.id])
        router.compare([large.id, small.id])
        for contradiction in ([small.id, large.id], [[small.id, large.id]], [huge.id, [small.id, large.id]]):
            with pytest.raises(ConflictingFeedbackError, match="compare two decisions once"):
                router.compare(contradiction)
        np.testing.assert_array_equal(means(router), known)

    def test_ranking_survives_a_restart_and_a_rebuild(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'routes.db'}"
        with Router(arms=ARMS, features=1, seed=0, store=SQLStore(url)) as router:
            for x in np.linspace(-1.0, 1.0, 20):
                small, large, huge = served(router, *ARMS, x=(x,))
                router.compare([huge.id, [small.id, large.id]])
            known = means(router)
        assert admin.verify(url) == []
        admin.rebuild(url)
        with Router(arms=ARMS, features=1, seed=0, store=SQLStore(url)) as router:
            np.testing.assert_allclose(means(router), known, rtol=1e-9)

    def test_comparison_survives_a_restart_and_a_rebuild(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'routes.db'}"
        with Router(arms=ARMS, features=1, seed=0, store=SQLStore(url)) as router:
            for x in np.linspace(-1.0, 1.0, 40):
                small, large = served(router, "small", "large", x=(x,))
                router.compare([large.id, small.id], source="Ann")
            known = means(router)
        assert admin.verify(url) == []
        admin.rebuild(url)
        with Router(arms=ARMS, features=1, seed=0, store=SQLStore(url)) as router:
            np.testing.assert_allclose(means(router), known, rtol=1e-9)
        assert admin.erase(url, source="Ann") == 80
        with Router(arms=ARMS, features=1, seed=0, store=SQLStore(url)) as router:
            np.testing.assert_allclose(means(router), [0.5, 0.5, 0.5], atol=1e-9)

    def test_another_process_learns_of_a_comparison(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'routes.db'}"
        with (
            Router(arms=ARMS, features=1, seed=0, store=SQLStore(url)) as one,
            Router(arms=ARMS, features=1, seed=1, store=SQLStore(url)) as other,
        ):
            small, large = served(one, "small", "large")
            one.flush()
            other.compare([large.id, small.id])
            assert means(other)[1] > 0.5


class TestRefusals:
    def test_bad_comparisons_are_refused(self):
        router = Router(arms=["small", "large"], features=1, store=MemoryStore(), seed=0)
        small, large = served(router, "small", "large")
        with pytest.raises(InvalidFeedbackError, match="with itself"):
            router.compare([small.id, small.id])
        for too_few in ([], [small.id], small.id, [[small.id], []]):
            with pytest.raises(InvalidFeedbackError, match=r"the ranking has . members; give 2 to 20, the best first"):
                router.compare(too_few)
        with pytest.raises(InvalidFeedbackError, match="the ranking has 21 members"):
            router.compare([f"{k:032x}" for k in range(21)])
        with pytest.raises(InvalidFeedbackError, match=r"decision_id is 3 \(int\)"):
            router.compare([small.id, 3])
        with pytest.raises(UnknownDecisionError, match="no decision"):
            router.compare([small.id, "0" * 32])
        with pytest.raises(InvalidFeedbackError, match=r"decision\.id"):
            router.compare([small, large])
        with pytest.raises(InvalidFeedbackError, match="source"):
            router.compare([small.id, large.id], source="")
        np.testing.assert_array_equal(means(router), [0.5, 0.5])
