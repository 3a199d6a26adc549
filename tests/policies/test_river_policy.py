"""Policies of river: their shares, what they are taught, and that routers do not share what they learn."""

import sys

import numpy as np
import pytest

from banditroute import Learner, Router, SQLStore
from banditroute.errors import InvalidConfigurationError, MissingDependencyError
from banditroute.policies import RiverPolicy

bandit = pytest.importorskip("river.bandit")
X = np.array([0.5, 1.0])


def ask(state, arms="abc", x=X):
    none = np.zeros(len(arms))
    return state.probabilities(none, none, arms=list(arms), information=lambda: none, x=x)


def state(policy, **settings):
    return RiverPolicy(policy=policy, floor=0.0, **settings).start(objectives=["quality", "cost_usd"])


class Recorder(bandit.base.Policy):
    """Pulls the first arm; keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def _pull(self, arm_ids):
        return arm_ids[0]

    def update(self, arm_id, *reward):
        self.told.append((arm_id, *reward))


class ContextRecorder(bandit.base.ContextualPolicy):
    """Pulls by the sign of the context; keeps what it is told."""

    def __init__(self):
        super().__init__()
        self.told = []

    def _pull(self, arm_ids, context):
        return min(arm_ids) if context[0] < 0.0 else max(arm_ids)

    def update(self, arm_id, context, *reward):
        self.told.append((arm_id, context, *reward))


def test_shares_are_those_of_the_pulls():
    greedy = state(bandit.EpsilonGreedy(epsilon=0.3, seed=1), pulls=2000)
    greedy.learn("b", X, {"quality": 1.0})
    # Three standard errors of a share: 3 sqrt(.1 x .9 / 2000) = .02
    assert ask(greedy) == pytest.approx([0.1, 0.8, 0.1], abs=0.02)


def test_the_first_of_the_arms_has_no_advantage():
    assert ask(state(Recorder(), pulls=9)) == pytest.approx([1 / 3] * 3)
    assert ask(state(Recorder(), pulls=9), "cab") == pytest.approx([1 / 3] * 3)


def test_the_floor_is_shared_out():
    spec = RiverPolicy(policy=ContextRecorder(), pulls=1, floor=0.3)
    assert ask(spec.start(objectives=["quality"])) == pytest.approx([0.1, 0.1, 0.8])


def test_a_policy_with_context_gets_it():
    contextual = state(ContextRecorder(), pulls=3)
    assert ask(contextual, x=np.array([-1.0, 1.0])).tolist() == [1.0, 0.0, 0.0]
    assert ask(contextual, x=np.array([1.0, 1.0])).tolist() == [0.0, 0.0, 1.0]
    contextual.learn("b", X, {"quality": 0.25})
    assert contextual.policy.told == [("b", {0: 0.5, 1: 1.0}, 0.25)]


def test_the_reward_is_a_sum_and_learned_whole_or_not_at_all():
    sums = state(Recorder(), reward={"quality": 1.0, "cost_usd": -50.0})
    sums.learn("a", X, {"quality": 1.0})
    sums.learn("a", X, {"cost_usd": 0.01})
    assert sums.policy.told == []
    sums.learn("a", X, {"quality": 1.0, "cost_usd": 0.01, "latency_seconds": 3.0})
    assert sums.policy.told == [("a", 0.5)]


@pytest.mark.parametrize("policy", [bandit.Exp3(gamma=0.1, seed=0), bandit.UCB(delta=1, seed=0)], ids=["Exp3", "UCB"])
def test_feedback_may_come_late_for_an_arm_that_is_gone(policy):
    late = state(policy, pulls=10)
    ask(late, "abc")
    ask(late, "ab")
    late.learn("c", X, {"quality": 1.0})
    late.learn("never seen", X, {"quality": 0.0})
    assert ask(late, "ab").sum() == pytest.approx(1.0)


def test_asking_teaches_nothing_and_routers_learn_apart():
    policy = bandit.UCB(delta=1, seed=0)
    spec = RiverPolicy(policy=policy, pulls=1)
    first, second = (spec.start(objectives=["quality"]) for _ in range(2))
    before = ask(first)
    for _ in range(50):
        first.learn("a", X, {"quality": 1.0})
        first.learn("b", X, {"quality": 0.0})
        first.learn("c", X, {"quality": 0.0})
    assert ask(first)[0] > 0.9
    assert ask(second).tolist() == before.tolist()
    assert policy._n == 0


def test_policy_keeps_what_it_learned_before():
    policy = bandit.UCB(delta=0.1, seed=0)
    for arm, reward in [("a", 0.0), ("b", 1.0), ("c", 0.0)] * 20:
        policy.update(arm, reward)
    assert ask(state(policy)).tolist() == [0.0, 1.0, 0.0]


def test_router_with_a_river_policy_finds_the_best_arm_with_exact_propensities():
    river = RiverPolicy(policy=bandit.UCB(delta=0.2, seed=0), pulls=3)
    with Router(arms=["bad", "good"], features=1, learner=Learner(policy=river), seed=0) as router:
        chosen = []
        for _ in range(300):
            decision = router.route([0.0])
            assert decision.propensity == decision.probabilities[decision.arms.index(decision.arm)]
            router.feedback(decision.id, quality=float(decision.arm == "good"))
            chosen.append(decision.arm)
        assert chosen[-100:].count("good") > 90
        assert router.route([0.0], exclude=["good"]).arm == "bad"
        assert "RiverPolicy(policy=UCB" in router.route([0.0]).policy


def test_a_restart_teaches_what_is_not_folded_yet(tmp_path):
    log = []

    class Diary(Recorder):
        def update(self, arm_id, *reward):
            log.append((arm_id, *reward))

    def serve(store):
        return Router(arms=["a", "b"], features=1, store=store, learner=Learner(policy=RiverPolicy(policy=Diary())))

    database = f"sqlite:///{tmp_path / 'r.db'}"
    router = serve(SQLStore(database))
    for quality in (0.25, 0.75):
        router.feedback(router.route([0.0], arms=["b"]).id, quality=quality)
    assert log == [("b", 0.25), ("b", 0.75)]
    log.clear()
    with serve(SQLStore(database)):  # beside the first, which has not folded: as after a crash
        assert log == [("b", 0.25), ("b", 0.75)]
    router.close()


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"policy": "UCB"}, "policy is 'UCB'; give a policy of river.bandit"),
        ({"reward": {}}, "a reward needs a number other than 0"),
        ({"reward": {"quality": 0.0}}, "a reward needs a number other than 0"),
        ({"reward": {"quality": float("nan")}}, "reward for 'quality' is nan"),
        ({"pulls": 0}, "pulls is 0; give a whole number of at least 1"),
        ({"pulls": True}, "pulls is True"),
        ({"pulls": 1.5}, "pulls is 1.5"),
        ({"floor": 1.5}, "floor is 1.5"),
    ],
)
def test_bad_settings_are_refused(settings, complaint):
    with pytest.raises(InvalidConfigurationError, match=complaint):
        RiverPolicy(**{"policy": Recorder(), **settings})


def test_a_reward_of_something_that_no_router_knows_is_refused():
    river = RiverPolicy(policy=Recorder(), reward={"qualty": 1.0})
    with pytest.raises(InvalidConfigurationError, match="the reward names the unknown objective qualty; known: "):
        Router(arms=["a", "b"], features=1, learner=Learner(policy=river))


def test_missing_river_is_named_with_the_pip_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "river.bandit", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'banditroute\[river\]'"):
        RiverPolicy(policy=Recorder())
