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
    """A store that adds up what processes queue, and answers each of them later, in any order of processes."""

    def __init__(self):
        super().__init__()
        self.total = SharedTotal()
        self.queued = [SharedTotal() for _ in range(PROCESSES)]
        self.answers = [[] for _ in range(PROCESSES)]
        self.slices = [Slices(add=lambda total, k=k: self.queue(k, total)) for k in range(PROCESSES)]
        self.used = 0.0
        self.now = 0.0

    def queue(self, k, total):
        self.queued[k] += total

    @rule(k=PROCESS, need=st.floats(0.1, 30.0))
    def draw(self, k, need):
        self.now += 0.1
        self.slices[k].draw(limit=LIMIT, need=need, now=self.now)

    @rule(k=PROCESS)
    def write(self, k):
        added, self.queued[k] = self.queued[k], SharedTotal()
        self.total += added
        self.answers[k].append((self.total, added))

    @rule(k=PROCESS)
    def answer(self, k):
        if self.answers[k]:
            self.slices[k].merge(*self.answers[k].pop(0))

    @rule(k=PROCESS, part=st.floats(0.0, 1.0))
    def use(self, k, part):
        amount = self.slices[k].stock * part
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

    @invariant()
    def holds_the_limit(self):
        assert self.used + sum(slices.stock for slices in self.slices) <= LIMIT + 1e-6


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


def test_what_is_granted_can_be_used_at_once():
    slices, totals = alone()
    slices.grant(2.0)
    assert (slices.stock, totals[0].spent) == (2.0, 2.0)
