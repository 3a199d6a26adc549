"""Scaled weights in a router: rates at each decision, beliefs untouched, a scale that outlives the process."""

import numpy as np
import pytest

from banditroute import Preference, Router, SQLStore
from banditroute.errors import InvalidRequestError
from banditroute.objectives import Scaled

SCALED = Scaled(weights={"quality": 0.5, "energy_joules": 0.5})
JOULES = {"frugal": 10.0, "lavish": 50.0}
QUALITY = {"frugal": 0.6, "lavish": 0.8}


def serve(router, n, *, seed=0, **options):
    rng = np.random.default_rng(seed)
    for _ in range(n):
        decision = router.route([0.0], **options)
        joules = JOULES[decision.arm] + rng.normal()
        router.feedback(decision.id, quality=QUALITY[decision.arm], energy_joules=joules)
    return decision


def make(**settings):
    return Router(arms=list(JOULES), features=1, seed=0, **settings)


def test_weights_become_rates_when_the_scale_is_known():
    router = make(preference=SCALED)
    assert router.route([0.0]).preference == Preference(quality=0.5)
    decision = serve(router, 200)
    assert decision.preference["quality"] == 0.5
    # Half of the mixture is near 10 J, half near 50 J: the quartiles are 40 J apart.
    assert decision.preference["energy_joules"] == pytest.approx(0.5 / 40.0, rel=0.1)
    assert decision.arm == "frugal"  # .2 of quality less is worth less than 40 J


def test_a_request_may_bring_its_own_weights():
    router = make()
    serve(router, 50)
    thrifty = router.route([0.0], preference=Scaled(weights={"quality": 0.1, "energy_joules": 0.9}))
    assert thrifty.preference["energy_joules"] > 0.0
    assert thrifty.arm == "frugal"
    assert router.route_many([[0.0]], preference=SCALED)[0].preference["quality"] == 0.5
    assert router.route([0.0]).preference == Preference(quality=1.0)


def test_a_scale_that_moves_touches_nothing_that_was_learned():
    one, other = make(preference=SCALED), make(preference=Preference(quality=1.0))
    for arm in list(JOULES) * 30:
        serve(one, 1, arms=[arm])
        serve(other, 1, arms=[arm])
    before, plain = one.route([0.5]), other.route([0.5], preference={"quality": 1.0, "energy_joules": 1.0})
    rows = [before.objectives.index(name) for name in plain.objectives]
    assert np.array_equal(before.means[rows], plain.means)
    assert np.array_equal(before.stds[rows], plain.stds)


def test_outliers_do_not_move_the_rates():
    router = make(preference=SCALED)
    rate = serve(router, 200).preference["energy_joules"]
    for _ in range(3):
        router.feedback(router.route([0.0]).id, quality=0.5, energy_joules=5e6)  # more is refused as absurd
    assert serve(router, 100, seed=1).preference["energy_joules"] == pytest.approx(rate, rel=0.1)


def test_a_restart_keeps_the_scale(tmp_path):
    def open_again():
        return make(preference=SCALED, store=SQLStore(f"sqlite:///{tmp_path / 'scales.db'}"))

    with open_again() as router:
        rate = serve(router, 300).preference["energy_joules"]
    with open_again() as router:
        assert router.route([0.0]).preference["energy_joules"] == pytest.approx(rate, rel=0.1)


@pytest.mark.parametrize(
    "scaled",
    [
        Scaled(weights={"quality": 1.0, "joules": 1.0}),
        Scaled(weights={"quality": 1.0}, reference={"joules": 1.0}),
    ],
)
def test_unknown_objectives_are_refused(scaled):
    with pytest.raises(InvalidRequestError, match="objective 'joules' of the preference is unknown"):
        make(preference=scaled)
    with pytest.raises(InvalidRequestError, match="objective 'joules' of the preference is unknown"):
        make().route([0.0], preference=scaled)


def test_a_spread_next_to_nothing_does_not_stop_the_traffic():
    router = make(preference=Scaled(weights={"quality": 0.5, "energy_joules": 1e50}))
    for k in range(20):
        router.feedback(router.route([0.0]).id, quality=0.5, energy_joules=k * 1e-300)
    assert router.route([0.0]).preference["energy_joules"] == 1e50
