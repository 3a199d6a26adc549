"""One budget and several processes: they keep it together, and settle as expected what nobody reports."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import numpy as np
import pytest

from banditroute.budgets import Budget
from banditroute.budgets.book import BudgetBook
from banditroute.core.arm import Arm
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import StoreError
from banditroute.router import Router
from banditroute.store import SQLStore
from tests.support import remembered

COST = {"cheap": 0.001, "dear": 0.01}
QUALITY = {"cheap": 0.5, "dear": 0.9}


def opened(url, budget, *, seed=0, **settings):
    return Router(arms=["cheap", "dear"], features=1, budgets=[budget], store=SQLStore(url), seed=seed, **settings)


def settled(routers):
    """The tally of every router; the last has heard of all."""
    for router in routers:
        router.flush()
    for router in routers:  # who has nothing to add hears of nothing: one more request of each, the last hears all
        router.feedback(router.route([0.0], arms=["cheap"]).id, cost_usd=COST["cheap"])
        router.flush()
    return [router.status().budgets[0] for router in routers]


@pytest.mark.parametrize(
    "budget",
    [Budget(usd=0.004, settle_seconds=3600.0), Budget(usd=2.4, per="day", settle_seconds=3600.0)],
    ids=["request", "day"],
)
def test_routers_on_one_database_keep_to_it_together(url, budget):
    now = [86400.0 * 20_000 + 43_200.0]
    routers = [opened(url, budget, seed=seed, clock=lambda: now[0]) for seed in range(2)]
    rng, took = np.random.default_rng(0), []
    for _ in range(40):
        made = []
        for _ in range(15):
            now[0] += 71.9
            made.append(routers[rng.integers(2)].route([rng.normal()]))
        for router in routers:
            router.flush()
        for decision in made:
            took.append(COST[decision.arm] * rng.uniform(0.5, 1.5))
            # Whichever of them is told what it took.
            quality = float(rng.random() < QUALITY[decision.arm])
            routers[rng.integers(2)].feedback(decision.id, quality=quality, cost_usd=took[-1])
    for router in routers:
        router.close()
    # Half a day was left, for 600 requests.
    assert 0.8 < np.sum(took) / (2.4 if budget.per == "request" else budget.amount) < 1.05
    with opened(url, budget, clock=lambda: now[0]) as router:
        assert router.status().budgets[0].spent == pytest.approx(np.sum(took))
        assert router.status().budgets[0].requests == 600


def test_each_process_learns_the_spend_of_the_others(url):
    routers = [opened(url, Budget(usd=0.004), seed=seed) for seed in range(3)]

    def serve(router, seed):
        rng = np.random.default_rng(seed)
        for _ in range(100):
            decision = router.route([rng.normal()])
            router.feedback(decision.id, quality=1.0, cost_usd=COST[decision.arm])

    threads = [threading.Thread(target=serve, args=(router, seed)) for seed, router in enumerate(routers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spends = settled(routers)
    assert spends[-1].requests == 303
    for router in routers:
        router.close()
    with opened(url, Budget(usd=0.004)) as router:
        assert router.status().budgets[0].requests == 303
        assert router.status().budgets[0].spent == pytest.approx(spends[-1].spent)
    (joint,) = remembered(SQLStore(url)).totals["cost_usd per request"]
    assert joint.balance <= 303 * 0.004 - joint.spent + 1e-9  # savings are cut, never added to


def test_a_total_that_is_merged_is_not_counted_twice():
    others = SharedTotal(0, 10, 1.0, -0.5)
    book = BudgetBook(
        budgets=[Budget(usd=0.004)],
        arms=[Arm(name="cheap"), Arm(name="dear")],
        blob=None,
        totals={},
        add=lambda name, total: None,  # as a shared store does: the sum comes later
    )
    request, half = Request(features=np.zeros(1)), np.array([0.5, 0.5])
    spends = {"cost_usd": np.array([0.001, 0.01])}
    book.price(request, np.zeros(2), np.zeros(2), spends, {"cost_usd": np.ones(2)}, [0, 1], 0.0)
    ((reserved,),) = book.reserve("id", 0, ["cheap", "dear"], half, request, 0.0, None).values()
    (before,) = book.status(0.0)
    book.merge("cost_usd per request", others, SharedTotal())  # this process's own part is not in it yet
    (status,) = book.status(0.0)
    assert status.requests == 11
    assert status.spent + status.reserved == pytest.approx(1.0 + reserved)
    added = SharedTotal(0, 1, reserved, 0.004 - reserved)
    book.merge("cost_usd per request", others + added, added)
    (status,) = book.status(0.0)
    assert status.requests == 11
    assert status.spent + status.reserved == pytest.approx(1.0 + reserved)
    assert before.requests == 1


KILLED = """
import sys, threading
from banditroute.budgets import Budget
from banditroute.router import Router
from banditroute.store import SQLStore

budget = Budget(usd=0.004, settle_seconds=50.0)
router = Router(arms=["cheap", "dear"], features=1, budgets=[budget], store=SQLStore(sys.argv[1]), clock=lambda: 1e9)
for _ in range(30):
    decision = router.route([0.0], arms=["dear"])
    router.feedback(decision.id, quality=0.9, cost_usd=0.01)
decisions = [router.route([0.0], arms=["dear"]) for _ in range(10)]
router.flush()
print(" ".join(decision.id for decision in decisions), flush=True)
threading.Event().wait()
"""


def test_reservations_of_a_killed_process_are_settled_by_reports_or_as_expected(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    with subprocess.Popen([sys.executable, "-c", KILLED, url], stdout=subprocess.PIPE, text=True) as process:
        ids = process.stdout.readline().split()
        process.kill()
    now = [1e9]
    with opened(url, Budget(usd=0.004, settle_seconds=50.0), clock=lambda: now[0]) as router:
        expected = router.status().budgets[0].spent
        assert router.status().budgets[0].requests == 40
        assert expected == pytest.approx(0.4, rel=0.05)
        router.feedback(ids[0], cost_usd=0.05)
        after = router.status().budgets[0].spent
        assert after == pytest.approx(expected + 0.05 - 0.01, rel=0.02)
        router.feedback(ids[0], cost_usd=0.05, latency_seconds=1.0)
        now[0] += 50.0
        router.feedback(ids[1], cost_usd=0.05)  # too late
        assert router.status().budgets[0].spent == after


def test_spend_that_could_not_be_written_is_counted_later(tmp_path):
    path = tmp_path / "routes.db"
    with opened(f"sqlite:///{path}?timeout=0.05", Budget(usd=0.004)) as router:
        router.flush()
        with closing(sqlite3.connect(path, isolation_level=None)) as another:
            another.execute("BEGIN IMMEDIATE")
            router.route([0.0])
            with pytest.raises(StoreError):
                router.flush()
            router.route([0.0])
            another.execute("ROLLBACK")
    with opened(f"sqlite:///{path}", Budget(usd=0.004)) as router:
        assert router.status().budgets[0].requests == 2
