"""Learners by name."""

import pytest

from banditroute import InvalidConfigurationError, Learner
from banditroute.beliefs import Hybrid, Linear, Logistic
from banditroute.learners.specs import LEARNERS, learner_of


@pytest.mark.parametrize("name", LEARNERS)
def test_every_name_alone_is_a_spec(name):
    for spec in (name, f" {name}() "):
        assert repr(learner_of(spec)) == repr(LEARNERS[name]())


def test_options_of_a_spec_reach_the_learner():
    learner = learner_of("linucb(alpha=1.5, floor=0.02, context_exploration=1)")
    assert (learner.policy.alpha, learner.policy.floor, learner.context_exploration) == (1.5, 0.02, 1.0)
    assert learner_of("squarecb(scale=3)").policy.scale == 3.0
    assert learner_of("epsilon_greedy(epsilon=0.2)").policy.floor == 0.2
    assert learner_of("thompson(half_life=2000)").belief.half_life_requests == 2000
    assert isinstance(learner_of("thompson(half_life_seconds=60, scale=1)"), Learner)


def test_spec_names_the_belief():
    assert learner_of("linucb(belief=linear, alpha=1)").belief == Linear()
    assert learner_of("linucb(belief=hybrid)").belief == learner_of("linucb").belief == Hybrid()
    assert learner_of("thompson(half_life=9, belief=logistic)").belief == Logistic(half_life_requests=9)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "nobody",
        "LinUCB",
        "linucb(",
        "linucb(1.5)",
        "linucb(alpha)",
        "linucb(alpha=-1)",
        "linucb(alpha=True)",
        "linucb(alpha='1')",
        "linucb(beta=1)",
        "linucb(alpha=1)(2)",
        "linucb(alpha=1).policy",
        "linucb(alpha=1) + 1",
        "linucb(**{'alpha': 1})",
        "linucb(alpha=__import__('os').getcwd())",
        "thompson(half_life=1, half_life_seconds=1)",
        "thompson(half_life_seconds=0)",
        "linucb(alpha=1\x00)",
        "linucb(belief=linucb)",
        "linucb(belief='linear')",
        "linucb(belief=linear())",
        "linucb(alpha=linear)",
    ],
)
def test_bad_specs_are_refused(spec):
    with pytest.raises(InvalidConfigurationError):
        learner_of(spec)
