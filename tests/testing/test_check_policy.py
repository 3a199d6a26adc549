"""Every public policy passes the suite, and the suite finds each broken promise."""

import numpy as np
import pytest

import banditroute.policies
from banditroute.policies import UCB, Greedy, InverseGap, Mixture, Thompson, Uniform
from banditroute.testing import check_policy

POLICIES = {
    "UCB": [UCB(), UCB(alpha=0.0, floor=0.0), UCB(alpha=1.0, delta=0.1)],
    "Greedy": [Greedy(), Greedy(floor=0.0), Greedy(floor=1.0)],
    "Thompson": [Thompson(), Thompson(scale=0.0), Thompson(scale=1.0, floor=0.0)],
    "InverseGap": [InverseGap(), InverseGap(scale=0.0), InverseGap(scale=1.0)],
    "Uniform": [Uniform()],
    "Mixture": [Mixture(shares={"small": 3.0, "large": 1.0}), Mixture(shares={"of another router": 1.0})],
}


def test_every_public_policy_is_tried():
    assert set(POLICIES) == set(banditroute.policies.__all__) - {"Policy"}


@pytest.mark.parametrize("policy", [policy for some in POLICIES.values() for policy in some], ids=repr)
def test_policies_keep_the_contract(policy):
    check_policy(policy, accuracy=0.006 if isinstance(policy, Thompson) else 1e-9)


def softmax(means):
    weights = np.exp(-np.abs(means - means.max()).clip(0.0, 50.0))
    return weights / weights.sum()


class Odd:
    """A policy whose ``probabilities`` is the given function of means, spreads and arms."""

    def __init__(self, answer):
        self.answer = answer

    def probabilities(self, means, spreads, *, arms, information):
        return self.answer(means, spreads, arms)


def changes_means(means, spreads, arms):
    means += 1.0
    return softmax(means)


def changes_spreads(means, spreads, arms):
    spreads *= 2.0
    return softmax(means)


def first_of_the_best(means, spreads, arms):
    return np.eye(len(arms))[np.argmax(means)]


def first_by_name(means, spreads, arms):
    best = min(arm for arm, mean in zip(arms, means, strict=True) if mean == means.max())
    return np.array([float(arm == best) for arm in arms])


def cache():
    held = {}
    return lambda means, spreads, arms: held.setdefault((means.tobytes(), spreads.tobytes()), softmax(means))


def random():
    rng = np.random.default_rng(0)

    def answer(means, spreads, arms):
        noise = rng.random(len(arms))
        return noise / noise.sum()

    return answer


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (changes_means, "changed the means"),
        (changes_spreads, "changed the spreads"),
        (lambda means, spreads, arms: softmax(means).tolist(), "not an array"),
        (lambda means, spreads, arms: softmax(means).astype(np.float32), "not float64"),
        (lambda means, spreads, arms: softmax(means)[None], "has the shape"),
        (lambda means, spreads, arms: np.full(len(arms), np.nan), "not finite"),
        (lambda means, spreads, arms: np.array([1.5, *np.full(len(arms) - 1, -0.5 / (len(arms) - 1))]), "negative"),
        (lambda means, spreads, arms: softmax(means) * (1.0 - 1e-9), "sum to"),
        (random(), "equal question"),
        (cache(), "share their memory"),
        (lambda means, spreads, arms: np.eye(len(arms))[0], "in another order"),
        (first_of_the_best, "in another order"),
        (first_by_name, "arms of equal mean and spread"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_broken_policies_are_found(answer, complaint):
    policy = Odd(answer)
    if complaint == "negative":  # with one arm alone, its shares would not even be defined
        policy.answer = lambda means, spreads, arms: answer(means, spreads, arms) if len(arms) > 1 else np.ones(1)
    with pytest.raises(AssertionError, match=complaint):
        check_policy(policy)


def test_what_is_no_policy_is_refused():
    with pytest.raises(AssertionError, match="no method probabilities"):
        check_policy(object())


def test_a_policy_outside_its_stated_accuracy_is_found():
    with pytest.raises(AssertionError, match="in another order"):
        check_policy(Thompson(scale=1.0, floor=0.0), accuracy=1e-6)
