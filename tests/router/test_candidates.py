"""Stages of a decision, each alone on hand-made candidates."""

import math

import numpy as np
import pytest

from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.guard import Guard
from banditroute.limits import CircuitBreaker, Limits, Share
from banditroute.policies import Uniform
from banditroute.policies.base import start
from banditroute.router.candidates import Candidates
from banditroute.router.constraints import Constraints
from banditroute.router.requests import Ask
from banditroute.router.sampling import CannotChooseError
from banditroute.store.base import OutcomeEvent, Recorded
from banditroute.store.state_slot import StateSlots
from tests.support import make_router, serve

UNIFORM = start(Uniform(), objectives=["quality"])
X = np.ones(1)


def make_candidates(utilities=(0.5, 0.9, 0.1), **changed):
    """Candidates a, b, ... of one objective, quality, that is also the utility."""
    k = len(utilities)
    values = np.array(utilities, dtype=float)
    parts = {
        "arms": tuple("abcdefgh"[:k]),
        "objectives": ("quality",),
        "means": values[None].copy(),
        "stds": np.full((1, k), 0.1),
        "utilities": values,
        "utility_stds": np.full(k, 0.1),
        "penalties": np.zeros(k),
        "information": lambda: np.arange(k, dtype=float),
        "counts": lambda objective: np.full(k, 100.0),
    }
    return Candidates(**{**parts, **changed})


def make_ask(*, limits=None, input_tokens=None, tags=(), now=1000.0):
    request = Request(features=np.zeros(0), input_tokens=input_tokens, tags=tags)
    return Ask(request, X, Preference(quality=1.0), None, limits, now)


def make_constraints(arms=("a", "b", "c"), **settings):
    return Constraints(
        arms=[arm if isinstance(arm, Arm) else Arm(name=arm) for arm in arms],
        slots=StateSlots(),
        totals={},
        add_total=lambda budget, total: None,
        **{"breaker": CircuitBreaker(failures=1), **settings},
    )


def report_failure(constraints, arm, now=1000.0):
    event = OutcomeEvent(arm=arm, x=X, values={"availability": 0.0}, decided_at=now, ordinal=0)
    constraints.observe_outcome(Recorded(decision_id="0f", event=event, received_at=now))


class TestCandidates:
    def test_narrowed_keeps_the_eligible_arms_with_all_that_is_known_of_them(self):
        narrowed = make_candidates(eligible=[2, 0]).narrowed()
        assert narrowed.arms == ("c", "a")
        assert narrowed.utilities.tolist() == [0.1, 0.5]
        assert narrowed.means.tolist() == [[0.1, 0.5]]
        assert narrowed.information().tolist() == [2.0, 0.0]
        assert narrowed.counts("quality").tolist() == [100.0, 100.0]
        assert narrowed.eligible is None

    def test_narrowed_is_the_same_value_where_all_arms_are_eligible(self):
        candidates = make_candidates()
        assert candidates.narrowed() is candidates

    def test_penalties_come_off_the_utilities_and_add_up(self):
        candidates = make_candidates().penalized(np.array([0.1, 0.2, 0.0])).penalized(np.array([0.0, 0.2, 0.1]))
        assert candidates.penalties == pytest.approx([0.1, 0.4, 0.1])
        assert candidates.utilities == pytest.approx([0.4, 0.5, 0.0])

    def test_blank_candidates_know_nothing(self):
        blank = Candidates.blank(("a", "b"))
        assert (blank.objectives, blank.means.shape) == ((), (0, 2))
        assert blank.utilities.tolist() == blank.penalties.tolist() == [0.0, 0.0]

    @pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
    def test_utilities_that_are_not_finite_cannot_be_chosen_by(self, bad):
        with pytest.raises(CannotChooseError, match="verify or restore the stored statistics"):
            make_candidates(utilities=(0.5, bad)).check_finite()

    def test_value_weighs_the_expected_outcomes(self):
        assert make_candidates().value({"quality": 2.0}) == pytest.approx([1.0, 1.8, 0.2])

    def test_reasons_have_one_order_of_precedence(self):
        every = {
            "uncovered": "budget x: nothing covers it",
            "forced": True,
            "overruled": "breaker: all are open",
            "unjudged": {"a": ["max_cost_usd"]},
        }
        expected = [
            "fallback: budget x: nothing covers it",
            "adapters: it had to be tried",
            "breaker: all are open",
            "limits: max_cost_usd cannot be judged yet of 'a'",
            "traffic: capped",
        ]
        nothing = {"uncovered": None, "forced": False, "overruled": None, "unjudged": {}}
        for n, name in enumerate([*every, None]):
            assert make_candidates(**every).reason("a", "traffic: capped") == expected[n]
            if name is not None:
                every[name] = nothing[name]
        assert make_candidates().reason("a", None) == "policy"


