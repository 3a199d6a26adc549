"""``router.next_step``: deliver an answer, or ask another arm."""

import math
from collections import Counter

import numpy as np
import pytest

from banditroute import Arm, InvalidFeedbackError, InvalidRequestError, MemoryStore, Preference, Router
from banditroute.budgets import Budget
from banditroute.graders import Signal
from banditroute.guard import Guarantee
from banditroute.limits import Limits
from banditroute.router.assembly import parts_of
from banditroute.router.foresight import SILENT, Channel, Foresight, worth_of_second_call
from tests.support import FakeClock, belief_of

COSTS = {"small": 0.001, "medium": 0.002, "large": 0.02}
RIGHT = {"small": 0.6, "medium": 0.65, "large": 0.95}


def router_on(*, dollar=20.0, **settings):
    preference = Preference(quality=1.0, cost_usd=dollar)
    return Router(arms=list(COSTS), features=1, preference=preference, seed=0, **settings)


def serve(router, requests, *, error=0.0, seed=1, looks=None):
    """Serve requests by ``next_step``; return quality, cost and calls of each."""
    rng, got = np.random.default_rng(seed), []
    for _ in range(requests):
        right = {arm: float(rng.random() < share) for arm, share in RIGHT.items()}
        decision, paid, asked = router.route([0.5]), 0.0, {}
        while True:
            router.feedback(decision.id, cost_usd=COSTS[decision.arm])
            paid += COSTS[decision.arm]
            asked[decision.id] = decision.arm
            good = right[decision.arm]
            signals = {"judge": 1.0 - good if rng.random() < error else good} if looks is None else looks(good, rng)
            step = router.next_step(decision, signals)
            if step.audit_of is not None:
                router.feedback(step.audit_of, quality=right[asked[step.audit_of]])
                asked[step.next.id] = step.next.arm
                router.feedback(step.next.id, quality=right[step.next.arm], audit_of=step.audit_of)
                paid += COSTS[step.next.arm]
                got.append((right[step.next.arm], paid, len(asked)))
                break
            if step.stop:
                router.feedback(step.answer, quality=right[asked[step.answer]])
                got.append((right[asked[step.answer]], paid, len(asked)))
                break
            decision = step.next
    return np.array(got)


class TestLearning:
    def test_good_signals_give_more_than_the_best_arm_for_less(self):
        quality, cost, _ = serve(router_on(), 900)[500:].mean(axis=0)
        assert quality > 0.95
        assert cost < 0.6 * COSTS["large"]

    def test_a_signal_that_says_nothing_is_switched_off_or_weighs_little(self):
        router = router_on()
        serve(router, 600, looks=lambda good, rng: {"noise": float(rng.random() < 0.5), "judge": good})
        signals = router.status().signals
        assert signals["judge"]["log_loss_saved"] > 10.0 * signals["noise"]["log_loss_saved"]
        evidence = parts_of(router).cascade.evidence
        shift = evidence.of("small", (), {"noise": 1.0})[0] - evidence.of("small", (), {"noise": 0.0})[0]
        assert shift < 1.0 < evidence.of("small", (), {"judge": 1.0})[0]

    def test_missing_signals_are_allowed(self):
        router = router_on()
        got = serve(router, 300, looks=lambda good, rng: {"judge": good if rng.random() < 0.3 else None})
        assert len(got) == 300
        assert router.status().signals["judge"]["answers"] < 200

    def test_an_earlier_answer_may_be_delivered(self):
        router = router_on(dollar=2.0)
        serve(router, 300)
        first = router.route([0.5], arms=["small", "medium"])
        step = router.next_step(first, {"judge": 0.4})
        while step.next is not None and step.next.id != first.id:
            later = step.next
            step = router.next_step(later, {"judge": 0.0})
            if step.stop:
                assert step.answer in (first.id, later.id)
        step = router.next_step(first, {"judge": 1.0})  # the signal came late
        assert step.stop
        assert step.answer == first.id


