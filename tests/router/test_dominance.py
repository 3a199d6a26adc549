"""Arms that no quality makes worth their cost: marked by hand-made numbers, without probability in decisions."""

from dataclasses import replace

import numpy as np
import pytest

from banditroute import Arm, Budget, Guard, Learner, Limits, Preference, Router
from banditroute.evaluate import evaluate
from banditroute.limits import Share
from banditroute.logs import DecisionLog
from banditroute.objectives import CHEAPEST
from banditroute.objectives.objective import COST_USD, QUALITY
from banditroute.policies import Thompson, Uniform
from banditroute.router.candidates import Candidates
from banditroute.router.dominance import Dominance
from banditroute.store import MemoryStore

SIGNED = np.array([1.0, -10.0])  # quality, and dollars at ten points each
THRIFTY = Preference(quality=1.0, cost_usd=10.0)


def candidates(*, quality, cost, cost_std=0.0, counts=9.0, **changed):
    """Candidates a, b, ... whose quality has a standard deviation of .1."""
    means = np.array([quality, cost], dtype=float)
    k = means.shape[1]
    stds = np.array([np.full(k, 0.1), np.broadcast_to(cost_std, k)], dtype=float)
    zeros = np.zeros(k)
    known = np.broadcast_to(np.array(counts, dtype=float), k)
    return Candidates(
        tuple("abcd"[:k]),
        ("quality", "cost_usd"),
        means,
        stds,
        SIGNED @ means,
        zeros,
        zeros,
        lambda: zeros,
        lambda objective: known,
        **changed,
    )


def dominated(some, *, stated=(None, None, None)):
    arms = [
        Arm(name=name, expected={} if cost is None else {"cost_usd": cost})
        for name, cost in zip(some.arms, stated, strict=False)
    ]
    return Dominance(arms=arms, objectives=[QUALITY, COST_USD]).mark(some, SIGNED).dominated


