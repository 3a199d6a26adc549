"""Failures: an objective of their own, and the circuit breaker that leaves a failing arm alone."""

import math

import pytest

from banditroute.errors import (
    ConflictingFeedbackError,
    IncompatibleStoreError,
    InvalidConfigurationError,
    InvalidFeedbackError,
)
from banditroute.learners import EpsilonGreedy, Learner
from banditroute.limits import CircuitBreaker, Limits
from banditroute.limits.breaker import Circuits
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.store.memory import MemoryStore
from tests.support import remember


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"failures": 0}, "failures is 0; give a whole number of at least 1"),
        ({"failures": 2.0}, r"failures is 2.0; give a whole number"),
        ({"failures": True}, "failures is True"),
        ({"reset_seconds": 0}, "reset_seconds is 0; give a number above 0"),
        ({"reset_seconds": math.inf}, "reset_seconds is inf; give a finite number"),
    ],
)
def test_bad_breaker_settings_are_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        CircuitBreaker(**given)


class TestCircuit:
    """One arm among others that work; a request is decided and reported at the same second unless said otherwise."""

    @pytest.fixture
    def circuits(self):
        return Circuits(breaker=CircuitBreaker(failures=3, reset_seconds=10.0))

    def fail(self, circuits, *times):
        for now in times:
            circuits.report("a", failed=True, decided_at=now, now=now)

    def passes(self, circuits, now):
        return circuits.closed(["a", "b"], now) == ["a", "b"]

    def test_opens_at_the_given_failure_in_a_row(self, circuits):
        self.fail(circuits, 1, 2)
        assert self.passes(circuits, 2)
        assert not circuits.tripped
        self.fail(circuits, 3)
        assert not self.passes(circuits, 3)
        assert circuits.tripped

    def test_an_answer_in_between_begins_the_count_anew(self, circuits):
        self.fail(circuits, 1, 2)
        circuits.report("a", failed=False, decided_at=3, now=3)
        self.fail(circuits, 4, 5)
        assert self.passes(circuits, 5)

    def test_a_late_answer_of_an_earlier_request_does_not(self, circuits):
        self.fail(circuits, 2, 3)
        circuits.report("a", failed=False, decided_at=1, now=4)
        self.fail(circuits, 5)
        assert not self.passes(circuits, 5)

    def test_lets_one_request_through_when_it_has_rested(self, circuits):
        self.fail(circuits, 1, 2, 3)
        assert not self.passes(circuits, 12.9)
        assert self.passes(circuits, 13)
        circuits.choose("a", 13)
        assert not self.passes(circuits, 14)

    def test_the_probes_failure_opens_it_again(self, circuits):
        self.fail(circuits, 1, 2, 3)
        circuits.choose("a", 13)
        circuits.report("a", failed=True, decided_at=13, now=15)
        assert not self.passes(circuits, 24.9)
        assert self.passes(circuits, 25)

    def test_the_probes_answer_closes_it(self, circuits):
        self.fail(circuits, 1, 2, 3)
        circuits.choose("a", 13)
        circuits.report("a", failed=False, decided_at=13, now=14)
        assert self.passes(circuits, 14)
        assert not circuits.tripped
        self.fail(circuits, 15, 16)
        assert self.passes(circuits, 16)

    def test_no_news_of_the_probe_closes_it(self, circuits):
        self.fail(circuits, 1, 2, 3)
        circuits.choose("a", 13)
        assert not self.passes(circuits, 22.9)
        assert self.passes(circuits, 23)
        assert not circuits.tripped

    def test_failures_of_requests_from_before_do_not_keep_it_open(self, circuits):
        self.fail(circuits, 1, 2, 3)
        circuits.report("a", failed=True, decided_at=2, now=12)
        assert self.passes(circuits, 13)

    def test_an_answer_from_before_does_not_close_it(self, circuits):
        self.fail(circuits, 1, 2, 3)
        circuits.report("a", failed=False, decided_at=2, now=4)
        assert not self.passes(circuits, 4)

    def test_the_state_survives(self, circuits):
        self.fail(circuits, 1, 2, 3)
        again = Circuits(breaker=CircuitBreaker(failures=3, reset_seconds=10.0), blob=circuits.to_bytes())
        assert again.to_bytes() == circuits.to_bytes()
        assert again.tripped
        assert not self.passes(again, 12.9)
        assert self.passes(again, 13)

    @pytest.mark.parametrize("ahead", [3600.0, 3650 * 86400.0])
    def test_closes_in_time_after_the_clock_was_ahead(self, circuits, ahead):
        self.fail(circuits, ahead, ahead + 1.0, ahead + 2.0)
        assert not self.passes(circuits, 100.0)  # the clock is right again
        assert self.passes(circuits, 100.0 + CircuitBreaker().reset_seconds)

    def test_an_answer_closes_it_after_the_clock_was_ahead(self, circuits):
        self.fail(circuits, 1e9, 1e9 + 1.0, 1e9 + 2.0)
        circuits.report("a", failed=False, decided_at=100.0, now=100.0)
        assert self.passes(circuits, 100.0)

    def test_circuit_stays_closed_without_a_breaker(self):
        circuits = Circuits(breaker=None)
        self.fail(circuits, *range(50))
        assert not circuits.tripped

    def test_availability_forgets(self):
        circuits = Circuits(breaker=None)
        self.fail(circuits, *range(50))
        low = circuits.availability(["a"])[0][0]
        for now in range(50, 5000):
            circuits.report("a", failed=False, decided_at=now, now=now)
        assert low < 0.1
        assert circuits.availability(["a"])[0][0] > 0.999


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def uniform(clock, **settings):
    breaker = CircuitBreaker(failures=3, reset_seconds=10.0)
    settings = {"arms": ["a", "b", "c"], "breaker": breaker, "learner": Learner(policy=Uniform()), **settings}
    return Router(features=1, seed=0, clock=clock, **settings)


