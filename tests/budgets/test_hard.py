"""Hard budgets: the spend never exceeds what was granted."""

import threading
import time

import numpy as np
import pytest

from banditroute.budgets import Budget
from banditroute.budgets.spend_forecast import SpendForecast
from banditroute.core.arm import Arm
from banditroute.errors import InvalidConfigurationError
from banditroute.router import Router
from banditroute.store import SQLStore
from tests.support import engine_of

MEAN = {"small": 0.001, "middle": 0.004, "large": 0.02}
QUALITY = {"small": 0.4, "middle": 0.6, "large": 0.9}
BOUND_FACTOR = 6.0
ARMS = [Arm(name=name, max_cost_usd=BOUND_FACTOR * mean) for name, mean in MEAN.items()]


def spend_of(arm, rng):
    """A cost with a heavy tail below the arm's bound."""
    return min(MEAN[arm] * rng.exponential(), BOUND_FACTOR * MEAN[arm])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("factor", [1.25, 2.0, 4.0])
def test_spend_never_exceeds_what_was_granted(seed, factor):
    rng = np.random.default_rng(seed)
    router = Router(arms=ARMS, features=1, budgets=[Budget(usd=factor * MEAN["small"], hard=True)], seed=seed)
    for _ in range(600):
        decision = router.route([rng.normal()])
        if decision.granted:
            quality = float(rng.random() < QUALITY[decision.arm])
            router.feedback(decision.id, quality=quality, cost_usd=spend_of(decision.arm, rng))
        (status,) = router.status().budgets
        assert status.spent + status.reserved <= status.granted * (1.0 + 1e-9)
    assert status.spent <= factor * MEAN["small"] * 600
    assert status.uncovered <= 6
    assert status.above_bound == 0


def test_open_decisions_reserve_their_upper_bounds():
    router = Router(arms=ARMS, features=1, budgets=[Budget(usd=0.1, per="day", hard=True)], seed=0)
    decisions = [router.route([0.0], arms=["small"]) for _ in range(10)]
    (status,) = router.status().budgets
    assert status.reserved == pytest.approx(10 * BOUND_FACTOR * MEAN["small"])
    assert status.granted == 0.1
    for decision in decisions:
        router.feedback(decision.id, cost_usd=0.0005)
    (status,) = router.status().budgets
    assert (status.spent, status.reserved) == (pytest.approx(0.005), 0.0)


def test_open_decisions_together_stay_within_the_budget():
    router = Router(arms=ARMS, features=1, budgets=[Budget(usd=0.1, per="day", hard=True)], seed=0)
    decisions = [router.route([0.0]) for _ in range(100)]
    covered = [decision for decision in decisions if decision.granted]
    assert sum(decision.reserved["cost_usd per day"][0] for decision in decisions) <= 0.1
    assert 10 < len(covered) < 100
    (status,) = router.status().budgets
    assert status.uncovered == 100 - len(covered)
    assert "covers no arm" in decisions[-1].reason


def test_decision_that_is_not_granted_reserves_nothing_and_counts_what_is_spent_all_the_same():
    router = Router(
        arms=[Arm(name="a", max_cost_usd=0.2)], features=1, budgets=[Budget(usd=0.1, per="day", hard=True)], seed=0
    )
    decision = router.route([0.0])
    assert not decision.granted
    assert decision.fell_back
    assert decision.reserved == {"cost_usd per day": (0.0,)}
    router.feedback(decision.id, cost_usd=0.05)
    (status,) = router.status().budgets
    assert (status.spent, status.reserved, status.uncovered, status.above_bound) == (0.05, 0.0, 1, 1)


def test_refused_requests_are_granted_their_amount_so_the_budget_recovers():
    router = Router(arms=[Arm(name="a", max_cost_usd=1.0)], features=1, budgets=[Budget(usd=0.5, hard=True)], seed=0)
    granted = []
    for _ in range(400):
        decision = router.route([0.0])
        granted.append(decision.granted)
        if decision.granted:
            router.feedback(decision.id, quality=1.0, cost_usd=1.0)
    assert 199 <= sum(granted) <= 200
    assert sum(granted[200:]) >= 95


