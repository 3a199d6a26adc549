"""Any sequence of what a router can live through, against a ridge regression over the list of all reports."""

import math

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from banditroute.beliefs import Linear
from banditroute.errors import ConflictingFeedbackError, InvalidFeedbackError, UnknownDecisionError
from banditroute.learners import LinUCB
from banditroute.router import Router
from banditroute.store.memory import MemoryStore

ARMS = ("a", "b")
NOISE = {"quality": 0.5, "cost_usd": 2.0}
PRIOR_MEAN = {"quality": 0.5, "cost_usd": 0.0}
SPEC = Linear(feature_precision=3.0, intercept_precision=2.0, noise=NOISE)
PRECISION = np.diag([3.0, 3.0, 2.0])
PROBES = [np.array([0.5, -1.0, 1.0]), np.array([0.0, 0.0, 1.0])]

FEATURES = st.tuples(st.integers(-3, 3), st.integers(-3, 3))
VALUES = st.fixed_dictionaries(
    {}, optional={"quality": st.sampled_from([0.0, 0.25, 1.0]), "cost_usd": st.integers(0, 5)}
)


class Life(RuleBasedStateMachine):
    decisions = Bundle("decisions")

    @initialize()
    def begin(self):
        self.store = MemoryStore()
        self.router = None
        self.made = {}
        self.open()

    def open(self):
        self.router = Router(
            arms=ARMS,
            features=2,
            learner=LinUCB(belief=SPEC),
            preference={"quality": 1.0, "cost_usd": 0.1},
            store=self.store,
            seed=0,
        )

    @rule(target=decisions, features=FEATURES, arms=st.sampled_from([None, ["a"], ["b"]]))
    def route(self, features, arms):
        decision = self.router.route(features, arms=arms)
        assert decision.reason == "policy"
        assert decision.id not in self.made
        self.made[decision.id] = (decision.arm, np.array([*features, 1.0]), {})
        return decision.id

    @rule(id=decisions, values=VALUES)
    def feedback(self, id, values):
        recorded = self.made[id][2]
        if not values:
            with pytest.raises(InvalidFeedbackError, match="no outcome"):
                self.router.feedback(id, **values)
        elif any(recorded.get(name, value) != value for name, value in values.items()):
            with pytest.raises(ConflictingFeedbackError):
                self.router.feedback(id, **values)
        else:
            self.router.feedback(id, **values)
            recorded.update(values)

    @rule(id=decisions)
    def duplicate(self, id):
        if self.made[id][2]:
            self.router.feedback(id, **self.made[id][2])

    @rule(id=decisions, quality=st.sampled_from([-1.0, 2.0, math.nan]))
    def impossible(self, id, quality):
        with pytest.raises(InvalidFeedbackError):
            self.router.feedback(id, quality=quality, cost_usd=1.0)

    @rule()
    def unknown(self):
        with pytest.raises(UnknownDecisionError):
            self.router.feedback("0" * 32, quality=1.0)

    @rule(id=consumes(decisions))
    def never_reported_again(self, id):
        """Some decisions stay without (more) feedback."""

    @rule()
    def reopen(self):
        self.router.close()
        self.open()

    @invariant()
    def believes_what_the_reports_say(self):
        if not hasattr(self, "router"):
            return
        for probe in PROBES:
            decision = self.router.route(probe[:-1])
            for j, objective in enumerate(decision.objectives):
                for k, arm in enumerate(ARMS):
                    mean, std = self.ridge(arm, objective, probe)
                    assert decision.means[j, k] == pytest.approx(mean, abs=1e-9)
                    assert decision.stds[j, k] == pytest.approx(std, abs=1e-9)

    @invariant()
    def never_falls_back(self):
        assert not hasattr(self, "router") or self.router.status().fallbacks == 0

    def ridge(self, arm, objective, x):
        a, b = PRECISION.copy(), PRECISION @ np.array([0.0, 0.0, PRIOR_MEAN[objective]])
        for chosen, context, values in self.made.values():
            if chosen == arm and objective in values:
                a += np.outer(context, context)
                b += values[objective] * context
        return x @ np.linalg.solve(a, b), NOISE[objective] * math.sqrt(x @ np.linalg.solve(a, x))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
