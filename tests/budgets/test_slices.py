"""Slices of a shared limit: whatever the order of draws, uses and answers, the processes never exceed it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from banditroute.budgets.slices import Slices
from banditroute.core.shared_total import SharedTotal

LIMIT = 100.0
PROCESSES = 3
PROCESS = st.integers(0, PROCESSES - 1)


class SharedLimit(RuleBasedStateMachine):
    """A store that adds up what processes queue, and answers each of them later, in any order of processes.

    Requests raise the limit: a process grants itself the amount of its own request, then counts the request.
    """

    def __init__(self):
        super().__init__()
        self.total, self.requests = SharedTotal(), 0
        self.queued = [(SharedTotal(), 0) for _ in range(PROCESSES)]
        self.answers = [[] for _ in range(PROCESSES)]
        self.slices = [Slices(add=lambda total, k=k: self.queue(k, total)) for k in range(PROCESSES)]
        self.known_requests = [0] * PROCESSES
        self.routed = 0
        self.used = 0.0
        self.now = 0.0

    def queue(self, k, total, requests=0):
        waiting, counted = self.queued[k]
        self.queued[k] = waiting + total, counted + requests

    @rule(k=PROCESS, need=st.floats(0.1, 30.0), seconds=st.sampled_from([0.1, 61.0, -61.0]))
    def draw(self, k, need, seconds):
        self.now += seconds
        limit = LIMIT + self.known_requests[k] + self.queued[k][1]
        self.slices[k].draw(limit=limit, need=need, now=self.now)

    @rule(k=PROCESS)
    def grant(self, k):
        self.routed += 1
        self.slices[k].grant(1.0)
        self.queue(k, SharedTotal(), 1)

    @rule(k=PROCESS)
    def write(self, k):
        (added, requests), self.queued[k] = self.queued[k], (SharedTotal(), 0)
        self.total += added
        self.requests += requests
        self.answers[k].append((self.total, added))
        self.known_requests[k] = self.requests

    @rule(k=PROCESS)
    def answer(self, k):
        if self.answers[k]:
            self.slices[k].merge(*self.answers[k].pop(0))

    @rule(k=PROCESS, part=st.floats(0.0, 1.0))
    def use(self, k, part):
        amount = max(self.slices[k].stock, 0.0) * part
        self.slices[k].use(amount)
        self.used += amount

    @rule(k=PROCESS, part=st.floats(0.0, 1.0))
    def release(self, k, part):
        amount = min(self.used, 5.0) * part
        self.slices[k].use(-amount)
        self.used -= amount

    @rule(k=PROCESS)
    def close(self, k):
        self.slices[k].close()

    @rule(k=PROCESS)
    def kill(self, k):
        self.slices[k] = Slices(add=lambda total, k=k: self.queue(k, total))
        self.queued[k], self.answers[k] = (SharedTotal(), 0), []
        self.known_requests[k] = self.requests

    @invariant()
    def holds_the_limit(self):
        assert self.used + sum(slices.stock for slices in self.slices) <= LIMIT + self.routed + 1e-6


TestSharedLimit = SharedLimit.TestCase
TestSharedLimit.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def alone():
    """Slices whose total nobody else adds to, and that total."""
    totals = [SharedTotal()]

    def add(total):
        totals[0] += total
        return totals[0]

    return Slices(add=add), totals


def test_a_process_alone_can_draw_all_of_the_limit():
    slices, totals = alone()
    used = 0.0
    for now in range(1000):
        slices.draw(limit=10.0, need=1.0, now=float(now))
        if slices.stock >= 1.0:
            slices.use(1.0)
            used += 1.0
    assert used == 10.0
    assert totals[0].spent == pytest.approx(10.0)


def test_close_gives_back_what_is_left():
    slices, totals = alone()
    slices.draw(limit=10.0, need=4.0, now=0.0)
    slices.use(1.0)
    slices.close()
    slices.close()
    assert slices.stock == 0.0
    assert totals[0].spent == pytest.approx(1.0)


def test_a_slice_that_is_never_answered_is_asked_for_again_after_a_minute():
    asked = []
    slices = Slices(add=asked.append)
    for now in (0.0, 30.0, 61.0):
        slices.draw(limit=10.0, need=1.0, now=now)
    assert len(asked) == 2


def test_a_slice_that_comes_late_is_used_as_it_was_asked_for():
    asked = []
    first, other = Slices(add=asked.append), Slices(add=asked.append)
    first.draw(limit=10.0, need=3.0, now=0.0)
    first.draw(limit=10.0, need=9.0, now=61.0)  # the first one is taken to be lost
    other.draw(limit=10.0, need=5.0, now=61.0)
    drawn = SharedTotal()
    for process, added in zip((first, other, first), (asked[0], asked[2], asked[1]), strict=True):
        drawn += added
        process.merge(drawn, added)
    assert first.stock + other.stock == pytest.approx(10.0)


def test_a_limit_that_rises_while_a_slice_is_on_its_way_counts_once():
    asked = []
    slices = Slices(add=asked.append)
    slices.draw(limit=10.0, need=10.0, now=0.0)
    other = SharedTotal(requests=1, spent=10.0, balance=10.0)
    slices.grant(1.0)
    slices.draw(limit=11.0, need=10.0, now=0.1)
    slices.merge(other + asked[0], asked[0])
    assert slices.stock == pytest.approx(1.0)


def test_close_enters_what_was_used_beyond_the_slices():
    slices, totals = alone()
    slices.draw(limit=10.0, need=4.0, now=0.0)
    slices.use(6.0)
    slices.close()
    assert totals[0].spent == pytest.approx(6.0)


def test_granted_slice_can_be_spent_at_once():
    slices, totals = alone()
    slices.grant(2.0)
    assert (slices.stock, totals[0].spent) == (2.0, 2.0)


def test_hoarded_stock_is_given_back_down_to_the_share():
    drawn = []

    def add(total):
        drawn.append(total.spent)
        return SharedTotal(0, 1, sum(drawn), 0.0)

    slices = Slices(add=add)
    slices.draw(limit=100.0, need=40.0, now=0.0)
    slices.keep(30.0)  # 40 is not much more than 30
    assert slices.stock == 40.0
    slices.keep(20.0)
    assert slices.stock == 20.0
    assert slices.undrawn == 80.0
