"""``banditroute diagnose``: from tables and logs of decisions to a number of resident adapters and an epoch."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from banditroute import Learner, Router, SQLStore
from banditroute.cli import main
from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.evaluate.residency import Demand, demand_of_log, demand_of_table, residency
from banditroute.logs import OutcomeTable
from banditroute.policies import Uniform

QUALITY = Preference(quality=1.0)


def diagnose(*arguments, status=0):
    result = CliRunner().invoke(main, ["diagnose", *map(str, arguments)])
    assert result.exit_code == status, result.output
    return result.output


def of(adapters, *, utilities=None, kinds=4):
    wanted = np.eye(kinds, dtype=bool)[adapters]
    return Demand(source="a test", adapters=tuple("abcdefgh"[:kinds]), wanted=wanted, utilities=utilities)


class TestResidency:
    def test_traffic_that_moves_on_wants_short_epochs(self):
        """Blocks of 50 requests for one of four adapters: one resident is enough, if it changes often enough."""
        found = residency(of(np.arange(800) // 50 % 4))
        assert found.slots == (1, 2, 3, 4)
        assert found.lengths == (10, 20, 50, 100, 200)
        # of 5 parts of a block, the first is served by the adapter of the block before
        first = found.figures["coverage carried"][0, 0]
        assert first == pytest.approx(1.0 - 15 / 79)
        assert found.figures["coverage"][:, 0].tolist() == pytest.approx([1.0, 35 / 39, 1.0, 0.5, 0.25])

    def test_traffic_that_stays_wants_long_ones(self):
        rng = np.random.default_rng(0)
        found = residency(of(rng.choice(4, p=[0.48, 0.46, 0.04, 0.02], size=2000)))
        assert found.recommended_slots == 2
        assert found.recommended_length == found.lengths[-1] == 500

    def test_utility_decides_where_it_is_known(self):
        """All adapters are wanted, and one is nearly as good as any: coverage asks for more of them than utility."""
        adapters = np.random.default_rng(0).integers(4, size=400)
        worth = np.full((400, 4), 0.2)
        worth[:, 0] = 0.899
        worth[np.arange(400), adapters] = 0.9
        found = residency(of(adapters, utilities=worth))
        assert found.recommended_slots == 1
        assert found.figures["coverage"][-1, 0] < 0.4
        assert found.figures["utility"][-1, 0] > 0.99

    def test_a_cheap_miss_makes_residents_worth_less(self):
        worth = np.random.default_rng(0).uniform(size=(200, 4))
        demand = of(worth.argmax(axis=1), utilities=worth)
        dear, cheap = (residency(demand, miss_cost=cost).figures["utility"][0, 0] for cost in (0.5, 0.05))
        assert cheap > dear >= residency(demand).figures["utility"][0, 0]

    def test_print_shows_both_directions_and_marks_what_is_recommended(self):
        shown = str(residency(of(np.arange(40) % 2, kinds=2)))
        assert "Adapter of a request: a test." in shown
        assert "40 requests, 2 adapters, wanted by: a 50%, b 50%" in shown
        assert re.search(r"^ +1\*? +0\.500", shown, re.MULTILINE)
        assert re.search(r"^ +10\* ", shown, re.MULTILINE)

    def test_too_few_requests_are_refused(self):
        with pytest.raises(InvalidInputError, match="39 requests say too little; log at least 40"):
            residency(of(np.zeros(39, dtype=int)))


class TestDemand:
    def table(self, quality, prompts=None):
        n, k = quality.shape
        return OutcomeTable(
            name="t",
            prompts=("",) * n if prompts is None else prompts,
            tasks=("",) * n,
            arms=tuple("abc"[:k]),
            outcomes={"quality": quality, "cost_usd": np.full((n, k), [0.0, 0.5])},
        )

    def test_table_as_measured(self):
        quality = np.tile([[1.0, 1.0], [0.0, 1.0]], (50, 1))
        (found,) = demand_of_table(self.table(quality), QUALITY)
        assert "as measured" in found.source
        assert found.wanted.mean(axis=0).tolist() == [0.5, 1.0]
        (found,) = demand_of_table(self.table(quality), Preference(quality=1.0, cost_usd=1.0))
        assert found.wanted.mean(axis=0).tolist() == [0.5, 0.5]
        assert sorted(set(found.utilities.ravel())) == [0.0, 0.5, 1.0]

    def test_order_of_a_table_is_drawn(self):
        quality = np.repeat([[1.0, 0.0], [0.0, 1.0]], 50, axis=0)
        first, again, other = (demand_of_table(self.table(quality), QUALITY, seed=seed)[0] for seed in (0, 0, 1))
        assert (first.wanted == again.wanted).all()
        assert (first.wanted != other.wanted).any()
        assert (first.wanted[:50].mean(axis=0) > 0.2).all()

    def test_expectation_does_not_take_luck_for_skill(self):
        """Coins: as measured each of two is better in a quarter of the rows; little of that is expected again."""
        quality = np.random.default_rng(0).integers(2, size=(400, 2)).astype(float)
        prompts = tuple(f"What is {i} plus {i * i}?" for i in range(400))
        measured, expected = demand_of_table(self.table(quality, prompts), QUALITY)
        assert "θ̂" in expected.source
        gain = [each.utilities.max(axis=1).mean() - each.utilities.mean(axis=0).max() for each in (measured, expected)]
        assert gain[0] > 0.2 > 2.0 * gain[1]

    def test_table_with_gaps(self):
        with pytest.raises(InvalidInputError, match="t lacks the quality of some arms"):
            demand_of_table(self.table(np.array([[0.5, np.nan]])), QUALITY)
        with pytest.raises(InvalidInputError, match="t lacks the energy_joules of some arms"):
            demand_of_table(self.table(np.ones((2, 2))), Preference(quality=1.0, energy_joules=1.0))

    def test_demand_of_a_log_follows_its_choices_and_its_qualities(self, make_log):
        log, world = make_log(1500)
        chosen, expected = demand_of_log(log, QUALITY)
        assert chosen.utilities is None
        assert (chosen.wanted.argmax(axis=1) == log.chosen).all()
        assert (expected.wanted.argmax(axis=1) == world.quality.argmax(axis=1)).mean() > 0.8
        assert np.abs(expected.utilities - world.quality).mean() < 0.05

    def test_log_expects_only_what_was_observed(self, make_log):
        log, _ = make_log(200)
        log.outcomes["quality"][:100] = np.nan
        assert [len(each.wanted) for each in demand_of_log(log, QUALITY)] == [200, 100]
        log.outcomes["quality"][:170] = np.nan
        (found,) = demand_of_log(log, QUALITY)
        assert found.source.endswith("(the log lacks 40 decisions whose quality is known, so no more can be expected)")
        (found,) = demand_of_log(log, Preference(quality=1.0, energy_joules=1.0))
        assert "40 decisions whose quality and energy_joules is known" in found.source
        (found,) = demand_of_log(replace(log, contexts=None), QUALITY)
        assert "the log lacks contexts" in found.source


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """150 uniform decisions between three arms, two of which are each better for one half of the requests."""
    url = f"sqlite:///{tmp_path_factory.mktemp('diagnose') / 'log.db'}"
    rng = np.random.default_rng(0)
    learner = Learner(policy=Uniform())
    with Router(arms=["law", "code", "none"], features=1, learner=learner, store=SQLStore(url), seed=5) as router:
        for _ in range(150):
            x = rng.choice([-1.0, 1.0])
            decision = router.route([x])
            router.feedback(
                decision.id, quality={"law": 0.5 + 0.4 * x, "code": 0.5 - 0.4 * x, "none": 0.1}[decision.arm]
            )
    return url


class TestCommand:
    def test_log_of_decisions(self, database, tmp_path):
        path = tmp_path / "diagnosis.png"
        output = diagnose(database, "--plot", path, "--miss-cost", 0.2)
        assert "Adapter of a request: the one that was chosen." in output
        assert "Adapter of a request: the best by θ̂, a ridge per arm on the contexts, off-policy." in output
        assert output.count("Recommended: ") == 2
        assert "Recommended: 2 resident" in output.split("θ̂")[1]
        assert path.read_bytes().startswith(b"\x89PNG")

    def test_table_of_outcomes(self, small_log):
        output = diagnose(small_log)
        assert "60 requests, 4 adapters" in output
        assert output.count("Recommended: ") == 2
        assert "Picture" not in output

    def test_columns_and_damage(self, tmp_path):
        path = tmp_path / "calls.jsonl"
        row = '{"request_id": "1", "model": "m", "spend": %s, "startTime": "2026-01-01T00:00:00Z"}\n'
        path.write_text(row % 0.1 * 50 + row % -1)
        assert "row 51: outcomes is [('cost_usd', -1.0)]" in diagnose(path, status=1)
        output = diagnose(path, "--skip-bad", "--column", "arm=request_id")
        assert "1 left out: outcomes" in output
        assert "50 requests, 1 adapters, wanted by: 1 100%" in output

    @pytest.mark.parametrize(
        ("options", "status", "message"),
        [
            (["--router", "r"], 1, "is in the format long, which names no routers"),
            (["--miss-cost", "-1"], 1, "miss_cost is -1.0"),
            (["--miss-cost", "nan"], 1, "miss_cost is nan"),
            (["--preference", "cost_usd=1"], 1, "no adapter is worth more than 0 on average"),
            (["--preference", "elegance=1"], 1, "elegance"),
            (["--preference", "quality"], 2, "is not a preference; give weights of objectives"),
        ],
    )
    def test_wrong_usage_exits_with_a_message(self, small_log, options, status, message):
        assert message in diagnose(small_log, *options, status=status)

    def test_command_refuses_too_few_rows(self, tmp_path):
        path = tmp_path / "short.parquet"
        pq.write_table(pa.table({"query_id": ["a"], "model": ["m"], "score": [1.0]}), path)
        assert "1 requests say too little; log at least 40" in diagnose(path, status=1)
