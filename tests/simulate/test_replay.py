"""Replay: every row once, the same again by its seed."""

import numpy as np
import pytest

from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.objectives import Objective
from banditroute.policies import Mixture, Uniform
from banditroute.router import Router
from banditroute.simulate import fast_path
from banditroute.simulate.replay import Trace, replay

PREFER = Preference(quality=1.0)
LEARNERS = {
    "linucb": LinUCB(),
    "thompson": ThompsonSampling(),
    "greedy": EpsilonGreedy(),
    "uniform": Learner(policy=Uniform()),
}


@pytest.fixture
def table(make_table):
    return make_table(40)


@pytest.fixture
def x():
    return (np.arange(40) % 2).astype(float)[:, None]


@pytest.fixture
def by_router(monkeypatch):
    """Go by the router even where the short way leads to the same."""
    monkeypatch.setattr(fast_path, "applies", lambda *arguments: False)


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_every_row_is_routed_once(table, x, learner):
    trace = replay(table, x, learner=learner, preference=PREFER, seed=3, policy="p")
    assert (trace.policy, trace.seed) == ("p", 3)
    assert sorted(trace.rows) == list(range(40))
    assert trace.chosen.shape == (40,)
    assert set(trace.chosen) <= {0, 1}


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_same_seed_is_the_same_to_the_bit(table, x, learner):
    one, again, other = (replay(table, x, learner=learner, preference=PREFER, seed=seed) for seed in (7, 7, 8))
    assert np.array_equal(one.rows, again.rows)
    assert np.array_equal(one.chosen, again.chosen)
    assert not np.array_equal(one.rows, other.rows)


def test_beliefs_are_the_same_to_the_bit(table, x, monkeypatch, by_router):
    # Equal choices could hide small differences; the probabilities would show them.
    seen = []
    route = Router.route
    monkeypatch.setattr(Router, "route", lambda *a, **k: seen.append(route(*a, **k)) or seen[-1])
    for _ in range(2):
        replay(table, x, learner=ThompsonSampling(), preference=PREFER, seed=1)
    for one, again in zip(seen[:40], seen[40:], strict=True):
        assert np.array_equal(one.probabilities, again.probabilities)
        assert np.array_equal(one.means, again.means)
        assert one.decided_at == again.decided_at
    assert [decision.decided_at for decision in seen[:40]] == [float(second) for second in range(1, 41)]


def test_seed_draws_the_choices_too(table, x):
    # A uniform policy sees nothing of the request: only the router's own seed tells these apart.
    one, other = (replay(table, x, learner=LEARNERS["uniform"], preference=PREFER, seed=seed) for seed in (1, 2))
    assert not np.array_equal(one.chosen, other.chosen)


def test_order_of_the_requests_does_not_depend_on_the_learner(table, x):
    orders = [replay(table, x, learner=learner, preference=PREFER, seed=5).rows for learner in LEARNERS.values()]
    assert all(np.array_equal(orders[0], order) for order in orders)