def availability(decision):
    return decision.means[decision.objectives.index("availability")]


def fail(router, clock, *arms, count=3):
    for arm in arms:
        for _ in range(count):
            clock.now += 1.0
            router.feedback(router.route([0.0], arms=[arm]).id, failed=True)


class TestRouter:
    def test_a_failing_arm_is_left_alone_and_comes_back(self, clock):
        router = uniform(clock)
        fail(router, clock, "a")
        assert {router.route([0.0]).arms for _ in range(20)} == {("b", "c")}
        clock.now += 10.0
        decision = router.route([0.0])
        while decision.arm != "a":
            assert decision.arms == ("a", "b", "c")
            decision = router.route([0.0])
        assert decision.reason == "policy"
        assert router.route([0.0]).arms == ("b", "c")
        router.feedback(decision.id, latency_seconds=0.2)
        assert router.route([0.0]).arms == ("a", "b", "c")

    def test_first_opened_circuit_is_tried_where_all_are_open(self, clock):
        router = uniform(clock)
        fail(router, clock, "b", "a", "c")
        decision = router.route([0.0])
        assert (decision.arm, decision.propensity) == ("b", 1.0)
        assert decision.reason == "breaker: the circuits of all arms are open; the one that was opened first is tried"
        router.feedback(decision.id, failed=True)
        assert router.route([0.0], arms=["a", "c"]).arm == "a"

    def test_limits_apply_to_what_the_breaker_leaves(self, clock):
        router = uniform(clock)
        for arm, cost in {"a": 0.001, "b": 0.002, "c": 0.003}.items():
            for _ in range(30):
                router.feedback(router.route([0.0], arms=[arm]).id, cost_usd=cost)
        fail(router, clock, "a")
        assert router.route([0.0], limits=Limits(max_cost_usd=0.0005)).arm == "b"

    def test_the_default_breaker_waits_for_five(self, clock):
        router = Router(arms=["a", "b"], features=1, clock=clock)
        fail(router, clock, "a", count=4)
        assert router.route([0.0]).arms == ("a", "b")
        fail(router, clock, "a", count=1)
        assert router.route([0.0]).arms == ("b",)

    def test_breaker_of_none_excludes_no_arm(self, clock):
        router = uniform(clock, breaker=None)
        fail(router, clock, "a", count=50)
        assert router.route([0.0]).arms == ("a", "b", "c")

    def test_the_circuit_and_the_availability_survive_a_restart(self, clock):
        store = MemoryStore()
        with uniform(clock, store=store) as router:
            fail(router, clock, "a")
            before = availability(router.route([0.0], arms=["a"]))
        with uniform(clock, store=store) as router:
            assert router.route([0.0]).arms == ("b", "c")
            assert availability(router.route([0.0], arms=["a"])) == before < 1.0

    def test_a_damaged_state_is_refused_and_the_store_let_go(self):
        for blob in (b"\xff", b"{", b"[]", b'{"a": {"no": 1}}'):
            store = MemoryStore()
            remember(store, "breaker", blob)
            with pytest.raises(IncompatibleStoreError, match="the stored state 'breaker' is damaged"):
                Router(arms=["a"], features=1, store=store)
            assert store.trouble is not None

    def test_anything_but_a_breaker_is_refused(self):
        with pytest.raises(InvalidConfigurationError, match="breaker is 5; give a CircuitBreaker, or None for none"):
            Router(arms=["a"], features=1, breaker=5)