class TestAdmission:
    def test_candidates_pass_unchanged_without_limits_or_open_circuits(self):
        candidates = make_candidates()
        assert make_constraints().admit(candidates, make_ask()) is candidates

    def test_arms_whose_context_window_is_too_small_are_ruled_out(self):
        constraints = make_constraints([Arm(name="a", context_window_tokens=100), "b", "c"])
        assert constraints.admit(make_candidates(), make_ask(input_tokens=101)).eligible == [1, 2]
        assert constraints.admit(make_candidates(), make_ask(input_tokens=100)).eligible is None

    def test_an_arm_with_an_open_circuit_is_ruled_out(self):
        constraints = make_constraints()
        report_failure(constraints, "b")
        admitted = constraints.admit(make_candidates(), make_ask())
        assert admitted.eligible == [0, 2]
        assert admitted.reason("a") == "policy"

    def test_first_opened_circuit_is_left_with_the_reason_where_all_are_open(self):
        constraints = make_constraints()
        for n, arm in enumerate("bca"):
            report_failure(constraints, arm, now=1000.0 + n)
        admitted = constraints.admit(make_candidates(), make_ask(now=1003.0))
        assert admitted.eligible == [1]
        assert admitted.reason("b").startswith("breaker: the circuits of all arms are open")

    def test_arms_that_break_a_limit_are_ruled_out(self):
        # Lower bounds of quality: .5 - 1.645 x .1, .9 - .1645, .1 - .1645.
        admitted = make_constraints().admit(make_candidates(), make_ask(limits=Limits(min_quality=0.7)))
        assert admitted.eligible == [1]

    def test_an_arm_that_cannot_be_judged_passes_and_is_named(self):
        candidates = make_candidates(counts=lambda objective: np.array([100.0, 100.0, 1.0]))
        admitted = make_constraints().admit(candidates, make_ask(limits=Limits(min_quality=0.7)))
        assert admitted.eligible == [1, 2]
        assert admitted.reason("c") == "limits: min_quality cannot be judged yet of 'c'"
        assert admitted.reason("b") == "policy"

    def test_arms_that_the_request_left_out_stay_out(self):
        admitted = make_constraints().admit(make_candidates(eligible=[0, 2]), make_ask(limits=Limits(min_quality=0.7)))
        assert admitted.eligible == [0]
        assert admitted.overruled.startswith("limits: no arm is believed to keep")


class TestPricing:
    def test_candidates_pass_unchanged_without_budgets(self):
        candidates = make_candidates()
        assert make_constraints().price(candidates, make_ask()) is candidates

    def test_a_budget_that_does_not_count_the_request_changes_nothing(self):
        candidates = make_candidates()
        constraints = make_constraints(budgets=[Budget(usd=0.01, tag="batch")])
        assert constraints.price(candidates, make_ask(tags=("chat",))) is candidates

    def test_predictions_that_are_not_finite_are_refused_before_anything_is_counted(self):
        constraints = make_constraints(budgets=[Budget(usd=0.01)])
        candidates = make_candidates(objectives=("cost_usd",), means=np.array([[0.1, math.nan, 0.1]]))
        with pytest.raises(CannotChooseError):
            constraints.price(candidates, make_ask())
        assert constraints.budget_statuses(1000.0)[0].requests == 0


