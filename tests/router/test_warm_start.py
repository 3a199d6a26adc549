"""A log that is learned before the traffic: exactly as feedback is, for good, and only as far as it is worth."""

import logging
import math

import numpy as np
import pytest

from banditroute import (
    Arm,
    IncompatibleStoreError,
    InvalidConfigurationError,
    InvalidFeedbackError,
    InvalidRequestError,
    LinUCB,
    MemoryStore,
    Router,
    SQLStore,
    StoreError,
)
from banditroute.beliefs import Hybrid, Linear
from banditroute.store.base import OutcomeEvent
from tests.support import belief_of, engine_of

LEARNER = LinUCB(belief=Linear())
ROUTES = np.random.default_rng(9).normal(size=(12, 2))


def made(learner=LEARNER, arms=("a", "b"), **settings):
    return Router(arms=arms, features=2, learner=learner, seed=0, **settings)


def believed(router):
    """Means and spreads of every arm by objective, at some requests."""
    decisions = [router.route(x) for x in ROUTES]
    return {
        name: np.array([[decision.means[j], decision.stds[j]] for decision in decisions])
        for j, name in enumerate(decisions[0].objectives)
    }


def same(router, expected, tolerance=1e-12):
    for name, numbers in believed(router).items():
        np.testing.assert_allclose(numbers, expected[name], rtol=tolerance, atol=tolerance)


def full(n=40, arms=("a", "b"), seed=1):
    """Rows of full information."""
    rng = np.random.default_rng(seed)
    return [
        (x, {arm: {"quality": float(rng.integers(2)), "cost_usd": float(rng.random())} for arm in arms})
        for x in rng.normal(size=(n, 2))
    ]


def feed(router, rows):
    """Report each row as feedback of one decision per arm."""
    for x, outcomes in rows:
        for arm, values in outcomes.items():
            router.feedback(router.route(x, arms=[arm]).id, **values)


@pytest.mark.parametrize("belief", [Linear(), Hybrid()], ids=["linear", "hybrid"])
def test_each_row_is_as_good_as_feedback(belief):
    learner = LinUCB(belief=belief)
    taught, warm = made(learner), made(learner)
    feed(taught, full())
    warm.warm_start(full())
    same(warm, believed(taught))
    assert warm.status().learned == 0  # of no decision of its own


def test_a_log_of_bandit_feedback_has_one_arm_in_each_row():
    rows = [(x, {arm: outcomes[arm]}) for i, (x, outcomes) in enumerate(full()) for arm in ["ab"[i % 2]]]
    taught, warm = made(), made()
    feed(taught, rows)
    warm.warm_start(iter(rows))
    same(warm, believed(taught))


def test_worth_is_what_the_rows_of_an_arm_count_for_together():
    rows = [(x, outcomes if i % 4 == 0 else {"a": outcomes["a"]}) for i, (x, outcomes) in enumerate(full(40))]
    router = made()
    router.warm_start(rows, worth=20)
    assert belief_of(router).counts("quality").tolist() == [20.0, 10.0]  # of 40, and of 10


def test_feedback_and_warm_start_add_up_in_either_order():
    first, then, both = made(), made(), made()
    feed(both, full() + full(20, seed=2))
    first.warm_start(full())
    feed(first, full(20, seed=2))
    feed(then, full(20, seed=2))
    then.warm_start(full())
    same(first, believed(both))
    same(then, believed(both))


def test_a_second_warm_start_takes_the_place_of_the_first():
    router, other = made(), made()
    for one in (router, other):
        feed(one, full(7, seed=3))
    router.warm_start(full(200), worth=150)
    router.warm_start(full(20, seed=2))
    other.warm_start(full(20, seed=2))
    same(router, believed(other))


def test_a_restart_begins_with_it(url):
    with made(store=SQLStore(url)) as router:
        feed(router, full(5, seed=4))
        router.warm_start(full())
        feed(router, full(5, seed=5))
        expected = believed(router)
    with made(store=SQLStore(url)) as again:
        same(again, expected)
        assert again.status().learned == 20


def test_a_second_process_believes_it_when_it_next_hears_of_the_first(url, until):
    with made(store=SQLStore(url)) as router, made(store=SQLStore(url)) as other:
        router.warm_start(full())
        feed(router, full(1, seed=5))
        until(lambda: other.status().learned == 2)
        same(other, believed(router))
        feed(other, full(1, seed=6))  # and keeps it when the first hears of the second
        until(lambda: router.status().learned == 4)
        same(router, believed(other))