def test_feedback_is_learned(make_table):
    n = 400
    trace = replay(
        make_table(n), (np.arange(n) % 2).astype(float)[:, None], learner=LinUCB(), preference=PREFER, seed=0
    )
    right = trace.chosen == trace.rows % 2
    assert right[n // 2 :].mean() > 0.95


def test_only_outcomes_of_chosen_arms_are_learned(table, x, monkeypatch, by_router):
    reported = []
    feedback = Router.feedback
    monkeypatch.setattr(Router, "feedback", lambda self, id, **v: reported.append(v) or feedback(self, id, **v))
    trace = replay(table, x, learner=ThompsonSampling(), preference=PREFER, seed=2)
    assert [values["quality"] for values in reported] == trace.outcome(table.outcomes["quality"]).tolist()


def test_unknown_outcome_is_not_reported(monkeypatch, by_router):
    reported = []
    feedback = Router.feedback
    monkeypatch.setattr(Router, "feedback", lambda self, id, **v: reported.append(v) or feedback(self, id, **v))
    table = OutcomeTable(
        name="gaps",
        prompts=("", ""),
        tasks=("", ""),
        arms=("only",),
        outcomes={"quality": np.array([[0.25], [0.75]]), "cost_usd": np.array([[np.nan], [0.5]])},
    )
    replay(table, np.zeros((2, 0)), learner=EpsilonGreedy(), preference=PREFER, seed=0)
    assert sorted(reported, key=len) == [{"quality": 0.25}, {"quality": 0.75, "cost_usd": 0.5}]


def test_preference_reaches_the_learner_and_no_fixed_mixture(toy):
    always = {
        preference: replay(
            toy, np.zeros((4, 0)), learner=Learner(policy=Mixture(shares={"middle": 1})), preference=preference, seed=0
        )
        for preference in (Preference(quality=1.0), Preference(quality=1.0, cost_usd=1000.0))
    }
    assert all((trace.chosen == 1).all() for trace in always.values())  # a mixture sees no utility
    n = 200
    table = OutcomeTable(
        name="prices",
        prompts=("",) * n,
        tasks=("",) * n,
        arms=("cheap", "dear"),
        outcomes={"quality": np.tile([0.5, 1.0], (n, 1)), "cost_usd": np.tile([0.0, 0.01], (n, 1))},
    )
    for weight, better in ((0.0, 1), (100.0, 0)):  # a dollar is worth 0, or 100 points: the dear arm costs 1 point
        preference = Preference(quality=1.0, cost_usd=weight)
        trace = replay(table, np.zeros((n, 0)), learner=ThompsonSampling(), preference=preference, seed=0)
        assert (trace.chosen[n // 2 :] == better).mean() > 0.9


def test_outcome_of_a_trace_follows_its_order(toy):
    trace = Trace(policy="", seed=0, rows=np.array([3, 0, 2, 1]), chosen=np.array([0, 2, 1, 1]))
    assert trace.outcome(toy.outcomes["quality"]).tolist() == [1.0, 1.0, 0.5, 0.5]
    assert trace.outcome(toy.outcomes["cost_usd"]).tolist() == [0.001, 0.01, 0.002, 0.002]


def test_a_partial_log_is_routed_among_the_arms_that_answered():
    n = 60
    quality = np.tile([0.9, 0.5, 0.1], (n, 1))
    quality[::2, 0] = np.nan
    quality[1::2, 2] = np.nan
    table = OutcomeTable(
        name="gaps", prompts=("",) * n, tasks=("",) * n, arms=("a", "b", "c"), outcomes={"quality": quality}
    )
    for learner in (EpsilonGreedy(epsilon=0.5), Learner(policy=Uniform())):
        trace = replay(table, np.zeros((n, 0)), learner=learner, preference=Preference(quality=1.0), seed=0)
        assert not np.isnan(trace.outcome(quality)).any()
        assert set(trace.chosen.tolist()) == {0, 1, 2}


def test_objectives_of_the_user_are_learned():
    stars = Objective(name="stars", higher_is_better=True, low=1.0, high=5.0)
    n = 200
    table = OutcomeTable(
        name="stars",
        prompts=("",) * n,
        tasks=("",) * n,
        arms=("a", "b"),
        outcomes={"quality": np.full((n, 2), 0.5), "stars": np.tile([2.0, 4.0], (n, 1))},
    )
    x, preference = np.zeros((n, 0)), Preference(stars=1.0)
    trace = replay(table, x, learner=ThompsonSampling(), preference=preference, seed=0, objectives=[stars])
    assert (trace.chosen[n // 2 :] == 1).mean() > 0.9


def test_rows_of_a_warm_start_are_known_and_not_routed():
    n = 200
    table = OutcomeTable(
        name="warm",
        prompts=("",) * n,
        tasks=("",) * n,
        arms=("a", "b", "c"),
        outcomes={"quality": np.tile([0.0, 0.5, 1.0], (n, 1))},
    )
    cold, warm = (
        replay(table, np.zeros((n, 0)), learner=LinUCB(floor=0.0), preference=PREFER, seed=4, warm=rows)
        for rows in (0, 50)
    )
    assert warm.rows.tolist() == cold.rows[50:].tolist()
    assert (warm.chosen == 2).all()
    assert set(cold.chosen) == {0, 1, 2}


@pytest.mark.parametrize("warm", [-1, 40, 41])
def test_a_warm_start_leaves_something_to_route(table, x, warm):
    with pytest.raises(InvalidInputError, match=f"warm is {warm}, and the table has 40 rows"):
        replay(table, x, learner=LinUCB(), preference=PREFER, seed=0, warm=warm)
