"""Learners by name."""

import pytest

from banditroute import InvalidConfigurationError, Learner
from banditroute.specs import LEARNERS, learner_of


@pytest.mark.parametrize("name", LEARNERS)
def test_every_name_by_itself(name):
    for spec in (name, f" {name}() "):
        assert repr(learner_of(spec)) == repr(LEARNERS[name]())


def test_options():
    learner = learner_of("linucb(alpha=1.5, floor=0.02, context_exploration=1)")
    assert (learner.policy.alpha, learner.policy.floor, learner.context_exploration) == (1.5, 0.02, 1.0)
    assert learner_of("squarecb(scale=3)").policy.scale == 3.0
    assert learner_of("epsilon_greedy(epsilon=0.2)").policy.floor == 0.2
    assert learner_of("thompson(half_life=2000)").belief.half_life_requests == 2000
    assert isinstance(learner_of("thompson(half_life_seconds=60, scale=1)"), Learner)


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
    ],
)
def test_refusals(spec):
    with pytest.raises(InvalidConfigurationError):
        learner_of(spec)
