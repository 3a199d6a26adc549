"""How cacheable traffic is, on traffic whose answer is known."""

import numpy as np
import pytest

from banditroute.adapters.diagnose import Cacheability, cacheability, lookahead_hit_rate, recommend
from banditroute.errors import InvalidInputError


def phases(length=20, adapters=4, times=3):
    """Traffic that asks for two adapters at a time, and for others in the next phase."""
    rng = np.random.default_rng(0)
    asked = np.concatenate([2 * (p % (adapters // 2)) + rng.integers(2, size=length) for p in range(adapters * times)])
    u = np.full((len(asked), adapters), 0.2)
    u[np.arange(len(asked)), asked] = 0.8
    return u


def by_key(found):
    return {(each.slots, each.epoch): each for each in found}


def test_short_epochs_follow_phases_and_long_ones_do_not():
    found = by_key(cacheability(phases(), slots=[1, 2, 4], epochs=[20, 80], miss_cost=1.0))
    assert found[2, 20].coverage == 1.0
    assert found[2, 20].utility_kept == pytest.approx(1.0)
    assert found[2, 80].coverage < 0.6
    assert found[2, 80].utility_kept == pytest.approx(found[2, 80].coverage * 0.75 + 0.25, abs=0.01)
    assert found[4, 80].coverage == 1.0
    assert found[4, 80].utility_kept == pytest.approx(1.0)
    assert found[1, 20].coverage < 0.8


def test_a_second_best_that_is_nearly_as_good_covers_nothing_but_keeps_utility():
    u = np.tile([[0.80, 0.79], [0.79, 0.80]], (20, 1))
    (found,) = cacheability(u, slots=[1], epochs=[40], miss_cost=1.0)
    assert found.coverage == 0.5
    assert found.utility_kept == pytest.approx(0.795 / 0.8)


def test_a_miss_costs_no_more_than_its_price():
    u = np.tile(np.eye(2), (20, 1))
    (found,) = cacheability(u, slots=[1], epochs=[40], miss_cost=0.1)
    assert found.utility_kept == pytest.approx(0.95)


def test_looking_ahead_by_hand():
    # a b come in; for c, a leaves (b is asked for next); then all hits but the last a
    assert lookahead_hit_rate(np.array([0, 1, 2, 1, 2, 0]), slots=2, ahead=3) == pytest.approx(2 / 6)
    assert lookahead_hit_rate(np.zeros(10, dtype=int), slots=1, ahead=5) == 0.9


def test_recommends_the_fewest_slots_and_the_longest_epoch_that_do():
    found = cacheability(phases(), slots=[1, 2, 3], epochs=[10, 20, 40], miss_cost=1.0)
    best = recommend(found)
    assert (best.slots, best.epoch) == (2, 20)


def test_with_too_few_slots_the_most_are_recommended():
    def made(slots, epoch, kept):
        return Cacheability(slots=slots, epoch=epoch, coverage=0.0, lookahead_hit_rate=0.0, utility_kept=kept)

    assert recommend([made(1, 10, 0.5), made(2, 10, 0.9), made(2, 20, 0.895), made(2, 30, 0.8)]).epoch == 20


@pytest.mark.parametrize(("slots", "epochs"), [([5], [10]), ([1], [1000]), ([], [10]), ([0], [10])])
def test_nothing_to_judge(slots, epochs):
    with pytest.raises(InvalidInputError, match="give a longer log or smaller numbers"):
        cacheability(phases(), slots=slots, epochs=epochs, miss_cost=0.1)
