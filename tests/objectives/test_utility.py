"""Utility by hand, and which preferences are taken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError, InvalidRequestError
from banditroute.objectives import STANDARD_OBJECTIVES, Objective
from banditroute.objectives.utility import check_preference, merge_objectives, utility, weights

HELPFUL = Objective(name="helpfulness", higher_is_better=True)


def test_the_table_holds_the_standard_objectives_and_the_users():
    assert list(merge_objectives([HELPFUL])) == [*(objective.name for objective in STANDARD_OBJECTIVES), "helpfulness"]


@pytest.mark.parametrize("twice", [[HELPFUL, HELPFUL], [Objective(name="cost_usd", higher_is_better=False)]])
def test_a_name_is_given_once(twice):
    with pytest.raises(InvalidConfigurationError, match=r"is defined twice \(standard: .*\); choose another name"):
        merge_objectives(twice)


def test_weights_are_signed_by_direction_and_ordered_by_name():
    signed = weights(
        Preference(quality=1, cost_usd=50, helpfulness=2),
        ["helpfulness", "latency_seconds", "cost_usd"],
        merge_objectives([HELPFUL]),
    )
    assert signed.tolist() == [2.0, 0.0, -50.0]


def test_utility_by_hand():
    # Arm 1: 1 x 0.9 - 50 x 0.02 = -0.1; sqrt((1 x 0.3)^2 + (50 x 0.008)^2) = sqrt(0.09 + 0.16) = 0.5
    # Arm 2: 1 x 0.5 - 50 x 0.001 = 0.45; sqrt(0 + (50 x 0.002)^2) = 0.1
    mean, std = utility(
        np.array([1.0, -50.0]), np.array([[0.9, 0.5], [0.02, 0.001]]), np.array([[0.3, 0.0], [0.008, 0.002]]) ** 2
    )
    assert mean == pytest.approx([-0.1, 0.45])
    assert std == pytest.approx([0.5, 0.1])


@given(st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_utility_is_that_of_independent_gaussians(m, k, seed):
    rng = np.random.default_rng(seed)
    signed, means, stds = rng.normal(size=m), rng.normal(size=(m, k)), rng.random((m, k))
    mean, std = utility(signed, means, stds**2)
    for arm in range(k):
        assert mean[arm] == pytest.approx(sum(signed[j] * means[j, arm] for j in range(m)), abs=1e-12)
        variance = sum((signed[j] * stds[j, arm]) ** 2 for j in range(m))
        assert std[arm] == pytest.approx(variance**0.5, abs=1e-12)


def test_a_mapping_becomes_a_preference_and_a_preference_stays():
    given_ = Preference(quality=1.0)
    assert check_preference(given_, merge_objectives([])) is given_
    made = check_preference({"quality": 1, "helpfulness": 2}, merge_objectives([HELPFUL]))
    assert isinstance(made, Preference)
    assert made == {"quality": 1.0, "helpfulness": 2.0}


@pytest.mark.parametrize(
    "preference", [{"helpfulness": 1.0}, Preference(helpfulness=1.0), {"quality": 1.0, "helpfulness": 0}]
)
def test_a_preference_names_known_objectives_only(preference):
    with pytest.raises(
        InvalidRequestError,
        match=r"objective 'helpfulness' of the preference is unknown; known objectives: availability, cost_usd, ",
    ):
        check_preference(preference, merge_objectives([]))


@pytest.mark.parametrize("preference", ["quality", 1.0, ["quality"], None])
def test_preference_that_is_not_a_mapping_is_refused(preference):
    with pytest.raises(InvalidRequestError, match=r"^preference is .*; give a Preference, for example"):
        check_preference(preference, merge_objectives([]))
