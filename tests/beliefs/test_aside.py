"""A belief that takes long to derive is made next to the present one, which stays as it is."""

import numpy as np
import pytest

from banditroute.beliefs import Hybrid, Linear, Logistic, Observation, Prior

PRIORS = {"quality": Prior(mean=0.5, noise=0.4), "cost_usd": Prior(), "latency_seconds": Prior()}
ARMS = ["a", "b", "c"]


def start(spec):
    return spec.start(arms=ARMS, dimension=3, priors=PRIORS, statistics={})


def outcomes(rng):
    """Yield an arm and an observation of some of the objectives, of which new ones appear again and again."""
    for i in range(400):
        names = [name for name in PRIORS if rng.random() < 0.5] or ["quality"]
        x = np.append(rng.standard_normal(2), 1.0)
        values = {name: float(rng.random()) for name in names[: 1 + i // 20]}
        yield str(rng.choice(ARMS)), Observation(x, values, 1000.0 * i, i)


@pytest.mark.parametrize(
    "spec", [Linear(), Hybrid(), Logistic(), Hybrid(half_life_requests=100.0), Linear(half_life_seconds=5e5)]
)
def test_belief_made_aside_is_the_belief_that_learns_in_place(spec):
    in_place, aside, made_aside = start(spec), start(spec), 0
    for arm, observation in outcomes(np.random.default_rng(0)):
        before = aside.statistics()
        made = aside.updated_aside(arm, [observation])
        assert aside.statistics() == before
        x, values, decided_at, ordinal, weight = observation
        if made is None:
            aside.update(arm, x, values, decided_at=decided_at, ordinal=ordinal, weight=weight)
        else:
            aside, made_aside = made, made_aside + 1
        in_place.update(arm, x, values, decided_at=decided_at, ordinal=ordinal, weight=weight)
        assert aside.statistics() == in_place.statistics()
        assert aside.objectives == in_place.objectives
        ours, theirs = aside.predict(x), in_place.predict(x)
        assert ours.means == pytest.approx(theirs.means, rel=1e-9, abs=1e-9)
        assert ours.stds == pytest.approx(theirs.stds, rel=1e-9, abs=1e-9)
    assert 3 <= made_aside < 200


def test_belief_that_learns_by_rank_one_is_not_made_aside():
    belief = start(Hybrid())
    x = np.array([0.5, 0.2, 1.0])
    for arm in ARMS:
        belief.update(arm, x, {"quality": 1.0})
    assert belief.updated_aside("a", [Observation(x, {"quality": 0.0})]) is None
    assert belief.updated_aside("a", [Observation(x, {"quality": 0.0, "cost_usd": 1.0})]) is not None


def test_watching_aside_changes_nothing_here():
    belief = start(Hybrid())
    x = np.array([0.5, 0.2, 1.0])
    belief.update("a", x, {"quality": 1.0})
    means = belief.predict(x).means.copy()
    twin = belief.watching_aside(["cost_usd"])
    assert (belief.objectives, twin.objectives) == (("quality",), ("quality", "cost_usd"))
    assert np.array_equal(belief.predict(x).means, means)
    assert twin.predict(x).means[0] == pytest.approx(means[0])


def test_first_outcome_of_every_arm_derives_nothing():
    belief, x = start(Hybrid()), np.array([0.5, 0.2, 1.0])
    belief.watch(["quality"])
    for arm in ARMS:
        assert belief.updated_aside(arm, [Observation(x, {"quality": 0.5})]) is None
        belief.update(arm, x, {"quality": 0.5})


@pytest.mark.parametrize("spec", [Linear(), Hybrid(), Logistic()])
def test_belief_of_arms_that_report_parts_is_the_belief_that_their_sums_give(spec):
    belief = start(spec)
    for at, (arm, observation) in enumerate(outcomes(np.random.default_rng(1))):
        belief.update(arm, observation.x, observation.values)
        if at % 7 == 0:
            again = spec.start(
                arms=ARMS, dimension=3, priors=PRIORS, statistics=belief.statistics(), choices=belief.choices
            )
            ours, theirs = belief.predict(observation.x), again.predict(observation.x)
            for j, name in enumerate(belief.objectives):
                other = again.objectives.index(name)
                assert ours.means[j] == pytest.approx(theirs.means[other], rel=1e-9, abs=1e-9)
                assert ours.stds[j] == pytest.approx(theirs.stds[other], rel=1e-9, abs=1e-9)
