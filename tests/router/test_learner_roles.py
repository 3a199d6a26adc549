"""A challenger learns what the learner learns, decides nothing, and serves without a cold start once it is promoted."""

import time

import numpy as np
import pytest

from banditroute import EpsilonGreedy, Learner, LinUCB, Router, admin
from banditroute.beliefs import Hybrid, Linear, PageHinkley
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.policies import Adaptive
from banditroute.router.assembly import parts_of
from banditroute.router.learner_roles import name_of
from banditroute.store import SQLStore
from tests.support import belief_of, wait_until

SERVING = EpsilonGreedy(epsilon=0.5)
CHALLENGER = LinUCB(alpha=0.5, belief=Linear(), context_exploration=1.0)


@pytest.fixture
def file(tmp_path):
    return f"sqlite:///{tmp_path}/routes.db"


def open_router(url, *, learner=SERVING, challenger=CHALLENGER, **settings):
    return Router(
        arms=["a", "b"], features=1, store=SQLStore(url), learner=learner, challenger=challenger, seed=0, **settings
    )


def teach(router, requests=60):
    """Let a router learn that arm b is good where the feature is 1, and arm a where it is 0."""
    for i in range(requests):
        decision = router.route([float(i % 2)])
        router.feedback(decision.id, quality=float((decision.arm == "b") == (i % 2 == 1)))


def test_promoted_challenger_predicts_as_if_it_had_served_from_the_start(file, tmp_path):
    with open_router(file) as router:
        teach(router)
        admin.promote(file, who="me")
        wait_until(lambda: router.route([0.5]).policy == repr(CHALLENGER))
        with Router(arms=["a", "b"], features=1, learner=CHALLENGER, store=SQLStore(file), seed=0) as restarted:
            for x in ([0.0, 1.0], [1.0, 1.0]):
                found, expected = (belief_of(each).predict(np.array(x)) for each in (router, restarted))
                np.testing.assert_allclose(found.means, expected.means, rtol=1e-9)
                np.testing.assert_allclose(found.stds, expected.stds, rtol=1e-9)
        assert (router.route([0.0]).arm, router.route([1.0]).arm) == ("a", "b")  # no cold start


def test_promoted_challenger_goes_on_learning(file):
    with open_router(file) as router:
        teach(router)
        admin.promote(file)
        wait_until(lambda: router.route([0.5]).policy == repr(CHALLENGER))
        before = belief_of(router).counts("quality").sum()
        teach(router, 10)
        assert belief_of(router).counts("quality").sum() == pytest.approx(before + 10)


def test_challenger_changes_no_decision_before_it_is_promoted(file, tmp_path):
    probabilities = []
    for number, challenger in enumerate((None, CHALLENGER)):
        with open_router(f"sqlite:///{tmp_path}/{number}.db", challenger=challenger) as router:
            teach(router)
            decision = router.route([1.0])
            probabilities.append(decision.probabilities)
            assert decision.policy == repr(SERVING)
    np.testing.assert_array_equal(*probabilities)


def test_all_processes_follow_and_later_ones_begin_with_it(url):
    with open_router(url) as one, open_router(url) as other:
        teach(one)
        admin.promote(url)
        wait_until(lambda: {router.route([0.5]).policy for router in (one, other)} == {repr(CHALLENGER)})
    with open_router(url) as later:
        assert later.route([0.5]).policy == repr(CHALLENGER)
    with open_router(url, learner=CHALLENGER, challenger=None) as deployed:  # the code has followed
        assert deployed.route([0.5]).policy == repr(CHALLENGER)


def test_second_promotion_takes_the_first_back(url):
    with open_router(url) as router:
        before = time.time()
        admin.promote(url, who="ops@host")
        wait_until(lambda: router.route([0.5]).policy == repr(CHALLENGER))
        admin.promote(url)
        wait_until(lambda: router.route([0.5]).policy == repr(SERVING))
    with open_router(url) as later:
        assert later.route([0.5]).policy == repr(SERVING)
    first, second = admin.shared_changes(url)
    assert (first.number, first.who, first.kind, first.subject) == (1, "ops@host", "promote", name_of(CHALLENGER))
    assert before <= first.at <= time.time()
    assert (second.subject, second.values) == (name_of(SERVING), {"over": name_of(CHALLENGER)})


