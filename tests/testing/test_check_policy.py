"""Every public policy passes the suite, and the suite finds each broken promise."""

import itertools

import numpy as np
import pytest

import banditroute.policies
from banditroute.policies import UCB, Adaptive, Greedy, InverseGap, Mixture, RiverPolicy, Thompson, Uniform
from banditroute.policies.base import greedy
from banditroute.testing import check_policy


def river(name, *, pulls=1, **settings):
    bandit = pytest.importorskip("river.bandit")
    if name == "ThompsonSampling":
        settings["reward_obj"] = pytest.importorskip("river.proba").Beta()
    return RiverPolicy(policy=getattr(bandit, name)(seed=0, **settings), pulls=pulls)


NOT_LEARNING = {"regret": None}
POLICIES = {
    "UCB": [(UCB, {}), (lambda: UCB(alpha=0.0, floor=0.0), NOT_LEARNING), (lambda: UCB(alpha=1.0, delta=0.1), {})],
    "Greedy": [(Greedy, {}), (lambda: Greedy(floor=0.0), NOT_LEARNING), (lambda: Greedy(floor=1.0), NOT_LEARNING)],
    "InverseGap": [
        (InverseGap, {}),
        (lambda: InverseGap(scale=0.0), NOT_LEARNING),
        (lambda: InverseGap(scale=1.0), {}),
    ],
    "Thompson": [
        (Thompson, {"accuracy": 0.006}),
        (lambda: Thompson(scale=0.0), NOT_LEARNING),
        (lambda: Thompson(scale=1.0, floor=0.0), {"accuracy": 0.006}),
    ],
    "Adaptive": [
        (Adaptive, {"accuracy": 0.006}),
        (lambda: Adaptive(policies=[Greedy(floor=0.1), UCB()]), {}),
    ],
    "Uniform": [(Uniform, NOT_LEARNING)],
    "Mixture": [
        (lambda: Mixture(shares={"small": 3.0, "large": 1.0}), NOT_LEARNING),
        (lambda: Mixture(shares={"of another router": 1.0}), NOT_LEARNING),
    ],
    "RiverPolicy": [
        (lambda: river("UCB", delta=0.5, pulls=40), {"accuracy": 0.2}),
        (lambda: river("EpsilonGreedy", epsilon=0.1, pulls=40), {"accuracy": 0.2}),
        (lambda: river("ThompsonSampling", pulls=20), {"accuracy": 0.3}),
        (lambda: river("Exp3", gamma=0.1, pulls=20), {"accuracy": 0.3, "regret": 0.6}),
        (lambda: river("LinUCBDisjoint", alpha=1.0, beta=4.0, pulls=5), {"accuracy": 0.5}),
        (lambda: river("RandomPolicy", pulls=20), {"accuracy": 0.3, "regret": None}),
    ],
}


def test_every_public_policy_is_tried():
    assert set(POLICIES) == set(banditroute.policies.__all__) - {
        "LearningPolicy",
        "Policy",
        "PolicyState",
        "SharedPolicyState",
    }


@pytest.mark.parametrize(
    ("make", "promises"),
    [pytest.param(*case, id=f"{name}-{k}") for name, some in POLICIES.items() for k, case in enumerate(some)],
)
def test_policies_keep_the_contract(make, promises):
    check_policy(make(), **promises)


def softmax(means):
    weights = np.exp(-np.abs(means - means.max()).clip(0.0, 50.0))
    return weights / weights.sum()


class Odd:
    """A policy whose ``probabilities`` is the given function of means, spreads and arms."""

    def __init__(self, answer):
        self.answer = answer

    def probabilities(self, means, stds, *, arms, information):
        return self.answer(means, stds, arms)


def changes_means(means, stds, arms):
    means += 1.0
    return softmax(means)


def changes_spreads(means, stds, arms):
    stds *= 2.0
    return softmax(means)


def first_of_the_best(means, stds, arms):
    return np.eye(len(arms))[np.argmax(means)]


def first_by_name(means, stds, arms):
    best = min(arm for arm, mean in zip(arms, means, strict=True) if mean == means.max())
    return np.array([float(arm == best) for arm in arms])


def cache():
    held = {}
    return lambda means, stds, arms: held.setdefault((means.tobytes(), stds.tobytes()), softmax(means))


