"""Sessions at work: costs by hand, vetoes, learning, and what several processes know."""

import numpy as np
import pytest

from banditroute.core.arm import Arm
from banditroute.core.state import StateSlot
from banditroute.core.turn import SessionTurn
from banditroute.errors import IncompatibleStoreError
from banditroute.sessions.book import SessionBook
from banditroute.sessions.counts import added
from banditroute.sessions.horizon import Horizon
from banditroute.sessions.memory import Probabilities
from banditroute.sessions.warmth import Warmth
from tests.support import in_child

PRICED = {"cache_seconds": 300.0, "cache_min_tokens": 1024, "provider": "anthropic"}
SMALL = Arm(
    name="small",
    input_usd_per_million_tokens=1.0,
    output_usd_per_million_tokens=5.0,
    cached_input_usd_per_million_tokens=0.1,
    cache_write_usd_per_million_tokens=1.25,
    **PRICED,
)
LARGE = Arm(
    name="large",
    input_usd_per_million_tokens=3.0,
    output_usd_per_million_tokens=15.0,
    cached_input_usd_per_million_tokens=0.3,
    cache_write_usd_per_million_tokens=3.75,
    **PRICED,
)
OUTPUT_USD = np.array([0.001, 0.003])
LIST_USD = np.array([1.0, 3.0]) / 1e6


class Slot:
    """Keeps what was saved, merged as a store does."""

    def __init__(self):
        self.blob = None

    def __call__(self, name, blob, merge=None):
        self.blob = blob if self.blob is None or merge is None else merge(self.blob, blob)


def make(max_switch_spend=None, stored=None, save=None):
    slot = StateSlot(name="sessions", stored=stored, save=save or Slot())
    return SessionBook(arms=[SMALL, LARGE], max_switch_spend=max_switch_spend, slot=slot)


def serve(book, tokens, now, arm, session="s", decision="d"):
    turn = book.begin(session, tokens, now, continues=False)
    cost = LIST_USD * tokens + turn.extra_usd[0] + OUTPUT_USD
    costs = book.note(turn, decision, arm, cost, {}, policy=None, again=False)
    return turn, cost, costs


def test_first_turn_writes_the_whole_prompt_at_every_arm():
    turn, cost, _ = serve(make(), 10_000.0, 0.0, "small")
    assert not turn.known
    assert cost == pytest.approx([10_000 * 1.25e-6 + 0.001, 10_000 * 3.75e-6 + 0.003])


def test_second_turn_reads_the_prefix_with_the_probability_that_it_is_warm():
    book = make()
    serve(book, 10_000.0, 0.0, "small")
    turn, cost, _ = serve(book, 12_000.0, 30.0, "small")
    # .95 after a tenth of the time to live: 12,000 written less .95 x 10,000 x (1.25 - .1)
    assert turn.warm == {"small": pytest.approx(0.95)}
    assert cost[0] == pytest.approx((12_000 * 1.25 - 0.95 * 10_000 * 1.15) * 1e-6 + 0.001)
    assert cost[1] == pytest.approx(12_000 * 3.75e-6 + 0.003)


def test_prefix_below_the_shortest_that_is_cached_costs_the_list_price():
    book = make()
    serve(book, 500.0, 0.0, "small")
    _, cost, costs = serve(book, 800.0, 10.0, "small")
    assert cost == pytest.approx(800.0 * LIST_USD + OUTPUT_USD)
    assert costs.warm == {}


def test_cache_that_was_left_long_ago_is_cold():
    book = make()
    serve(book, 10_000.0, 0.0, "small")
    turn = book.begin("s", 12_000.0, 100_000.0, continues=False)
    assert turn.warm["small"] == pytest.approx(0.02)


def test_price_of_a_switch_is_divided_among_the_turns_that_are_expected():
    book = make()
    serve(book, 10_000.0, 0.0, "small")
    turn = book.begin("s", 12_000.0, 30.0, continues=False)
    lasting = Horizon().ahead(2)[1]
    later = lasting / (1.0 + lasting)
    # the large arm's cold prefix costs 10,000 x (3.75 - .3) once; later turns bear their part
    assert turn.extra_usd[1, 1] == pytest.approx(-later * 10_000 * 3.45e-6, rel=0.1)


def test_tool_result_stays_with_the_arm_that_called_the_tool():
    book = make()
    serve(book, 10_000.0, 0.0, "large")
    assert book.begin("s", 11_000.0, 5.0, continues=True).keep == 1
    assert book.begin("s", 11_000.0, 5.0, continues=False).keep is None
    assert book.begin("another", 11_000.0, 5.0, continues=True).keep is None