def test_a_free_arm_serves_when_the_budget_is_used_up():
    arms = [Arm(name="cached", max_cost_usd=0.0), *ARMS]
    router = Router(arms=arms, features=1, budgets=[Budget(usd=0.03, per="day", hard=True)], seed=0)
    decisions = [router.route([0.0]) for _ in range(100)]
    assert not any(decision.fell_back for decision in decisions)
    assert decisions[-1].arm == "cached"


def test_an_arm_without_a_bound_is_not_eligible():
    router = Router(arms=[*ARMS, "unknown"], features=1, budgets=[Budget(usd=1.0, per="day", hard=True)], seed=0)
    assert "unknown" not in router.route([0.0]).arms


def test_token_prices_and_max_output_tokens_bound_a_call():
    arm = Arm(name="priced", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=10.0)
    router = Router(arms=[arm], features=1, budgets=[Budget(usd=1.0, per="day", hard=True)], seed=0)
    decision = router.route([0.0], input_tokens=1000, max_output_tokens=500)
    assert decision.reserved["cost_usd per day"][0] == pytest.approx(0.001 + 0.005)
    assert "give max_output_tokens" in router.route([0.0], input_tokens=1000).reason


def test_a_call_above_its_bound_is_counted():
    router = Router(arms=ARMS, features=1, budgets=[Budget(usd=1.0, per="day", hard=True)], seed=0)
    decision = router.route([0.0], arms=["small"])
    router.feedback(decision.id, cost_usd=0.1)
    (status,) = router.status().budgets
    assert status.above_bound == 1
    assert status.spent == pytest.approx(0.1)


def test_a_fallback_is_the_arm_that_is_covered():
    router = Router(
        arms=ARMS,
        features=1,
        fallback="large",
        budgets=[Budget(usd=0.05, per="day", hard=True)],
        seed=0,
        clock=lambda: 1e9,
    )
    engine_of(router).policy = None  # nothing can be chosen
    assert router.route([0.0]).arm == "small"
    decisions = [router.route([0.0]) for _ in range(20)]
    assert decisions[0].granted
    assert not decisions[-1].granted
    assert sum(decision.reserved["cost_usd per day"][0] for decision in decisions) <= 0.05
    assert "has no attribute" in decisions[-1].reason  # the first trouble is named, too


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"usd": 1.0, "hard": 1}, "hard of a budget is 1 .int.; give True or False"),
        ({"joules": 1.0, "hard": True}, "a hard budget is in dollars"),
        ({"grams": 1.0, "grams_per_kwh": 300.0, "hard": True}, "a hard budget is in dollars"),
    ],
)
def test_a_hard_budget_that_cannot_be_kept_is_refused(given, message):
    with pytest.raises(InvalidConfigurationError, match=message):
        Budget(**given)


def test_a_pool_without_bounds_is_refused():
    with pytest.raises(InvalidConfigurationError, match="no arm has an upper bound of its cost"):
        Router(arms=["a", "b"], features=1, budgets=[Budget(usd=1.0, hard=True)])


