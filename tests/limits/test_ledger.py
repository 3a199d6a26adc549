"""The ledger, in any order of entries, reports and time, against a list of all that happened."""

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from banditroute.limits.ledger import Ledger

SECONDS = 10.0
AMOUNTS = st.floats(0.0, 1e6) | st.sampled_from([0.0, 0.1, 0.2, 0.3, 1e-300])
IDS = st.sampled_from("abcdefgh")


class Books(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.ledger = Ledger(settle_seconds=SECONDS)
        self.now = 0.0
        self.entries = {}  # id -> [expected, deadline, settled with or None]
        self.closed = []  # amounts of entries whose id was used again

    @rule(id=IDS, amount=AMOUNTS)
    def reserve(self, id, amount):
        if id in self.entries and self.entries[id][2] is None:
            return  # ids of open entries are not given twice
        if id in self.entries:
            self.closed.append(self.entries[id][2])
        self.entries[id] = [amount, self.now + SECONDS, None]
        self.ledger.reserve(id, amount, self.now)

    @rule(id=IDS, amount=AMOUNTS)
    def settle(self, id, amount):
        entry = self.entries.get(id)
        more = self.ledger.settle(id, amount)
        if entry is None or entry[2] is not None:
            assert more == 0.0  # never entered, or settled already: nothing changes
        else:
            assert more == amount - entry[0]
            entry[2] = amount

    @rule(seconds=st.floats(0.0, 30.0))
    def pass_time(self, seconds):
        self.now += seconds
        self.ledger.expire(self.now)
        for entry in self.entries.values():
            if entry[2] is None and entry[1] <= self.now:
                entry[2] = entry[0]

    @rule()
    def reopen(self):
        """What is open is settled as expected."""
        before = self.ledger.committed
        self.ledger = Ledger(settle_seconds=SECONDS, spent=self.ledger.committed)
        assert self.ledger.committed == before
        for entry in self.entries.values():
            if entry[2] is None:
                entry[2] = entry[0]

    @invariant()
    def agrees_with_the_list(self):
        settled = [entry[2] for entry in self.entries.values() if entry[2] is not None]
        still_open = [entry[0] for entry in self.entries.values() if entry[2] is None]
        assert self.ledger.reserved >= 0.0
        assert math.isclose(self.ledger.spent, math.fsum(self.closed + settled), rel_tol=1e-9, abs_tol=1e-300)
        assert math.isclose(self.ledger.reserved, math.fsum(still_open), rel_tol=1e-9, abs_tol=1e-6)
        if not still_open:
            assert self.ledger.reserved == 0.0


TestBooks = Books.TestCase
TestBooks.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)


def test_what_tokens_cost():
    ledger = Ledger(settle_seconds=SECONDS)
    ledger.reserve("a", 1.0, 0.0, (0.25, 0.001))
    ledger.reserve("b", 1.0, 0.0)
    assert ledger.cost("a", 500.0) == 0.75
    assert ledger.cost("b", 500.0) is None
    assert ledger.cost("c", 500.0) is None
    ledger.settle("a", 0.75)
    assert ledger.cost("a", 500.0) is None


def test_begun_anew_nothing_is_counted():
    ledger = Ledger(settle_seconds=SECONDS, spent=3.0)
    ledger.reserve("a", 1.0, 0.0)
    ledger.clear()
    assert (ledger.spent, ledger.reserved, ledger.settle("a", 5.0)) == (0.0, 0.0, 0.0)
