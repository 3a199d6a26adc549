"""The short way through a replay: the choices of the Router, bit for bit, and only where there is no difference."""

import numpy as np
import pytest

from banditroute.beliefs import Linear, Logistic, PageHinkley
from banditroute.core.preference import Preference
from banditroute.errors import InvalidFeedbackError, InvalidInputError, InvalidRequestError
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, SquareCB, ThompsonSampling
from banditroute.logs import OutcomeTable
from banditroute.objectives import Objective, Scaled
from banditroute.policies import Adaptive, Mixture, Uniform
from banditroute.router import Router
from banditroute.simulate import fast_path
from banditroute.simulate.conditions import Absence, Channel, Conditions, Outage, Price
from banditroute.simulate.environments import drifting, linear
from banditroute.simulate.replay import replay

LEARNERS = {
    "linucb": LinUCB(),
    "linucb, linear": LinUCB(belief=Linear(), context_exploration=1.0),
    "linucb, as in the paper": LinUCB.paper(),
    "thompson, as in the paper": ThompsonSampling.paper(),
    "linucb, self-normalised": LinUCB(delta=0.1),
    "linucb, without a floor": LinUCB(floor=0.0),
    "thompson": ThompsonSampling(),
    "thompson, forgetting by requests": ThompsonSampling(belief=Linear(half_life_requests=100)),
    "thompson, forgetting by time": ThompsonSampling(belief=Linear(half_life_seconds=100)),
    "thompson, with drift": ThompsonSampling(drift=PageHinkley(threshold=3.0)),
    "thompson, logistic": ThompsonSampling(belief=Logistic()),
    "squarecb": SquareCB(),
    "greedy": EpsilonGreedy(),
    "adaptive": Learner(policy=Adaptive()),
    "uniform": Learner(policy=Uniform()),
}
STARS = Objective(name="stars", higher_is_better=True, low=1.0, high=5.0)


@pytest.fixture
def routed(monkeypatch):
    """The decisions of routers."""
    made = []
    route = Router.route
    monkeypatch.setattr(Router, "route", lambda *a, **k: made.append(route(*a, **k)) or made[-1])
    return made


def both(environment, monkeypatch, **options):
    """The trace of the short way, and that of the router."""
    with monkeypatch.context() as patch:
        patch.setattr(fast_path, "applies", lambda *arguments: False)
        by_router = replay(*environment, **options)
    return replay(*environment, **options), by_router


@pytest.mark.parametrize("learner", LEARNERS.values(), ids=LEARNERS)
def test_the_same_choices(monkeypatch, routed, learner):
    environment = drifting(n=300, arms=3, features=3, seed=1)
    preference = Preference(quality=1.0, cost_usd=30.0)
    short, by_router = both(environment, monkeypatch, learner=learner, preference=preference, seed=1)
    assert len(routed) == 300  # of the router alone
    assert short.rows.tolist() == by_router.rows.tolist()
    assert short.chosen.tolist() == by_router.chosen.tolist()


@pytest.mark.parametrize("learner", [LinUCB(), ThompsonSampling()], ids=repr)
def test_the_same_probabilities(monkeypatch, routed, learner):
    asked = []
    sample_arm = fast_path.sample_arm
    monkeypatch.setattr(fast_path, "sample_arm", lambda p, *rest: asked.append(p.copy()) or sample_arm(p, *rest))
    environment = linear(n=500, arms=2, features=4)
    both(environment, monkeypatch, learner=learner, preference=Preference(quality=1.0), seed=3)
    assert len(asked) == len(routed) == 500
    assert all(np.array_equal(one, other.probabilities) for one, other in zip(asked, routed, strict=True))


def test_at_the_size_of_the_benchmark(monkeypatch):
    environment = linear(n=600, arms=16, features=63)
    learner = LinUCB(belief=Linear(), context_exploration=1.0)
    short, by_router = both(environment, monkeypatch, learner=learner, preference=Preference(quality=1.0), seed=0)
    assert short.chosen.tolist() == by_router.chosen.tolist()


def test_under_conditions_that_do_not_need_a_router(monkeypatch, routed):
    conditions = Conditions(
        poisson=True, chronological=True, prices=[Price(arm="arm3", begin=0.5, factor=9.0)], requests_per_second=0.1
    )
    options = {"learner": ThompsonSampling(belief=Linear(half_life_seconds=500)), "seed": 2, "conditions": conditions}
    environment = drifting(n=500, arms=4, features=2)
    short, by_router = both(environment, monkeypatch, preference=Preference(quality=1.0, cost_usd=30.0), **options)
    assert len(routed) == 500
    assert short.chosen.tolist() == by_router.chosen.tolist()