class TestBounds:
    def test_an_arm_is_dominated_if_perfect_quality_is_worth_less_than_what_another_surely_reaches(self):
        # a surely reaches .8 - 2 x .1 - 10 x .01 = .5; b is at best 1 - 10 x cost
        assert dominated(candidates(quality=[0.8, 0.8], cost=[0.01, 0.0501])) == ("b",)
        assert dominated(candidates(quality=[0.8, 0.8], cost=[0.01, 0.0499])) == ()

    def test_quality_alone_never_dominates(self):
        assert dominated(candidates(quality=[1.0, 0.0], cost=[0.01, 0.01])) == ()

    def test_a_learned_cost_may_be_two_standard_deviations_lower(self):
        assert dominated(candidates(quality=[0.8, 0.8], cost=[0.01, 0.06], cost_std=[0.0, 0.006])) == ()
        assert dominated(candidates(quality=[0.8, 0.8], cost=[0.01, 0.06], cost_std=[0.0, 0.004])) == ("b",)

    def test_a_learned_cost_of_the_better_arm_may_be_two_standard_deviations_higher(self):
        assert dominated(candidates(quality=[0.8, 0.8], cost=[0.01, 0.06], cost_std=[0.006, 0.0])) == ()

    def test_a_computed_cost_counts_as_it_is(self):
        wide = candidates(quality=[0.8, 0.8], cost=[0.01, 0.06], cost_std=0.1, counts=np.inf)
        assert dominated(wide) == ("b",)

    def test_a_stated_cost_counts_until_outcomes_exclude_it(self):
        early = candidates(quality=[0.8, 0.8], cost=[0.01, 0.03], cost_std=[0.0, 0.02], counts=0.0)
        assert dominated(early, stated=(0.01, 0.06)) == ("b",)  # .06 is within two standard deviations of .03
        later = candidates(quality=[0.8, 0.8], cost=[0.01, 0.03], cost_std=[0.0, 0.001])
        assert dominated(later, stated=(0.01, 0.06)) == ()

    def test_an_arm_of_unknown_cost_is_never_dominated_and_dominates_no_arm(self):
        assert dominated(candidates(quality=[0.8, 0.8], cost=[0.01, 9.0], counts=[9.0, 0.0])) == ()
        assert dominated(candidates(quality=[0.8, 0.8], cost=[0.0, 9.0], counts=[0.0, 9.0])) == ()

    def test_only_eligible_arms_dominate(self):
        three = candidates(quality=[0.8, 0.8, 0.8], cost=[0.01, 0.06, 0.06])
        assert dominated(three) == ("b", "c")
        assert dominated(candidates(quality=[0.8, 0.8, 0.8], cost=[0.01, 0.06, 0.06], eligible=[1, 2])) == ()

    def test_an_arm_that_cannot_be_judged_dominates_no_arm(self):
        some = candidates(quality=[0.8, 0.8], cost=[0.01, 0.06], unjudged={"a": ["min_quality"]})
        assert dominated(some) == ()

    def test_the_fast_answer_overlooks_no_dominated_arm(self, monkeypatch):
        rng = np.random.default_rng(1)
        cases = [
            (
                candidates(quality=rng.random(3), cost=rng.exponential(size=3) * 0.1, cost_std=rng.random(3) * 0.1),
                stated,
            )
            for stated in [(None,) * 3, (0.01, 0.2, None), (0.3, None, None)] * 100
        ]
        fast = [dominated(some, stated=stated) for some, stated in cases]
        monkeypatch.setattr(Dominance, "_possible", lambda *arguments: True)
        assert fast == [dominated(some, stated=stated) for some, stated in cases]
        assert 20 < sum(map(bool, fast)) < 280

    def test_the_best_arm_is_never_dominated(self):
        rng = np.random.default_rng(0)
        for _ in range(200):
            some = candidates(quality=rng.random(4), cost=rng.exponential(size=4), cost_std=rng.random(4))
            assert some.arms[int(some.utilities.argmax())] not in dominated(some, stated=(None,) * 4)


