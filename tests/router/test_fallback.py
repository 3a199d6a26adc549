"""Whatever was learned or stored, route() answers: with the fallback arm, the reason, and one line in the log."""

import logging
import math

import numpy as np
import pytest

from banditroute.beliefs import Linear, LinearBelief
from banditroute.errors import InvalidRequestError, UnknownDecisionError
from banditroute.features import Complexity
from banditroute.learners import EpsilonGreedy, Learner
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.store.memory import MemoryStore
from tests.support import store_of

TEXT = "What is 2 + 2?"


class Switch:
    """Whether the parts below fail, and how often they did."""

    def __init__(self):
        self.on = True
        self.message = "out of order"

    def strike(self):
        if self.on:
            raise RuntimeError(self.message)


class FailingFeatures(Complexity):
    def __init__(self, switch):
        super().__init__()
        self.switch = switch

    def transform_one(self, request):
        self.switch.strike()
        return super().transform_one(request)


class NaNFeatures(Complexity):
    def __init__(self, switch):
        super().__init__()
        self.switch = switch

    def transform_one(self, request):
        x = super().transform_one(request)
        return x * math.nan if self.switch.on else x


class ShortFeatures(NaNFeatures):
    def transform_one(self, request):
        return Complexity.transform_one(self, request)[: -1 if self.switch.on else None]


class FailingPolicy:
    def __init__(self, switch):
        self.switch = switch

    def probabilities(self, means, stds, *, arms, information):
        self.switch.strike()
        return np.full(len(arms), 1.0 / len(arms))


class NaNPolicy(FailingPolicy):
    def probabilities(self, means, stds, *, arms, information):
        return np.full(len(arms), math.nan if self.switch.on else 1.0 / len(arms))


class FailingBelief(Linear):
    """A spec of beliefs that learn, and fail to predict."""

    def __init__(self, switch):
        super().__init__()
        object.__setattr__(self, "switch", switch)

    def _belief(self):
        switch = self.switch

        class Belief(LinearBelief):
            def predict(self, x):
                switch.strike()
                return super().predict(x)

        return Belief


class NaNBelief(FailingBelief):
    def _belief(self):
        switch = self.switch

        class Belief(LinearBelief):
            def predict(self, x):
                means, *stds = super().predict(x)
                return means * (math.nan if switch.on else 1.0), *stds

        return Belief


class TroubledStore(MemoryStore):
    """Reports a trouble, and takes decisions nevertheless."""

    def __init__(self, switch):
        super().__init__()
        self.switch = switch

    @property
    def trouble(self):
        return "the disk is full" if self.switch.on else None


class RaisingTrouble(TroubledStore):
    @property
    def trouble(self):
        self.switch.strike()
        return None


class RaisingStore(TroubledStore):
    trouble = None

    def add_decision(self, decision, prompt=None):
        self.switch.strike()
        super().add_decision(decision, prompt)


NOT_FINITE = "the belief is not finite; verify or restore the stored statistics"
NO_PROBABILITIES = "the policy did not give 2 probabilities that sum to 1; test it with testing.check_policy"
FAULTS = {
    "features": (
        lambda s: {"features": FailingFeatures(s)},
        f"RuntimeError in strike(), line {Switch.strike.__code__.co_firstlineno + 2}, while Fail",
    ),
    "features NaN": (lambda s: {"features": NaNFeatures(s)}, "NaNFeatures gave features that are not finite"),
    "features short": (lambda s: {"features": ShortFeatures(s)}, "ValueError: could not broadcast"),
    "policy": (lambda s: {"learner": Learner(policy=FailingPolicy(s))}, "RuntimeError: out of order"),
    "policy NaN": (lambda s: {"learner": Learner(policy=NaNPolicy(s))}, NO_PROBABILITIES),
    "belief": (lambda s: {"learner": Learner(policy=Uniform(), belief=FailingBelief(s))}, "RuntimeError: out of order"),
    "belief NaN": (lambda s: {"learner": Learner(policy=Uniform(), belief=NaNBelief(s))}, NOT_FINITE),
    "store's trouble": (lambda s: {"store": TroubledStore(s)}, "the disk is full"),
    "store's trouble raises": (lambda s: {"store": RaisingTrouble(s)}, "RuntimeError: out of order"),
    "store raises": (lambda s: {"store": RaisingStore(s)}, "RuntimeError: out of order"),
}


@pytest.fixture(params=FAULTS)
def fault(request):
    make, trouble = FAULTS[request.param]
    switch = Switch()
    switch.on = False
    router = Router(**{"arms": ["a", "b"], "features": Complexity(), "fallback": "b", "seed": 0, **make(switch)})
    switch.on = True
    return router, switch, trouble


