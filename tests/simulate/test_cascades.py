"""Cascades on tables of outcomes, next to what they compete with."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from banditroute import InvalidConfigurationError, Preference
from banditroute.cli.main import main
from banditroute.learners import ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.simulate.cascades import compare_cascades, fixed_chain, looks_of
from banditroute.simulate.environments import Environment

N = 160
PREFERENCE = Preference(quality=1.0, cost_usd=30.0)


def table_of(**more):
    """The cheap arm is right for one half of the prompts, the expensive one for all at ten times the price."""
    right = np.stack([np.arange(N) % 2, np.ones(N)], axis=1).astype(float)
    cost = np.tile([0.001, 0.01], (N, 1))
    prompts = tuple(f"prompt {k}" for k in range(N))
    outcomes = {"quality": right, "cost_usd": cost, **more}
    return OutcomeTable(name="toy", prompts=prompts, tasks=("",) * N, arms=("cheap", "large"), outcomes=outcomes)


def compared(table, judge, preference=PREFERENCE, seeds=1):
    environment = Environment(table, np.zeros((N, 1)))
    rows = compare_cascades(
        environment, {"thompson": ThompsonSampling()}, judge=judge, preference=preference, seeds=seeds
    )
    return {row.policy: row for row in rows}


class TestComparison:
    def test_cascade_with_a_judge_that_never_errs_is_ahead_of_single_calls_and_the_best_arm(self):
        rows = compared(table_of(), "0", seeds=2)
        cascade = rows["cascade: thompson"]
        assert cascade.utility.n == 2
        assert cascade.quality.mean > 0.9
        assert cascade.utility.mean > rows["single calls: thompson"].utility.mean
        assert cascade.utility.mean > rows["best single arm (large)"].utility.mean == pytest.approx(0.7)
        assert 1.2 < cascade.calls.mean < 1.8
        assert rows["single calls: thompson"].calls.mean == 1.0

    def test_static_mixture_costs_what_the_cascade_costs(self):
        rows = compared(table_of(), "0")
        mixture, cascade = rows["static mixture"], rows["cascade: thompson"]
        assert mixture.cost_usd.mean == pytest.approx(cascade.cost_usd.mean)
        share = (mixture.cost_usd.mean - 0.001) / 0.009
        assert mixture.quality.mean == pytest.approx(0.5 + 0.5 * share)

    def test_recorded_judge_is_an_outcome_of_the_table(self):
        right = table_of().outcomes["quality"]
        recorded = compared(table_of(score=0.1 + 0.8 * right), "score")
        assert recorded["cascade: thompson"].utility.mean == pytest.approx(
            compared(table_of(), "0")["cascade: thompson"].utility.mean, abs=0.05
        )

    def test_same_seeds_give_the_same_figures(self):
        assert compared(table_of(), "0.2") == compared(table_of(), "0.2")


class TestFixedChain:
    def test_chain_asks_the_cheap_arm_first_and_the_other_if_it_looks_bad(self):
        table = table_of()
        served = fixed_chain(table, table.outcomes["quality"], np.arange(N), 40, PREFERENCE)
        assert served == pytest.approx((0.001 + 0.5 * 0.01, 1.0, 1.5))

    def test_chain_is_one_arm_where_looks_say_nothing(self):
        table = table_of()
        served = fixed_chain(table, np.full((N, 2), 0.95), np.arange(N), 40, PREFERENCE)
        assert served == pytest.approx((0.01, 1.0, 1.0))


class TestRefusals:
    @pytest.mark.parametrize("judge", ["0.6", "-0.1", "nan", "unknown"])
    def test_judge_is_a_share_of_errors_or_an_outcome(self, judge):
        with pytest.raises(InvalidConfigurationError, match="neither a share of errors from 0"):
            looks_of(table_of(), judge, np.random.default_rng(0))

    def test_recorded_judge_has_a_value_in_0_to_1_for_every_answer(self):
        with pytest.raises(InvalidConfigurationError, match="missing values or values outside"):
            looks_of(table_of(score=np.full((N, 2), np.nan)), "score", np.random.default_rng(0))

    @pytest.mark.parametrize(
        "preference", [Preference(quality=1.0), Preference(quality=1.0, cost_usd=1.0, latency_seconds=1.0)]
    )
    def test_preference_is_of_quality_and_cost(self, preference):
        with pytest.raises(InvalidConfigurationError, match="give weights of quality and cost_usd"):
            compared(table_of(), "0.1", preference)

    def test_table_has_every_cost(self):
        with pytest.raises(InvalidConfigurationError, match="cost_usd is missing"):
            compared(table_of(cost_usd=np.full((N, 2), np.nan)), "0.1")


def test_command_prints_and_writes_the_figures(tmp_path):
    table = table_of()
    rows = [
        {
            "query_id": f"q{i:03d}",
            "prompt": f"prompt {i}",
            "model": arm,
            "score": float(table.outcomes["quality"][i, k]),
        }
        | {"cost_usd": float(table.outcomes["cost_usd"][i, k]), "judged": 0.5}
        for i in range(N)
        for k, arm in enumerate(table.arms)
    ]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    arguments = ["simulate", str(tmp_path / "log.parquet"), "--policy", "thompson", "--seeds", "1"]
    arguments += ["--preference", "quality=1,cost_usd=30", "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(main, [*arguments, "--cascade", "0.1"])
    assert found.exit_code == 0, found.output
    for policy in ("cascade: thompson", "single calls: thompson", "fixed chain", "static mixture", "best single arm"):
        assert policy in found.output
    lines = (tmp_path / "out" / "cascades.csv").read_text().splitlines()
    assert lines[0] == "setting,policy,metric,mean,std,worst,n"
    assert len(lines) == 1 + 5 * 4
    recorded = CliRunner().invoke(main, [*arguments, "--column", "judge=judged", "--cascade", "judge"])
    assert recorded.exit_code == 0, recorded.output
    assert CliRunner().invoke(main, [*arguments, "--cascade", "most"]).exit_code != 0
