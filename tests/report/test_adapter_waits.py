"""What paging took, in reports of logs and of tables."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import Arm, Preference, Router, SQLStore
from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, SimulatedBackend, lru
from banditroute.cli import main
from banditroute.logs import DecisionLog, read_log
from banditroute.report import report
from banditroute.report.adapter_waits import paging_of_log
from banditroute.store.outcomes import PAGING

PREFER = Preference(quality=1.0, latency_seconds=0.5)


def log_of(seconds, *, arms=("base", "code", "law"), chosen=(0, 1, 2, 1), repeat=1, **outcomes):
    chosen = np.tile(chosen, repeat)
    n = len(chosen)
    return DecisionLog(
        arms=arms,
        chosen=chosen,
        eligible=np.ones((n, len(arms)), dtype=bool),
        outcomes={PAGING: np.tile(seconds, repeat), **{name: np.tile(each, repeat) for name, each in outcomes.items()}},
        decided_at=np.arange(n, dtype=float),
    )


def rows(section):
    return {row[0]: dict(zip(section.table.columns, row, strict=True)) for row in section.table.rows}


class TestLog:
    def test_waits_equal_the_hand_computed_ones(self):
        (section,) = paging_of_log(log_of([np.nan, 0.3, 0.0, 0.1]), preference=PREFER)
        found = rows(section)
        assert list(found) == ["code", "law", "all"]  # base is no adapter
        assert found["code"] == {
            "arm": "code",
            "requests": 2.0,
            "waited": 2.0,
            "hit rate": 0.0,
            "seconds of a wait": pytest.approx(0.2),
            "seconds waited": pytest.approx(0.4),
            "share of all waits": 1.0,
        }
        assert (found["law"]["hit rate"], found["law"]["seconds of a wait"]) == (1.0, None)
        assert found["all"]["hit rate"] == pytest.approx(1.0 / 3.0)

    def test_share_of_all_waits_is_unknown_without_waits(self):
        (section,) = paging_of_log(log_of([np.nan, 0.0, 0.0, 0.0]), preference=PREFER)
        assert rows(section)["all"]["share of all waits"] is None

    @pytest.mark.parametrize("outcomes", [{}, {PAGING: np.full(4, np.nan)}, {"quality": np.ones(4)}])
    def test_a_log_without_it_has_no_section(self, outcomes):
        log = log_of([0.0] * 4)
        assert paging_of_log(DecisionLog(**{**fields(log), "outcomes": outcomes}), preference=PREFER) == []

    def test_recommended_number_of_adapters_needs_enough_requests(self):
        """Of two adapters, one is asked in three of four requests; a hundred such say so, forty at least."""
        seconds, chosen = [0.4, 0.0, 0.0, 0.4], (1, 2, 2, 2)
        _, section = paging_of_log(log_of(seconds, chosen=chosen, repeat=100), preference=PREFER)
        assert section.name == "residency"
        assert section.says.startswith("Recommended: ")
        assert "Of the latest 400" in section.says
        assert "the one that was chosen" in section.says
        resident = {row[0]: row for row in section.table.rows}
        assert list(resident) == [1.0, 2.0]
        assert resident[1.0][1] == pytest.approx(0.75)  # coverage
        assert resident[2.0][1] == 1.0
        assert len(paging_of_log(log_of(seconds, chosen=chosen, repeat=9), preference=PREFER)) == 1

    def test_a_miss_costs_what_it_took_in_the_log(self, monkeypatch):
        asked = []
        monkeypatch.setattr(
            "banditroute.report.adapter_waits.residency", lambda demand, *, miss_cost: asked.append(miss_cost) or 1 / 0
        )
        for preference in (PREFER, Preference(quality=1.0)):
            with pytest.raises(ZeroDivisionError):
                paging_of_log(log_of([np.nan, 0.3, 0.0, 0.1], repeat=20), preference=preference)
        assert asked == [pytest.approx(0.1), None]

    def test_chosen_arms_give_the_demand_where_no_adapter_is_worth_anything(self):
        rng = np.random.default_rng(0)
        log = log_of([0.0, 0.3, 0.0, 0.1], repeat=50, cost_usd=[1.0, 1.0, 1.0, 1.0])
        log = DecisionLog(**{**fields(log), "contexts": rng.normal(size=(200, 3))})
        _, section = paging_of_log(log, preference=Preference(cost_usd=1.0))
        assert "the one that was chosen" in section.says


def fields(log):
    return {name: getattr(log, name) for name in log.__dataclass_fields__}


def test_a_router_s_database(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    backend = SimulatedBackend(capacity=Capacity(slots=2), base_seconds=0.25, bytes_per_second=1e12, jitter=0.0)
    specs = [AdapterSpec(name=name, path=name, size_bytes=1) for name in ("law", "code", "math")]
    rng = np.random.default_rng(0)
    with Router(
        arms=[*(Arm(name=spec.name, adapter=spec) for spec in specs), "base"],
        features=2,
        adapters=AdapterCache(backend=backend, control=lru),
        store=SQLStore(url),
        preference=PREFER,
        seed=0,
    ) as router:
        for i in range(120):
            with router.lease(router.route(rng.normal(size=2))) as decision:
                pass
            if i % 2:
                router.feedback(decision.id, quality=float(rng.random()))
    page = report(read_log(url), tmp_path / "out", name="log", seeds=1, preference=PREFER)
    sections = json.loads((page.parent / "figures.json").read_text())["sections"]
    assert list(sections)[-2:] == ["paging", "residency"]
    assert not any(PAGING in name for name in sections)
    assert PAGING not in sections["arms"][0]
    arms = {row["arm"]: row for row in sections["arms"]}
    paging = {row["arm"]: row for row in sections["paging"]}
    assert paging.keys() <= {"law", "code", "math", "all"}
    for arm in paging.keys() - {"all"}:
        assert paging[arm]["requests"] == arms[arm]["decisions"]
    assert paging["all"]["seconds waited"] == pytest.approx(0.25 * paging["all"]["waited"])
    assert paging["all"]["waited"] >= 3
    for name in ("paging", "residency"):
        assert (page.parent / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert len((page.parent / f"{name}.csv").read_text().splitlines()) == len(sections[name]) + 1
    with pytest.raises(ValueError, match="is a log of decisions, whose loads are over"):
        report(read_log(url), tmp_path / "no", name="log", seeds=1, preference=PREFER, adapter_slots=object())


class TestCommand:
    @pytest.fixture
    def table(self, tmp_path):
        path = tmp_path / "outcomes.csv"
        rng = np.random.default_rng(0)
        lines = [
            f"{i:02},{arm},{rng.random() * (1.0 if arm == task else 0.3):.3f},prompt {i},{task}"
            for i, task in enumerate(np.repeat(["code", "law", "math"], 14))
            for arm in ("code", "law", "math")
        ]
        path.write_text("\n".join(["query_id,model,score,prompt,dataset", *lines]) + "\n")
        return path

    def report(self, *arguments):
        return CliRunner().invoke(main, ["report", *map(str, arguments)])

    def test_a_table_of_adapters(self, table, tmp_path):
        options = ("--slots", 1, "--load-seconds", 0.4, "--preference", "quality=1,latency_seconds=0.1", "--seeds", 2)
        done = self.report(table, *options, "--out", tmp_path / "out")
        assert done.exit_code == 0, done.output
        sections = json.loads((tmp_path / "out" / "figures.json").read_text())["sections"]
        assert [row["policy"] for row in sections["paging"]] == ["ThompsonSampling", "LinUCB", "uniform"]
        assert all(row["requests"] == 84 for row in sections["paging"])
        (by_task,) = (row for row in sections["policies"] if row["policy"] == "best arm per task")
        assert 0.0 < by_task["hit_rate"] < 1.0 - 3 / 42  # in the order of the requests, not of the log
        assert "1 of 3 adapters are kept, by controller" in (tmp_path / "out" / "report.html").read_text()

    @pytest.mark.parametrize("options", [("--slots", 2), ("--load-seconds", 0.4)])
    def test_slots_and_seconds_go_together(self, table, options):
        done = self.report(table, *options)
        assert done.exit_code == 2
        assert "--slots and --load-seconds go together" in done.output

    def test_bad_numbers_are_refused(self, table):
        assert "slots is 0" in self.report(table, "--slots", 0, "--load-seconds", 0.4).output
