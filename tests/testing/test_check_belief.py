"""Every public belief passes the suite, and the suite finds each broken promise."""

import math

import numpy as np
import pytest

import banditroute.beliefs
from banditroute.beliefs import Hybrid, Linear, LinearBelief, Logistic, Prediction
from banditroute.testing import check_belief

SPECS = [
    Linear(),
    Linear(feature_precision=0.1, intercept_precision=0.01),
    Linear(noise={"quality": 0.5, "cost_usd": 0.01}),
    Linear(noise_strength=0.5),
    Hybrid(),
    Logistic(),
]


def test_every_public_belief_is_tried():
    public = [getattr(banditroute.beliefs, name) for name in banditroute.beliefs.__all__]
    specs = {one for one in public if hasattr(one, "start") and hasattr(one, "fold")} - {banditroute.beliefs.BeliefSpec}
    assert specs == {type(spec) for spec in SPECS}


@pytest.mark.parametrize("spec", SPECS, ids=repr)
def test_beliefs_keep_the_contract(spec):
    check_belief(spec)


class Forgetful(LinearBelief):
    def update(self, arm, x, values):
        super().update(arm, x, {name: value for name, value in values.items() if name != "cost_usd"} or values)


class Stubborn(LinearBelief):
    def update(self, arm, x, values):
        super().update(arm, x, dict.fromkeys(values, 0.5))


class InOrder(LinearBelief):
    """The later, the less it learns."""

    def update(self, arm, x, values):
        self.seen = getattr(self, "seen", 0) + 1
        super().update(arm, x, {name: value / self.seen**0.01 for name, value in values.items()})


class Sorting(LinearBelief):
    def watch(self, objectives):
        super().watch(sorted(objectives))


class Shared(LinearBelief):
    def predict(self, x):
        fresh = super().predict(x)
        kept = getattr(self, "kept", None)
        if kept is None or kept.means.shape != fresh.means.shape:
            self.kept = kept = fresh
        elif not np.array_equal(x, self.last):
            kept.means[:], kept.stds[:], kept.average_stds[:] = fresh
        self.last = x.copy()
        return kept


class Shifted(LinearBelief):
    def predict(self, x):
        means, *stds = super().predict(x)
        return Prediction(means + 1e-6, *stds)


class Certain(LinearBelief):
    def predict(self, x):
        means, _, averages = super().predict(x)
        return Prediction(means, np.ones_like(means), np.minimum(averages, 1.0))


class Scribbling(LinearBelief):
    def update(self, arm, x, values):
        super().update(arm, x, values)
        x[0] = 0.0


class Leaky(LinearBelief):
    """Watching one objective lifts the others."""

    def watch(self, objectives):
        super().watch(objectives)
        self._theta[:, :, -1] *= 1.01


class Of(Linear):
    """A spec that starts the given belief, optionally losing the first event of a fold."""

    def __init__(self, belief, lose=0):
        super().__init__()
        object.__setattr__(self, "belief", belief)
        object.__setattr__(self, "lose", lose)

    def _belief(self):
        return self.belief

    def fold(self, blob, events, *, dimension):
        return super().fold(blob, events[self.lose :], dimension=dimension)


class Keeping(Of):
    def scale(self, blob, share, *, dimension, at_most=math.inf):
        return super().scale(blob, abs(share), dimension=dimension, at_most=at_most)


class Sharing(Of):
    def scale(self, blob, share, *, dimension, at_most=math.inf):
        return super().scale(blob, math.copysign(1.0, share), dimension=dimension, at_most=at_most)


class Dropping(Of):
    def merge(self, blobs, *, dimension):
        return super().merge(blobs[:1], dimension=dimension)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (Keeping(LinearBelief), "does not subtract"),
        (Sharing(LinearBelief), "two halves"),
        (Dropping(LinearBelief), "not the sum"),
        (Of(Shifted), "not the prior mean"),
        (Of(Stubborn), "20 outcomes 1.0 moved|20 outcomes 0.0 moved"),
        (Of(Certain), "after 40 outcomes, and"),
        (Of(InOrder), "the order of the feedback matters"),
        (Of(Sorting), "gave the objectives|was watched"),
        (Of(Shared), "changing a prediction|expected quality"),
        (Of(Scribbling), "changed a context|outcomes"),
        (Of(Leaky), "not the prior mean|watching"),
        (Of(LinearBelief, lose=1), "folded"),
        (Of(Forgetful), "folded|parts"),
    ],
)
def test_broken_beliefs_are_found(spec, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_belief(spec)


def test_the_subclasses_above_fail_for_what_they_change_alone():
    check_belief(Of(LinearBelief))
