"""A required capability holds whatever is broken: no private or suspect request leaves the arms that may serve it."""

from __future__ import annotations

import numpy as np
import pytest

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, SimulatedBackend
from banditroute.core import Arm
from banditroute.errors import BackendUnavailableError, InvalidRequestError
from banditroute.features import Complexity
from banditroute.guard import Guard
from banditroute.learners import Learner
from banditroute.limits import CircuitBreaker, Limits, Quota, Rule
from tests.support import FakeClock, X, belief_of, make_router, serve, spoil

ARMS = (
    Arm(name="cloud"),
    Arm(name="local", capabilities=["private", "jailbreak"]),
    Arm(name="vault", capabilities=["private"]),
)
ALLOWED = {"private": {"local", "vault"}, "jailbreak": {"local"}}


class Broken(Complexity):
    """A featurizer that cannot read."""

    def transform_one(self, request):
        raise OSError("no model")


class Fails:
    """A policy that fails as it was made to."""

    def __init__(self, answer):
        self.answer = answer

    def probabilities(self, means, stds, *, arms, information):
        return self.answer(len(arms))


def raises(count=0):
    raise ValueError("no choice")


def routed(router, need, request=X, **options):
    return [router.route(request, requires=[need], **options).arm for _ in range(8)]


def broken_features(need):
    return routed(make_router(*ARMS, features=Broken(), fallback="cloud"), need, "a text")


def broken_clock(need):
    return routed(make_router(*ARMS, clock=raises, fallback="cloud"), need)


def broken_policy(need):
    return routed(make_router(*ARMS, learner=Learner(policy=Fails(raises)), fallback="cloud"), need)


def no_probability(need):
    return routed(make_router(*ARMS, learner=Learner(policy=Fails(np.zeros)), fallback="cloud"), need)


def broken_belief(need):
    router = make_router(*ARMS, fallback="cloud")
    spoil(belief_of(router))
    return routed(router, need)


def open_circuits(need):
    router = make_router(*ARMS, breaker=CircuitBreaker(), clock=FakeClock(), fallback="cloud")
    for name in sorted(ALLOWED[need]) * 30:
        router.feedback(router.route(X, arms=[name]).id, failed=True)
    return routed(router, need)


def used_up_quotas(need):
    quotas = [Quota(arms=["local", "vault"], requests_per_minute=1)]
    return routed(make_router(*ARMS, quotas=quotas, clock=FakeClock(), fallback="cloud"), need)


def impossible_limits(need):
    router = make_router(*ARMS, fallback="cloud")
    for _ in range(60):
        serve(router, cost_usd=0.01)
    return routed(router, need, limits=Limits(max_cost_usd=1e-6))


def another_baseline(need):
    return routed(make_router(*ARMS, guard=Guard(baseline="cloud"), fallback="cloud"), need)


def adapters_that_do_not_load(need):
    class Unavailable(SimulatedBackend):
        def load(self, adapter):
            raise BackendUnavailableError("it does not answer")

    tuned = Arm(name="tuned", capabilities=[need], adapter=AdapterSpec(name="tuned", path="tuned", size_bytes=1))
    cache = AdapterCache(backend=Unavailable(capacity=Capacity(slots=1)))
    router = make_router(*ARMS, tuned, adapters=cache, fallback="cloud")
    served = []
    for _ in range(20):
        with router.lease(router.route(X, requires=[need])) as decision:
            served.append(decision.arm)
    return served


TROUBLES = [
    broken_features,
    broken_clock,
    broken_policy,
    no_probability,
    broken_belief,
    open_circuits,
    used_up_quotas,
    impossible_limits,
    another_baseline,
    adapters_that_do_not_load,
]


@pytest.mark.parametrize("need", sorted(ALLOWED))
@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda each: each.__name__)
def test_requirement_holds(trouble, need):
    served = trouble(need)
    assert served
    assert {*served} <= ALLOWED[need]


def test_the_fallback_of_a_free_request_is_the_cloud():
    """Else the cases above could not fail."""
    assert make_router(*ARMS, features=Broken(), fallback="cloud").route("a text").arm == "cloud"


def test_a_rule_that_allows_other_arms_only_is_refused():
    rule = Rule(when="tag('vip')", arms=["cloud"])
    router = make_router(*ARMS, limits=Limits(rules=[rule]), fallback="cloud")
    with pytest.raises(InvalidRequestError, match="no arm is left"):
        router.route(X, requires=["private"], tags=["vip"])
