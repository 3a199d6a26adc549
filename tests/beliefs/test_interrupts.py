"""An exception that a signal handler raises within an update leaves a whole belief."""

import numpy as np
import pytest

from banditroute.beliefs import Hybrid, Linear, Logistic
from banditroute.beliefs.base import Prior

PRIORS = {name: Prior() for name in ("cost_usd", "latency_seconds", "energy_joules")}
PRIORS["quality"] = Prior(mean=0.5, noise=0.4)


class StopError(BaseException):
    pass


def begun(spec, statistics=None):
    return spec.start(arms=["a", "b"], dimension=3, priors=PRIORS, statistics=statistics or {})


def taught(spec, requests):
    rng = np.random.default_rng(0)
    belief = begun(spec)
    for i in range(requests):
        x = np.append(rng.normal(size=2), 1.0)
        values = {"quality": float(i % 3 > 0), "cost_usd": 0.01 * i}
        belief.update("ab"[i % 2], x, values, decided_at=float(i), ordinal=i)
    return belief


def teach_more(belief, x):
    """Teach and ask until an interruption ends it."""
    for i in range(30, 60):
        belief.update("a", x, {"quality": 1.0, "cost_usd": 1.0}, decided_at=float(i), ordinal=i)
        belief.watch(["latency_seconds" if i < 40 else "energy_joules"])
        belief.predict(x)


@pytest.mark.parametrize("spec", [Linear(), Hybrid(), Logistic(), Hybrid(half_life_requests=20.0)], ids=repr)
@pytest.mark.parametrize("method", ["_rank_one", "_solve", "_pool", "_scatter", "_make"])
def test_interrupted_update_leaves_the_belief_that_its_sums_give(monkeypatch, spec, method):
    belief = taught(spec, 30)
    x = np.array([0.3, -0.2, 1.0])
    whole = getattr(type(belief), method)
    calls = iter(range(100))

    def interrupt(self, *values, **options):
        if next(calls) == 1:
            raise StopError
        return whole(self, *values, **options)

    monkeypatch.setattr(type(belief), method, interrupt)
    with pytest.raises(StopError):
        teach_more(belief, x)
    monkeypatch.setattr(type(belief), method, whole)
    again = begun(spec, belief.statistics())
    again.watch(belief.objectives)
    again.advance(60.0, 60)
    belief.advance(60.0, 60)
    order = [again.objectives.index(name) for name in belief.objectives]
    found, expected = belief.predict(x), again.predict(x)
    np.testing.assert_allclose(found.means, expected.means[order], atol=1e-9)
    np.testing.assert_allclose(found.stds, expected.stds[order], rtol=1e-6, atol=1e-9)