def test_promotions_at_once_are_taken_in_their_order_while_no_router_runs(file):
    with open_router(file):
        pass
    for _ in range(3):
        admin.promote(file)
    with open_router(file) as later:
        assert later.route([0.5]).policy == repr(CHALLENGER)


def test_earlier_promotion_of_a_learner_that_is_a_challenger_again_is_not_repeated(file, caplog):
    with open_router(file):
        pass
    admin.promote(file)
    other = EpsilonGreedy(epsilon=0.1)
    with open_router(file, learner=other) as router:
        assert router.route([0.5]).policy == repr(other)
    assert "is not followed" in caplog.text


def test_only_the_last_promotion_is_warned_about_in_a_release_with_other_learners(file, caplog):
    with open_router(file):
        pass
    for _ in range(3):
        admin.promote(file)
    with open_router(file, learner=EpsilonGreedy(epsilon=0.1), challenger=None):
        pass
    (warning,) = (record.getMessage() for record in caplog.records if "is not followed" in record.getMessage())
    assert warning.startswith("the shared change 3 (promote ")
    assert len(warning) < 250


def test_dry_run_changes_nothing(file):
    with open_router(file):
        change = admin.promote(file, dry_run=True)
    assert change.subject == name_of(CHALLENGER)
    assert admin.shared_changes(file) == []


def test_promotion_without_a_challenger_is_refused(file):
    with open_router(file, challenger=None), pytest.raises(StoreError, match="have no challenger"):
        admin.promote(file)
    with pytest.raises(StoreError, match="no router 'other'"):
        admin.promote(file, router="other")


def test_challenger_that_is_given_no_longer_cannot_be_promoted(file):
    with open_router(file):
        pass
    with open_router(file, challenger=None):
        pass
    with pytest.raises(StoreError, match="have no challenger"):
        admin.promote(file)


def test_arms_that_came_meanwhile_stay(file):
    with open_router(file) as router:
        teach(router)
        router.add_arm("c")
        admin.promote(file)
        wait_until(lambda: router.route([0.5]).policy == repr(CHALLENGER))
        assert router.route([0.5]).arms == ("a", "b", "c")
        router.remove_arm("a")
        assert router.route([0.0]).arms == ("b", "c")


def test_learner_is_known_by_all_its_settings():
    learners = [LinUCB(), LinUCB(belief=Linear()), LinUCB(context_exploration=1.0), LinUCB(alpha=1.0)]
    assert len({name_of(learner) for learner in learners}) == 4
    assert len({repr(learner) for learner in learners}) == 2
    assert name_of(Learner(policy=Nameless())) == name_of(Learner(policy=Nameless()))


class Nameless:
    def probabilities(self, means, stds, *, arms, information):
        return np.full(len(means), 1.0 / len(means))


@pytest.mark.parametrize(
    ("challenger", "message"),
    [
        ("linucb", "challenger is 'linucb'"),
        (Learner(policy=Adaptive()), "learns by its own choices"),
        (LinUCB(belief=Hybrid(half_life_requests=100)), "forgets otherwise"),
        (LinUCB(drift=PageHinkley()), "forgets otherwise"),
        (EpsilonGreedy(epsilon=0.5), "same settings"),
    ],
)
def test_challenger_that_cannot_rest_on_the_same_statistics_is_refused(challenger, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Router(arms=["a", "b"], features=1, learner=SERVING, challenger=challenger)


def test_learner_that_learns_by_its_own_choices_takes_no_challenger():
    with pytest.raises(InvalidConfigurationError, match="learns by its own choices"):
        Router(arms=["a", "b"], features=1, learner=Learner(policy=Adaptive()), challenger=LinUCB())


def test_explanations_of_the_service_use_the_learner_that_serves(file):
    with open_router(file) as router:
        assert parts_of(router).engine.learner is SERVING
        admin.promote(file)
        wait_until(lambda: parts_of(router).engine.learner is CHALLENGER)
