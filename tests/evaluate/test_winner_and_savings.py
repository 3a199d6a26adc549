"""The best arm and the savings of a log: found where they are there, never claimed where they are not."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import InvalidInputError, Preference, Router, SQLStore
from banditroute.cli import main
from banditroute.evaluate import savings, winner
from banditroute.logs import DecisionLog


def make(seed=0, *, rows=3_000, quality=(0.9, 0.7, 0.7), usd=(0.01, 0.002, 0.001), shares=(0.4, 0.3, 0.3), tasks=None):
    rng = np.random.default_rng(seed)
    chosen = rng.choice(3, size=rows, p=shares)
    return DecisionLog(
        arms=("a", "b", "c"),
        chosen=chosen,
        eligible=np.ones((rows, 3), dtype=bool),
        propensities=np.array(shares)[chosen],
        probabilities=np.tile(shares, (rows, 1)),
        contexts=np.ones((rows, 1)),
        outcomes={
            "quality": (rng.random(rows) < np.array(quality)[chosen]).astype(float),
            "cost_usd": np.array(usd)[chosen] * rng.uniform(0.5, 1.5, rows),
        },
        tasks=tasks,
        decided_at=np.arange(float(rows)),
    )


class TestWinner:
    def test_best_arm_is_declared(self):
        found = winner(make())
        assert (found.arm, found.leader, found.decisions) == ("a", "a", 3_000)
        assert 0.0 < found.lead < 0.2
        assert str(found).startswith("After 3,000 decisions a can be declared best: a leads each other arm by 0.")

    def test_no_arm_is_declared_where_two_are_alike(self):
        wrong = sum(winner(make(seed, rows=1_500, quality=(0.8, 0.8, 0.5))).arm is not None for seed in range(20))
        assert wrong <= 1

    def test_epsilon_ends_a_tie(self):
        tie = make(quality=(0.8, 0.8, 0.5), rows=8_000)
        assert winner(tie).arm is None
        assert winner(tie, epsilon=0.1).arm in ("a", "b")

    def test_a_preference_may_have_another_winner(self):
        assert winner(make(rows=8_000), preference=Preference(quality=1.0, cost_usd=200.0)).arm == "c"

    def test_each_task_has_its_own_winner(self):
        rows = 6_000
        tasks = tuple("code" if i % 2 else "math" for i in range(rows))
        log = make(rows=rows, tasks=tasks)
        quality = log.outcomes["quality"].copy()
        quality[1::2] = (log.chosen[1::2] == 2).astype(float)
        found = winner(replace(log, outcomes={"quality": quality}), per="task")
        assert found.by_task["code"].arm == "c"
        assert found.by_task["math"].arm == "a"
        assert "\ncode: After 3,000 decisions c can be declared best" in str(found)

    def test_an_arm_that_was_never_chosen_prevents_it(self):
        log = make(shares=(0.5, 0.5, 0.0))
        assert winner(log).arm is None
        assert winner(log).lead == -np.inf

    @pytest.mark.parametrize(
        ("change", "options"),
        [
            ({"propensities": None, "probabilities": None}, {}),
            ({}, {"per": "task"}),
            ({}, {"per": "day"}),
            ({}, {"delta": 0.0}),
            ({}, {"epsilon": -0.1}),
            ({"outcomes": {"quality": np.full(3_000, np.nan)}}, {}),
            ({}, {"preference": Preference(energy_joules=1.0)}),
        ],
    )
    def test_winner_refuses_unusable_logs(self, change, options):
        with pytest.raises(InvalidInputError):
            winner(replace(make(), **change), **options)


class TestSavings:
    def test_dollars_and_quality_within_bounds(self):
        found = savings(make(), baseline="a")
        truth = 1_000 * (0.01 - (0.4 * 0.01 + 0.3 * 0.002 + 0.3 * 0.001))
        assert found.usd_per_1000.lower < truth < found.usd_per_1000.upper
        assert found.baseline_usd_per_1000 == pytest.approx(10.0, rel=0.05)
        assert found.quality.lower < -0.12 < found.quality.upper
        assert found.kwh_per_1000 is None
        assert found.verdict.startswith("Routing saved $5.")
        assert "; quality differs by -0." in found.verdict
        assert "dollars saved" in str(found)

    def test_no_saving_is_shown_where_there_is_none(self):
        for seed in range(20):
            found = savings(make(seed, usd=(0.01, 0.01, 0.01)), baseline="a")
            assert found.verdict.startswith("No saving is shown against always a: ")

    def test_a_loss_is_called_one(self):
        assert savings(make(), baseline="c").verdict.startswith("Routing cost $")

    def test_energy_is_in_kwh(self):
        log = make()
        found = savings(replace(log, outcomes={"energy_joules": 3.6e6 * log.outcomes["cost_usd"]}), baseline="a")
        assert found.usd_per_1000 is None
        assert found.verdict == "No answer: no decision reports cost_usd; report it with the feedback."
        assert found.kwh_per_1000.lower < 5.1 < found.kwh_per_1000.upper

    def test_a_baseline_that_was_hardly_used_has_no_answer(self):
        found = savings(make(shares=(0.01, 0.49, 0.5)), baseline="a")
        assert found.verdict.startswith("No answer: the effective sample size is")

    @pytest.mark.parametrize("change", [{"propensities": None, "probabilities": None}, {}])
    def test_savings_refuse_unusable_logs(self, change):
        with pytest.raises(InvalidInputError):
            savings(replace(make(), **change), baseline="a" if change else "nobody")

    def test_command_reads_a_database(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'r.db'}"
        rng = np.random.default_rng(0)
        with Router(arms=["large", "small"], features=1, store=SQLStore(url), seed=0) as router:
            for _ in range(400):
                decision = router.route([0.5])
                usd = (0.01 if decision.arm == "large" else 0.001) * rng.uniform(0.9, 1.1)
                router.feedback(decision.id, quality=0.5, cost_usd=usd)
        done = CliRunner().invoke(main, ["savings", url, "--baseline", "large"])
        assert "decisions against always large" in done.output
        assert done.exit_code == (1 if "No answer" in done.output else 0)
        assert CliRunner().invoke(main, ["savings", url, "--baseline", "x"]).exit_code == 1