@pytest.mark.parametrize("half_life", [{"half_life_requests": 10.0}, {"half_life_seconds": 10.0}])
def test_warm_start_ages_from_the_day_that_it_is_given(half_life):
    now = 1.7e9
    router = made(LinUCB(belief=Linear(**half_life)), clock=lambda: now)
    feed(router, full(20))
    router.warm_start(full(8))
    before = belief_of(router).counts("quality")
    now += 10.0
    for _ in range(10):
        router.route([0.0, 0.0])
    router.feedback(router.route([0.0, 0.0], arms=["a"]).id, quality=1.0)
    assert belief_of(router).counts("quality")[0] == pytest.approx(before[0] / 2.0 + 1.0, rel=0.15)
    assert before.min() > 8.0


def test_the_next_decision_has_the_next_ordinal():
    router = made()
    feed(router, full(2))
    router.warm_start(full())
    assert router.route([0.0, 0.0]).ordinal == 4


def test_texts_are_featurized():
    router, by_hand = Router(arms=["a", "b"], learner=LEARNER), Router(arms=["a", "b"], learner=LEARNER)
    prompts = ["What is 2 + 2?", "Write a poem about autumn."]
    router.warm_start([(prompt, {"a": {"quality": 1.0}, "b": {"quality": None}}) for prompt in prompts])
    for prompt in prompts:
        by_hand.feedback(by_hand.route(prompt, arms=["a"]).id, quality=1.0)
    one, other = router.route("What is 3 + 2?"), by_hand.route("What is 3 + 2?")
    np.testing.assert_allclose(one.means, other.means, rtol=1e-12)


def test_warm_start_in_other_features_is_ignored_with_a_line_in_the_log(caplog):
    store = MemoryStore()
    with made(store=store) as router:
        router.warm_start(full())
        expected = believed(router)
    with caplog.at_level(logging.WARNING, "banditroute"), Router(arms=["a", "b"], features=3, store=store) as other:
        assert (other.route([0.0, 0.0, 0.0]).means == 0.5).all()
    assert "warm start in other features" in caplog.text
    with made(store=store) as again:
        same(again, expected)


@pytest.mark.parametrize("blob", [b"{", b"[]", b'{"features_version": "1", "dimension": 3, "arms": {"a": "?"}}'])
def test_a_damaged_one_is_refused_at_the_start(blob):
    store = MemoryStore()
    made(store=store).close()
    with made(store=store):
        store.save_state("warm_start", blob)
    with pytest.raises(IncompatibleStoreError, match="'warm_start' is damaged"):
        made(store=store)


class Saving(MemoryStore):
    """Keeps all state that it is given, in order."""

    def __init__(self):
        super().__init__()
        self.saved = []

    def save_state(self, name, blob, merge=None):
        self.saved.append((name, blob))
        super().save_state(name, blob, merge)


ROW = ([0.0, 0.0], {"a": {"quality": 1.0}})


@pytest.mark.parametrize(
    ("log", "worth", "error", "words"),
    [
        (3, None, InvalidRequestError, "log is a int; give rows"),
        ("text", None, InvalidRequestError, "log is a str"),
        ({"q": {}}, None, InvalidRequestError, "log is a dict"),
        ([], None, InvalidFeedbackError, "no outcome"),
        ([([0.0, 0.0], {"a": {"quality": None}})], None, InvalidFeedbackError, "no outcome"),
        ([ROW, [0.0, 0.0]], None, InvalidRequestError, "row 1 of the log: .* is not a pair"),
        ([ROW, ([0.0], {})], None, InvalidRequestError, r"row 1 of the log: .*shape \(1,\)"),
        ([ROW, ([0.0, math.nan], {})], None, InvalidRequestError, "row 1 of the log: .*NaN"),
        ([ROW, ([0.0, 0.0], {"c": {"quality": 1.0}})], None, InvalidFeedbackError, "row 1 .*unknown arm 'c'.*: a, b"),
        ([ROW, ([0.0, 0.0], {"a": 1.0})], None, InvalidFeedbackError, "row 1 .*outcomes of 'a' are 1.0"),
        ([ROW, ([0.0, 0.0], {"a": {"speed": 1.0}})], None, InvalidFeedbackError, "row 1 .*unknown objective 'speed'"),
        ([ROW, ([0.0, 0.0], {"a": {"quality": 2.0}})], None, InvalidFeedbackError, "row 1 .*between 0 and 1"),
        ([ROW, ([0.0, 0.0], {"a": {"quality": math.nan}})], None, InvalidFeedbackError, "row 1 .*finite"),
        ([ROW], 0, InvalidConfigurationError, "worth is 0"),
        ([ROW], -1, InvalidConfigurationError, "worth is -1"),
        ([ROW], math.nan, InvalidConfigurationError, "worth is nan"),
        ([ROW], "many", InvalidConfigurationError, "worth is 'many'"),
    ],
)
def test_a_mistake_changes_nothing(log, worth, error, words):
    store = Saving()
    router = made(store=store)
    router.warm_start(full())
    expected, saved = believed(router), list(store.saved)
    with pytest.raises(error, match=words):
        router.warm_start(log, worth=worth)
    same(router, expected, 0.0)
    assert store.saved == saved != []


