"""Budgets: what cannot be one, and what a router makes of one: spend, shadow price, restart."""

import math

import numpy as np
import pytest

from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError
from banditroute.learners import EpsilonGreedy, Learner, ThompsonSampling
from banditroute.limits import Limits
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore
from tests.support import belief_of, remember, spoil


class TestBadBudgets:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({}, "a budget is in money or in energy, got usd=None and joules=None; give one of them"),
            ({"usd": 1.0, "joules": 2.0}, "got usd=1.0 and joules=2.0; give one of them"),
            ({"usd": 1.0, "grams": 2.0, "grams_per_kwh": 300.0}, "joules=None and grams=2.0; give one of them"),
            ({"grams": 2.0}, "got grams=2.0 and grams_per_kwh=None; give the intensity of your grid too"),
            ({"joules": 2.0, "grams_per_kwh": 300.0}, "a budget of carbon needs both"),
            ({"grams": 2.0, "grams_per_kwh": 0.0}, "grams_per_kwh of a budget is 0.0; give a number above 0"),
            ({"usd": 0}, "usd of a budget is 0; give a number above 0"),
            ({"joules": -1.0}, "joules of a budget is -1.0; give a number above 0"),
            ({"usd": math.inf}, "usd is inf; give a finite number"),
            ({"usd": "1"}, r"usd is '1' \(str\); give a number"),
            (
                {"usd": 1.0, "per": "year"},
                "per of a budget is 'year'; give 'request', 'hour', 'day', 'week', 'month' or",
            ),
            ({"usd": 1.0, "tag": ""}, "tag of a budget has 0 characters"),
            ({"usd": 1.0, "settle_seconds": 0.0}, "settle_seconds of a budget is 0.0; give a number above 0"),
        ],
    )
    def test_bad_budget_is_refused(self, given, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            Budget(**given)

    @pytest.mark.parametrize("budgets", [Budget(usd=1.0), 5, [5], "usd"])
    def test_router_refuses_budgets_that_are_not_a_list(self, budgets):
        with pytest.raises(InvalidConfigurationError, match=r"budgets is .*; give a list"):
            Router(arms=["a"], features=1, budgets=budgets)

    def test_two_budgets_that_count_the_same_are_refused(self):
        with pytest.raises(InvalidConfigurationError, match="two budgets count cost_usd per day with tag None"):
            Router(arms=["a"], features=1, budgets=[Budget(usd=1.0, per="day"), Budget(usd=2.0, per="day")])
        Router(arms=["a"], features=1, budgets=[Budget(usd=1.0, per="day"), Budget(usd=2.0, per="day", tag="x")])


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


COST = {"cheap": 0.001, "dear": 0.01}
QUALITY = {"cheap": 0.5, "dear": 0.9}


def serve(router, requests, *, clock=None, seconds=1.0, report=True, seed=0, **options):
    """Route so many requests; returns what they really took."""
    rng, took = np.random.default_rng(seed), []
    for _ in range(requests):
        if clock is not None:
            clock.now += seconds
        decision = router.route([rng.normal()], **options)
        assert decision.reason == "policy"
        took.append(COST[decision.arm] * rng.uniform(0.5, 1.5))
        if report:
            quality = float(rng.random() < QUALITY[decision.arm])
            router.feedback(decision.id, quality=quality, cost_usd=took[-1])
    assert router.status().fallbacks == 0
    return np.array(took)


def two(budgets, seed=0, **settings):
    return Router(arms=["cheap", "dear"], features=1, budgets=budgets, seed=seed, **settings)


class TestPerRequest:
    @pytest.mark.parametrize("usd", [0.002, 0.004, 0.008])
    @pytest.mark.parametrize("learner", [ThompsonSampling(), EpsilonGreedy(epsilon=0.02)], ids=repr)
    def test_is_spent_and_not_overspent(self, usd, learner):
        router = two([Budget(usd=usd)], seed=3, learner=learner)
        took = serve(router, 1500)
        assert 0.8 < took.mean() / usd < 1.03  # such requests are all alike: two arms are worth the same at the price

    def test_spend_is_what_feedback_says(self):
        router = two([Budget(usd=0.004)])
        took = serve(router, 100)
        (spend,) = router.status().budgets
        assert spend.requests == 100
        assert spend.spent == pytest.approx(took.sum())
        assert spend.reserved == 0.0
        assert spend.granted == pytest.approx(0.4)
        assert spend.pace == pytest.approx(took.sum() / 0.4)

    def test_a_budget_that_does_not_bind_costs_nothing(self):
        router = two([Budget(usd=0.05)])
        serve(router, 200)
        (spend,) = router.status().budgets
        assert spend.shadow_price == 0.0
        decision = router.route([0.0])
        assert decision.penalties.tolist() == [0.0, 0.0]

    def test_the_shadow_price_is_taken_off_in_real_dollars(self):
        router = two([Budget(usd=0.004)])
        serve(router, 300)
        decision = router.route([0.3])
        (spend,) = router.status().budgets
        expected = decision.means[decision.objectives.index("cost_usd")]
        quality = decision.means[decision.objectives.index("quality")]
        assert spend.shadow_price > 0.0
        assert decision.penalties == pytest.approx(spend.shadow_price * expected)
        assert decision.utilities == pytest.approx(quality - decision.penalties)
        # It makes the two arms about equal: (.9 - .5) / (.01 - .001) = 44 points a dollar.
        assert 30.0 < spend.shadow_price < 60.0

    def test_below_the_cheapest_arm_only_that_is_used(self):
        router = two([Budget(usd=0.0005)])
        serve(router, 300)
        assert {router.route([0.1 * i]).arm for i in range(50)} == {"cheap"}

    def test_forced_exploration_stays_within_it(self):
        router = two([Budget(usd=0.002)], learner=Learner(policy=Uniform()))  # half of the requests to the dear one
        took = serve(router, 1500)
        assert took.mean() / 0.002 < 1.03

    def test_requests_without_feedback_count_as_expected(self):
        clock = Clock()
        router = two([Budget(usd=0.004, settle_seconds=50.0)], clock=clock)
        serve(router, 300, clock=clock)
        before = router.status().budgets[0]
        took = serve(router, 300, clock=clock, report=False)
        after = router.status().budgets[0]
        assert after.requests == 600
        assert after.reserved > 0.0
        expected = after.spent + after.reserved - before.spent
        assert expected == pytest.approx(took.sum(), rel=0.2)
        assert expected / (300 * 0.004) < 1.1
        clock.now += 50.0
        settled = router.status().budgets[0]
        assert settled.reserved == 0.0
        assert settled.spent == pytest.approx(after.spent + after.reserved)

    def test_cost_reported_after_settlement_does_not_change_the_spend(self):
        clock = Clock()
        router = two([Budget(usd=0.004, settle_seconds=50.0)], clock=clock)
        serve(router, 50, clock=clock)
        late = router.route([0.0])
        clock.now += 51.0
        spent = router.status().budgets[0].spent
        router.feedback(late.id, cost_usd=5.0)
        assert router.status().budgets[0].spent == spent

    def test_several_parts_settle_once(self):
        router = two([Budget(usd=0.004)])
        decision = router.route([0.0])
        router.feedback(decision.id, quality=1.0)
        assert router.status().budgets[0].spent == 0.0
        router.feedback(decision.id, cost_usd=0.007)
        router.feedback(decision.id, cost_usd=0.007, latency_seconds=1.0)
        assert router.status().budgets[0].spent == 0.007

    def test_a_fallback_counts_too(self):
        class Broken:
            fails = False

            def probabilities(self, means, stds, *, arms, information):
                if self.fails:
                    raise RuntimeError("out of order")
                return np.full(len(arms), 1.0 / len(arms))

        policy = Broken()
        router = two([Budget(usd=0.5)], learner=Learner(policy=policy), fallback="dear")
        serve(router, 100)
        before = router.status().budgets[0]
        policy.fails = True
        decision = router.route([0.0])
        assert decision.fell_back
        assert router.status().budgets[0].requests == before.requests + 1
        assert router.status().budgets[0].reserved == pytest.approx(0.01, rel=0.2)
        router.feedback(decision.id, cost_usd=0.02)
        assert router.status().budgets[0].spent == pytest.approx(before.spent + 0.02)

    @pytest.mark.parametrize("budget", [Budget(joules=4.0), Budget(grams=0.0004, grams_per_kwh=360.0)])
    def test_energy_budget_is_kept(self, budget):
        router = Router(arms=["cheap", "dear"], features=1, budgets=[budget], seed=0)
        took = []
        for _ in range(800):
            decision = router.route([0.0])
            took.append({"cheap": 1.0, "dear": 10.0}[decision.arm])
            router.feedback(decision.id, quality=QUALITY[decision.arm], energy_joules=took[-1], cost_usd=99.0)
        assert 0.9 < np.mean(took) / 4.0 < 1.045  # 20 + 800 / 200 requests' worth more
        assert router.status().budgets[0].spent == pytest.approx(sum(took))

    def test_limits_and_a_budget_hold_together(self):
        router = two([Budget(usd=0.02)])
        serve(router, 200)
        decision = router.route([0.0], limits=Limits(max_cost_usd=0.005))
        assert (decision.arms, decision.reason) == (("cheap",), "policy")
        assert len(decision.penalties) == 1

    def test_an_arm_of_a_pinned_request_is_charged_whatever_it_costs(self):
        router = two([Budget(usd=0.002)])
        serve(router, 300)
        before = router.status().budgets[0]
        decision = router.route([0.0], arms=["dear"])
        assert (decision.arm, decision.propensity) == ("dear", 1.0)
        assert router.status().budgets[0].reserved == pytest.approx(0.01, rel=0.2)
        assert router.status().budgets[0].requests == before.requests + 1


class TestTokenPrices:
    ARMS = (
        Arm(name="small", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=2.0),
        Arm(name="large", input_usd_per_million_tokens=10.0, output_usd_per_million_tokens=40.0),
    )

    def test_reported_tokens_are_priced(self):
        router = Router(arms=self.ARMS, features=1, budgets=[Budget(usd=1.0)])
        decision = router.route([0.0], arms=["large"], input_tokens=1000)
        assert router.status().budgets[0].reserved == pytest.approx(0.01 + 256 * 40e-6)  # before any feedback
        router.feedback(decision.id, output_tokens=500)
        assert router.status().budgets[0].spent == pytest.approx(0.01 + 500 * 40e-6)

    def test_reported_dollars_go_before_tokens(self):
        router = Router(arms=self.ARMS, features=1, budgets=[Budget(usd=1.0)])
        decision = router.route([0.0], arms=["large"], input_tokens=1000)
        router.feedback(decision.id, output_tokens=500, cost_usd=0.5)
        assert router.status().budgets[0].spent == 0.5

    def test_tokens_of_an_uncounted_request_settle_nothing(self):
        router = Router(arms=self.ARMS, features=1, budgets=[Budget(usd=1.0)])
        decision = router.route([0.0])
        router.feedback(decision.id, output_tokens=500)
        assert router.status().budgets[0].spent == 0.0

    def test_a_new_price_acts_on_the_next_request(self):
        store = MemoryStore()
        with Router(arms=self.ARMS, features=1, budgets=[Budget(usd=0.004)], store=store, seed=0) as router:
            for i in range(300):
                decision = router.route([0.0], input_tokens=1000)
                router.feedback(decision.id, quality=0.4 + 0.5 * (decision.arm == "large"), output_tokens=200 + i % 3)
            price = router.status().budgets[0].shadow_price
        cheaper = Arm(name="large", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=4.0)
        with Router(
            arms=[self.ARMS[0], cheaper], features=1, budgets=[Budget(usd=0.004)], store=store, seed=0
        ) as router:
            after = router.route([0.0], input_tokens=1000)
            assert router.status().budgets[0].shadow_price == pytest.approx(price)
        assert after.penalties[1] == pytest.approx(price * (0.001 + 201 * 4e-6), rel=0.01)


class TestPerPeriod:
    @pytest.mark.parametrize(("per", "seconds"), [("hour", 3600.0), ("day", 86400.0)])
    def test_each_period_keeps_to_its_amount(self, per, seconds):
        clock = Clock()
        router = two([Budget(usd=4.0, per=per)], clock=clock)
        serve(router, 100, clock=clock, seconds=seconds / 1000.0)  # learns what the arms cost
        clock.now = seconds
        for period in range(1, 4):
            took = serve(router, 1000, clock=clock, seconds=seconds / 1001.0, seed=period)
            assert 0.93 < took.sum() / 4.0 < 1.01
            clock.now = (period + 1) * seconds

    def test_is_shared_out_evenly(self):
        shares = []
        for seed in range(2, 6):  # a single pass depends on its draws
            clock = Clock()
            router = two([Budget(usd=4.0, per="day")], seed=seed, clock=clock)
            serve(router, 100, clock=clock, seconds=80.0)
            clock.now = 86400.0
            took = serve(router, 1000, clock=clock, seconds=86.0).cumsum()
            shares.append([took[part] / took[-1] for part in (250, 500, 750)])
        assert np.mean(shares, axis=0) == pytest.approx([0.25, 0.5, 0.75], abs=0.12)

    def test_more_traffic_than_before_does_not_overspend(self):
        clock = Clock()
        router = two([Budget(usd=4.0, per="day")], clock=clock)
        serve(router, 100, clock=clock, seconds=80.0)
        clock.now = 86400.0
        took = serve(router, 100, clock=clock, seconds=432.0).sum()  # a quiet half of the day
        took += serve(router, 2000, clock=clock, seconds=21.0).sum()
        assert took < 4.1

    def test_spent_budget_leaves_only_the_cheapest_arm(self):
        clock = Clock()
        router = two([Budget(usd=1.0, per="hour")], clock=clock)
        serve(router, 100, clock=clock, seconds=30.0)
        clock.now = 3600.0
        pinned = [router.route([0.0], arms=["dear"]) for _ in range(10)]
        for decision in pinned:
            router.feedback(decision.id, cost_usd=0.2)
        assert router.status().budgets[0].spent == pytest.approx(2.0)
        assert {router.route([0.1 * i]).arm for i in range(40)} == {"cheap"}
        clock.now = 7200.0
        assert router.status().budgets[0].spent == 0.0

    def test_granted_amount_grows_with_the_clock(self):
        clock = Clock()
        router = two([Budget(usd=24.0, per="day")], clock=clock)
        for hour in (0, 6, 23):
            clock.now = 3600.0 * hour
            assert router.status().budgets[0].granted == pytest.approx(hour)
        assert router.status().budgets[0].pace == 0.0

    def test_feedback_for_the_period_before_does_not_touch_this_one(self):
        clock = Clock()
        router = two([Budget(usd=1.0, per="hour")], clock=clock)
        serve(router, 10, clock=clock)
        decision = router.route([0.0])
        clock.now = 3601.0
        router.feedback(decision.id, cost_usd=0.5)
        assert (
            router.status().budgets[0].spent,
            router.status().budgets[0].reserved,
            router.status().budgets[0].requests,
        ) == (0.0, 0.0, 0)


class TestTags:
    def test_a_budget_with_a_tag_counts_only_those(self):
        router = two([Budget(usd=0.002, tag="batch")])
        serve(router, 200)
        assert router.status().budgets[0].requests == 0
        took = serve(router, 1000, tags=["batch", "other"])
        assert router.status().budgets[0].requests == 1000
        assert took.mean() / 0.002 < 1.03
        free = router.route([0.0])
        assert free.penalties.tolist() == [0.0, 0.0]
        assert router.route([0.0], tags=["batch"]).penalties[1] > 0.0

    def test_several_budgets_are_all_kept(self):
        router = two([Budget(usd=0.006), Budget(usd=0.003, tag="batch"), Budget(usd=1e6, per="day")])
        rng, all_took, batch_took = np.random.default_rng(0), [], []
        for _ in range(2000):
            tags = ["batch"] if rng.random() < 0.5 else []
            decision = router.route([rng.normal()], tags=tags)
            cost = COST[decision.arm] * rng.uniform(0.5, 1.5)
            router.feedback(decision.id, quality=float(rng.random() < QUALITY[decision.arm]), cost_usd=cost)
            all_took.append(cost)
            if tags:
                batch_took.append(cost)
        assert 0.8 < np.mean(all_took) / 0.006 < 1.03
        assert 0.6 < np.mean(batch_took) / 0.003 < 1.03
        assert [spend.budget.tag for spend in router.status().budgets] == [None, "batch", None]


class TestRestart:
    @pytest.mark.parametrize("budget", [Budget(usd=0.004), Budget(usd=40.0, per="day")], ids=["request", "day"])
    @pytest.mark.parametrize("kind", ["memory", "sqlite"])
    def test_the_account_survives(self, budget, kind, tmp_path):
        memory, clock = MemoryStore(), Clock()

        def store():
            return memory if kind == "memory" else SQLStore(f"sqlite:///{tmp_path / 'routes.db'}")

        with two([budget], store=store(), clock=clock) as router:
            serve(router, 300, clock=clock)
            serve(router, 20, clock=clock, report=False)
            before = router.status().budgets[0]
        with two([budget], store=store(), clock=clock) as router:
            after = router.status().budgets[0]
            assert after.spent == pytest.approx(before.spent + before.reserved)
            assert after.reserved == 0.0
            assert (after.requests, after.granted) == (before.requests, before.granted)
            assert after.shadow_price == before.shadow_price
            # The price stands until there are requests enough to derive it anew.
            router.route([0.0])
            assert router.status().budgets[0].shadow_price == before.shadow_price

    def test_a_budget_that_is_changed_continues(self):
        store = MemoryStore()
        with two([Budget(usd=0.004)], store=store) as router:
            serve(router, 50)
            before = router.status().budgets[0]
        with two([Budget(usd=0.008), Budget(joules=1.0)], store=store) as router:
            after, new = router.status().budgets
        assert (after.spent, after.requests) == (before.spent, 50)
        assert (new.spent, new.requests) == (0.0, 0)

    def test_a_damaged_state_is_refused(self):
        for blob in (b"{", b'{"cost_usd per request": {"state": {"price": "high"}}}', b'{"cost_usd per request": 5}'):
            store = MemoryStore()
            remember(store, "budgets", blob)
            with pytest.raises(IncompatibleStoreError, match="the stored state 'budgets' is damaged"):
                two([Budget(usd=1.0)], store=store)


class TestArmsComeAndGo:
    def test_the_budget_is_kept(self):
        router = two([Budget(usd=0.004)])
        serve(router, 300)
        price = router.status().budgets[0].shadow_price
        router.add_arm("middle")
        COST["middle"], QUALITY["middle"] = 0.002, 0.8
        try:
            took = serve(router, 1000, seed=1)
        finally:
            del COST["middle"], QUALITY["middle"]
        assert took.mean() / 0.004 < 1.03
        assert router.status().budgets[0].shadow_price < price  # good and cheap: the money buys more
        router.remove_arm("dear")
        router.remove_arm("middle")
        assert router.route([0.0]).arm == "cheap"


def test_a_belief_that_is_not_finite_leaves_the_pacer_alone():
    router = two([Budget(usd=0.004)])
    serve(router, 100)
    spoil(belief_of(router))
    assert router.route([0.0]).reason.startswith("fallback: the belief is not finite")
    assert math.isfinite(router.status().budgets[0].shadow_price)
    assert math.isfinite(router.status().budgets[0].reserved)
