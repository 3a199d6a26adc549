"""``router.escalate``: whether a first answer may stand."""

import numpy as np
import pytest

from banditroute import (
    InvalidFeedbackError,
    InvalidRequestError,
    MemoryStore,
    Preference,
    Router,
    SQLStore,
    UnknownDecisionError,
)
from banditroute.budgets import Budget
from banditroute.router.assembly import parts_of
from tests.support import belief_of

COSTS = {"small": 0.001, "large": 0.01}


def serve(router, requests, *, seed=0, error=0.0):
    """Cascades over requests of which the small arm gets 60% right and the large one 95%; (quality, cost) of each."""
    rng, got = np.random.default_rng(seed), []
    for _ in range(requests):
        right = {"small": float(rng.random() < 0.6), "large": float(rng.random() < 0.95)}
        decision, paid = router.route([0.5]), 0.0
        while True:
            router.feedback(decision.id, cost_usd=COSTS[decision.arm])
            paid += COSTS[decision.arm]
            good = right[decision.arm]
            again = router.escalate(decision.id, signal=1.0 - good if rng.random() < error else good)
            if again is None:
                break
            assert again.arm != decision.arm
            decision = again
        router.feedback(decision.id, quality=right[decision.arm])
        got.append((right[decision.arm], paid))
    return np.array(got)


def router_on(store=None, *, dollar=20.0, **settings):
    preference = Preference(quality=1.0, cost_usd=dollar)
    return Router(arms=list(COSTS), features=1, preference=preference, seed=0, store=store or MemoryStore(), **settings)


class TestLearning:
    def test_a_signal_that_tells_is_followed(self):
        quality, cost = serve(router_on(dollar=60.0), 1200)[600:].mean(axis=0)
        assert quality > 0.93  # .6 by the small arm, and .95 of the other .4
        assert cost < 0.0065  # .001 + .4 x .01; the large arm alone costs .01

    def test_a_signal_that_tells_nothing_is_not(self):
        router = router_on(dollar=60.0)
        serve(router, 1200, error=0.5)
        decision = router.route([0.5], arms=["small", "large"])
        asked = [router.escalate(router.route([0.5]).id, signal=signal) for signal in [0.0, 1.0] * 50]
        assert decision.arms == ("small", "large")
        assert sum(again is not None for again in asked) < 15

    def test_an_answer_that_is_not_taken_is_learned_from_its_signal(self):
        router = router_on(dollar=1.0)
        serve(router, 400)
        first = router.route([0.5], arms=["small", "large"])
        belief = belief_of(router)
        before = belief.counts("quality").sum()
        again = router.escalate(first.id, signal=0.0)
        assert again is not None
        assert belief.counts("quality").sum() == pytest.approx(before + 1.0)

    def test_escalate_records_no_quality_where_one_was_reported(self):
        router = router_on(dollar=1.0)
        serve(router, 400)
        first = router.route([0.5])
        router.feedback(first.id, quality=0.3)
        belief = belief_of(router)
        before = belief.counts("quality").sum()
        router.escalate(first.id, signal=0.0)
        assert belief.counts("quality").sum() == before

    def test_the_small_arm_is_not_believed_better_than_it_is(self):
        """Only answers that look good are taken and judged; without what the signals of the others say it would be."""
        router = router_on(dollar=60.0)
        serve(router, 1500)
        quality = dict(zip(COSTS, router.route([0.5]).means[0], strict=True))
        assert quality["small"] == pytest.approx(0.6, abs=0.12)


class TestTheRequest:
    def test_escalate_routes_the_request_again_with_its_own_terms(self, tmp_path):
        with router_on(SQLStore(f"sqlite:///{tmp_path / 'r.db'}"), dollar=0.01) as router:
            for arm in COSTS:
                for _ in range(20):
                    router.feedback(router.route([0.5], arms=[arm]).id, quality=float(arm == "large"))
            preference = Preference(quality=2.0)
            first = router.route(
                [0.5], preference=preference, session="s", tags=["a"], input_tokens=7, exclude=["large"]
            )
            assert router.escalate(first.id, signal=0.0) is None  # the other arm was not allowed
            first = router.route([0.5], preference=preference, session="s", tags=["a"], input_tokens=7)
            router.flush()
            second = router.escalate(first.id, signal=0.0)
            if first.arm == "large":
                assert second is None
            else:
                assert second is not None
                np.testing.assert_array_equal(second.x, first.x)
                assert (second.session, second.tags, second.input_tokens) == ("s", ("a",), 7)
                assert (second.preference, second.arms, second.propensity) == (preference, ("large",), 1.0)
                assert router.escalate(second.id, signal=0.0) is None  # nobody is left

    def test_another_process_may_escalate(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'r.db'}"
        with router_on(SQLStore(url), dollar=0.01) as one, router_on(SQLStore(url), dollar=0.01) as other:
            first = one.route([0.5], arms=["small", "large"])
            one.flush()
            again = other.escalate(first.id, signal=0.0)
            assert again is None or again.arm != first.arm

    def test_learned_meaning_of_signals_survives_a_restart(self):
        store = MemoryStore()
        with router_on(store, dollar=60.0) as router:
            serve(router, 600)
            known = parts_of(router).cascade.evidence.of("small", (), {"signal": 0.0})[0]
        with router_on(store, dollar=60.0) as router:
            assert parts_of(router).cascade.evidence.of("small", (), {"signal": 0.0})[0] == pytest.approx(
                known, abs=0.3
            )
        assert known < -1.0


class TestRefusals:
    @pytest.mark.parametrize("signal", [-0.1, 1.1, np.nan, np.inf, True, "good", None])
    def test_a_signal_is_a_number_from_0_to_1(self, signal):
        router = router_on()
        decision = router.route([0.5])
        with pytest.raises(InvalidRequestError, match="signal"):
            router.escalate(decision.id, signal=signal)

    def test_a_decision_must_be_known(self):
        router = router_on()
        with pytest.raises(UnknownDecisionError, match="no decision"):
            router.escalate("0" * 32, signal=0.5)
        with pytest.raises(InvalidFeedbackError, match=r"decision\.id"):
            router.escalate(router.route([0.5]), signal=0.5)


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("banditroute.router.cascade._WAITING_ANSWERS", 100)
    router = router_on()
    first = router.route([0.5])
    router.escalate(first.id, signal=0.5)
    for _ in range(120):
        router.escalate(router.route([0.5]).id, signal=0.5)
    assert len(parts_of(router).cascade._chains) <= 100
    router.feedback(first.id, quality=1.0)  # its signals are forgotten
    assert not router.status().signals


def test_a_further_call_is_charged_to_its_request():
    """A budget per request grants nothing for the second call of one request, and counts what it takes."""
    router = Router(arms=list(COSTS), features=1, budgets=[Budget(usd=0.02)], seed=0)
    for arm in COSTS:
        for _ in range(10):
            decision = router.route([0.5], arms=[arm])
            router.feedback(decision.id, quality=float(arm == "large"), cost_usd=COSTS[arm])
    (before,) = router.status().budgets
    first = router.route([0.5], arms=["small", "large"])
    while first.arm == "large":
        router.feedback(first.id, quality=1.0, cost_usd=0.01)
        (before,) = router.status().budgets
        first = router.route([0.5])
    second = router.escalate(first.id, signal=0.0)
    assert second is not None
    router.feedback(first.id, cost_usd=0.001)
    router.feedback(second.id, cost_usd=0.01)
    (after,) = router.status().budgets
    assert after.requests == before.requests + 1
    assert after.granted == pytest.approx(before.granted + 0.02)
    assert after.spent == pytest.approx(before.spent + 0.011)
