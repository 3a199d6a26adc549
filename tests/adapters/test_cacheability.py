"""How cacheable traffic is: by hand, and against all caches and a cache in plain loops."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from banditroute.adapters.cacheability import knee, longest_epoch, lookahead_hit_rates, net_coverage
from banditroute.errors import InvalidInputError


def one_hot(*adapters, of=3):
    return np.eye(of)[list(adapters)]


def best_by_trying(u, slots, cost):
    """The value of every cache: without what is not resident, or paged at a cost."""
    floor = np.full(len(u), -np.inf) if cost is None else u.max(axis=1) - cost
    caches = list(combinations(range(u.shape[1]), min(slots, u.shape[1])))
    return {cache: float(np.maximum(floor, u[:, cache].max(axis=1)).mean()) for cache in caches}


class TestNetCoverage:
    def test_utility_by_hand(self):
        u = np.array([[0.8, 0.4], [0.6, 0.4], [0.2, 0.4], [0.4, 0.8]])
        # best: adapter 0 (0.7 of 0.7), then 1 (0.6 of 0.6); carried: adapter 0 has 0.3 of 0.6
        assert net_coverage(u, length=2, slots=1) == pytest.approx((1.0, 0.5))
        # a miss at 0.1 gives .3 and .7 instead of .2 and .4
        assert net_coverage(u, length=2, slots=1, miss_cost=0.1) == pytest.approx((1.0, 0.5 / 0.6))

    def test_loads_between_segments_are_paid(self):
        u = one_hot(0, 0, 1, 1, 2, 2)
        # carried: each segment is served at 1 - 0.3, and adapter 1 is loaded for the third in vain
        hindsight, carried = net_coverage(u, length=2, slots=1, miss_cost=0.3)
        assert hindsight == pytest.approx(1.0)
        assert carried == pytest.approx((0.7 + 0.7 - 0.3 / 2) / 2)

    def test_coverage_by_hand(self):
        wanted = one_hot(0, 0, 1, 2, 1, 1, 1, 2)
        assert net_coverage(wanted, length=4, slots=1) == pytest.approx((3 / 4, 0.0))
        assert net_coverage(wanted, length=4, slots=2).hindsight == 1.0

    def test_rows_after_the_last_segment_do_not_count(self):
        assert net_coverage(one_hot(0, 0, 0, 0, 1), length=2, slots=1) == (1.0, 1.0)

    @pytest.mark.parametrize("cost", [None, 0.05, 0.4])
    @pytest.mark.parametrize("slots", [1, 2, 3, 5])
    def test_hindsight_is_the_best_of_all_caches(self, slots, cost):
        u = np.random.default_rng(slots).uniform(size=(60, 5))
        parts = np.split(u, 3)[1:]
        best = sum(max(best_by_trying(part, slots, cost).values()) for part in parts)
        found = net_coverage(u, length=20, slots=slots, miss_cost=cost)
        assert found.hindsight == pytest.approx(best / sum(part.max(axis=1).mean() for part in parts))
        assert found.carried <= found.hindsight

    @pytest.mark.parametrize("cost", [None, 0.2])
    def test_carried_is_the_best_cache_of_the_segment_before(self, cost):
        u = np.random.default_rng(7).uniform(size=(80, 4))
        parts = np.split(u, 4)
        tried = [best_by_trying(part, 2, cost) for part in parts]
        caches = [max(each, key=each.get) for each in tried]
        had = sum(values[cache] for values, cache in zip(tried[1:], caches, strict=False))
        loads = sum(len(set(new) - set(old)) for old, new in pairwise(caches[:3]))
        had -= (cost or 0.0) * loads / 20
        expected = had / sum(part.max(axis=1).mean() for part in parts[1:])
        assert net_coverage(u, length=20, slots=2, miss_cost=cost).carried == pytest.approx(expected)

    def test_unwanted_adapter_stays_while_there_is_room(self):
        # the second segment wants adapter 0 alone, beside which adapter 1 stays for the third
        assert net_coverage(one_hot(0, 1, 0, 0, 0, 1), length=2, slots=2, miss_cost=0.5) == (1.0, 1.0)
        # all are resident, though the first segment wants one
        assert net_coverage(one_hot(0, 0, 1, 2), length=2, slots=3) == (1.0, 1.0)

    def test_all_adapters_keep_everything_and_equal_ones_too(self):
        u = np.random.default_rng(1).uniform(size=(20, 4))
        assert net_coverage(u, length=10, slots=4) == pytest.approx((1.0, 1.0))
        assert net_coverage(np.ones((20, 4)), length=10, slots=1) == pytest.approx((1.0, 1.0))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"length": 5}, "length is 5 with 8 requests; give at most half"),
            ({"length": 0}, "length is 0; give a whole number of at least 1"),
            ({"length": True}, "length is True"),
            ({"slots": 0}, "slots is 0"),
            ({"miss_cost": -0.1}, "miss_cost is -0.1; give what a load costs"),
            ({"miss_cost": float("nan")}, "miss_cost is nan"),
            ({"utilities": np.ones(8)}, r"utilities have shape \(8,\)"),
            ({"utilities": np.full((8, 2), np.nan)}, "give finite numbers"),
            ({"utilities": np.full((8, 2), -1.0)}, "no adapter is worth more than 0 on average"),
        ],
    )
    def test_net_coverage_refuses_bad_input(self, change, message):
        options = {"utilities": np.ones((8, 2)), "length": 2, "slots": 1, **change}
        with pytest.raises(InvalidInputError, match=message):
            net_coverage(options.pop("utilities"), **options)


def hit_rate_in_loops(wanted, ahead, slots):
    cache, last, hits = [], {}, 0
    for t, row in enumerate(wanted):
        wants = [k for k in range(len(row)) if row[k]]
        coming = [sum(later[k] for later in wanted[t + 1 : t + 1 + ahead]) for k in range(len(row))]
        if any(k in cache for k in wants):
            hits += 1
        else:
            if len(cache) == slots:
                cache.remove(min(sorted(cache), key=lambda k: (coming[k], last.get(k, -1))))
            cache.append(max(wants, key=lambda k: coming[k]))
        last.update(dict.fromkeys(wants, t))
    return hits / len(wanted)


class TestLookahead:
    def test_lookahead_hit_rate_equals_the_hand_computed_one(self):
        wanted = one_hot(0, 1, 2, 0, 1, 2).astype(bool)
        # 2 evicts 1, since 0 is wanted next; then 1 evicts 0, since 2 is: hits are the fourth and the sixth
        assert lookahead_hit_rates(wanted, ahead=1, slots=[2])[0] == pytest.approx(2 / 6)
        assert hit_rate_in_loops(wanted.tolist(), 1, 2) == pytest.approx(2 / 6)

    @given(
        st.lists(st.lists(st.booleans(), min_size=4, max_size=4).filter(any), min_size=1, max_size=40),
        st.integers(1, 50),
    )
    def test_as_plain_loops_have_it(self, wanted, ahead):
        rates = lookahead_hit_rates(np.array(wanted), ahead=ahead, slots=[1, 2, 3, 4])
        assert rates == pytest.approx([hit_rate_in_loops(wanted, ahead, slots) for slots in (1, 2, 3, 4)])

    def test_only_first_uses_miss_where_there_is_room_for_all(self):
        adapters = np.random.default_rng(0).integers(6, size=200)
        wanted = np.eye(6, dtype=bool)[adapters]
        rates = lookahead_hit_rates(wanted, ahead=20, slots=range(1, 7))
        assert rates[-1] == pytest.approx(1.0 - 6 / 200)
        assert (np.diff(rates) >= 0.0).all()

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"wanted": np.zeros((3, 2), dtype=bool)}, "at least one true in each row"),
            ({"wanted": np.ones((3, 2))}, "give booleans"),
            ({"wanted": np.ones((0, 2), dtype=bool)}, "wanted has shape"),
            ({"ahead": 0}, "ahead is 0"),
            ({"slots": [1, 0]}, "slots is 0"),
        ],
    )
    def test_lookahead_hit_rates_refuse_bad_input(self, change, message):
        options = {"wanted": np.ones((3, 2), dtype=bool), "ahead": 1, "slots": [1], **change}
        with pytest.raises(InvalidInputError, match=message):
            lookahead_hit_rates(options.pop("wanted"), **options)


class TestRecommendation:
    @pytest.mark.parametrize(
        ("kept", "found"),
        [
            ([0.5, 0.75, 1.0], 1),  # a line has no knee: the first
            ([0.5, 0.95, 0.97, 1.0], 2),
            ([0.2, 0.4, 0.95, 1.0], 3),
            ([0.2, 0.2, 0.995, 1.0], 3),
            ([1.0, 1.0], 1),
            ([1.0], 1),
        ],
    )
    def test_knee_is_the_point_of_least_further_gain(self, kept, found):
        assert knee(range(1, len(kept) + 1), kept) == found

    def test_slots_may_be_unevenly_spaced(self):
        # 4 slots of 100 are next to nothing: what they keep is all gain
        assert knee([1, 2, 4, 100], [0.2, 0.4, 0.8, 1.0]) == 4
        assert knee([1, 2, 3, 4], [0.2, 0.4, 0.8, 1.0]) == 3

    def test_longest_epoch_that_keeps_99_percent_of_the_best_is_chosen(self):
        assert longest_epoch([50, 100, 200], [0.9, 0.8, 0.7]) == 50
        assert longest_epoch([50, 100, 200], [0.9, 0.8, 0.895]) == 200
