"""The cache that is worth most: against all caches, tried one by one."""

from itertools import combinations

import numpy as np
import pytest

from banditroute.adapters.facility import best_cache, cache_value


def problem(seed, adapters, requests=60):
    rng = np.random.default_rng(seed)
    return rng.uniform(size=(requests, adapters)), rng.uniform(0.05, 0.5, size=adapters), rng


def every_cache(adapters, count):
    return [list(some) for n in range(count + 1) for some in combinations(range(adapters), n)]


class TestValue:
    def test_cache_value_equals_the_hand_computed_one(self):
        u = np.array([[0.9, 0.5], [0.1, 0.8]])
        assert cache_value(u, np.array([0.2, 0.2]), []) == pytest.approx((0.7 + 0.6) / 2)
        assert cache_value(u, np.array([0.2, 0.2]), [0, 1]) == pytest.approx((0.9 + 0.8) / 2)
        # paging may be dearer for one request than for another
        assert cache_value(u, np.array([[0.3, 0.2], [0.2, 0.7]]), []) == pytest.approx((0.6 + 0.1) / 2)

    def test_monotone_and_submodular(self):
        u, c, rng = problem(0, 7)
        for _ in range(200):
            order = rng.permutation(7)
            small, large, new = order[:2], order[:4], order[4:5]
            values = [cache_value(u, c, some) for some in (small, [*small, *new], large, [*large, *new])]
            assert values[0] <= values[1] + 1e-12
            assert values[3] - values[2] <= values[1] - values[0] + 1e-12


class TestBestCache:
    @pytest.mark.parametrize("seed", range(5))
    def test_few_caches_are_all_tried(self, seed):
        u, c, _ = problem(seed, 7)
        best = max(cache_value(u, c, some) for some in every_cache(7, 3))
        assert cache_value(u, c, best_cache(u, c, among=range(7), slots=3)) == pytest.approx(best)

    @pytest.mark.parametrize("seed", range(5))
    def test_many_within_a_hundredth_of_the_best_gain(self, seed):
        u, c, _ = problem(seed, 12)
        none = cache_value(u, c, [])
        best = max(cache_value(u, c, some) for some in every_cache(12, 5)) - none
        found = best_cache(u, c, among=range(12), slots=5)
        assert len(found) == 5
        assert cache_value(u, c, found) - none >= 0.99 * best

    @pytest.mark.parametrize("seed", range(10))
    def test_sizes_as_a_knapsack(self, seed):
        u, c, rng = problem(seed, 8)
        sizes = rng.integers(1, 9, size=8).astype(float)
        none = cache_value(u, c, [])
        fitting = [some for some in every_cache(8, 8) if sizes[some].sum() <= 12.0]
        best = max(cache_value(u, c, some) for some in fitting) - none
        found = best_cache(u, c, among=range(8), sizes=sizes, room=12.0)
        assert sizes[found].sum() <= 12.0
        assert cache_value(u, c, found) - none >= 0.9 * best

    def test_one_large_adapter_can_be_worth_more_than_many_small_ones(self):
        u = np.tile([0.1, 0.1, 0.9], (4, 1))
        assert best_cache(u, np.full(3, 1.0), among=range(3), sizes=np.array([1.0, 1.0, 10.0]), room=10.0) == [2]

    def test_forced_come_first_and_take_their_room(self):
        u, c, _ = problem(0, 20)
        found = best_cache(u, c, among=range(20), slots=4, forced=[7])
        assert found[0] == 7
        assert len(found) == 4
        sizes = np.full(20, 3.0)
        assert best_cache(u, c, among=range(20), sizes=sizes, room=5.0, forced=[7]) == [7]

    def test_best_cache_is_in_the_order_of_gain(self):
        u, c, _ = problem(1, 15)
        found = best_cache(u, c, among=range(15), slots=5)
        gains = np.diff([cache_value(u, c, found[:n]) for n in range(6)])
        assert (np.diff(gains) <= 1e-12).all()

    def test_adapter_that_is_never_worth_anything_takes_no_slot(self):
        u = np.array([[0.9, 0.1], [0.8, 0.1]])
        assert best_cache(u, np.full(2, 0.2), among=range(2), slots=2) == [0]

    def test_adapter_that_is_always_there_takes_no_slot(self):
        u = np.array([[0.9, 0.5], [0.1, 0.8]])
        assert best_cache(u, np.array([0.0, 0.2]), among=[1], slots=1) == [1]