def random():
    rng = np.random.default_rng(0)

    def answer(means, stds, arms):
        noise = rng.random(len(arms))
        return noise / noise.sum()

    return answer


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (changes_means, "changed the means"),
        (changes_spreads, "changed the standard deviations"),
        (lambda means, stds, arms: softmax(means).tolist(), "not an array"),
        (lambda means, stds, arms: softmax(means).astype(np.float32), "not float64"),
        (lambda means, stds, arms: softmax(means)[None], "has the shape"),
        (lambda means, stds, arms: np.full(len(arms), np.nan), "not finite"),
        (lambda means, stds, arms: np.array([1.5, *np.full(len(arms) - 1, -0.5 / (len(arms) - 1))]), "negative"),
        (lambda means, stds, arms: softmax(means) * (1.0 - 1e-9), "sum to"),
        (random(), "equal question"),
        (cache(), "share their memory"),
        (lambda means, stds, arms: np.eye(len(arms))[0], "in another order"),
        (first_of_the_best, "in another order"),
        (first_by_name, "arms of equal mean and standard deviation"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_broken_policies_are_found(answer, complaint):
    policy = Odd(answer)
    if complaint == "negative":  # with one arm alone, its shares would not even be defined
        policy.answer = lambda means, stds, arms: answer(means, stds, arms) if len(arms) > 1 else np.ones(1)
    with pytest.raises(AssertionError, match=complaint):
        check_policy(policy)


def test_object_that_is_not_a_policy_is_refused():
    with pytest.raises(AssertionError, match="no method probabilities"):
        check_policy(object())


def test_a_policy_outside_its_stated_accuracy_is_found():
    with pytest.raises(AssertionError, match="in another order"):
        check_policy(Thompson(scale=1.0, floor=0.0), accuracy=1e-6)


class Learns:
    """A greedy policy that learns by itself; ``spoil`` is called with the state, arm, context and outcomes."""

    def __init__(self, spoil=lambda state, arm, x, values: None):
        self.spoil = spoil

    def start(self, *, objectives):
        return LearnsState(self.spoil)


class LearnsState:
    def __init__(self, spoil):
        self.spoil = spoil
        self.sums = {}

    def probabilities(self, means, stds, *, arms, information, x):
        mean = np.array([np.divide(*self.sums.get(arm, (1.0, 1.0))) for arm in arms])
        return 0.95 * greedy(mean) + 0.05 / len(arms)

    def learn(self, arm, x, values):
        self.spoil(self, arm, x, values)
        total, count = self.sums.get(arm, (1.0, 1.0))
        self.sums[arm] = total + values["quality"], count + 1.0


COUNT = itertools.count()


def remembers_all(state, arm, x, values):
    vars(state).setdefault("log", []).append((arm, x, dict(values)))


def mixes_states(state, arm, x, values):
    state.sums = {arm: (2.0 * (next(COUNT) % 2), 1.0)}


def changes_context(state, arm, x, values):
    x += 1.0


def changes_outcomes(state, arm, x, values):
    values["quality"] = 0.0


def forgets(state, arm, x, values):
    state.sums.clear()


def throws_dice(state, arm, x, values):
    if np.random.default_rng().random() < 0.5:
        state.sums.clear()


def test_a_policy_that_learns_by_itself_passes():
    check_policy(Learns())


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (remembers_all, "grew by"),
        (mixes_states, "and its copy"),
        (changes_context, "changed the context"),
        (changes_outcomes, "changed the outcomes"),
        (forgets, "regret"),
        (throws_dice, "and its copy|equal seeds made different choices"),
    ],
)
def test_broken_states_are_found(spoil, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_policy(Learns(spoil))


def test_a_policy_that_never_finds_the_best_arm_is_found():
    with pytest.raises(AssertionError, match="regret"):
        check_policy(Uniform())


def test_an_arm_that_is_away_must_not_change_the_others():
    seen = []

    def answer(means, stds, arms):
        seen.append(len(arms))
        n = len(arms)
        return np.eye(n)[0] if seen[-3:] == [n, n - 1, n] else np.full(n, 1.0 / n)

    with pytest.raises(AssertionError, match="after an arm was removed and added"):
        check_policy(Odd(answer))
