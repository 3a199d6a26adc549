"""The figures and sentences of the page, against examples computed by hand."""

import math
import sqlite3

import numpy as np
import pytest

from banditroute.beliefs.drift import Reset
from banditroute.budgets import Budget, BudgetStatus
from banditroute.dashboard import charts
from banditroute.dashboard.history import History
from banditroute.dashboard.present import Present
from banditroute.dashboard.view import ArmFigures, Comparison, Filters, Sums, View, comparison, view_of
from banditroute.dashboard.words import doubts, needs, verdict
from banditroute.store.sql.hourly import DecisionHour, OutcomeHour

NOW = 1.7e9
HOUR = int(NOW // 3600)


def sums(values, propensities):
    """The sums of some values, by their definitions."""
    v, w = np.array(values, dtype=float), 1.0 / np.array(propensities)
    return Sums(
        number=len(v),
        total=v.sum(),
        squares=(v * v).sum(),
        w=w.sum(),
        w2=(w * w).sum(),
        wv=(w * v).sum(),
        w2v=(w * w * v).sum(),
        w2v2=(w * w * v * v).sum(),
    )


def view(**arms):
    """A view of arms with their sums by objective."""
    made = View(routers=["r"], router="r", arms=sorted(arms), tags=[], since=0.0, step="hour")
    for arm, outcomes in arms.items():
        figures = made.figures[arm] = ArmFigures(decisions=int(max(each.number for each in outcomes.values())))
        made.all.decisions += figures.decisions
        for name, each in outcomes.items():
            figures.outcomes[name] = each
            row = {slot: getattr(each, slot) for slot in Sums.__slots__}
            made.all.outcomes[name].add(row)
    return made


def history_of(*rows):
    """A history with a decision of each (router, arm, tags, hours ago), of quality 1."""
    history = History(clock=lambda: NOW)
    decisions = [DecisionHour(r, arm, tags, HOUR - ago, 1, 0) for r, arm, tags, ago in rows]
    outcomes = [
        OutcomeHour(r, arm, tags, HOUR - ago, "quality", 1, 0, 1, 0.0, 1.0, 1.0, 2.0, 4.0, 2.0, 4.0, 4.0)
        for r, arm, tags, ago in rows
    ]
    history.add(decisions, outcomes, settled=True)
    return history


class TestSums:
    def test_standard_error_of_the_mean_is_that_of_numpy(self):
        values = np.random.default_rng(0).random(50)
        assert sums(values, np.ones(50)).std_error == pytest.approx(values.std(ddof=1) / math.sqrt(50))

    def test_weighted_mean_and_its_error_are_those_of_the_definition(self):
        rng = np.random.default_rng(1)
        values, p = rng.random(50), rng.uniform(0.1, 1.0, 50)
        found, w = sums(values, p), 1.0 / p
        mean = (w * values).sum() / w.sum()
        assert found.weighted_mean == pytest.approx(mean)
        assert found.weighted_std_error == pytest.approx(math.sqrt((w**2 * (values - mean) ** 2).sum()) / w.sum())
        assert found.effective == pytest.approx(w.sum() ** 2 / (w**2).sum())

    def test_no_values_have_no_mean(self):
        assert (Sums().mean, Sums().weighted_mean, Sums().effective) == (None, None, 0.0)
        assert Sums().std_error == Sums().weighted_std_error == math.inf


class TestComparison:
    def test_weighing_undoes_that_the_baseline_saw_the_hard_requests(self):
        """Of 400 requests, half are hard and cost twice; ``large`` sees 3 of 4 hard and 1 of 4 easy ones."""
        large = sums([0.02] * 150 + [0.01] * 50, [0.75] * 150 + [0.25] * 50)
        small = sums([0.002] * 50 + [0.001] * 150, [0.25] * 50 + [0.75] * 150)
        found = comparison(view(large={"cost_usd": large}, small={"cost_usd": small}))
        assert found.baseline == "large"
        routed = (150 * 0.02 + 50 * 0.01 + 50 * 0.002 + 150 * 0.001) / 400
        assert found.saved == pytest.approx(1.0 - routed / 0.015)
        assert found.quality is None

    def test_comparison_needs_enough_outcomes(self):
        assert comparison(view(large={"cost_usd": sums([0.02] * 29, [0.5] * 29)})) is None
        assert comparison(view(large={"cost_usd": sums([0.02] * 30, [0.5] * 30)})) is not None

    def test_interval_covers_the_truth_in_most_logs(self):
        rng, hits = np.random.default_rng(3), 0
        for _ in range(200):
            p = rng.uniform(0.2, 0.8, 400)
            large = rng.random(400) < p
            cost = np.where(large, 0.01, 0.002) * rng.uniform(0.5, 1.5, 400)
            found = comparison(
                view(
                    large={"cost_usd": sums(cost[large], p[large])},
                    small={"cost_usd": sums(cost[~large], 1 - p[~large])},
                )
            )
            hits += abs(found.saved - 0.4) <= found.saved_error
        assert hits >= 180


class TestFilters:
    def test_unknown_values_are_as_if_not_given(self):
        assert Filters.of([("range", "<x>"), ("step", "second"), ("arm", "a"), ("other", "1"), ("tag", "")]) == Filters(
            arm="a"
        )

    def test_tag_range_and_router_choose_the_decisions(self):
        history = history_of(
            ("one", "a", '["x"]', 0), ("one", "b", "[]", 30), ("two", "c", '["x"]', 0), ("one", "a", "[]", 0)
        )
        found = view_of(history, Filters(router="one"), now=NOW)
        assert (found.router, found.arms, found.tags, found.all.decisions) == ("one", ["a", "b"], ["x"], 2)
        assert view_of(history, Filters(router="one", tags=("x",)), now=NOW).all.decisions == 1
        assert view_of(history, Filters(router="one", range="week"), now=NOW).all.decisions == 3
        assert view_of(history, Filters(router="two"), now=NOW).all.of("quality").mean == 1.0

    def test_tenant_and_task_are_chosen_together(self):
        history = history_of(
            ("one", "a", '["tenant:acme", "task:code"]', 0),
            ("one", "a", '["task:chat", "tenant:acme"]', 1),
            ("one", "b", '["tenant:zoo", "task:code", "beta"]', 0),
        )
        filters = Filters.of([("tag", "tenant:acme"), ("tag", "task:code"), ("range", "all")])
        found = view_of(history, filters, now=NOW)
        assert (found.all.decisions, list(found.figures)) == (1, ["a"])
        assert view_of(history, Filters(tags=("tenant:acme",)), now=NOW).all.decisions == 2
        assert view_of(history, Filters(tags=("tenant:acme", "beta")), now=NOW).all.decisions == 0
        assert found.kinds == {
            "tenant": ["tenant:acme", "tenant:zoo"],
            "task": ["task:chat", "task:code"],
            "": ["beta"],
        }

    def test_rare_kinds_of_tags_are_chosen_with_the_others(self):
        tags = [*(f"kind{i}:x" for i in range(9)), ":odd", "odd:", "task:code"]
        kinds = View(routers=[], router="", arms=[], tags=tags, since=0.0, step="day").kinds
        assert list(kinds)[:2] == ["task", "kind0"]
        assert len(kinds) == 6
        assert {":odd", "odd:", "kind8:x"} <= set(kinds[""])
        assert sorted(tag for some in kinds.values() for tag in some) == sorted(tags)

    def test_busiest_router_is_shown_if_none_is_named(self):
        history = history_of(("one", "a", "[]", 0), ("two", "a", "[]", 0), ("two", "a", "[]", 1))
        assert view_of(history, Filters(), routers=["three"], now=NOW).router == "two"
        assert view_of(history, Filters(router="gone"), now=NOW).routers == ["one", "two"]

    def test_no_decisions_give_an_empty_view(self):
        found = view_of(History(), Filters(), now=NOW)
        assert (found.router, found.all.decisions, found.objectives) == ("", 0, [])


class TestVerdict:
    @pytest.mark.parametrize(
        ("saved", "quality", "number", "says"),
        [
            (0.61, -0.002, 3, "Saves 61% against always gpt-4o at 0.2 points less quality; 3 things need you."),
            (0.61, 0.02, 1, "Saves 61% against always gpt-4o at 2.0 points more quality; 1 thing needs you."),
            (
                0.61,
                0.0004,
                0,
                "Saves 61% against always gpt-4o with no difference in quality shown; nothing needs you.",
            ),
            (0.61, None, 0, "Saves 61% against always gpt-4o; nothing needs you."),
            (0.01, None, 0, "No saving is shown against always gpt-4o; nothing needs you."),
            (-0.5, None, 0, "Costs 50% more than always gpt-4o; nothing needs you."),
        ],
    )
    def test_sentence_says_what_was_saved_at_which_quality(self, saved, quality, number, says):
        found = Comparison(baseline="gpt-4o", saved=saved, saved_error=0.02, quality=quality, quality_error=0.001)
        some = view(a={"quality": sums([1.0], [1.0])})
        assert verdict(some, Filters(), found, number) == says
        assert doubts(found).startswith(f"95% interval of the saving: {saved - 0.02:.0%} to")

    def test_verdict_says_that_there_are_no_decisions(self):
        assert verdict(View(routers=[], router="", arms=[], tags=[], since=0.0, step="hour"), Filters(), None, 0) == (
            "No decisions in the last 24 hours; nothing needs you."
        )


class TestNeeds:
    def test_each_trouble_is_named_with_its_section(self):
        budget = BudgetStatus(
            budget=Budget(usd=1.0), requests=1, spent=1.2, reserved=0.0, granted=1.0, shadow_price=0.0
        )
        present = Present(
            pending=7,
            pending_seconds=300.0,
            open_arms=("a",),
            resets=(
                Reset(arm="a", objective="quality", decided_at=NOW - 60.0, times=1),
                Reset(arm="b", objective="quality", decided_at=NOW - 9e5, times=1),
            ),
            evidence=(50, -0.3, -0.1),
            budgets=(budget,),
            damage=["the stored state 'drift' is damaged"],
        )
        some = view(a={"quality": sums([1.0] * 400, [1.0] * 400)})
        some.all.fallbacks, some.all.outcomes["quality"].late = 8, 200.0
        found = needs(some, present, now=NOW)
        assert [need.section for need in found] == [
            "health", "health", "feedback", "budgets", "health", "health", "decisions", "feedback"
        ]  # fmt: skip
        text = " ".join(need.text for need in found)
        for part in ("circuit of a", "7 outcomes", "5 min", "120%", "1 min ago", "8 decisions (2.0%)", "50% of"):
            assert part in text.replace("60 s ago", "1 min ago")

    def test_needs_are_empty_where_all_is_well(self):
        assert needs(view(a={"quality": sums([1.0] * 400, [1.0] * 400)}), Present(), now=NOW) == []

    def test_quality_that_is_hardly_reported_is_named(self):
        few = view(a={"quality": sums([1.0] * 5, [1.0] * 5), "cost_usd": sums([1.0] * 400, [1.0] * 400)})
        assert [need.text for need in needs(few, Present(), now=NOW)] == [
            "Quality is reported for 1.2% of the decisions."
        ]


class TestCharts:
    def test_shares_add_up_to_one(self):
        history = history_of(("r", "a", "[]", 0), ("r", "b", "[]", 0), ("r", "a", '["x"]', 0), ("r", "a", "[]", 1))
        chart = charts.shares(view_of(history, Filters(), now=NOW))
        assert [trace["name"] for trace in chart["data"]] == ["a", "b"]
        assert np.sum([trace["y"] for trace in chart["data"]], axis=0) == pytest.approx([1.0, 1.0])
        assert chart["data"][0]["x"] == ["2023-11-14 21:00", "2023-11-14 22:00"]

    def test_many_arms_are_drawn_as_the_largest_and_all_others(self):
        rows = [("r", f"arm {i}", "[]", 0) for i in range(20) for _ in range(i + 1)]
        chart = charts.shares(view_of(history_of(*rows), Filters(), now=NOW))
        assert len(chart["data"]) == 8
        assert chart["data"][-1]["name"] == "all other arms"
        assert sum(trace["y"][0] for trace in chart["data"]) == pytest.approx(1.0)

    def test_only_the_chosen_arm_has_a_curve(self):
        found = view_of(history_of(("r", "a", "[]", 0), ("r", "b", "[]", 0)), Filters(arm="a"), now=NOW)
        assert [trace["name"] for trace in charts.curve(found, "quality", "a")["data"]] == ["a"]
        assert [trace["name"] for trace in charts.curve(found, "quality", "")["data"]] == ["all requests", "a", "b"]

    def test_no_trace_needs_webgl(self):
        found = view(
            a={"quality": sums([1.0], [0.5]), "cost_usd": sums([0.1], [0.5])},
            b={"quality": sums([0.5], [0.5]), "cost_usd": sums([0.01], [0.5])},
        )
        kinds = {trace["type"] for trace in (charts.trade_off(found)["data"])}
        assert kinds == {"scatter"}

    def test_costs_begin_at_zero(self):
        found = view_of(history_of(("r", "a", "[]", 0)), Filters(), now=NOW)
        assert charts.curve(found, "cost_usd", "")["layout"]["yaxis"]["rangemode"] == "tozero"
        assert charts.spend(found)["layout"]["yaxis"]["rangemode"] == "tozero"

    def test_single_moment_has_an_hour_before_and_after_it(self):
        found = view_of(history_of(("r", "a", "[]", 0)), Filters(), now=NOW)
        for chart in (charts.shares(found), charts.curve(found, "quality", "")):
            (at,) = {x for trace in chart["data"] for x in trace["x"]}
            first, last = chart["layout"]["xaxis"]["range"]
            assert first < at < last


def test_rows_of_history_have_the_names_of_sums():
    (row,) = history_of(("r", "a", "[]", 0)).outcomes(history_of(("r", "a", "[]", 0)).groups(), 0.0, "all")
    assert isinstance(row, sqlite3.Row)
    assert set(Sums.__slots__) <= set(row.keys())