def test_fast_path_equals_the_router_with_gaps_and_user_objectives(monkeypatch, routed):
    table, x = linear(n=300, arms=3, features=2)
    cost = table.outcomes["cost_usd"].copy()
    cost[::3, 1] = np.nan
    stars = 1.0 + 4.0 * table.outcomes["quality"][:, ::-1]
    odd = OutcomeTable(
        name="odd",
        prompts=table.prompts,
        tasks=table.tasks,
        arms=table.arms,
        outcomes={"stars": stars, "cost_usd": cost, "quality": table.outcomes["quality"]},  # not in feedback's order
    )
    options = {"learner": LinUCB(), "objectives": [STARS], "preference": {"quality": 1, "stars": 0.1, "cost_usd": 5}}
    short, by_router = both((odd, x), monkeypatch, seed=4, **options)
    assert len(routed) == 300
    assert short.chosen.tolist() == by_router.chosen.tolist()


def _table(**changed):
    table, x = linear(n=40, arms=2, features=2)
    parts = {name: getattr(table, name) for name in ("name", "prompts", "tasks", "arms")}
    return OutcomeTable(**{**parts, "outcomes": {**table.outcomes, **changed}}), x


@pytest.mark.parametrize(
    ("environment", "options"),
    [
        (_table(), {"warm": 5}),
        (_table(), {"preference": Scaled(weights={"quality": 1.0, "cost_usd": 1.0})}),
        (_table(), {"preference": {"quality": 1, "availability": 1}}),
        (_table(), {"conditions": Conditions(feedback={"quality": Channel(loss=0.5)})}),
        (_table(), {"conditions": Conditions(outages=[Outage(arm="arm0", end=0.5)])}),
        (_table(), {"conditions": Conditions(absences=[Absence(arm="arm0", end=0.5)])}),
        (_table(quality=np.array([[0.5, np.nan]] * 40)), {}),
    ],
)
def test_router_serves_where_the_fast_path_does_not_apply(routed, environment, options):
    table, x = environment
    replay(table, x, **{"learner": LinUCB(), "preference": {"quality": 1}, "seed": 0, **options})
    assert len(routed) == 40 - options.get("warm", 0)


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.inf])
def test_fast_path_refuses_what_a_router_refuses(bad):
    quality = np.full((40, 2), 0.5)
    quality[7] = bad
    table, x = _table(quality=quality)
    with pytest.raises(InvalidFeedbackError, match="quality is"):
        replay(table, x, learner=LinUCB(), preference={"quality": 1}, seed=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e60])
def test_features_that_a_router_refuses_are_refused(bad):
    table, x = _table()
    x[3, 1] = bad
    with pytest.raises(InvalidRequestError):
        replay(table, x, learner=LinUCB(), preference={"quality": 1}, seed=0)


def test_an_unknown_objective_is_refused():
    table, x = _table(stars=np.ones((40, 2)))
    with pytest.raises(InvalidFeedbackError, match="unknown objective 'stars'"):
        replay(table, x, learner=LinUCB(), preference={"quality": 1}, seed=0)


@pytest.mark.parametrize("fast", [True, False])
def test_a_policy_that_fails_stops_the_replay(monkeypatch, routed, fast):
    class Broken(Mixture):
        def probabilities(self, means, stds, **more):
            raise ZeroDivisionError

    if not fast:
        monkeypatch.setattr(fast_path, "applies", lambda *arguments: False)
    table, x = _table()
    with pytest.raises(InvalidInputError, match=r"the policy made no choice \((fallback: )?ZeroDivisionError"):
        replay(table, x, learner=Learner(policy=Broken(shares={"arm0": 1})), preference={"quality": 1}, seed=0)
    assert [decision.fell_back for decision in routed] == ([] if fast else [True])


def test_policy_without_probabilities_stops_the_replay(routed):
    class Broken(Mixture):
        def probabilities(self, means, stds, **more):
            return np.array([0.5, 0.4])

    table, x = _table()
    with pytest.raises(InvalidInputError, match="did not give 2 probabilities that sum to 1"):
        replay(table, x, learner=Learner(policy=Broken(shares={"arm0": 1})), preference={"quality": 1}, seed=0)
    assert routed == []


@pytest.mark.parametrize("part", ["ArmModels", "objectives_of", "start"])
def test_errors_of_the_fast_path_reach_the_caller(monkeypatch, routed, part):
    monkeypatch.setattr(fast_path, part, lambda *_, **__: {}["a slip of ours"])
    with pytest.raises(KeyError, match="a slip of ours"):
        replay(*_table(), learner=LinUCB(), preference={"quality": 1}, seed=0)
    assert routed == []