class TestPropensity:
    def test_stop_and_arm_are_drawn_with_the_probabilities_that_are_given(self):
        """Replays one step many times; the shares are within four standard deviations of what each step says."""
        router = router_on(dollar=5.0)
        serve(router, 60, error=0.3)
        stopped = expected = variance = 0.0
        arms, of_arms = Counter(), Counter()
        for _ in range(600):
            first = router.route([0.5], arms=list(COSTS))
            step = router.next_step(first, {"judge": 0.0})
            stopping = step.probability if step.stop else 1.0 - step.probability
            stopped += step.stop
            expected += stopping
            variance += stopping * (1.0 - stopping)
            if step.next is not None:
                arms[step.next.arm] += 1
                for arm, share in zip(step.next.arms, step.next.probabilities, strict=True):
                    of_arms[arm] += share
                assert step.next.propensity == step.next.probabilities[step.next.arms.index(step.next.arm)]
                assert first.arm not in step.next.arms
        assert abs(stopped - expected) <= 4.0 * math.sqrt(variance) + 1e-6
        for arm, share in of_arms.items():
            assert abs(arms[arm] - share) <= 4.0 * math.sqrt(share) + 1.0  # one call of a rare arm is no surprise

    def test_the_probability_of_a_step_is_stored(self):
        store = MemoryStore()
        router = router_on(store=store)
        decision = router.route([0.5])
        step = router.next_step(decision, {"judge": 0.0})
        assert store._outcomes[decision.id] == {"step stopped" if step.stop else "step asked": step.probability}


class TestLimits:
    def test_deadline_holds_over_all_calls(self):
        clock = FakeClock()
        router = router_on(dollar=0.1, clock=clock)
        for arm in COSTS:
            for _ in range(10):
                decision = router.route([0.5], arms=[arm])
                router.feedback(decision.id, quality=float(arm == "large"), cost_usd=COSTS[arm], latency_seconds=2.0)
        first = router.route([0.5], arms=["small", "large"], deadline_seconds=5.0)
        while first.arm != "small":
            first = router.route([0.5], arms=["small", "large"], deadline_seconds=5.0)
        assert first.deadline_seconds == 5.0
        clock.advance(4.0)  # one second is left, and a call takes two
        step = router.next_step(first, {"judge": 0.0})
        assert step.stop
        assert step.reason == "the limits and budgets that are left allow no call of large"

    def test_cost_limit_holds_over_all_calls(self):
        router = router_on(dollar=0.1)
        for arm in COSTS:
            for _ in range(100):
                router.feedback(router.route([0.5], arms=[arm]).id, quality=float(arm == "large"), cost_usd=COSTS[arm])
        limits = Limits(max_cost_usd=0.0202)
        first = router.route([0.5], arms=["small", "large"], limits=limits)
        while first.arm != "small":
            first = router.route([0.5], arms=["small", "large"], limits=limits)
        assert router.next_step(first, {"judge": 0.0}).stop  # .001 + .02 would be above the limit

    def test_hard_budget_stops_a_cascade(self):
        arms = [Arm(name=name, max_cost_usd=usd) for name, usd in COSTS.items()]
        router = Router(arms=arms, features=1, budgets=[Budget(usd=0.0015, hard=True, per="day")], seed=0)
        first = router.route([0.5])
        assert first.arm == "small"
        step = router.next_step(first, {"judge": 0.0})
        assert step.stop
        assert step.probability == 1.0
        assert step.reason == "no other arm may be asked: arms, limits and budgets left small to this request"

    def test_reason_names_the_arms_that_the_request_allows(self):
        router = router_on()
        step = router.next_step(router.route([0.5], arms=["small"]), {"judge": 0.0})
        assert step.stop
        assert step.reason == "no other arm may be asked: arms, limits and budgets left small to this request"

    def test_escalation_never_leaves_the_arms_of_the_request(self):
        router = router_on()
        serve(router, 60)
        for _ in range(20):
            first = router.route([0.5], arms=["small", "medium"])
            second = router.escalate(first.id, signal=0.0)
            if second is not None:
                assert second.arm in {"small", "medium"} - {first.arm}
                assert router.escalate(second.id, signal=0.0) is None

    def test_reason_says_that_limits_bind(self):
        router = router_on()
        serve(router, 60)
        decision = router.route([0.5], arms=["small", "large"], limits=Limits(max_cost_usd=0.0015))
        assert decision.arm == "small"
        steps = [router.next_step(decision, {"judge": 0.0}) for _ in range(20)]
        assert all(step.stop for step in steps)
        # the limit left out the large arm when the request was decided
        assert {step.reason for step in steps} == {
            "no other arm may be asked: arms, limits and budgets left small to this request"
        }

    def test_reason_says_whether_a_call_is_worth_its_price(self):
        router = router_on()
        serve(router, 60)
        reasons = set()
        for _ in range(20):
            step = router.next_step(router.route([0.5], arms=["small", "large"]), {"judge": 0.0})
            reasons.add((step.stop, step.reason))
        assert (False, "a further call is expected to be worth its price") in reasons
        assert all("worth its price" in reason or "large" in reason for _, reason in reasons)


