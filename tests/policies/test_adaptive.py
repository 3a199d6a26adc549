"""The mixture is the propensity, and its shares follow Exp4 by hand."""

import math

import numpy as np
import pytest

from banditroute import Learner, Router, SQLStore
from banditroute.errors import InvalidConfigurationError
from banditroute.policies import Adaptive, Greedy, Mixture, Thompson, Uniform
from tests.support import engine_of

A, B = (Mixture(shares={"a": 3.0, "b": 1.0}), Mixture(shares={"a": 1.0, "b": 3.0}))
X = np.array([0.5, 1.0])


def ask(state, arms="ab", x=X):
    none = np.zeros(len(arms))
    return state.probabilities(none, none, arms=list(arms), information=lambda: none, x=x)


def state(**settings):
    return Adaptive(**{"policies": [A, B], **settings}).start(objectives=["quality", "cost_usd"])


def test_the_shares_by_hand():
    made = state()
    assert ask(made).tolist() == [0.5, 0.5]
    made.learn("a", X, {"quality": 0.2})
    # The loss .8 is charged by .75 / .5 and .25 / .5; of the arms, the larger advice sums to 1.5.
    losses, rate = np.array([1.2, 0.4]), math.sqrt(math.log(2.0) / 1.5)
    expected = np.exp(-rate * losses) / np.exp(-rate * losses).sum()
    assert made.shares == pytest.approx(expected)
    assert ask(made) == pytest.approx(expected @ [[0.75, 0.25], [0.25, 0.75]])


def test_the_advice_of_the_decision_counts():
    """Neither the shares nor the candidates of now: a later request does not change what an earlier one is told."""
    one, other = state(), state()
    later = np.array([0.1, 1.0])
    ask(one)
    ask(other)
    ask(other, arms="b", x=later)
    for made in (one, other):
        made.learn("a", X, {"quality": 0.0})
    assert one.shares.tolist() == other.shares.tolist()


@pytest.mark.parametrize(
    ("arm", "x", "values"),
    [("a", -X, {"quality": 1.0}), ("c", X, {"quality": 1.0}), ("a", X, {"cost_usd": 1.0})],
    ids=["unknown context", "an arm that was not eligible", "another objective"],
)
def test_outcome_that_cannot_be_judged_changes_no_share(arm, x, values):
    made = state()
    ask(made)
    made.learn(arm, x, values)
    assert made.shares.tolist() == [0.5, 0.5]


def test_a_reward_is_judged_by_all_of_it():
    made = state(reward={"quality": 1.0, "cost_usd": -50.0})
    ask(made)
    made.learn("a", X, {"quality": 1.0})
    assert made.shares.tolist() == [0.5, 0.5]
    made.learn("a", X, {"quality": 1.0, "cost_usd": 0.01})  # a loss of .5
    losses, rate = np.array([0.75, 0.25]), math.sqrt(math.log(2.0) / 1.5)
    assert made.shares == pytest.approx(np.exp(-rate * losses) / np.exp(-rate * losses).sum())


def test_remembered_decisions_are_bounded():
    made = state()
    for k in range(3000):
        ask(made, x=np.array([float(k), 1.0]))
    for k in (0, 2999 - 1024):
        made.learn("a", np.array([float(k), 1.0]), {"quality": 0.0})
        assert made.shares.tolist() == [0.5, 0.5]
    for k in (3000 - 1024, 2999):
        before = made.shares[0]
        made.learn("a", np.array([float(k), 1.0]), {"quality": 0.0})
        assert made.shares[0] < before


def test_shares_go_to_the_candidate_that_chooses_well():
    rng = np.random.default_rng(0)
    made = state()
    for _ in range(1000):
        arm = "ab"[int(rng.random() < ask(made)[1])]
        made.learn(arm, X, {"quality": float(rng.random() < (0.2 if arm == "a" else 0.8))})
    assert made.shares[1] > 0.9


def test_a_router_draws_from_the_mixture():
    router = Router(arms=["a", "b"], features=1, learner=Learner(policy=Adaptive(policies=[A, B])), seed=0)
    for k in range(50):
        decision = router.route([float(k)])
        assert decision.reason == "policy"
        assert 0.25 <= decision.propensity <= 0.75
        router.feedback(decision.id, quality=float(decision.arm == "b"))
    assert router.route([0.0]).probabilities[1] > 0.6


@pytest.mark.parametrize("policies", [[], [Greedy()], [Greedy(), "UCB"], [Uniform(), Adaptive()]])
def test_candidates_are_two_policies_or_more(policies):
    with pytest.raises(InvalidConfigurationError, match="at least two policies"):
        Adaptive(policies=policies)


def test_bad_rewards_are_refused():
    with pytest.raises(InvalidConfigurationError, match="other than 0"):
        Adaptive(reward={"quality": 0.0})
    with pytest.raises(InvalidConfigurationError, match="unknown objective wit; known: "):
        state(reward={"wit": 1.0})


def test_settings_are_the_callers_no_longer():
    given = [Thompson(), Uniform()]
    made = Adaptive(policies=given)
    given.clear()
    assert made.policies == (Thompson(), Uniform())


def outcome(made, quality, x=X):
    ask(made, x=x)
    made.learn("a", x, {"quality": quality})


def test_updates_of_several_processes_add_up():
    one, two, alone = state(), state(), state()
    updates = []
    for made, quality in ((one, 0.2), (two, 0.9), (one, 0.0)):
        ask(made)
        made._sums[:] = alone._sums  # the same shares, so that the same is charged
        outcome(alone, quality)
        outcome(made, quality)
        updates.append(made.take_update())
    for made in (one, two, state()):
        made.restart_from(made.merge(made.merge(updates[0], updates[1]), updates[2]))
        assert made.shares == pytest.approx(alone.shares, rel=1e-12)
        assert made.take_update() is None


def test_other_candidates_learn_apart():
    one, other = state(), state(policies=[A, Uniform()])
    outcome(one, 0.0)
    outcome(other, 0.0)
    shares = one.shares.tolist(), other.shares.tolist()
    both = one.merge(one.take_update(), other.take_update())
    for made in (one, other):
        made.restart_from(both)
    assert (one.shares.tolist(), other.shares.tolist()) == shares
    fresh = state(policies=[B, Uniform()])
    fresh.restart_from(both)
    assert fresh.shares.tolist() == [0.5, 0.5]


def test_shares_are_known_to_other_processes_and_after_a_restart(tmp_path, until):
    def opened():
        learner = Learner(policy=Adaptive(policies=[A, B]))
        return Router(arms=["a", "b"], features=1, learner=learner, store=SQLStore(f"sqlite:///{tmp_path / 'db'}"))

    def shares(router):
        return engine_of(router).policy.shares

    with opened() as one, opened() as two:
        for number in range(60):
            for router in (one, two):
                decision = router.route([float(number)])
                router.feedback(decision.id, quality=float(decision.arm == "a"))
        until(lambda: np.allclose(shares(one), shares(two), rtol=1e-12) and shares(one)[0] > 0.8)
        learned = shares(one)
    with opened() as again:
        assert shares(again) == pytest.approx(learned, rel=1e-12)
