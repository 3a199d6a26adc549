"""Gates: each refuses what it is for, says what to do, and lets a fit log pass."""

import numpy as np
import pytest

from banditroute.evaluate import diagnose

N = 1000


def alternating(n=N):
    """Two arms in turn, for a target that always takes the first."""
    chosen = np.arange(n) % 2
    return np.where(chosen == 0, 2.0, 0.0), chosen, np.tile([1.0, 0.0], (n, 1))


def test_a_fit_log_passes():
    found = diagnose(*alternating(), probabilities=np.full((N, 2), 0.5))
    assert (found.rows, found.effective_rows, found.mean_weight, found.unsupported) == (N, 500.0, 1.0, 0.0)
    assert found.decisive_rows == 500.0
    assert found.mean_weight_error == pytest.approx(1.0 / np.sqrt(N))
    assert found.largest_share == pytest.approx(2.0 / N)
    assert found.support == (500, 500)
    assert found.refusals == found.warnings == ()


def test_too_few_effective_rows_are_refused():
    found = diagnose(*alternating(198))
    assert found.effective_rows == 99.0
    assert [text for text in found.refusals if "the effective sample size is 99 of 198 decisions, at least 100" in text]
    assert "log more decisions" in found.refusals[0]
    assert not diagnose(*alternating(200)).refusals


def few(share, n):
    """A target for which only ``share`` of the rows weigh anything."""
    chosen = (np.arange(n) % round(1 / share) > 0).astype(int)
    return np.where(chosen == 0, 1.0 / share, 0.0), chosen, np.tile([1.0, 0.0], (n, 1))


def test_a_small_share_of_effective_rows():
    (refusal,) = diagnose(*few(1 / 200, 40_000)).refusals
    assert "the effective sample size is 200 of 40,000 decisions, less than 1%" in refusal
    found = diagnose(*few(1 / 20, 4_000))
    assert found.refusals == ()
    assert "less than 10%" in found.warnings[0]
    assert diagnose(*few(1 / 8, 4_000)).warnings == ()


def test_a_few_rows_that_stand_for_all_that_is_different():
    """Of 1,000 rows 992 agree with the target; 8 of weight 25 stand for the fifth of its choices that do not."""
    chosen = np.append(np.zeros(992, dtype=int), np.ones(8, dtype=int))
    weights = np.where(chosen == 0, 0.8 / 0.992, 0.2 / 0.008)
    found = diagnose(weights, chosen, np.tile([0.8, 0.2], (1000, 1)))
    assert found.mean_weight == pytest.approx(1.0)
    assert found.effective_rows > 100.0
    squares = 992 * 0.8**2 / 0.992**2 + 8 * 25.0**2
    assert found.decisive_rows == pytest.approx(squares**2 / (992 * (0.8 / 0.992) ** 4 + 8 * 25.0**4))
    (refusal,) = found.refusals
    assert refusal.startswith("only 10 logged decisions differ enough from the policy's choice to judge the difference")
    assert "at least 30 are needed" in refusal


def test_weights_that_do_not_average_one():
    weights, chosen, target = alternating()
    (refusal,) = diagnose(1.2 * weights, chosen, target).refusals
    assert "average 1.200 ± 0.038 and should average 1" in refusal
    assert "record the propensity" in refusal
    assert not diagnose(1.09 * weights, chosen, target).refusals  # within 3 standard errors


def test_single_row_that_decides_is_refused():
    weights, chosen, target = alternating()
    weights[0] = 120.0
    assert [text for text in diagnose(weights, chosen, target).refusals if "one decision has 11% of all weight" in text]


def test_arms_that_could_not_be_logged():
    weights, chosen, _ = alternating()
    target, logged = np.tile([0.9, 0.1, 0.0], (N, 1)), np.tile([0.5, 0.5, 0.0], (N, 1))
    assert diagnose(weights, chosen, target, probabilities=logged).unsupported == 0.0
    logged[:100] = [1.0, 0.0, 0.0]
    found = diagnose(weights, chosen, target, probabilities=logged)
    assert found.unsupported == pytest.approx(0.01)
    assert "1.00% of the policy's choices had no chance in the log (propensity 0)" in found.refusals[0]


def test_unlogged_arm_is_unsupported_without_probabilities():
    weights, chosen, _ = alternating()
    found = diagnose(weights, chosen, np.tile([0.5, 0.3, 0.2], (N, 1)))
    assert found.unsupported == pytest.approx(0.2)
    assert found.support == (500, 500, 0)


@pytest.mark.parametrize("n", [0, 1, 10])
def test_weights_of_zero_are_refused(n):
    found = diagnose(np.zeros(n), np.zeros(n, dtype=int), np.tile([1.0, 0.0], (n, 1)))
    assert found.effective_rows == 0.0
    assert "the effective sample size is 0 of" in found.refusals[0]
