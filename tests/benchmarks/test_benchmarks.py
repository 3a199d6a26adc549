"""The form that all benchmarks share, and that what they compare with is right."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner

from banditroute.logs import read_outcomes
from benchmarks.harness import Row, command, report, row
from benchmarks.rivals import RIVALS
from benchmarks.speed import BareLinUCB

ROOT = Path(__file__).resolve().parents[2]
KEYS = ["case", "policy", "metric", "mean", "std", "worst", "n"]


class TestRow:
    def test_row_equals_the_hand_computed_one(self):
        made = row("log", "banditroute", "score_pass", [0.5, 0.7, 0.9])
        assert vars(made) == pytest.approx(
            {
                "case": "log",
                "policy": "banditroute",
                "metric": "score_pass",
                "mean": 0.7,
                "std": 0.2,
                "worst": 0.5,
                "n": 3,
            }
        )

    def test_worst_regret_is_the_largest(self):
        assert row("c", "p", "regret", [3.0, 1.0], higher_is_better=False).worst == 3.0

    def test_single_value_has_a_std_of_zero(self):
        assert row("c", "oracle", "score_pass", [0.5]).std == 0.0


class TestReport:
    ROWS = (
        Row(case="log", policy="banditroute", metric="score_pass", mean=0.71234, std=0.0123, worst=0.7, n=20),
        Row(case="log", policy="oracle", metric="score_pass", mean=0.9, std=0.0, worst=0.9, n=1),
    )

    def test_report_prints_an_aligned_table(self, capsys):
        report(self.ROWS, None)
        assert capsys.readouterr().out.splitlines() == [
            "case  policy       metric      mean    std    worst  n",
            "log   banditroute  score_pass  0.7123  0.012  0.7    20",
            "log   oracle       score_pass  0.9     0      0.9    1",
        ]

    def test_json_has_the_numbers_unrounded(self, tmp_path):
        report(self.ROWS, str(tmp_path / "out.json"))
        document = json.loads((tmp_path / "out.json").read_text())
        assert document["numpy"] == np.__version__
        assert document["rows"] == [vars(row) for row in self.ROWS]
        assert list(document["rows"][0]) == KEYS


class TestCommand:
    @pytest.fixture
    def asked(self):
        return []

    @pytest.fixture
    def main(self, asked) -> click.Command:
        @command(default_files=["not-there-at-all.parquet"], seeds=7)
        def main(*, files, seeds):
            """Says what it is."""
            asked.append((files, seeds))
            return list(TestReport.ROWS)

        return main

    def test_files_seeds_and_json(self, main, asked, bad_log, tmp_path):
        out = tmp_path / "out.json"
        result = CliRunner().invoke(main, [str(bad_log), str(bad_log), "--seeds", "3", "--json", str(out)])
        assert result.exit_code == 0, result.output
        assert asked == [([bad_log, bad_log], 3)]
        assert "banditroute" in result.output
        assert len(json.loads(out.read_text())["rows"]) == 2

    def test_seeds_default_to_those_of_the_benchmark(self, main, asked, bad_log):
        assert CliRunner().invoke(main, [str(bad_log)]).exit_code == 0
        assert asked == [([bad_log], 7)]

    def test_help_prints_the_docstring(self, main):
        assert "Says what it is." in CliRunner().invoke(main, ["--help"]).output

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ([], "not-there-at-all.parquet is not in shared/data; name the files to use"),
            (["nowhere.parquet"], "'nowhere.parquet' does not exist"),
            (["--seeds", "0"], "0 is not in the range x>=1"),
        ],
    )
    def test_wrong_usage_exits_with_status_2(self, main, asked, arguments, message):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2
        assert message in result.stderr
        assert asked == []


class TestBareLinUCB:
    """Li et al. 2010, algorithm 1, written out: what the speed of ours is compared with must do the same work."""

    def test_one_update_by_hand(self):
        bandit = BareLinUCB(2, 2)
        bandit.update(1, np.array([1.0, 1.0]), 3.0)
        # A = I + [[1, 1], [1, 1]]: inverse [[2, -1], [-1, 2]] / 3; theta = inverse @ [3, 3] = [1, 1]
        np.testing.assert_allclose(bandit.inverse[1], np.array([[2.0, -1.0], [-1.0, 2.0]]) / 3.0)
        np.testing.assert_allclose(bandit.theta[1], [1.0, 1.0])
        np.testing.assert_array_equal(bandit.inverse[0], np.eye(2))
        np.testing.assert_array_equal(bandit.theta[0], [0.0, 0.0])

    def test_choice_by_hand(self):
        bandit = BareLinUCB(2, 2)
        bandit.update(1, np.array([1.0, 1.0]), 3.0)
        # at [1, 1]: arm 0 has 0 + .5 sqrt(2) = .71, arm 1 has 2 + .5 sqrt(2 / 3) = 2.41
        assert bandit.choose(np.array([1.0, 1.0])) == 1
        # at [1, -1]: arm 0 has .5 sqrt(2) = .707, arm 1 has 0 + .5 sqrt(2): updated once more there, it is the lesser
        bandit.update(1, np.array([1.0, -1.0]), 0.0)
        assert bandit.choose(np.array([1.0, -1.0])) == 0

    def test_width_of_the_confidence_bound_is_counted(self):
        bandit = BareLinUCB(1, 2)
        bandit.update(0, np.array([1.0]), 0.9)
        # arm 0: .45 + .5 sqrt(.5) = .80; arm 1: 0 + .5
        assert bandit.choose(np.array([1.0])) == 0
        bandit.update(0, np.array([1.0]), -0.9)
        # arm 0: 0 + .5 sqrt(1 / 3) = .29; arm 1: .5
        assert bandit.choose(np.array([1.0])) == 1

    def test_many_updates_are_the_ridge_regression(self):
        rng = np.random.default_rng(0)
        d, k, n = 5, 3, 200
        bandit = BareLinUCB(d, k)
        arms, x, y = rng.integers(k, size=n), rng.normal(size=(n, d)), rng.normal(size=n)
        for arm, context, outcome in zip(arms, x, y, strict=True):
            bandit.update(arm, context, outcome)
        for arm in range(k):
            mine = arms == arm
            precision = np.eye(d) + x[mine].T @ x[mine]
            np.testing.assert_allclose(bandit.inverse[arm], np.linalg.inv(precision), atol=1e-10)
            np.testing.assert_allclose(bandit.theta[arm], np.linalg.solve(precision, x[mine].T @ y[mine]), atol=1e-10)
        probe = rng.normal(size=d)
        scores = [bandit.theta[arm] @ probe + 0.5 * np.sqrt(probe @ bandit.inverse[arm] @ probe) for arm in range(k)]
        assert bandit.choose(probe) == int(np.argmax(scores))


@pytest.fixture(scope="module")
def rows(small_log, tmp_path_factory):
    """What the quality benchmark writes of two seeds on 60 prompts."""
    out = tmp_path_factory.mktemp("quality") / "out.json"
    run = [sys.executable, "-m", "benchmarks.quality", str(small_log), "--seeds", "2", "--rival-seeds", "3"]
    done = subprocess.run([*run, "--json", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = json.loads(out.read_text())["rows"]
    assert len(done.stdout.splitlines()) == len(rows) + 1
    return rows


class TestQuality:
    def test_rows_have_the_one_form(self, rows):
        assert all(list(row) == KEYS for row in rows)
        assert {row["case"] for row in rows} == {"small"}
        assert len({(row["policy"], row["metric"]) for row in rows}) == len(rows)

    def test_policies_and_metrics(self, rows):
        by_policy = {}
        for figure in rows:
            by_policy.setdefault(figure["policy"], []).append((figure["metric"], figure["n"]))
        learned = [("score_pass", 2), ("score_second_half", 2), ("regret", 2)]
        rivals = [name for name in RIVALS if importlib.util.find_spec(name)]
        assert by_policy == {
            "banditroute": learned,
            "banditroute/linucb": learned,
            "banditroute/squarecb": learned,
            "banditroute/epsilon_greedy": learned,
            **{name: [(metric, 3) for metric, _ in learned] for name in rivals},
            "ridge_full": [("score_pass", 3)],
            "knn_full": [("score_pass", 3)],
            **{name: [("score_pass", 1)] for name in ("best_single", "best_per_task", "uniform", "oracle")},
        }

    def test_references_are_those_of_the_log(self, rows, small_log):
        table = read_outcomes(small_log)
        quality = table.outcomes["quality"]
        mean = {row["policy"]: row["mean"] for row in rows if row["metric"] == "score_pass"}
        assert mean["best_single"] == pytest.approx(quality.mean(axis=0).max())
        assert mean["uniform"] == pytest.approx(quality.mean())
        assert mean["oracle"] == pytest.approx(quality.max(axis=1).mean())
        per_task = 0.0
        for task in set(table.tasks):
            mine = np.array([other == task for other in table.tasks])
            per_task += quality[mine].mean(axis=0).max() * mine.sum() / len(table)
        assert mean["best_per_task"] == pytest.approx(per_task)

    def test_regret_is_what_the_best_single_arm_has_more(self, rows):
        figures = {(row["policy"], row["metric"]): row["mean"] for row in rows}
        best = figures["best_single", "score_pass"]
        for policy in ("banditroute", "banditroute/linucb", "banditroute/epsilon_greedy"):
            assert figures[policy, "regret"] == pytest.approx(60 * (best - figures[policy, "score_pass"]))

    def test_missing_file_is_a_usage_error(self):
        run = [sys.executable, "-m", "benchmarks.quality", "nowhere.parquet"]
        done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == 2
        assert done.stderr.startswith("Usage: ")
        assert "'nowhere.parquet' does not exist" in done.stderr
