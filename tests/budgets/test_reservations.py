"""The ledger, in any order of entries, reports and time, against a list of all that happened."""

import math

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from banditroute.budgets.reservations import Reservations

SECONDS = 10.0
AMOUNTS = st.floats(0.0, 1e6) | st.sampled_from([0.0, 0.1, 0.2, 0.3, 1e-300])
IDS = st.sampled_from("abcdefgh")


class Books(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.ledger = Reservations(settle_seconds=SECONDS)
        self.now = 0.0
        self.open = {}  # id -> expected, deadline

    @rule(id=IDS, amount=AMOUNTS)
    def reserve(self, id, amount):
        if id not in self.open:  # ids of open entries are not given twice
            self.open[id] = amount, self.now + SECONDS
            self.ledger.reserve(id, amount, self.now)

    @rule(id=IDS)
    def release(self, id):
        self.open.pop(id, None)
        self.ledger.release(id)

    @rule(seconds=st.sampled_from([0.0, 1.0, 4.0, SECONDS, 3 * SECONDS]))
    def wait(self, seconds):
        self.now += seconds
        self.open = {id: entry for id, entry in self.open.items() if self.now < entry[1]}
        self.ledger.expire(self.now)

    @rule()
    def clear(self):
        self.open.clear()
        self.ledger.clear()

    @invariant()
    def holds_what_is_open(self):
        assert self.ledger.reserved >= 0.0
        expected = math.fsum(amount for amount, _ in self.open.values())
        assert self.ledger.reserved == pytest.approx(expected, rel=1e-9, abs=1e-8)
        if not self.open:
            assert self.ledger.reserved == 0.0


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


def test_oldest_of_too_many_open_decisions_are_kept_as_sums(monkeypatch):
    monkeypatch.setattr("banditroute.budgets.reservations._MOST_OPEN", 3)
    ledger = Reservations(settle_seconds=64.0)  # the sums are of a second each
    for number in range(100):
        ledger.reserve(str(number), 1.0, now=number * 0.1, expected=0.5)
    assert (ledger.reserved, ledger.slack) == (100.0, 50.0)
    ledger.release("99")
    ledger.release("0")  # it is part of a sum
    assert (ledger.reserved, ledger.slack) == (99.0, 49.5)
    ledger.expire(now=66.0)  # all of the first two seconds: the last of them at 1.9, and that of 2.0, at 66
    assert ledger.reserved == 78.0
    ledger.expire(now=74.0)
    assert (ledger.reserved, ledger.slack) == (0.0, 0.0)