@pytest.mark.parametrize("per", ["request", "day"])
def test_routers_on_one_database_never_exceed_it(url, per):
    requests, routers = 150, 3
    usd = 0.003 if per == "request" else 0.5
    opened = [
        Router(
            arms=ARMS,
            features=1,
            budgets=[Budget(usd=usd, per=per, hard=True)],
            store=SQLStore(url),
            seed=seed,
            clock=lambda: 1.7e9,
        )
        for seed in range(routers)
    ]
    spent = [0.0] * routers

    def serve(k):
        rng = np.random.default_rng(k)
        for _ in range(requests):
            decision = opened[k].route([rng.normal()])
            if not decision.granted:
                time.sleep(0.02)  # a refusal must not make requests come faster
                continue
            cost = spend_of(decision.arm, rng)
            spent[k] += cost
            opened[k].feedback(decision.id, quality=float(rng.random() < QUALITY[decision.arm]), cost_usd=cost)

    threads = [threading.Thread(target=serve, args=(k,)) for k in range(routers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for router in opened:
        router.close()
    assert sum(spent) <= (usd * requests * routers if per == "request" else usd)
    assert sum(spent) >= 0.6 * (usd * requests * routers if per == "request" else usd)


def test_a_few_cheap_calls_do_not_promise_cheap_later_ones():
    forecast = SpendForecast(objective="cost_usd", arms=[Arm(name="a", max_cost_usd=4.0)])
    assert forecast.guarded(0, 4.0) == 1.0  # a quarter of the bound
    for _ in range(4):
        forecast.learn("a", 0.2)
    assert forecast.guarded(0, 4.0) == pytest.approx(0.6)


class TestKeys:
    def test_each_session_has_a_wallet_that_is_never_overdrawn(self, url):
        """Two processes serve the steps of each session in turn."""
        wallet = 0.08
        budget = Budget(usd=wallet, per="session", hard=True)
        routers = [Router(arms=ARMS, features=1, budgets=[budget], store=SQLStore(url), seed=seed) for seed in range(2)]
        rng = np.random.default_rng(0)
        spent, granted = {}, {}
        for step in range(30):
            for session in ("s0", "s1"):
                router = routers[step % 2]
                decision = router.route([0.0], session=session)
                granted.setdefault(session, []).append(decision.granted)
                if decision.granted:
                    cost = spend_of(decision.arm, rng)
                    spent[session] = spent.get(session, 0.0) + cost
                    router.feedback(decision.id, quality=float(rng.random() < QUALITY[decision.arm]), cost_usd=cost)
        for router in routers:
            router.close()
        for session, steps in granted.items():
            assert 0.3 * wallet < spent[session] <= wallet
            assert any(steps[:3])  # the first step waits for the slice, as long as a usual database takes

    def test_used_up_wallet_refuses_its_own_session_alone(self):
        router = Router(arms=ARMS, features=1, budgets=[Budget(usd=0.01, per="session", hard=True)], seed=0)
        for _ in range(30):
            decision = router.route([0.0], session="long")
            if decision.granted:
                router.feedback(decision.id, cost_usd=0.006)
        assert not decision.granted
        assert router.route([0.0], session="new").granted
        assert router.route([0.0]).granted  # a request without a session is not counted
        (status,) = router.status().budgets
        assert status.spent <= 0.01
        assert status.uncovered >= 28

    def test_each_user_has_a_hard_budget_a_day(self):
        budget = Budget(usd=0.05, per="day", each="user", hard=True)
        router = Router(arms=ARMS, features=1, budgets=[budget], seed=0, clock=lambda: 1.7e9)
        reserved = {"Ann": 0.0, "Bob": 0.0}
        for _ in range(40):
            for user in reserved:
                decision = router.route([0.0], metadata={"user": user})
                reserved[user] += sum(amounts[0] for amounts in decision.reserved.values())
        assert all(0.03 < each <= 0.05 for each in reserved.values())

    def test_forgotten_key_gives_its_slice_back_and_goes_on(self, monkeypatch):
        monkeypatch.setattr("banditroute.budgets.book._KEPT_KEYS", 2)
        router = Router(arms=ARMS, features=1, budgets=[Budget(usd=0.05, per="session", hard=True)], seed=0)
        spent = dict.fromkeys("abcd", 0.0)
        for _ in range(20):
            for session in spent:
                decision = router.route([0.0], session=session, arms=["small"])
                if decision.granted:
                    router.feedback(decision.id, cost_usd=0.004)
                    spent[session] += 0.004
        assert all(0.03 < each <= 0.05 for each in spent.values())


@pytest.mark.parametrize("seed", range(2))
def test_budget_saves_up_for_the_arm_that_it_is_planned_for(seed):
    """One large call a few small ones: its bound is 20 requests' worth, which a budget without savings rarely has."""
    arms = [Arm(name="small", max_cost_usd=0.001), Arm(name="large", max_cost_usd=0.04)]
    router = Router(arms=arms, features=1, budgets=[Budget(usd=0.002, hard=True)], seed=seed)
    rng = np.random.default_rng(seed)
    large = []
    for _ in range(600):
        decision = router.route([0.0])
        large.append(decision.arm == "large")
        cost = 0.005 * rng.uniform(0.5, 1.5) if large[-1] else 0.0005
        router.feedback(decision.id, quality=float(large[-1]), cost_usd=cost)
    assert np.mean(large[300:]) > 0.27  # a third is what the budget buys
