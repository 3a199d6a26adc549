"""``banditroute evaluate``: from a router's own database, and from files, to a verdict."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import Learner, Router, SQLStore
from banditroute.cli import main
from banditroute.policies import Uniform


def invoke(*arguments):
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """600 uniform decisions between two arms, "large" right more often."""
    url = f"sqlite:///{tmp_path_factory.mktemp('evaluate') / 'log.db'}"
    rng = np.random.default_rng(0)
    with Router(
        arms=["large", "small"], features=1, learner=Learner(policy=Uniform()), store=SQLStore(url), seed=5
    ) as router:
        for _ in range(600):
            decision = router.route([rng.random()])
            large = decision.arm == "large"
            quality = float(rng.random() < (0.9 if large else 0.6))
            router.feedback(decision.id, quality=quality, cost_usd=0.01 if large else 0.001)
    return url


def test_an_arm_against_what_was_logged(database):
    result = invoke(database, "--policy", "large")
    assert result.exit_code == 0
    assert re.search(r"^quality +0\.\d+ \(0\.\d+ to 0\.\d+\)", result.output, re.MULTILINE)
    assert result.output.splitlines()[-1].startswith("large would have been better than logged: utility 0.")


def test_a_preference_may_turn_it(database):
    result = invoke(database, "--policy", "large", "--against", "small", "--preference", "quality=1,cost_usd=60")
    assert result.exit_code == 0
    assert "large would have been worse than small" in result.output


@pytest.mark.parametrize("how", [[], ["--frozen"], ["--progressive"]])
def test_a_learner(database, how):
    result = invoke(database, "--policy", "epsilon_greedy(epsilon=0.02)", "--seed", 3, *how)
    assert result.exit_code == 0
    assert result.output.startswith("Contexts: 1 recorded features of 600 decisions.")
    assert "epsilon_greedy(epsilon=0.02)" in result.output.splitlines()[1]


def test_frozen_and_progressive_exclude_each_other(database):
    result = invoke(database, "--policy", "linucb", "--frozen", "--progressive")
    assert (result.exit_code, "give one of them" in result.output) == (2, True)


def test_a_log_without_propensities_is_refused(tmp_path):
    path = tmp_path / "calls.jsonl"
    rows = [
        {"request_id": f"{i}", "model": "ab"[i % 2], "spend": 0.01, "startTime": "2026-01-01T00:00:00Z"}
        for i in range(9)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "request_id": "x", "spend": -1}]))
    result = invoke(path, "--policy", "a", "--skip-bad", "--preference", "cost_usd=1")
    assert result.exit_code == 1
    assert "1 left out: outcomes" in result.output
    assert "No answer: the log has no propensities" in result.output


@pytest.mark.parametrize("preference", ["quality", "quality=much", "quality=-1", "quality=nan"])
def test_a_preference_that_is_none(database, preference):
    result = invoke(database, "--policy", "large", "--preference", preference)
    assert result.exit_code == 2
    assert "--preference" in result.output


def test_own_errors_are_one_line(database):
    result = invoke(database, "--policy", "nobody")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: policy 'nobody' is neither 'logged', 'uniform' nor an arm (large, small)")
