"""The outcome of a session is divided among its steps."""

import numpy as np
import pytest

from banditroute.sessions.credit import by_advantage


def test_a_session_of_one_step_is_credited_its_outcome():
    assert by_advantage(0.25, [0.5]) == [0.25]


def test_each_step_gets_the_outcome_less_what_the_others_added():
    # 1 - (-.2 + .1), 1 - (.3 + .1), 1 - (.3 - .2)
    assert by_advantage(1.0, [0.3, -0.2, 0.1]) == pytest.approx([1.1, 0.6, 0.9])


QUALITY = np.array([0.2, 0.8])
LATER = np.array([[0.7, 0.3], [0.4, 0.6]])  # probabilities of the second step's arms, given the first step's


def credit_of_first(believed, first):
    """Return mean and variance of the first step's credit over all second steps, where the outcome is the sum."""
    likely = LATER[first]
    own = believed[first] - believed.mean()
    credits = [
        by_advantage(QUALITY[first] + QUALITY[second], [own, believed[second] - likely @ believed])[0]
        for second in (0, 1)
    ]
    mean = likely @ credits
    return mean, likely @ (np.array(credits) - mean) ** 2


@pytest.mark.parametrize("scale", [0.0, 0.5, 1.0, -2.0])
@pytest.mark.parametrize("first", [0, 1])
def test_credit_is_unbiased_whatever_is_believed(scale, first):
    expected = QUALITY[first] + LATER[first] @ QUALITY
    assert credit_of_first(scale * QUALITY, first)[0] == pytest.approx(expected)


@pytest.mark.parametrize("first", [0, 1])
def test_a_true_belief_takes_the_other_steps_luck_out_of_the_credit(first):
    assert credit_of_first(QUALITY, first)[1] == pytest.approx(0.0, abs=1e-12)
    assert credit_of_first(0.0 * QUALITY, first)[1] > 0.05
