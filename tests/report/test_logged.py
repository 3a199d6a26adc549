"""Reports of what a router did."""

import json

import numpy as np
import pytest

from banditroute import InvalidInputError, Objective, Preference, Router, SQLStore
from banditroute.logs import DecisionLog, read_log
from banditroute.report import report


@pytest.fixture
def database(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    rng = np.random.default_rng(0)
    own = Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0)
    with Router(arms=["small", "large"], features=2, seed=0, store=SQLStore(url), objectives=[own]) as router:
        for i in range(300):
            decision = router.route(rng.normal(size=2))
            if i % 10:
                large = decision.arm == "large"
                router.feedback(
                    decision.id,
                    quality=float(rng.random() < (0.9 if large else 0.5)),
                    cost_usd=0.01 if large else 0.001,
                    helpfulness=4.0 if i % 2 else None,
                )
        router.feedback(decision.id, latency_seconds=1.0)
    return url


def test_a_router_s_database(database, tmp_path):
    page = report(
        read_log(database),
        tmp_path / "out",
        name="routes",
        seeds=1,
        preference=Preference(quality=1.0, cost_usd=10.0),
        budget_usd=0.005,
    )
    sections = json.loads((page.parent / "figures.json").read_text())["sections"]
    assert list(sections) == [
        "arms",
        "shares",
        "utility",
        *(f"over-time-{name}" for name in read_log(database).outcomes),
        "calibration",
    ]
    arms = {row["arm"]: row for row in sections["arms"]}
    assert arms["small"]["decisions"] + arms["large"]["decisions"] == arms["all"]["decisions"] == 300
    assert arms["large"]["cost_usd"] == pytest.approx(0.01)
    assert arms["large"]["quality"] > arms["small"]["quality"]
    for arm in ("small", "large", "all"):
        assert arms[arm]["USD per right answer"] == pytest.approx(arms[arm]["cost_usd"] / arms[arm]["quality"])
    (utility,) = sections["utility"]
    assert utility["decisions with feedback"] == 270
    assert utility["mean utility"] == pytest.approx(arms["all"]["quality"] - 10.0 * arms["all"]["cost_usd"])
    (cost,) = sections["over-time-cost_usd"]
    assert (cost["reported"], cost["budget"]) == (270, 0.005)
    assert sum(row["answers"] for row in sections["calibration"]) == 270
    assert "budget" in page.read_text()


def test_decisions_without_feedback(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    with Router(arms=["small", "large"], features=1, store=SQLStore(url)) as router:
        router.route([0.5])
    page = report(read_log(url), tmp_path / "out", name="routes", seeds=1, preference=Preference(quality=1.0))
    assert set(json.loads((page.parent / "figures.json").read_text())["sections"]) == {"arms", "shares"}


def test_unknown_objective_of_a_preference_is_refused(tmp_path):
    log = DecisionLog(
        arms=("a",),
        chosen=np.zeros(5, dtype=int),
        eligible=np.ones((5, 1), dtype=bool),
        outcomes={"reward": np.ones(5)},
        decided_at=np.arange(5.0),
    )
    with pytest.raises(InvalidInputError, match="objective 'rewrad' of the preference is unknown"):
        report(log, tmp_path / "out", preference=Preference(rewrad=1.0))
    assert not (tmp_path / "out").exists()