def test_warm_start_that_cannot_be_recorded_is_not_learned():
    class Full(MemoryStore):
        def flush(self):
            raise StoreError("the disk is full")

    router = made(store=Full())
    expected = believed(router)
    with pytest.raises(StoreError, match="disk is full"):
        router.warm_start(full())
    same(router, expected, 0.0)


def test_a_closed_router_takes_none():
    router = made()
    router.close()
    with pytest.raises(StoreError, match="closed"):
        router.warm_start(full())


class TestSuccession:
    def test_a_successor_begins_with_a_quarter_of_what_its_predecessor_has(self):
        rows = full(80, arms=("a",))
        router = made(arms=["a", Arm(name="b", replaces="a")])
        router.warm_start(rows)
        by_hand = made()
        by_hand.warm_start([(x, {"a": outcomes["a"]}) for x, outcomes in rows])
        assert belief_of(router).counts("quality").tolist() == [80.0, 20.0]
        assert engine_of(by_hand).models.belief.counts("quality").tolist() == [80.0, 0.0]

    def test_successor_begins_with_at_most_64_outcomes(self):
        router = made(arms=["a", Arm(name="b", replaces="a")])
        router.warm_start(full(400, arms=("a",)))
        assert belief_of(router).counts("quality").tolist() == [400.0, 64.0]

    def test_a_predecessor_need_not_be_there_any_more(self, url):
        with made(store=SQLStore(url), arms=["a", "old"]) as router:
            feed(router, full(40, arms=("old",)))
        with made(store=SQLStore(url), arms=["a", Arm(name="new", replaces="old")]) as router:
            assert belief_of(router).counts("quality").tolist() == [0.0, 10.0]
            feed(router, full(4, arms=("new",), seed=2))
            expected = believed(router)
        with made(store=SQLStore(url), arms=["a", Arm(name="new", replaces="old")]) as router:
            same(router, expected)
            assert belief_of(router).counts("quality").tolist() == pytest.approx([0.0, 14.0])

    def test_inherited_counts_are_not_recorded_for_the_new_arm(self):
        store = MemoryStore()
        with made(store=store, arms=["a", "old"]) as router:
            feed(router, full(40, arms=("old",)))
            router.add_arm(Arm(name="new", replaces="old"))
            router.remove_arm("new")
            router.add_arm("new")
            assert belief_of(router).counts("quality").tolist() == [0.0, 40.0, 0.0]

    def test_an_arm_that_replaces_itself_is_refused(self):
        with pytest.raises(InvalidConfigurationError, match="'a' replaces itself"):
            Arm(name="a", replaces="a")


def test_feedback_that_is_pending_counts_for_a_successor():
    store = MemoryStore()
    with made(store=store, arms=["a", "old"]) as router:
        feed(router, full(8, arms=("old",)))
    with made(store=store, arms=["a", Arm(name="new", replaces="old")]) as router:
        assert belief_of(router).counts("quality").tolist() == [0.0, 2.0]
        event = OutcomeEvent(arm="old", x=np.ones(3), values={"quality": 1.0}, decided_at=0.0, ordinal=9)
        engine_of(router).learn(event)
        router.remove_arm("a")
        assert belief_of(router).counts("quality").tolist() == [2.25]
