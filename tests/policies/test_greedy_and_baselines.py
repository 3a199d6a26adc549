"""Greedy, Uniform and Mixture: exact shares."""

import math
from fractions import Fraction

import numpy as np
import pytest

from banditroute.errors import InvalidConfigurationError
from banditroute.policies import UCB, Greedy, Mixture, Thompson, Uniform


def ask(policy, means, arms="abcdefgh"):
    zeros = np.zeros(len(means))
    return policy.probabilities(np.array(means), zeros, arms=list(arms[: len(means)]), information=lambda: zeros)


def test_greedy_takes_the_best_mean_and_explores_evenly():
    assert ask(Greedy(floor=0.2), (0.1, 0.9, 0.3, 0.2)) == pytest.approx([0.05, 0.85, 0.05, 0.05], abs=1e-15)
    assert ask(Greedy(floor=0.0), (0.1, 0.9, 0.3, 0.9)).tolist() == [0.0, 0.5, 0.0, 0.5]


@pytest.mark.parametrize("policy", [UCB, Greedy, Thompson])
@pytest.mark.parametrize("floor", [0.0, 0.01, 0.25, 1.0])
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_the_floor_is_shared_out_exactly(policy, floor, count):
    """(1 - floor) p + floor / K, in rational numbers."""
    answer = ask(policy(floor=floor), np.arange(count, dtype=float))
    share = Fraction(floor) / count
    expected = [float(share)] * (count - 1) + [float(1 - Fraction(floor) + share)]
    assert answer == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("policy", [UCB, Greedy, Thompson])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.01, 1.01, True, np.True_, "0.1", None])
def test_floors_outside_0_to_1_are_refused(policy, bad):
    with pytest.raises(InvalidConfigurationError, match=r"^floor is "):
        policy(floor=bad)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_uniform_is_uniform_whatever_is_believed(count):
    assert ask(Uniform(), np.arange(count)).tolist() == [1.0 / count] * count


def test_a_mixture_keeps_its_proportions_among_the_eligible_arms():
    mixture = Mixture(shares={"a": 6, "b": 3, "c": 1})
    assert ask(mixture, (0.0, 9.0, 0.0), "abc") == pytest.approx([0.6, 0.3, 0.1], abs=1e-15)
    assert ask(mixture, (0.0, 9.0), "cb") == pytest.approx([0.25, 0.75], abs=1e-15)
    assert ask(mixture, (0.0, 9.0), "ax").tolist() == [1.0, 0.0]


def test_a_mixture_without_any_of_its_arms_is_uniform():
    assert ask(Mixture(shares={"a": 1, "b": 0}), (0.0, 0.0), "bx").tolist() == [0.5, 0.5]


@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e50])
def test_only_the_proportions_of_a_mixture_matter(scale):
    assert ask(Mixture(shares={"a": scale, "b": scale}), (0.0, 0.0), "ab").tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("shares", "complaint"),
    [
        ({}, "a mixture needs a share above 0"),
        ({"a": 0.0}, "a mixture needs a share above 0"),
        ({"a": -1.0}, r"share of arm 'a' is -1.0; it must be between 0 and 1e\+50"),
        ({"a": 1e308}, r"share of arm 'a' is 1e\+308; it must be between 0 and 1e\+50"),
        ({"a": math.nan}, r"share of arm 'a' is nan; give a finite number"),
        ({"a": math.inf}, r"share of arm 'a' is inf; give a finite number"),
        ({"a": True}, r"share of arm 'a' is True \(bool\)"),
        ({"a": "1"}, r"share of arm 'a' is '1' \(str\)"),
        ({"": 1.0}, r"arm of a mixture has 0 characters"),
        ({1: 1.0}, r"arm of a mixture is 1 \(int\)"),
    ],
)
def test_bad_shares_are_refused(shares, complaint):
    with pytest.raises(InvalidConfigurationError, match=complaint):
        Mixture(shares=shares)


@pytest.mark.parametrize("policy", [UCB(), Greedy(), Thompson()], ids=repr)
def test_policies_are_frozen_values(policy):
    assert policy == type(policy)()
    assert repr(policy).startswith(type(policy).__name__)
    with pytest.raises(AttributeError):
        policy.floor = 0.5


def test_a_mixture_does_not_follow_later_changes_of_the_mapping_it_was_given():
    shares = {"a": 1.0, "b": 3.0}
    mixture = Mixture(shares=shares)
    shares["a"] = 9.0
    assert mixture.shares == {"a": 1.0, "b": 3.0}