class TestRouter:
    ARMS = (Arm(name="small", expected={"cost_usd": 0.001}), Arm(name="huge", expected={"cost_usd": 0.5}))

    def test_a_dominated_arm_has_probability_zero_and_no_floor(self):
        router = Router(arms=self.ARMS, features=1, preference=THRIFTY, learner=thompson(floor=0.2), seed=0)
        decision = router.route([0.0])
        assert decision.dominated == ("huge",)
        assert decision.probabilities.tolist() == [1.0, 0.0]
        assert (decision.arm, decision.propensity, decision.reason) == ("small", 1.0, "policy")
        assert "huge is dominated" in str(decision.explain())

    def test_a_preference_without_cost_leaves_all_arms(self):
        router = Router(arms=self.ARMS, features=1, preference={"quality": 1.0}, seed=0)
        decision = router.route([0.0])
        assert decision.dominated == ()
        assert (decision.probabilities > 0.0).all()

    def test_dominated_arm_serves_where_no_other_arm_may(self):
        router = Router(arms=self.ARMS, features=1, preference=THRIFTY, seed=0)
        assert router.route([0.0], arms=["huge"]).arm == "huge"

    def test_dominated_arm_returns_when_its_price_falls(self):
        settings = {"features": 1, "preference": THRIFTY, "store": MemoryStore(), "seed": 0}
        prices = {"input_usd_per_million_tokens": 0.0}
        small = Arm(name="small", output_usd_per_million_tokens=1.0, **prices)
        with Router(
            arms=[small, Arm(name="huge", output_usd_per_million_tokens=900.0, **prices)], **settings
        ) as router:
            for arm in ("small", "huge"):
                decision = router.route([0.0], arms=[arm], input_tokens=10)
                router.feedback(decision.id, quality=0.9, output_tokens=300)
            assert router.route([0.0], input_tokens=10).dominated == ("huge",)
        with Router(arms=[small, Arm(name="huge", output_usd_per_million_tokens=9.0, **prices)], **settings) as router:
            decision = router.route([0.0], input_tokens=10)
            assert decision.dominated == ()
            assert (decision.probabilities > 0.0).all()

    def test_policies_that_do_not_choose_by_utility_see_all_arms(self):
        router = Router(arms=self.ARMS, features=1, preference=THRIFTY, learner=Learner(policy=Uniform()), seed=0)
        assert router.route([0.0]).probabilities.tolist() == [0.5, 0.5]

    def test_a_least_share_and_a_baseline_are_served(self):
        settings = {"arms": self.ARMS, "features": 1, "preference": THRIFTY, "seed": 0}
        shared = Router(traffic={"huge": Share(at_least=0.25)}, **settings)
        decision = shared.route([0.0])
        assert decision.probabilities == pytest.approx([0.75, 0.25])
        assert decision.dominated == ()
        guarded = Router(guard=Guard(baseline="huge", mode="observe", utility_range=(-5.0, 1.0)), **settings)
        decision = guarded.route([0.0])
        assert (decision.arm, decision.dominated) == ("huge", ())

    def test_an_arm_that_a_budget_leaves_alone_is_not_called_dominated(self):
        small, huge = self.ARMS
        router = Router(
            arms=[small, replace(huge, max_cost_usd=0.5)],
            features=1,
            preference=THRIFTY,
            budgets=[Budget(usd=100.0, per="day", hard=True)],  # small has no upper bound
            seed=0,
        )
        decision = router.route([0.0])
        assert (decision.arm, decision.dominated) == ("huge", ())
        assert list(decision.excluded) == ["small"]

    def test_an_unknown_arm_under_a_least_quality_does_not_drive_out_a_good_one(self):
        router = Router(arms=["good"], features=1, preference=CHEAPEST, limits=Limits(min_quality=0.8), seed=0)
        for _ in range(60):
            router.feedback(router.route([0.0]).id, quality=0.9, cost_usd=0.005)
        router.add_arm(Arm(name="new", expected={"cost_usd": 0.0001}))
        chosen = [router.route([0.0]).arm for _ in range(500)]  # without any feedback: grades are late
        assert 20 <= chosen.count("new") <= 80

    def test_an_arm_is_still_asked_when_an_answer_is_escalated(self):
        router = Router(arms=self.ARMS, features=1, preference=Preference(quality=1.0, cost_usd=1.9), seed=0)
        for _ in range(40):
            for arm, quality, cost in (("small", 0.6, 0.001), ("huge", 1.0, 0.5)):
                router.feedback(router.route([0.0], arms=[arm]).id, quality=quality, cost_usd=cost)
        first = router.route([0.0])
        assert first.dominated == ("huge",)
        assert set(first.arms) == {"small", "huge"}


def test_evaluation_says_which_share_of_a_policy_has_no_support():
    n = 2000
    rng = np.random.default_rng(0)
    open_ = np.arange(n) % 4 > 0  # in a quarter of the requests arm b was dominated
    probabilities = np.where(open_[:, None], 0.5, [[1.0, 0.0]])
    chosen = (rng.random(n) > probabilities[:, 0]).astype(np.intp)
    log = DecisionLog(
        arms=("a", "b"),
        chosen=chosen,
        eligible=np.ones((n, 2), dtype=bool),
        propensities=probabilities[np.arange(n), chosen],
        probabilities=probabilities,
        outcomes={"quality": rng.random(n)},
        decided_at=np.arange(float(n)),
    )
    found = evaluate(log, "b")
    assert found.utility.diagnostics.unsupported == pytest.approx(0.25)
    assert "25.00% of the policy's choices had no chance" in str(found)


def thompson(**settings):
    return Learner(policy=Thompson(**settings))