class TestForesight:
    def test_first_choice_counts_on_a_second_call(self):
        """A verifier makes the small arm the better start, though the large arm alone is worth more."""
        sure = Channel(np.array([0.0, 1.0]), np.array([1.0, 0.0]))
        utilities = np.array([0.59, 0.8])
        worth = utilities + worth_of_second_call(np.array([0.6, 0.9]), utilities, 1.0, sure)
        assert worth[0] == pytest.approx(0.59 + 0.4 * 0.8)
        assert worth[0] > worth[1]

    def test_signals_that_say_nothing_leave_the_choice_as_it_is(self):
        utilities = np.array([0.5, 0.55, 0.8])
        assert worth_of_second_call(np.array([0.6, 0.9, 0.9]), utilities, 1.0, SILENT)[2] == 0.0

    def test_cascade_starts_with_an_arm_whose_mistakes_are_seen(self):
        """Alone the large arm is worth .95 - .2, and the small one .6 - .01."""
        router = router_on(dollar=10.0)
        cost = serve(router, 600)[300:, 1].mean()
        assert cost < 0.7 * COSTS["large"]

    def test_route_is_as_before_without_steps(self, monkeypatch):
        monkeypatch.setattr(Foresight, "look_ahead", lambda *_: pytest.fail("nobody asks for next steps"))
        router = router_on()
        for _ in range(50):
            decision = router.route([0.5])
            router.feedback(decision.id, quality=1.0)
            assert decision.reason == "policy"


class TestGuarantee:
    def test_every_stop_is_audited_at_first_and_fewer_later(self):
        router = router_on(guarantee=Guarantee(best="large"))
        serve(router, 100)
        assert router.status().assurance.audit_share == 1.0
        serve(router, 900)
        assurance = router.status().assurance
        assert assurance.audit_share < 1.0
        assert assurance.requests == 1000
        assert assurance.loss_bound <= 0.02
        assert "guarantee: at most" in str(router.status())

    def test_audit_names_the_arm_and_the_decision(self):
        router = router_on(guarantee=Guarantee(best="large"))
        for _ in range(200):
            decision = router.route([0.5])
            step = router.next_step(decision, {"judge": 1.0})
            if step.audit_of is not None:
                assert step.next.arm == "large"
                with pytest.raises(InvalidFeedbackError, match="is not the audit of"):
                    router.feedback(step.next.id, quality=1.0, audit_of="0" * 32)
                router.feedback(step.next.id, quality=1.0, audit_of=step.audit_of)
                assert router.status().assurance.pending_audits == 1
                router.feedback(step.audit_of, quality=0.0)
                assert router.status().assurance.pending_audits == 0
                return
            router.feedback(step.answer, quality=0.5)
        pytest.fail("no stop was audited")

    def test_answer_of_best_arm_ends_a_request(self):
        router = router_on(guarantee=Guarantee(best="large"))
        decision = router.route([0.5], arms=["small", "large"])
        while decision.arm != "large":
            decision = router.route([0.5], arms=["small", "large"])
        step = router.next_step(decision, {"judge": 0.0})
        assert step.stop
        assert step.answer == decision.id

    def test_account_outlives_a_restart(self):
        store = MemoryStore()
        with router_on(store=store, guarantee=Guarantee(best="large")) as router:
            serve(router, 120)
            before = router.status().assurance
        with router_on(store=store, guarantee=Guarantee(best="large")) as router:
            after = router.status().assurance
        assert before.requests - 20 <= after.requests <= before.requests
        assert after.audits == before.audits

    def test_audit_of_without_a_guarantee_is_refused(self):
        router = router_on()
        decision = router.route([0.5])
        with pytest.raises(InvalidFeedbackError, match="no guarantee"):
            router.feedback(decision.id, quality=1.0, audit_of=decision.id)


class TestRefusals:
    @pytest.mark.parametrize("signals", [{"judge": 1.5}, {"judge": "good"}, {"": 0.5}, 0.5, ["judge"], {"judge": True}])
    def test_signals_are_numbers_by_name(self, signals):
        router = router_on()
        with pytest.raises(InvalidRequestError, match="signal"):
            router.next_step(router.route([0.5]), signals)

    def test_graders_signals_are_taken(self):
        router = router_on()
        decision = router.route([0.5], arms=["small"])
        assert router.next_step(
            decision, {"judge": Signal(quality=0.5), "other": Signal(quality=None, reason="x")}
        ).stop

    def test_discarded_answer_teaches_its_expected_quality(self):
        router = router_on(dollar=1.0)
        serve(router, 300)
        belief = belief_of(router)
        for _ in range(50):
            first = router.route([0.5])
            step = router.next_step(first, {"judge": 0.0})
            if step.next is not None:
                before = belief.counts("quality").sum()
                last = router.next_step(step.next, {"judge": 1.0})
                if last.stop:
                    assert last.answer == step.next.id
                    assert belief.counts("quality").sum() == pytest.approx(before + 1.0)
                    return
        pytest.fail("no answer was discarded")
