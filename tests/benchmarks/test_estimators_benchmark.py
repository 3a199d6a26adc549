"""The benchmark of estimators, on a table whose truth can be computed by hand."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner

from banditroute.logs import read_outcomes
from benchmarks import estimators
from benchmarks.estimators import main


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """100 prompts; "left" is right for six of ten of them, "right" for nine of ten."""
    rows = [
        {"query_id": f"q{q:03d}", "prompt": f"prompt {q}", "model": model, "score": score, "cost_usd": 0.001 + score}
        for q in range(100)
        for model, score in (("left", float(q % 10 < 6)), ("right", float(q % 10 > 0)))
    ]
    path = tmp_path_factory.mktemp("estimators") / "toy.parquet"
    parquet.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_every_estimator_is_measured(file, tmp_path, monkeypatch):
    monkeypatch.setattr(estimators, "STEPS", 20)
    out = tmp_path / "out.json"
    options = ["--repetitions", "4", "--seeds", "3", "--rows", "3000", "--json", str(out)]
    result = CliRunner().invoke(main, [str(file), *options], catch_exceptions=False)
    assert result.exit_code == 0
    rows = {(row["case"], row["policy"], row["metric"]): row for row in json.loads(out.read_text())["rows"]}
    for logging in ("uniform", "softmax", "greedy"):
        for target in ("best_single", "uniform", "greedy"):
            case = f"toy/{logging}/{target}"
            if rows[case, "gates", "answered"]["mean"] == 1.0:
                for estimator in ("IPS", "clipped IPS", "SNIPS", "DM", "DR", "SNDR", "SWITCH-DR", "DRos"):
                    assert rows[case, estimator, "bias"]["n"] == 4
                    assert abs(rows[case, estimator, "bias"]["mean"]) < 0.1
                assert 0.0 <= rows[case, "SNDR", "coverage"]["mean"] <= 1.0
                assert rows[case, "dollars", "missed"]["mean"] <= rows[case, "dollars", "bounded"]["mean"] <= 1.0
            assert rows[case, "sequence/DR", "missed"]["n"] == 4
            assert 0.0 < rows[case, "sequence/DR", "width"]["mean"] < 1.0
    assert rows["toy/LinUCB", "uniform", "quality_of_20"]["n"] == 3
    assert ("3,000 rows, 8 arms, 32 features", "SNIPS and DR", "seconds") in rows


def test_the_truth_is_the_tables(file):
    """A log in which everything was tried has no error but that of the draw of prompts."""
    world = estimators.world_of(read_outcomes(file))
    world = replace(world, logging={"uniform": world.logging["uniform"]})
    assert world.targets["best_single"][0].tolist() == [0.0, 1.0]
    found = {}
    for seed in range(20):
        for case, policy, metric, value in estimators.one_repeat(world, np.random.default_rng(seed)):
            found.setdefault((case, policy, metric), []).append(value)
    assert np.mean(found["toy/uniform/uniform", "dollars", "bounded"]) == 1.0
    assert np.mean(found["toy/uniform/uniform", "dollars", "missed"]) < 0.2
    errors = found["toy/uniform/uniform", "IPS", "error"]
    assert np.mean(errors) == pytest.approx(0.0, abs=4 * np.std(errors) / np.sqrt(20))
    assert np.std(errors) == pytest.approx(np.sqrt(0.75 * 0.25 / 2000), rel=0.5)  # a coin of .75, 2,000 times
