"""Hard budgets in any order of decisions, reports, commits and answers: covered calls never spend more than granted."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from banditroute.budgets import Budget
from banditroute.budgets.book import BudgetBook
from banditroute.core.arm import Arm
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal

BOUNDS = {"small": 1.0, "middle": 5.0, "large": 40.0}
ARMS = [Arm(name=name, max_cost_usd=bound) for name, bound in BOUNDS.items()]
PROCESSES = 2
PROCESS = st.integers(0, PROCESSES - 1)
FIRST_GRANT_REQUESTS = 200
DAY = 86_400.0


class HardBudgets(RuleBasedStateMachine):
    """Processes on one database: what they count is queued, written in turn, and answered later."""

    @initialize(
        usd=st.sampled_from([0.05, 0.3, 2.0]),
        per=st.sampled_from(["request", "day", "session"]),
        tagged=st.booleans(),
        seed=st.integers(0, 99),
    )
    def open(self, usd, per, tagged, seed):
        self.rng = np.random.default_rng(seed)
        self.budgets = [Budget(usd=usd if per == "request" else 60.0 * usd, per=per, hard=True, settle_seconds=300.0)]
        if tagged:
            self.budgets.append(Budget(usd=20.0, per="day", hard=True, tag="batch", settle_seconds=300.0))
        self.now = DAY * 20_000.0
        self.totals: dict[tuple[str, int], SharedTotal] = {}
        self.queued: list[dict] = [{} for _ in range(PROCESSES)]
        self.answers: list[list] = [[] for _ in range(PROCESSES)]
        self.books = [self.book(k) for k in range(PROCESSES)]
        self.open_calls: list[tuple] = []
        self.spent: dict[tuple[str, int], float] = {}
        self.routed: dict[str, int] = {}
        self.made = 0

    def book(self, k):
        totals: dict[str, list[SharedTotal]] = {}
        for (name, _), total in self.totals.items():
            totals.setdefault(name, []).append(total)
        book = BudgetBook(
            budgets=self.budgets,
            arms=ARMS,
            blob=None,
            totals=totals,
            add=lambda name, total: self.queue(k, name, total),
        )
        book.prepare(self.now)
        return book

    def queue(self, k, name, total):
        key = name, total.period
        self.queued[k][key] = self.queued[k].get(key, SharedTotal(total.period)) + total

    @rule(k=PROCESS, batch=st.booleans(), calls=st.integers(1, 40), session=st.sampled_from("ab"))
    def route(self, k, batch, calls, session):
        for _ in range(calls):
            self.now += 1.0
            request = Request(features=np.zeros(0), tags=("batch",) if batch else (), session=session)
            self.books[k].awaits_first_slice(request, self.now)
            book, noise = self.books[k], self.rng.random(3)
            spends = np.array([0.3, 2.0, 10.0]) * noise
            priced = book.price(
                request, noise, np.ones(3), {"cost_usd": spends}, {"cost_usd": np.full(3, 5.0)}, range(3), self.now
            )
            at = int(self.rng.integers(len(priced.positions)))
            arm = ARMS[priced.positions[at]].name
            among = [ARMS[position].name for position in priced.positions]
            even = np.full(len(among), 1.0 / len(among))
            self.made += 1
            if priced.trouble is None:
                reserved = book.reserve(str(self.made), at, among, even, request, self.now, None)
            else:
                reserved = book.refuse(request, self.now, None)
            for budget in self.budgets:
                if budget.key(request) is not None:
                    self.routed[budget.name] = self.routed.get(budget.name, 0) + 1
            if priced.trouble is None:  # an uncovered call is not made
                keys = [(name, self.period(name)) for name in reserved]
                self.open_calls.append((str(self.made), arm, reserved, self.now))
                for key in keys:
                    self.spent[key] = self.spent.get(key, 0.0) + BOUNDS[arm]

    def period(self, name):
        return int(self.now // DAY) if "per day" in name else 0

    @rule(k=PROCESS, share=st.floats(0.0, 1.0), calls=st.integers(1, 40))
    def report(self, k, share, calls):
        for _ in range(min(calls, len(self.open_calls))):
            id, arm, reserved, decided_at = self.open_calls.pop(int(self.rng.integers(len(self.open_calls))))
            cost = BOUNDS[arm] * share * self.rng.random()
            self.books[k].settle(id, arm, reserved, {"cost_usd": cost}, (), decided_at, self.now)
            for name in reserved:
                period = int(decided_at // DAY) if "per day" in name else 0
                self.spent[name, period] += cost - BOUNDS[arm]

    @rule(k=PROCESS)
    def commit(self, k):
        added, self.queued[k] = self.queued[k], {}
        for key, total in added.items():
            self.totals[key] = self.totals.get(key, SharedTotal(total.period)) + total
        self.answers[k].append([(name, self.totals[name, period], part) for (name, period), part in added.items()])

    @rule(k=PROCESS)
    def answer(self, k):
        if self.answers[k]:
            for name, joint, added in self.answers[k].pop(0):
                self.books[k].merge(name, joint, added)

    @rule(seconds=st.sampled_from([30.0, 400.0, DAY / 2]))
    def wait(self, seconds):
        self.now += seconds

    @rule(k=PROCESS)
    def restart(self, k):
        self.books[k].close()
        self.commit(k)
        self.answers[k] = []
        self.books[k] = self.book(k)

    @rule(k=PROCESS)
    def kill(self, k):
        self.queued[k], self.answers[k] = {}, []
        self.books[k] = self.book(k)

    @invariant()
    def spends_no_more_than_granted(self):
        for (name, _), spent in getattr(self, "spent", {}).items():
            budget = next(budget for budget in self.budgets if budget.name == name.split(" #")[0])
            granted = budget.amount
            if budget.per == "request":
                granted *= max(self.routed[name], FIRST_GRANT_REQUESTS)
            assert spent <= granted * (1.0 + 1e-9)


TestHardBudgets = HardBudgets.TestCase
TestHardBudgets.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def test_an_arm_must_be_covered_by_all_hard_budgets():
    """Each of the two budgets alone would cover an arm, but no arm is covered by both."""
    arms = [Arm(name="capped", max_cost_usd=5.0), Arm(name="other", max_cost_usd=20.0)]
    budgets = [Budget(usd=1.0, per="day", hard=True, arm="capped"), Budget(usd=10.0, per="day", hard=True)]
    totals: dict[str, SharedTotal] = {}

    def add(name, total):
        totals[name] = totals.get(name, SharedTotal(total.period)) + total
        return totals[name]

    book = BudgetBook(budgets=budgets, arms=arms, blob=None, totals={}, add=add)
    book.prepare(0.0)
    priced = book.price(
        Request(features=np.zeros(0)),
        np.zeros(2),
        np.ones(2),
        {"cost_usd": np.array([1.0, 1.0])},
        {"cost_usd": np.full(2, 5.0)},
        [0, 1],
        0.0,
    )
    assert priced.trouble is not None
    assert sum(status.uncovered for status in book.status(0.0)) == 1
