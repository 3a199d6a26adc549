"""The pacer: the least price at which requests like the latest take what they may, by hand and by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.budgets.shadow_price import ShadowPrice, rearranged

SURE = np.zeros(2)


def see(pacer, gains, *, target, dear=10.0, positions=(0, 1)):
    """Requests to which the second arm is worth so much more, at ``dear`` instead of 1."""
    for gain in gains:
        pacer.observe(np.array([0.5, 0.5 + gain]), SURE, np.array([1.0, dear]), list(positions), target)


class TestPrice:
    def test_price_equals_the_hand_computed_one(self):
        pacer = ShadowPrice(arms=2)
        see(pacer, [0.09, 0.18, 0.27, 0.36], target=5.5)  # two of four may take 10: (2 x 1 + 2 x 10) / 4
        assert 0.02 < pacer.price < 0.0201  # the second, .18 / 9, is just not worth it
        assert not pacer.strict

    def test_is_nothing_where_the_best_arms_are_affordable(self):
        pacer = ShadowPrice(arms=2)
        see(pacer, [0.1, -0.1], target=5.5)
        assert pacer.price == 0.0

    def test_follows_the_target_down_and_up_again(self):
        pacer, gains = ShadowPrice(arms=2), np.linspace(0.01, 0.9, 20).tolist()
        prices = []
        for target in (8.0, 3.0, 8.0, 9.9, 8.0):
            for _ in range(20):
                see(pacer, gains, target=target)
            prices.append(pacer.price)
        assert prices[0] == pytest.approx(prices[2], rel=1e-2)
        assert prices[0] == pytest.approx(prices[4], rel=1e-2)
        assert prices[3] < prices[0] < prices[1]

    def test_forgets_all_but_the_latest_300(self):
        pacer = ShadowPrice(arms=2)
        see(pacer, [0.9] * 300, target=5.0)
        assert pacer.price > 0.09
        see(pacer, [0.09, 0.18, 0.27, 0.36] * 75, target=5.5)
        assert 0.02 < pacer.price < 0.0201

    def test_arms_that_may_not_be_chosen_are_not_counted(self):
        pacer = ShadowPrice(arms=2)
        see(pacer, [0.9] * 50, target=1.5, positions=(0,))
        assert pacer.price == 0.0
        assert not pacer.strict

    def test_uncertain_arms_are_chosen_now_and_then(self):
        sure, unsure = ShadowPrice(arms=2), ShadowPrice(arms=2)
        worth, spends = np.array([0.5, 0.4]), np.array([1.0, 100.0])
        for _ in range(300):
            sure.observe(worth, SURE, spends, [0, 1], 2.0)
            unsure.observe(worth, np.array([0.1, 0.1]), spends, [0, 1], 2.0)
        assert sure.price == 0.0
        assert 0.0 < unsure.price < 0.02  # a quarter of the requests would take 100

    def test_a_price_from_before_stands_until_there_are_requests_enough(self):
        pacer = ShadowPrice(arms=2, price=7.0)
        see(pacer, [0.1] * 30, target=5.5)
        assert pacer.price == 7.0
        see(pacer, [0.1] * 10, target=5.5)
        assert 0.0 < pacer.price < 0.02

    @given(
        st.lists(st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0)), min_size=1, max_size=20),
        st.tuples(st.floats(0.0, 10.0), st.floats(0.0, 10.0), st.floats(0.0, 10.0)),
        st.floats(0.0, 12.0),
    )
    def test_takes_at_most_the_target_and_no_lower_price_does_better(self, gains, spends, target):
        pacer, spends = ShadowPrice(arms=3), np.array(spends)
        utilities = np.array([[0.0, *gain] for gain in gains])
        for row in utilities:
            pacer.observe(row, np.zeros(3), spends, [0, 1, 2], target)

        def taken(price):
            return spends[(utilities - price * spends).argmax(axis=1)].mean()

        assert pacer.strict == (target < 1.02 * spends.min())
        target = max(target, 1.02 * spends.min())
        if taken(1e6) <= target * (1.0 + 1e-9):  # unless two arms differ by less than any price can tell
            assert taken(pacer.price) <= target * (1.0 + 1e-9)
        if pacer.price > 1e-9:
            assert taken(pacer.price * 0.99) > target or pacer.price < 1e-3 / spends.max()


class TestAffords:
    @pytest.mark.parametrize(
        ("most", "left"), [(0.5, [0, 1]), (1.05, [0, 1]), (4.9, [0, 1]), (5.0, [0, 1, 2]), (20.0, [0, 1, 2, 3])]
    )
    def test_afford_drops_arms_that_cost_too_much_and_keeps_the_cheapest(self, most, left):
        pacer, spends = ShadowPrice(arms=4), np.array([1.0, 1.09, 5.0, 20.0])
        pacer.observe(np.zeros(4), np.zeros(4), spends, [0, 1, 2, 3], 50.0)
        assert pacer.afford(spends, [0, 1, 2, 3], most) == left

    def test_afford_keeps_only_the_cheapest_if_no_price_is_high_enough(self):
        pacer, spends = ShadowPrice(arms=3), np.array([1.0, 1.09, 5.0])
        for _ in range(30):
            pacer.observe(np.array([0.5, 0.5, 0.9]), np.zeros(3), spends, [0, 1, 2], 0.9)
        assert pacer.strict
        assert pacer.afford(spends, [0, 1, 2], most=100.0) == [0, 1]
        assert pacer.afford(spends, [2], most=100.0) == [2]


def test_arms_that_come_and_go():
    pacer = ShadowPrice(arms=2)
    see(pacer, [0.09, 0.18, 0.27, 0.36], target=5.5)
    pacer.set_arms([1, None, 0])
    pacer.observe(np.array([0.6, 0.55, 0.5]), np.zeros(3), np.array([10.0, 2.0, 1.0]), [0, 1, 2], 5.5)
    # Five requests may take 27.5: two of the first four at 10 leave 7.5 - 2 for the others, so the fifth takes 2 or 1.
    assert 0.0111 < pacer.price < 0.0201
    assert rearranged(np.array([[1.0, 2.0], [3.0, 4.0]]), [None, 0], 9.0).tolist() == [[9.0, 1.0], [9.0, 3.0]]
