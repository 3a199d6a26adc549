"""What a replay was worth, by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from banditroute.core.preference import Preference
from banditroute.logs import OutcomeTable
from banditroute.simulate.metrics import estimate, fixed_choice, references, static_mixture, summarize, utilities
from banditroute.simulate.replay import Trace

PREFER = Preference(quality=1.0, cost_usd=10.0)


def flat(quality, cost):
    """One prompt, arms a0, a1, ... of these qualities and costs."""
    return OutcomeTable(
        name="flat",
        prompts=("",),
        tasks=("",),
        arms=tuple(f"a{k}" for k in range(len(quality))),
        outcomes={"quality": np.array([quality], dtype=float), "cost_usd": np.array([cost], dtype=float)},
    )


def value_of(table, mixture):
    """Mean quality and mean cost of a mixture."""
    shares = np.array([mixture.get(arm, 0.0) for arm in table.arms])
    return [float(table.outcomes[name].mean(axis=0) @ shares) for name in ("quality", "cost_usd")]


class TestEstimate:
    def test_interval_of_the_mean_equals_that_of_scipy(self):
        values = [0.3, 0.5, 0.1, 0.9, 0.4]
        result = estimate(values)
        low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
        assert result.mean == pytest.approx(0.44)
        assert result.std == pytest.approx(np.sqrt(0.088))  # deviations -.14, .06, -.34, .46, -.04; squares sum to .352
        assert (result.mean - result.half_width, result.mean + result.half_width) == pytest.approx((low, high))
        assert (result.worst, result.n) == (0.1, 5)

    def test_worst_of_what_is_better_when_lower_is_the_largest(self):
        assert estimate([0.3, 0.9, 0.1], higher_is_better=False).worst == 0.9

    def test_single_seed_has_no_interval(self):
        result = estimate([0.7])
        assert (result.mean, result.std, result.half_width, result.worst, result.n) == (0.7, 0.0, 0.0, 0.7, 1)

    def test_interval_covers_the_truth_in_95_of_100(self):
        rng = np.random.default_rng(0)
        samples = [estimate(row) for row in rng.normal(2.0, 3.0, size=(4000, 5))]
        covered = np.mean([abs(sample.mean - 2.0) <= sample.half_width for sample in samples])
        assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 4000))


class TestUtilities:
    def test_utilities_equal_the_hand_computed_ones(self, toy):
        expected = [[-0.01, 0.48, 0.9], [-0.01, 0.48, 0.9], [0.99, 0.48, 0.9], [0.99, -0.02, -0.1]]
        np.testing.assert_allclose(utilities(toy, PREFER), expected, atol=1e-12)

    def test_unknown_outcome_counts_as_nothing(self, toy):
        np.testing.assert_array_equal(utilities(toy, Preference(energy_joules=1.0)), np.zeros((4, 3)))
        gaps = flat([0.5, 0.5], [np.nan, 0.02])
        np.testing.assert_allclose(utilities(gaps, PREFER), [[0.5, 0.3]])


class TestStaticMixture:
    def test_between_two_arms(self):
        # .002 is a quarter of the way from .001 to .005
        mixture = static_mixture(flat([0.4, 0.8], [0.001, 0.005]), cost_usd=0.002)
        assert mixture == pytest.approx({"a0": 0.75, "a1": 0.25})

    def test_arm_under_the_line_is_left_out(self):
        mixture = static_mixture(flat([0.4, 0.5, 0.8], [0.0, 0.5, 1.0]), cost_usd=0.5)
        assert mixture == pytest.approx({"a0": 0.5, "a2": 0.5})  # .6, not the .5 of the middle arm

    def test_budget_for_the_best_arm(self):
        assert static_mixture(flat([0.4, 0.8], [0.001, 0.005]), cost_usd=0.005) == {"a1": 1.0}
        assert static_mixture(flat([0.4, 0.8], [0.001, 0.005]), cost_usd=9.0) == {"a1": 1.0}

    def test_dear_arm_that_is_worse_is_never_used(self):
        assert static_mixture(flat([0.8, 0.4], [0.001, 0.005]), cost_usd=0.003) == {"a0": 1.0}

    def test_cheapest_arm_serves_where_every_arm_costs_more_than_the_budget(self):
        assert static_mixture(flat([0.4, 0.8], [0.005, 0.001]), cost_usd=0.0005) == {"a1": 1.0}

    def test_budget_of_exactly_the_cheapest(self):
        assert static_mixture(flat([0.4, 0.8], [0.001, 0.005]), cost_usd=0.001) == {"a0": 1.0}

    def test_arm_without_quality(self):
        assert static_mixture(flat([0.0], [0.001]), cost_usd=1.0) == {"a0": 1.0}

    @given(
        st.integers(1, 5).flatmap(
            lambda k: st.tuples(
                arrays(float, k, elements=st.integers(0, 20).map(lambda v: v / 20)),
                arrays(float, k, elements=st.integers(0, 20).map(lambda v: v / 1000)),
            )
        ),
        st.integers(0, 25).map(lambda v: v / 1000),
    )
    def test_no_pair_and_share_does_better(self, arms, budget):
        quality, cost = arms
        table = flat(quality, cost)
        mixture = static_mixture(table, cost_usd=budget)
        assert 1 <= len(mixture) <= 2
        assert all(share > 0.0 for share in mixture.values())
        assert sum(mixture.values()) == pytest.approx(1.0, abs=1e-12)
        had, spent = value_of(table, mixture)
        if cost.min() > budget:
            assert spent == cost.min()
            return
        assert spent <= budget + 1e-12
        share = np.linspace(0.0, 1.0, 2001)[:, None, None]
        values = (1.0 - share) * quality[:, None] + share * quality
        costs = (1.0 - share) * cost[:, None] + share * cost
        best = values[costs <= budget + 1e-12].max()
        assert best - 1e-12 <= had <= best + np.ptp(quality) / 2000 + 1e-12


class TestSummarize:
    def test_two_seeds_by_hand(self, toy):
        traces = [
            Trace(policy="p", seed=0, rows=np.array([0, 1, 2, 3]), chosen=np.array([2, 2, 2, 2])),
            Trace(policy="p", seed=1, rows=np.array([3, 2, 1, 0]), chosen=np.array([0, 0, 0, 1])),
        ]
        row = summarize(toy, PREFER, "p", traces)
        assert row.policy == "p"
        # dear throughout: quality 3/4 at .01; then 1 + 1 + 0 + .5 over 4 at (3 x .001 + .002) / 4
        assert row.objectives.keys() == {"quality", "cost_usd"}
        assert row.objectives["quality"].mean == pytest.approx((0.75 + 0.625) / 2)
        assert row.objectives["quality"].worst == pytest.approx(0.625)
        assert row.objectives["cost_usd"].mean == pytest.approx((0.01 + 0.00125) / 2)
        assert row.objectives["cost_usd"].worst == pytest.approx(0.01)
        # utility .75 - .1 and .625 - .0125; the best arm in hindsight is dear: .65
        assert row.utility.mean == pytest.approx((0.65 + 0.6125) / 2)
        assert row.utility.worst == pytest.approx(0.6125)
        assert row.utility.n == 2
        assert row.regret.mean == pytest.approx((0.0 + 4 * 0.0375) / 2)
        assert row.regret.worst == pytest.approx(4 * 0.0375)
        assert row.shares == pytest.approx({"cheap": 3 / 8, "middle": 1 / 8, "vendor/dear": 1 / 2})

    def test_doing_better_than_any_single_arm_is_negative_regret(self, toy):
        row = summarize(toy, PREFER, "o", [fixed_choice(toy, "o", [2, 2, 0, 0])])
        assert row.regret.mean == pytest.approx(4 * (0.65 - (0.9 + 0.9 + 0.99 + 0.99) / 4))

    def test_objective_with_gaps_is_left_out(self):
        row = summarize(flat([0.5, 0.5], [np.nan, 0.02]), PREFER, "p", [fixed_choice(flat([1, 1], [1, 1]), "p", [1])])
        assert row.objectives.keys() == {"quality"}


class TestReferences:
    def test_references_equal_the_hand_computed_ones(self, toy):
        rows = {row.policy: row for row in references(toy, PREFER)}
        assert list(rows) == [
            "always cheap",
            "always middle",
            "always vendor/dear",
            "best arm per task",
            "oracle per query",
        ]
        expected = {
            "always cheap": 0.49,
            "always middle": 0.355,
            "always vendor/dear": 0.65,
            "best arm per task": (0.9 + 0.9 + 0.99 + 0.99) / 4,  # dear for sums, cheap for odes
            "oracle per query": (0.9 + 0.9 + 0.99 + 0.99) / 4,
        }
        assert {policy: row.utility.mean for policy, row in rows.items()} == pytest.approx(expected)
        assert rows["always vendor/dear"].regret.mean == pytest.approx(0.0)
        assert rows["best arm per task"].shares == {"cheap": 0.5, "middle": 0.0, "vendor/dear": 0.5}
        assert all(row.utility.n == 1 for row in rows.values())

    def test_single_task_has_no_line_of_its_own(self, make_table):
        assert [row.policy for row in references(make_table(), Preference(quality=1.0))] == [
            "always easy",
            "always hard",
            "oracle per query",
        ]

    @given(st.data())
    def test_reference_with_more_information_does_no_worse(self, data):
        n, k = data.draw(st.integers(1, 8)), data.draw(st.integers(1, 4))
        table = OutcomeTable(
            name="any",
            prompts=("",) * n,
            tasks=tuple(data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))),
            arms=tuple(f"a{i}" for i in range(k)),
            outcomes={
                "quality": data.draw(arrays(float, (n, k), elements=st.floats(0.0, 1.0))),
                "cost_usd": data.draw(arrays(float, (n, k), elements=st.floats(0.0, 0.1))),
            },
        )
        utility = {row.policy: row.utility.mean for row in references(table, PREFER)}
        single = max(value for policy, value in utility.items() if policy.startswith("always "))
        task = utility.get("best arm per task", single)
        assert utility["oracle per query"] >= task - 1e-12
        assert task >= single - 1e-12
