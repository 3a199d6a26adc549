"""Expected costs of arms in simulations: from the log or from token prices, and the same on both ways of a replay."""

import numpy as np
import pytest

from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.learners import LinUCB, ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.pricing import ModelPrice
from banditroute.simulate import expected_costs, fast_path, replay
from banditroute.simulate.environments import linear
from banditroute.simulate.experiment import Experiment

PRICE = ModelPrice(input_usd_per_million_tokens=100.0, output_usd_per_million_tokens=1000.0)


def table(**outcomes):
    values = {"quality": np.ones((2, 2)), **outcomes}
    return OutcomeTable(name="toy", prompts=("x" * 40, "x" * 80), tasks=("",) * 2, arms=("a", "b"), outcomes=values)


def test_the_log_gives_mean_costs_and_leaves_out_unknown_ones():
    cost = np.array([[0.1, np.nan], [0.3, np.nan]])
    assert expected_costs(table(cost_usd=cost)) == {"a": {"cost_usd": pytest.approx(0.2)}}


def test_token_prices_give_the_cost_of_mean_tokens():
    found = expected_costs(table(output_tokens=np.array([[10.0, 0.0], [30.0, 0.0]])), {"a": PRICE})
    assert found == {"a": {"cost_usd": pytest.approx((15 * 100 + 20 * 1000) / 1e6)}}  # 60 characters are 15 tokens
    assert expected_costs(table(), {"a": PRICE})["a"]["cost_usd"] == pytest.approx((15 * 100 + 256 * 1000) / 1e6)


def test_no_cost_and_no_known_arm_are_refused():
    with pytest.raises(InvalidInputError, match="has no cost_usd"):
        expected_costs(table())
    with pytest.raises(InvalidInputError, match="know no arm"):
        expected_costs(table(), {"c": PRICE})


@pytest.mark.parametrize("learner", [ThompsonSampling(), LinUCB(alpha=1.0)], ids=repr)
def test_a_replay_with_dominated_arms_makes_the_choices_of_a_router(monkeypatch, learner):
    made, x = linear(n=300, arms=4, features=3, seed=1)
    known = expected_costs(made)
    weight = 0.5 / known[made.arms[-1]]["cost_usd"]
    options = {"learner": learner, "preference": Preference(quality=1.0, cost_usd=3.0 * weight), "seed": 2}
    short = replay(made, x, expected=known, **options)
    monkeypatch.setattr(fast_path, "applies", lambda *arguments: False)
    by_router = replay(made, x, expected=known, **options)
    assert short.chosen.tolist() == by_router.chosen.tolist()
    assert (short.chosen < 3).all()  # the last arm costs 1.5 more than any answer is worth
    assert (replay(made, x, **options).chosen == 3).any()  # which nobody knows before the first call


def test_an_experiment_takes_prices_from_its_log():
    given = {"environment": {"name": "linear", "n": 50, "arms": 2, "features": 1}, "prices": "log", "seeds": 1}
    experiment = Experiment.of(given)
    assert dict(experiment.expected) == expected_costs(experiment.environment.table)
