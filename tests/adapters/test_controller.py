"""The controller: when it decides, what it keeps, and what it remembers."""

import math

import numpy as np
import pytest

from banditroute.adapters.controller import Controller
from banditroute.errors import InvalidConfigurationError

NAMES = ["a", "b", "c"]
COSTS = np.array([0.2, 0.2, 0.2])
NONE = np.zeros((100, 3))


def asks(*best, worth=0.9, n=100):
    """Utilities of n requests, whose best adapters take turns; 0.1 for all others."""
    u = np.full((n, 3), 0.1)
    u[np.arange(n), np.resize(best, n)] = worth
    return u


def plan(controller, u, *, stds=NONE, resident=(), slots=1, **options):
    return controller.plan(u, stds[: len(u)], COSTS, arms=NAMES, resident=resident, slots=slots, **options)


def ends(controller, n):
    """The requests, of n, at which an epoch ended; each is followed by a plan."""
    found = []
    for i in range(n):
        if controller.count("a"):
            found.append(i + 1)
            plan(controller, asks(0))
    return found


class TestEpochs:
    def test_grow_to_the_longest(self):
        spec = Controller(shortest_epoch=10, longest_epoch=30, growth=1.5)
        assert ends(spec.start(adapters=NAMES), 100) == [10, 25, 48, 78]

    def test_fixed_epochs_end_at_their_length(self):
        assert ends(Controller.polar(epoch=20).start(adapters=NAMES), 70) == [20, 40, 60]

    def test_doubling_with_a_cap(self):
        assert ends(Controller.polar_plus(first_epoch=10, longest_epoch=40, forced=0.0).start(adapters=NAMES), 120) == [
            10, 30, 70, 110,
        ]  # fmt: skip

    def test_start_short_again_when_other_adapters_are_asked_for(self):
        controller = Controller(shortest_epoch=10, longest_epoch=80, growth=2.0).start(adapters=NAMES)
        changed = np.concatenate([asks(0, 1, n=50), asks(1, 2, n=50)])
        assert plan(controller, asks(0, 1, 2)).forget == 0
        assert plan(controller, changed).forget == 50
        assert controller.count("a") is False
        assert [controller.count("a") for _ in range(9)][-1]


class TestPlan:
    def test_keeps_what_is_asked_for(self):
        controller = Controller.polar().start(adapters=NAMES)
        assert controller.keep is None
        assert plan(controller, asks(1)).keep == [1]
        assert controller.keep == ["b"]

    @pytest.mark.parametrize(("horizon", "keep"), [(9, [0]), (11, [1])])
    def test_moves_only_if_the_gain_over_the_horizon_repays_the_load(self, horizon, keep):
        u = np.tile([0.5, 0.52, 0.0], (100, 1))  # b is better by .02 a request, and its load costs .2
        controller = Controller(horizon=horizon, optimism=0.0).start(adapters=NAMES)
        assert plan(controller, u, resident=["a"]).keep == keep

    def test_optimism_keeps_what_could_be_good(self):
        u, stds = asks(0, worth=0.6), np.zeros((100, 3))
        stds[:, 1] = 0.3  # b: .1 + 2 x .3 > .6
        assert plan(Controller(optimism=1.0).start(adapters=NAMES), u, stds=stds).keep == [0]
        assert plan(Controller(optimism=2.0).start(adapters=NAMES), u, stds=stds).keep == [1]

    def test_pinned_are_kept(self):
        assert plan(Controller.polar().start(adapters=NAMES), asks(0, 1), slots=2, pinned=["c"]).keep[0] == 2

    def test_a_slot_for_the_least_known(self):
        stds = np.tile([0.0, 0.1, 0.2], (100, 1))
        controller = Controller(explorer=True, optimism=0.0).start(adapters=NAMES)
        assert plan(controller, asks(0, 1), stds=stds, slots=2).keep == [0, 2]

    def test_arms_without_an_adapter_are_not_kept_but_count(self):
        u = np.full((10, 3), 0.5)
        u[:, 1] = 0.9  # always there, and better than what could be resident
        controller = Controller.polar().start(adapters=["a", "c"])
        found = controller.plan(u, np.zeros((10, 3)), np.array([0.2, 0.0, 0.2]), arms=NAMES, resident=[], slots=1)
        assert found.keep == []


class TestForced:
    def test_each_adapter_first_those_resident_before_others(self):
        # ceil(.5 sqrt(12 / 3)) = 1 trial each
        controller = Controller.polar_plus(first_epoch=12, forced=0.5).start(adapters=NAMES)
        served = []
        while (name := controller.forced(["b"])) is not None:
            served.append(name)
            controller.count(name)
        assert served == ["b", "a", "c"]
        assert Controller.polar().start(adapters=NAMES).forced([]) is None

    def test_trials_grow_as_the_root_of_the_epoch(self):
        controller = Controller.polar_plus(first_epoch=300, longest_epoch=4000, forced=1.0).start(adapters=NAMES)
        count = 0
        while (name := controller.forced([])) is not None:
            controller.count(name)
            count += 1
        assert count == 3 * math.ceil(math.sqrt(300 / 3))


class TestState:
    def test_survives_a_restart(self):
        spec = Controller.polar_plus(first_epoch=20, forced=1.0)
        controller = spec.start(adapters=NAMES)
        plan(controller, asks(2))
        for _ in range(30):
            controller.count("a")
        again = spec.start(adapters=NAMES, blob=controller.to_bytes())
        assert again.keep == ["c"]
        assert again.to_bytes() == controller.to_bytes()
        assert [again.count("b") for _ in range(10)] == [*[False] * 9, True]  # the epoch has 40

    def test_adapters_that_are_gone_are_forgotten(self):
        controller = Controller.polar().start(adapters=NAMES)
        plan(controller, asks(2))
        assert Controller.polar().start(adapters=["a", "b"], blob=controller.to_bytes()).keep == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shortest_epoch": 0}, "shortest_epoch is 0; give a whole number of at least 1"),
        ({"window": 1.5}, "window is 1.5; give a whole number"),
        ({"horizon": True}, "horizon is True; give a whole number"),
        ({"longest_epoch": 10}, "longest_epoch is 10, below shortest_epoch 50; raise it"),
        ({"growth": 0.5}, "growth is 0.5; it must be at least 1"),
        ({"optimism": math.nan}, "optimism is nan"),
        ({"forced": -1}, "forced is -1"),
    ],
)
def test_bad_controller_settings_are_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Controller(**given)