def test_switch_to_a_more_expensive_arm_is_vetoed_beyond_the_budget():
    book = make(max_switch_spend=0.05)
    serve(book, 10_000.0, 0.0, "small")
    turn = book.begin("s", 12_000.0, 30.0, continues=False)
    cost = LIST_USD * 12_000.0 + turn.extra_usd[0] + OUTPUT_USD
    assert book.vetoed(turn, cost, [0, 1]) == [1]
    assert make().vetoed(turn, cost, [0, 1]) == []


def test_switch_to_a_cheaper_arm_is_allowed():
    book = make(max_switch_spend=0.05)
    serve(book, 10_000.0, 0.0, "large")
    turn = book.begin("s", 12_000.0, 100_000.0, continues=False)  # the large arm's cache is cold
    cost = LIST_USD * 12_000.0 + turn.extra_usd[0] + OUTPUT_USD
    assert book.vetoed(turn, cost, [0, 1]) == []


def test_veto_leaves_an_arm_where_all_are_too_expensive():
    book = make(max_switch_spend=0.0)
    serve(book, 10_000.0, 0.0, "small")
    turn = book.begin("s", 12_000.0, 30.0, continues=False)
    cost = LIST_USD * 12_000.0 + turn.extra_usd[0] + OUTPUT_USD
    assert book.vetoed(turn, cost, [1]) == []


def test_spend_with_a_switch_budget_keeps_the_promise_whatever_the_arms_that_are_wanted():
    rng = np.random.default_rng(0)
    for share in (0.0, 0.05, 0.3):
        book, spent, stayed, tokens, now = make(max_switch_spend=share), 0.0, 0.0, 8_000.0, 0.0
        reference = make()
        for step in range(60):
            now += float(rng.exponential(60.0))
            turn = book.begin("s", tokens, now, continues=False)
            cost = LIST_USD * tokens + turn.extra_usd[0] + OUTPUT_USD
            allowed = sorted({0, 1} - set(book.vetoed(turn, cost, [0, 1])))
            chosen = 0 if step == 0 else allowed[-1]  # the large arm wherever it may serve
            book.note(turn, f"{step}", ["small", "large"][chosen], cost, {}, policy=None, again=False)
            spent += cost[chosen]
            _, stay, _ = serve(reference, tokens, now, "small")
            stayed += stay[0]
            tokens += 1_500.0
        assert spent <= (1.0 + share) * stayed * 1.01


def test_cached_tokens_teach_how_long_a_cache_stays_warm():
    book = make()
    for turn in range(40):
        serve(book, 10_000.0, 100.0 * turn, "small", decision=str(turn))
        book.observe(str(turn), 0.0)  # never found, though the documentation says so
    assert book.begin("s", 10_000.0, 100.0 * 40, continues=False).warm["small"] < 0.15
    serve(book, 10_000.0, 0.0, "large", session="t")
    warm = book.begin("t", 10_000.0, 100.0, continues=False).warm["large"]
    assert warm < 0.15  # learned for the provider


def test_cached_tokens_of_a_call_that_expected_none_teach_nothing():
    book = make()
    serve(book, 10_000.0, 0.0, "small", decision="first")
    book.observe("first", 5_000.0)
    book.observe("unknown", 5_000.0)
    assert book.warmth.counts == {}


def test_turns_of_other_processes_make_a_cache_warm():
    book = make()
    book.follow_turns([SessionTurn("d1", "s", "large", 10_000, 100.0), SessionTurn("d2", "s", "large", None, 110.0)])
    turn = book.begin("s", 12_000.0, 120.0, continues=False)
    assert turn.known
    assert turn.number == 3
    assert turn.prefix_tokens == pytest.approx(0.9 * 12_000.0)  # the last one's tokens were not counted
    assert turn.warm["large"] == pytest.approx(0.95)


def test_own_turns_that_come_back_from_the_database_change_nothing():
    book = make()
    serve(book, 10_000.0, 100.0, "small")
    book.follow_turns([SessionTurn("d", "s", "small", 10_000, 100.0)])
    assert book.begin("s", 12_000.0, 120.0, continues=False).number == 2


def test_counts_of_processes_add_up_and_survive_a_restart():
    store = Slot()
    for _ in range(2):
        book = make(save=store)
        for turn in range(20):
            serve(book, 10_000.0, 10.0 * turn, "small", decision=str(turn))
            book.observe(str(turn), 10_000.0)
        book.close()
    again = make(stored=store.blob)
    assert sum(again.warmth.counts["anthropic"]) == pytest.approx(2 * 19)
    assert again.horizon.counts[0] == 2.0


def test_counts_that_are_not_stored_yet_are_kept_when_others_are_followed():
    book, other = make(), make(save=(store := Slot()))
    serve(book, 10_000.0, 0.0, "small")
    serve(other, 10_000.0, 0.0, "small")
    other.close()
    book.follow_counts(store.blob)
    assert book.horizon.counts[0] == 2.0


