"""Budgets and prices that are changed once, and followed by every process."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from banditroute import Arm, Budget, Preference, Router, admin
from banditroute.cli import main
from banditroute.errors import InvalidConfigurationError, StoreError
from banditroute.store import SQLStore
from tests.support import wait_until

PER_REQUEST = "cost_usd per request"
COSTS = {"small": 0.001, "large": 0.01}


@pytest.fixture
def file(tmp_path):
    return f"sqlite:///{tmp_path}/routes.db"


def open_router(url, budget=None, **settings):
    budgets = [] if budget is None else [budget]
    return Router(arms=["small", "large"], features=1, budgets=budgets, store=SQLStore(url), seed=0, **settings)


def serve(router, requests, arms=None):
    """Serve requests of which the large arm answers more, for more money; return the share of the large arm."""
    chosen = []
    for _ in range(requests):
        decision = router.route([0.5], arms=arms)
        chosen.append(decision.arm)
        router.feedback(decision.id, quality=0.9 if decision.arm == "large" else 0.6, cost_usd=COSTS[decision.arm])
    return chosen.count("large") / requests


def amounts(router):
    return [(each.budget.name, each.budget.amount) for each in router.status().budgets]


def test_all_processes_follow_a_budget_and_later_ones_begin_with_it(url):
    with open_router(url, Budget(usd=0.02)) as one, open_router(url, Budget(usd=0.02)) as other:
        serve(one, 20)
        admin.set_budget(url, PER_REQUEST, 0.002, who="ops@host")
        wait_until(lambda: amounts(one) == amounts(other) == [(PER_REQUEST, 0.002)])
    with open_router(url, Budget(usd=0.02)) as later:
        assert amounts(later) == [(PER_REQUEST, 0.002)]
        (status,) = later.status().budgets
        assert status.requests == 20
        assert status.spent > 0.02  # what was spent stays
    (change,) = admin.shared_changes(url)
    assert (change.kind, change.subject, change.values, change.who) == (
        "budget",
        PER_REQUEST,
        {"amount": 0.002},
        "ops@host",
    )
    assert [each.budget.amount for each in admin.inspect(url)[0].budgets] == [0.002]


def test_smaller_budget_moves_the_traffic_as_the_dry_run_said(file):
    with open_router(file, Budget(usd=0.02)) as router:
        serve(router, 20, arms=["small"])
        serve(router, 40)
        expected = admin.set_budget(file, PER_REQUEST, 0.003, dry_run=True)
        assert amounts(router) == [(PER_REQUEST, 0.02)]
        assert (expected.decisions, admin.shared_changes(file)) == (60, [])
        assert expected.before["large"] > 0.5  # of the requests that could choose
        assert expected.after["large"] < 0.3
        admin.set_budget(file, PER_REQUEST, 0.003)
        wait_until(lambda: amounts(router) == [(PER_REQUEST, 0.003)])
        serve(router, 40)
        assert serve(router, 40) * 2 / 3 == pytest.approx(expected.after["large"], abs=0.1)


def test_budget_of_a_day_keeps_its_spend_when_its_amount_changes(file):
    with open_router(file, Budget(usd=1.0, per="day")) as router:
        serve(router, 30)
        before = router.status().budgets[0]
        admin.set_budget(file, "cost_usd per day", 5.0)
        wait_until(lambda: router.status().budgets[0].budget.amount == 5.0)
        after = router.status().budgets[0]
        assert (after.requests, after.spent) == (before.requests, before.spent)
        assert after.granted == pytest.approx(5.0 * before.granted, rel=0.01)


def test_budget_of_each_session_changes_for_open_sessions(file):
    with open_router(file, Budget(usd=0.5, per="session")) as router:
        router.route([0.5], session="Ann")
        router.flush()
        admin.set_budget(file, "cost_usd per session", 0.25)
        wait_until(lambda: router.status().budgets[0].budget.amount == 0.25)
        assert router.status().budgets[0].granted == 0.25


def test_hard_budget_that_is_cut_grants_no_more(file):
    arms = [Arm(name="small", max_cost_usd=0.001), Arm(name="large", max_cost_usd=0.01)]
    settings = {"arms": arms, "features": 1, "budgets": [Budget(usd=1.0, per="day", hard=True)], "seed": 0}
    with Router(**settings, store=SQLStore(file)) as router:
        for _ in range(20):
            router.feedback(router.route([0.5]).id, quality=1.0, cost_usd=0.001)
        router.flush()
        admin.set_budget(file, "cost_usd per day", 0.0005)
    with Router(**settings, store=SQLStore(file)) as later:
        assert not any(later.route([0.5]).granted for _ in range(5))


def test_grams_of_a_budget_are_changed_in_grams(file):
    with open_router(file, Budget(grams=100.0, grams_per_kwh=400.0, per="day")) as router:
        router.route([0.5])
        router.flush()
        admin.set_budget(file, "energy_joules per day", 200.0)
        wait_until(lambda: router.status().budgets[0].budget.grams == 200.0)


PRICED = {"input_usd_per_million_tokens": 10.0, "output_usd_per_million_tokens": 10.0}


def open_priced(url, **prices):
    return Router(
        arms=[Arm(name="small"), Arm(name="large", **(prices or PRICED))],
        features=1,
        preference=Preference(quality=1.0, cost_usd=10.0),
        store=SQLStore(url),
        seed=0,
    )


def serve_tokens(router, requests):
    for _ in range(requests):
        decision = router.route([0.5], input_tokens=1000)
        outcome = (
            {"quality": 0.9, "output_tokens": 500} if decision.arm == "large" else {"quality": 0.7, "cost_usd": 0.01}
        )
        router.feedback(decision.id, **outcome)


def expected_cost(router, arm):
    decision = router.preview([0.5], input_tokens=1000)
    return decision.means[decision.objectives.index("cost_usd"), decision.arms.index(arm)]


def test_all_processes_follow_prices_and_what_is_learned_of_tokens_stays(file):
    with open_priced(file) as one, open_priced(file) as other:
        serve_tokens(one, 60)
        before = expected_cost(one, "large")
        tokens = before / 10e-6 - 1000
        admin.set_prices(file, "large", input_usd_per_million_tokens=20.0, who="ops@host")
        wait_until(lambda: all(router.arms[1].input_usd_per_million_tokens == 20.0 for router in (one, other)))
        assert expected_cost(one, "large") == pytest.approx(1000 * 20e-6 + tokens * 10e-6)
    with open_priced(file) as later:
        assert later.arms[1].input_usd_per_million_tokens == 20.0
        assert later.arms[1].output_usd_per_million_tokens == 10.0
    (change,) = admin.shared_changes(file)
    assert (change.kind, change.subject, change.who) == ("prices", "large", "ops@host")


def test_higher_price_moves_the_traffic_as_the_dry_run_said(file):
    with open_priced(file) as router:
        serve_tokens(router, 80)
        expected = admin.set_prices(file, "large", output_usd_per_million_tokens=100.0, dry_run=True)
        assert expected.before["large"] > 0.8
        assert expected.after["large"] < 0.2
        assert router.arms[1].output_usd_per_million_tokens == 10.0
        admin.set_prices(file, "large", output_usd_per_million_tokens=100.0)
        wait_until(lambda: router.arms[1].output_usd_per_million_tokens == 100.0)
        decision = router.route([0.5], input_tokens=1000)
        assert decision.probabilities[1] == pytest.approx(expected.after["large"], abs=0.1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda url: admin.set_budget(url, "cost_usd per week", 5.0), "unknown budget 'cost_usd per week'; known"),
        (lambda url: admin.set_budget(url, PER_REQUEST, 0.0), "give a number above 0"),
        (lambda url: admin.set_budget(url, PER_REQUEST, "much"), "usd"),
        (lambda url: admin.set_prices(url, "large"), "no price of 'large' is given"),
        (lambda url: admin.set_prices(url, "huge", input_usd_per_million_tokens=1.0), "unknown arm 'huge'"),
        (lambda url: admin.set_prices(url, "large", input_usd_per_million_tokens=1.0), "one token price of two"),
        (
            lambda url: admin.set_prices(url, "large", **{**PRICED, "input_usd_per_million_tokens": -1.0}),
            "price of arm",
        ),
    ],
)
def test_change_that_no_router_could_follow_is_refused(file, change, message):
    with open_router(file, Budget(usd=0.02)) as router:
        serve(router, 2)
        router.flush()
    with pytest.raises(InvalidConfigurationError, match=message):
        change(file)
    assert admin.shared_changes(file) == []


def test_router_that_is_not_there_is_refused(file):
    with open_router(file, Budget(usd=0.02)):
        pass
    for change in (
        lambda: admin.set_budget(file, PER_REQUEST, 1.0, router="other"),
        lambda: admin.set_prices(file, "small", **PRICED, router="other"),
    ):
        with pytest.raises(StoreError, match="no router 'other'"):
            change()


def test_budget_that_a_router_lacks_is_passed_over(file, caplog):
    with open_router(file, Budget(usd=0.02)) as router:
        serve(router, 2)
    admin.set_budget(file, PER_REQUEST, 0.01)
    with open_router(file) as without:
        assert without.status().budgets == ()
    assert "unknown budget" in caplog.text


@pytest.mark.parametrize("kind", [Decimal, Fraction, np.float32], ids=["Decimal", "Fraction", "float32"])
def test_decimals_and_numbers_of_numpy_are_recorded_as_numbers(file, kind):
    with open_router(file, Budget(usd=0.02)) as router:
        serve(router, 2)
    admin.set_budget(file, PER_REQUEST, kind("0.5"))
    admin.set_prices(file, "small", input_usd_per_million_tokens=kind("0.5"), output_usd_per_million_tokens=kind("2"))
    admin.set_traffic(file, "small", at_most=kind("0.5"))
    budget, prices, traffic = (change.values for change in admin.shared_changes(file))
    assert budget == {"amount": 0.5}
    assert prices == {"input_usd_per_million_tokens": 0.5, "output_usd_per_million_tokens": 2.0}
    assert traffic == {"at_most": 0.5}


def test_budget_whose_keys_are_not_recorded_is_changed_without_expected_shares(file):
    with open_router(file, Budget(usd=0.02, each="user")) as router:
        serve(router, 2)
        expected = admin.set_budget(file, "cost_usd per request each=user", 0.01)
        assert (expected.before, expected.after) == ({}, {})
        wait_until(lambda: router.status().budgets[0].budget.amount == 0.01)


def test_command_sets_budgets_and_prices(file):
    with open_router(file, Budget(usd=0.02)) as router:
        serve(router, 20)

    def invoke(*arguments):
        return CliRunner().invoke(main, ["set", file, *arguments])

    dry = invoke(f"budget.{PER_REQUEST}=0.002", "--dry-run")
    assert (dry.exit_code, "nothing is changed" in dry.output, "expected" in dry.output) == (0, True, True)
    assert admin.shared_changes(file) == []
    done = invoke(f"budget.{PER_REQUEST}=0.002", "prices.large.input=2", "prices.large.output=4", "traffic.large=0.5")
    assert done.exit_code == 0, done.output
    assert [(each.kind, each.subject, dict(each.values)) for each in admin.shared_changes(file)] == [
        ("budget", PER_REQUEST, {"amount": 0.002}),
        ("traffic", "large", {"at_least": 0.5, "at_most": 0.5}),
        ("prices", "large", {"input_usd_per_million_tokens": 2.0, "output_usd_per_million_tokens": 4.0}),
    ]
    for wrong in ("budget.x", "prices.large=2", "prices.large.input=much", "quota.large=2"):
        refused = invoke(wrong)
        assert (refused.exit_code, "is not of the form" in refused.output) == (1, True), wrong
