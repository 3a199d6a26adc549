"""Rivals: that each is driven as its documentation says, and that a missing one is left out and named."""

import sys

import numpy as np
import pytest

from banditroute.core.preference import Preference
from banditroute.learners import EpsilonGreedy
from banditroute.logs import OutcomeTable
from banditroute.simulate.replay import replay
from benchmarks import rivals

pytestmark = pytest.mark.filterwarnings("ignore")  # of packages that are not ours


def routable(n):
    """Three arms, never a draw: one is always bad, the sign of the feature says which of the others is good."""
    x = np.random.default_rng(0).choice([-1.0, 1.0], size=(n, 1))
    return x, np.hstack([x > 0, x < 0, np.zeros((n, 1))]).astype(float)


@pytest.mark.parametrize("name", rivals.RIVALS)
def test_rival_learns_a_routable_log(name):
    said = []
    if name not in rivals.installed(said.append):
        pytest.skip("; ".join(said))
    x, scores = routable(600)
    trace = rivals.replay(name, x, scores, seed=0)
    assert (trace.policy, trace.seed) == (name, 0)
    assert trace.outcome(scores)[300:].mean() > 0.85
    assert np.array_equal(rivals.replay(name, x, scores, seed=0).chosen, trace.chosen)


def test_the_order_is_that_of_ours(monkeypatch):
    seen = []

    class Last:
        def __init__(self, arms, seed):
            self.arm = arms - 1

        def choose(self, x):
            seen.append(x.tolist())
            return self.arm

        def learn(self, x, arm, reward):
            assert (x.tolist(), arm, reward) == (seen[-1], self.arm, 0.0)

    monkeypatch.setitem(rivals.RIVALS, "last", Last)
    x, scores = routable(50)
    x = x + np.arange(50.0)[:, None]
    theirs = rivals.replay("last", x, scores, seed=3)
    table = OutcomeTable(
        name="toy", prompts=("",) * 50, tasks=("",) * 50, arms=("a", "b", "c"), outcomes={"quality": scores}
    )
    ours = replay(table, x, learner=EpsilonGreedy(), preference=Preference(quality=1.0), seed=3)
    assert np.array_equal(theirs.rows, ours.rows)
    assert seen == [[*x[row].tolist(), 1.0] for row in ours.rows]
    assert set(theirs.chosen.tolist()) == {2}


def test_a_missing_package_is_left_out_and_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "river", None)
    said = []
    assert "river" not in rivals.installed(said.append)
    assert any(line.startswith("river is left out: ") for line in said)