def test_forked_child_leaves_what_is_not_stored_to_its_parent():
    book = make(save=(store := Slot()))
    serve(book, 10_000.0, 0.0, "small")

    def close_in_child():
        book.close()
        return "left" if store.blob is None else "stored"

    assert in_child(close_in_child) == "left"
    book.close()
    assert make(stored=store.blob).horizon.counts[0] == 1.0


def test_damaged_counts_are_refused_with_a_remedy():
    with pytest.raises(IncompatibleStoreError, match="the stored state 'sessions' is damaged"):
        make(stored=b'{"warmth": 3}')


def test_addition_of_counts_is_associative():
    blobs = []
    for calls in (1, 2, 3):
        book = make(save=(store := Slot()))
        for turn in range(calls + 1):
            serve(book, 10_000.0, 10.0 * turn, "small", decision=str(turn))
            book.observe(str(turn), 5_000.0)
        book.close()
        blobs.append(store.blob)
    assert added(added(blobs[0], blobs[1]), blobs[2]) == added(blobs[0], added(blobs[1], blobs[2]))


def test_sessions_are_bounded(monkeypatch):
    monkeypatch.setattr("banditroute.sessions.book._MAX_SESSIONS", 3)
    book = make()
    for name in "abcd":
        serve(book, 10_000.0, 0.0, "small", session=name)
    assert list(book.sessions) == ["b", "c", "d"]


class TestRedraw:
    def coupled(self, before, now, last="small"):
        book = make()
        turn = book.begin("s", 10_000.0, 0.0, continues=False)
        policy = Probabilities(("small", "large"), np.array(before))
        book.note(turn, "d", last, None, {}, policy=policy, again=False)
        turn = book.begin("s", 10_000.0, 1.0, continues=False)
        return book.redrawn(turn, Probabilities(("small", "large"), np.array(now)))

    def test_arm_is_kept_while_its_probability_does_not_fall(self):
        assert self.coupled([0.5, 0.5], [0.6, 0.4]) == pytest.approx([0.9 + 0.1 * 0.6, 0.1 * 0.4])

    def test_arm_is_left_as_far_as_its_probability_fell(self):
        assert self.coupled([0.5, 0.5], [0.2, 0.8]) == pytest.approx([0.9 * 0.4 + 0.1 * 0.2, 0.9 * 0.6 + 0.1 * 0.8])

    def test_first_turn_draws_from_the_policy(self):
        book = make()
        turn = book.begin("s", 10_000.0, 0.0, continues=False)
        assert book.redrawn(turn, Probabilities(("small", "large"), np.array([0.3, 0.7]))) == pytest.approx([0.3, 0.7])

    def test_rounding_makes_no_probability_above_one(self):
        before = [0.3547505762695184, 0.6452494237304816]
        assert self.coupled(before, [1.0, 0.0], last="large").tolist() == [1.0, 0.0]

    @pytest.mark.parametrize("before", [[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    @pytest.mark.parametrize("now", [[0.9, 0.1], [0.4, 0.6], [0.0, 1.0]])
    def test_share_of_each_arm_over_sessions_is_the_policys(self, before, now):
        share = sum(before[k] * self.coupled(before, now, last=arm) for k, arm in enumerate(("small", "large")))
        assert share == pytest.approx(now)


class TestHorizon:
    def test_sessions_of_three_turns_are_expected_to_take_three(self):
        horizon = Horizon()
        for _ in range(2_000):
            for turn in (1, 2, 3):
                horizon.reach(turn)
                if turn < 3:
                    horizon.follow(turn, kept=True)
        assert horizon.turns_to_come(1) == pytest.approx(2.0, abs=0.35)  # turns 3 and 4 are one range
        assert horizon.ahead(1)[1] == pytest.approx(horizon.turns_to_come(1), rel=0.02)

    def test_turns_that_change_their_arm_are_not_kept(self):
        horizon = Horizon()
        for _ in range(500):
            horizon.reach(1)
            horizon.follow(1, kept=False)
            horizon.reach(2)
        assert horizon.ahead(1)[1] < 0.05 < horizon.turns_to_come(1)

    def test_endless_sessions_are_bounded(self):
        horizon = Horizon()
        for _ in range(100):
            for turn in range(1, 2_000):
                horizon.reach(turn)
                horizon.follow(turn, kept=True)
        assert 100.0 < horizon.turns_to_come(1) <= 1_000.0


def test_warmth_is_a_probability_at_every_idle_time():
    warmth = Warmth()
    for idle in (0.0, 1e-9, 300.0, 1e9):
        assert 0.0 < warmth.probability("a", idle, 300.0) < 1.0