class TestShape:
    def shape(self, candidates=None, wanted=(0.2, 0.7, 0.1), **settings):
        return make_constraints(**settings).shape(np.array(wanted), candidates or make_candidates(), UNIFORM, X)

    def test_probabilities_of_the_policy_serve_without_traffic_and_guard(self):
        wanted = np.array([0.2, 0.7, 0.1])
        served, reason, mixed = make_constraints().shape(wanted, make_candidates(), UNIFORM, X)
        assert served is wanted
        assert (reason, mixed) == (None, None)

    def test_probability_above_a_cap_is_drawn_again_by_the_policy(self):
        served, _, _ = self.shape(traffic={"b": Share(at_most=0.4)})
        assert served == pytest.approx([0.35, 0.4, 0.25])  # .3 is shared by a and c alike

    def test_a_guard_mixes_the_baseline_with_the_learner(self):
        served, reason, mixed = self.shape(guard=Guard(baseline="a", shares=[0.1, 0.9]))
        assert served == pytest.approx([0.9 + 0.1 * 0.2, 0.07, 0.01])
        assert reason == "guard: the learner decides 0.1 of the requests"
        assert mixed.learner.tolist() == [0.2, 0.7, 0.1]

    def test_learner_decides_without_an_eligible_arm_of_the_baseline(self):
        candidates = make_candidates(eligible=[1, 2]).narrowed()
        served, reason, mixed = self.shape(candidates, wanted=(0.7, 0.3), guard=Guard(baseline="a"))
        assert served.tolist() == [0.7, 0.3]
        assert (reason, mixed) == ("guard: no arm of the baseline is eligible; the learner decides", None)


class TestExcluded:
    """Every stage says of the arms that it rules out why it does so."""

    def test_restricted_names_the_reason_of_each_arm_that_goes(self):
        candidates = make_candidates().restricted([0, 2], "breaker: its circuit is open")
        candidates = candidates.restricted([2], {"a": "budgets: 'day' cannot bear it at its pace"})
        assert list(candidates.positions) == [2]
        assert candidates.narrowed().excluded == {
            "b": "breaker: its circuit is open",
            "a": "budgets: 'day' cannot bear it at its pace",
        }

    def test_restricted_returns_the_same_value_where_no_arm_goes(self):
        candidates = make_candidates()
        assert candidates.restricted([0, 1, 2], "limits: ...") is candidates

    def test_admit_names_windows_circuits_and_limits_in_the_order_of_the_stages(self):
        constraints = make_constraints([Arm(name="a", context_window_tokens=10), "b", "c", "d"])
        report_failure(constraints, "a")
        report_failure(constraints, "b")
        ask = make_ask(limits=Limits(min_quality=0.5), input_tokens=50)
        admitted = constraints.admit(make_candidates((0.9, 0.9, 0.9, 0.1)), ask)
        assert admitted.excluded == {
            "a": "limits: its context window does not hold 50 tokens",  # the first reason, not its open circuit
            "b": "breaker: its circuit is open",
            "d": "limits: it is not believed to keep Limits(min_quality=0.5)",
        }

    def test_a_budget_is_named_as_the_reason_for_an_arm_that_it_cannot_bear(self):
        constraints = make_constraints(["a", "b"], budgets=[Budget(usd=0.002, per="request")])
        cost = np.array([[0.9, 0.9], [0.001, 5.0]])
        candidates = make_candidates((0.9, 0.95), objectives=("quality", "cost_usd"), means=cost, stds=0.01 * cost)
        priced = constraints.price(candidates, make_ask())
        assert priced.excluded == {"b": "budgets: 'cost_usd per request' cannot bear it at its pace"}

    def test_explain_shows_every_arm_of_the_pool_as_eligible_or_with_its_reason(self):
        arms = [Arm(name="a", capabilities=["eu"]), Arm(name="b", capabilities=["eu"]), Arm(name="c"), "d"]
        with make_router(*arms, breaker=CircuitBreaker(failures=1)) as router:
            serve(router, "b", availability=0.0)
            decision = router.route([0.0, 0.0], requires=["eu"])
            explanation = decision.explain()
            assert {row.arm for row in explanation.rows} | set(explanation.excluded) == {"a", "b", "c", "d"}
            assert explanation.excluded["c"] == explanation.excluded["d"] == "request: it lacks eu"
            assert explanation.excluded["b"] == "breaker: its circuit is open"
            assert str(explanation).endswith(
                "c is not eligible (request: it lacks eu)\nd is not eligible (request: it lacks eu)\n"
                "b is not eligible (breaker: its circuit is open)"
            )