class TestAvailability:
    def test_a_failure_is_not_a_worthless_answer_but_weighs_as_much(self, clock):
        router = uniform(clock, arms=["a", "b"], breaker=None, learner=EpsilonGreedy())
        for arm in "ab":
            for _ in range(20):
                router.feedback(router.route([0.0], arms=[arm]).id, quality=0.8)
        before = router.route([0.0])
        fail(router, clock, "a", count=20)
        after = router.route([0.0])
        quality = after.means[after.objectives.index("quality")]
        assert quality == pytest.approx(before.means[0])  # missing is never zero
        assert availability(after) == pytest.approx([25.0 / 45.0, 1.0], abs=0.02)  # 5 + 20 answers, 20 failures
        assert after.utilities == pytest.approx(quality + availability(after))
        assert router.route([0.0], preference={"quality": 2.0}).utilities == pytest.approx(2.0 * after.utilities)
        named = router.route([0.0], preference={"quality": 1.0, "availability": 0.5})
        assert named.utilities == pytest.approx(quality + 0.5 * availability(after))

    def test_availability_is_not_an_objective_before_a_failure(self, clock):
        router = uniform(clock)
        router.feedback(router.route([0.0]).id, quality=1.0)
        assert router.route([0.0]).objectives == ("quality",)

    def test_single_failure_after_many_answers_does_not_settle_availability(self, clock):
        router = uniform(clock)
        for _ in range(300):
            router.feedback(router.route([0.0], arms=["a"]).id, quality=1.0)
        fail(router, clock, "a", count=1)
        assert availability(router.route([0.0], arms=["a"])) > 0.99

    def test_several_parts_of_one_report_are_one_answer(self, clock):
        router = uniform(clock)
        fail(router, clock, "a", count=1)
        decision = router.route([0.0], arms=["a"])
        for part in ({"quality": 1.0}, {"cost_usd": 0.1}, {"latency_seconds": 1.0}):
            router.feedback(decision.id, **part)
        # 5 + 1 answers, 1 failure
        assert availability(router.route([0.0], arms=["a"])) == pytest.approx(6.0 / 7.0, abs=0.001)

    def test_a_call_cannot_both_fail_and_be_answered(self, clock):
        router = uniform(clock)
        decision = router.route([0.0])
        router.feedback(decision.id, failed=True)
        router.feedback(decision.id, failed=True)
        with pytest.raises(ConflictingFeedbackError):
            router.feedback(decision.id, failed=False)

    @pytest.mark.parametrize("failed", [1, 0.0, "yes"])
    def test_failed_is_true_or_false(self, clock, failed):
        router = uniform(clock)
        with pytest.raises(InvalidFeedbackError, match=r"failed is .*; give True, False or None"):
            router.feedback(router.route([0.0]).id, failed=failed)

    async def test_the_event_loop_reports_failures_too(self, clock):
        router = uniform(clock)
        for _ in range(3):
            await router.afeedback((await router.aroute([0.0], arms=["a"])).id, failed=True)
        assert (await router.aroute([0.0])).arms == ("b", "c")