def test_a_fault_gives_the_fallback_arm_with_the_reason(fault):
    router, switch, trouble = fault
    decision = router.route(TEXT, session="s", tags=["t"], input_tokens=5)
    assert decision.arm == "b"
    assert decision.reason.startswith(f"fallback: {trouble}")
    assert decision.fell_back
    assert decision.propensity == 1.0
    assert decision.probabilities.tolist() == [0.0, 1.0]
    assert decision.ranking == ("b", "a")
    assert (decision.session, decision.tags, decision.input_tokens) == ("s", ("t",), 5)
    assert "b with probability 1.000" in str(decision.explain())
    assert decision.x is None or np.isfinite(decision.x).all()
    switch.on = False
    assert router.route(TEXT).reason == "policy"


def test_fallbacks_are_counted_and_logged_once_per_trouble(fault, caplog):
    router, switch, trouble = fault
    with caplog.at_level(logging.DEBUG, logger="banditroute"):
        for _ in range(5):
            router.route(TEXT)
        assert router.status().fallbacks == 5
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert record.name == "banditroute"
        assert record.getMessage().startswith(f"routing falls back to arm 'b': {trouble}")
        switch.on = False
        router.route(TEXT)
        assert (router.status().fallbacks, len(caplog.records)) == (5, 1)
        switch.on = True
        router.route(TEXT)
        assert (router.status().fallbacks, len(caplog.records)) == (6, 2)


def test_each_kind_of_trouble_is_logged_in_its_own_line(caplog):
    switch = Switch()
    router = Router(arms=["a"], learner=Learner(policy=FailingPolicy(switch)))
    for switch.message in ("first", "first", "second", "second"):
        router.route(TEXT)
    assert [record.getMessage().split()[-1] for record in caplog.records] == ["first", "second"]


def test_feedback_for_a_fallback_decision_works(fault):
    router, switch, _ = fault
    decision = router.route(TEXT)
    if isinstance(store_of(router), RaisingStore):  # it did not take the decision
        with pytest.raises(UnknownDecisionError):
            router.feedback(decision.id, quality=1.0)
        return
    router.feedback(decision.id, quality=1.0)
    router.feedback(decision.id, quality=1.0)
    switch.on = False
    after = router.route(TEXT)
    assert np.isfinite(after.means).all()
    # What was decided in a known context is learned; what was not is recorded.
    assert router.status().learned == (decision.x is not None)
    assert (after.means[0, 1] > 0.5) == (decision.x is not None)


def test_first_arm_is_the_default_fallback():
    assert Router(arms=["a", "b"], features=FailingFeatures(Switch())).route(TEXT).arm == "a"


@pytest.mark.parametrize(
    ("options", "arm"), [({"exclude": ["b"]}, "a"), ({"arms": ["c", "a"]}, "a"), ({"arms": ["c"]}, "c")]
)
def test_a_fallback_arm_that_may_not_be_chosen_gives_way(options, arm):
    router = Router(arms=["a", "b", "c"], features=FailingFeatures(Switch()), fallback="b")
    decision = router.route(TEXT, **options)
    assert decision.arm == arm
    assert decision.arms == tuple(
        name for name in "abc" if name in options.get("arms", "abc") and name not in options.get("exclude", "")
    )


def test_a_callers_mistake_is_raised_even_while_all_falls_back():
    router = Router(arms=["a"], features=FailingFeatures(Switch()))
    with pytest.raises(InvalidRequestError, match="arms names an unknown arm"):
        router.route(TEXT, arms=["c"])
    assert router.status().fallbacks == 0


def test_a_closed_router_falls_back():
    router = Router(arms=["a", "b"], features=1, fallback="b")
    router.close()
    decision = router.route([1.0])
    assert decision.arm == "b"
    assert "the store is closed" in decision.reason


def test_features_that_are_not_finite_are_never_learned():
    switch, store = Switch(), MemoryStore()
    with Router(arms=["a"], features=NaNFeatures(switch), store=store) as router:
        router.feedback(router.route(TEXT).id, quality=1.0)
    switch.on = False
    with Router(arms=["a"], features=NaNFeatures(switch), store=store) as router:
        assert router.route(TEXT).reason == "policy"


def test_collinear_features_of_any_size_never_stop_the_router():
    """Learned, and learned again by the next router on the store."""
    store, settings = MemoryStore(), {"arms": ["a", "b"], "features": 2, "learner": EpsilonGreedy(), "seed": 0}
    for _ in range(2):
        with Router(store=store, **settings) as router:
            for i in range(150):
                decision = router.route([1e7 + i, 1e7 + 2 * i])
                router.feedback(decision.id, quality=0.5, cost_usd=1e50)
            assert router.status().fallbacks == 0
