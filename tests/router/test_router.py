"""The router at work: route, feedback, learn, begin again; and many threads at once."""

import logging
import threading

import numpy as np
import pytest

from banditroute.beliefs import Linear
from banditroute.beliefs.statistics import ArmStatistics
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.errors import ConflictingFeedbackError, StoreError, UnknownDecisionError
from banditroute.features import Complexity
from banditroute.learners import EpsilonGreedy, Learner, LinUCB, ThompsonSampling
from banditroute.objectives import Objective
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore
from tests.support import belief_of


def made(**settings):
    return Router(**{"arms": ["a", "b"], "features": 2, "seed": 0, **settings})


def believed(router, x=(0.3, -0.7)):
    """Means and spreads by objective, and the utilities."""
    decision = router.route(x)
    values = {name: (decision.means[j], decision.stds[j]) for j, name in enumerate(decision.objectives)}
    return {**values, "utility": (decision.utilities, decision.utility_stds)}


def same(one, other, tolerance=0.0):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance)


def test_a_decision_tells_all_that_it_rests_on():
    clock = iter([1234.5, 1300.0]).__next__  # read once by route(), and once by status()
    router = made(arms=[Arm(name="a"), "b"], preference={"quality": 2.0}, clock=clock, learner=LinUCB(alpha=1.0))
    decision = router.route([0.5, 2], session="s", tags=["x", "y"], input_tokens=7)
    assert decision.arms == ("a", "b")
    assert decision.arm in decision.arms
    assert decision.decided_at == 1234.5
    assert decision.objectives == ("quality",)
    assert decision.means.tolist() == [[0.5, 0.5]]
    assert decision.utilities.tolist() == [1.0, 1.0]
    assert decision.x.tolist() == [0.5, 2.0, 1.0]
    assert decision.preference == {"quality": 2.0}
    assert decision.policy == "LinUCB(policy=UCB(alpha=1.0, delta=None, norm_bound=1.0, floor=0.005))"
    assert (decision.session, decision.tags, decision.input_tokens) == ("s", ("x", "y"), 7)
    assert decision.reason == "policy"
    assert not decision.fell_back
    assert router.status().fallbacks == 0


def test_the_router_learns_which_arm_is_best_where():
    router = made(learner=EpsilonGreedy(epsilon=0.3), features=1)
    for i in range(300):
        decision = router.route([float(i % 2)])
        router.feedback(decision.id, quality=float(decision.arm == "ab"[i % 2]))
    assert router.route([0.0]).utilities.argmax() == 0
    assert router.route([1.0]).utilities.argmax() == 1
    assert router.status().learned == 300


def test_a_router_of_text_learns_from_text():
    router = Router(arms=["a", "b"], features=Complexity(), learner=EpsilonGreedy(epsilon=0.0), seed=0)
    decision = router.route("Prove that 2 + 2 = 4.", exclude=["a"])
    router.feedback(decision.id, quality=1.0)
    assert router.route("Prove that 2 + 3 = 5.").arm == "b"


@pytest.mark.parametrize("request_", [[1, 2], (1.0, 2.0), np.array([1.0, 2.0], dtype=np.float32), np.array([1, 2])])
def test_ready_features_may_be_any_numbers_and_stay_as_they_were(request_):
    before = np.array(request_)
    decision = made().route(request_)
    assert decision.x.tolist() == [1.0, 2.0, 1.0]
    decision.x[:] = 0.0
    assert np.array_equal(np.asarray(request_), before)


def test_a_router_without_features_learns_averages():
    router = made(features=0)
    for outcome in (1.0, 0.0, 1.0):
        router.feedback(router.route([], arms=["a"]).id, quality=outcome)
    # What the arms share: a tells M = 4 x 3 / (4 + 3) = 12/7 of its average 2/3, the guess 1/4 of 1/2;
    # (12/7 x 2/3 + 1/4 x 1/2) / (12/7 + 1/4) = 71/110. It is worth four outcomes: (4 x 71/110 + 2) / (4 + 3).
    assert router.route([]).means[0] == pytest.approx([(4.0 * 71.0 / 110.0 + 2.0) / 7.0, 71.0 / 110.0])


def test_many_requests_are_decided_as_one_by_one():
    texts = ["What is 2 + 2?", "", "Write a poem about the sea."]
    one, many = (Router(arms=["a", "b", "c"], features=Complexity(), seed=3) for _ in range(2))
    together = many.route_many(texts, preference={"quality": 3.0}, exclude=["b"], session="s", tags=["t"])
    for text, decision in zip(texts, together, strict=True):
        single = one.route(text, preference={"quality": 3.0}, exclude=["b"], session="s", tags=["t"])
        assert decision.arm == single.arm
        assert decision.arms == ("a", "c")
        assert decision.x == pytest.approx(single.x, abs=1e-12)
        assert (decision.preference, decision.session, decision.tags) == ({"quality": 3.0}, "s", ("t",))
        many.feedback(decision.id, quality=1.0)
    assert many.status().learned == 3
    assert many.route_many([]) == []


def test_many_requests_may_be_ready_features():
    decisions = made().route_many(np.array([[1.0, 2.0], [3.0, 4.0]]), arms=["b"])
    assert [decision.x.tolist() for decision in decisions] == [[1.0, 2.0, 1.0], [3.0, 4.0, 1.0]]
    assert [decision.arm for decision in decisions] == ["b", "b"]


class OneAtATime(Complexity):
    """Fails in batches, and for one text alone."""

    def transform(self, requests):
        raise RuntimeError("out of memory")

    def transform_one(self, request):
        if request.text == "bad":
            raise RuntimeError("this text is bad")
        return super().transform_one(request)


def test_single_bad_text_does_not_spoil_the_others(caplog):
    router = Router(arms=["a", "b"], features=OneAtATime(), learner=Learner(policy=Uniform()))
    good, bad, also_good = router.route_many(["good", "bad", "also good"])
    assert (good.reason, also_good.reason) == ("policy", "policy")
    assert bad.reason.startswith("fallback: RuntimeError in transform_one()")  # without the text of the error
    assert "featurizing 3 texts in one batch failed, now one at a time: RuntimeError" in caplog.text


def test_feedback_in_parts_in_any_order_and_late_is_one_report():
    reports = {"quality": 0.75, "cost_usd": 0.02, "latency_seconds": 3.0}
    whole, parts, late = made(), made(), made()
    held = []
    for i in range(40):
        x = [0.1 * i, (-1.0) ** i]
        whole.feedback(whole.route(x, arms=["ab"[i % 2]]).id, **reports)
        decision = parts.route(x, arms=["ab"[i % 2]])
        for name in sorted(reports, reverse=bool(i % 3)):
            parts.feedback(decision.id, **{name: reports[name]})
        held.append(late.route(x, arms=["ab"[i % 2]]).id)
    for k in np.random.default_rng(0).permutation(40):
        late.feedback(held[k], **reports)
    same(believed(whole), believed(parts), 1e-9)
    same(believed(whole), believed(late), 1e-9)


def test_a_duplicate_is_harmless():
    router = made()
    decision = router.route([1.0, 2.0])
    router.feedback(decision.id, quality=0.5, cost_usd=0.1)
    before = believed(router)
    router.feedback(decision.id, quality=0.5)
    router.feedback(decision.id, cost_usd=0.1, quality=0.5)
    same(before, believed(router))
    assert router.status().learned == 1


@pytest.mark.parametrize(
    "second", [{"quality": 0.6}, {"quality": 0.6, "cost_usd": 0.1}, {"cost_usd": 0.1, "quality": 0.6}]
)
def test_a_conflict_is_refused_whole(second):
    router = made(preference=Preference(quality=1.0, cost_usd=1.0))
    decision = router.route([1.0, 2.0])
    router.feedback(decision.id, quality=0.5)
    before = believed(router)
    with pytest.raises(ConflictingFeedbackError, match=r"recorded as 0.5 and now given as 0.6; the first value stays"):
        router.feedback(decision.id, **second)
    same(before, believed(router))
    router.feedback(decision.id, cost_usd=0.2)  # nothing of the refused report was recorded: this is no conflict
    assert router.status().learned == 1


def test_an_unknown_decision_is_refused():
    router = made()
    before = believed(router)
    with pytest.raises(UnknownDecisionError, match=r"^no decision 'never' is held.*check the id"):
        router.feedback("never", quality=1.0)
    same(before, believed(router))


def test_the_next_router_on_the_store_knows_what_this_one_learned():
    store = MemoryStore()
    with made(store=store) as router:
        for i in range(20):
            router.feedback(router.route([0.1 * i, 1.0]).id, quality=i / 20)
        open_decision = router.route([0.5, 0.5])
        before = believed(router)
    with made(store=store) as again:
        assert again.status().learned == 20
        same(before, believed(again), 1e-12)
        again.feedback(open_decision.id, quality=1.0)
        assert again.status().learned == 21


def test_another_router_name_starts_from_the_prior():
    store = MemoryStore()
    with made(store=store) as router:
        router.feedback(router.route([1.0, 1.0]).id, quality=1.0)
    with made(store=store, name="other") as other:
        assert other.status().learned == 0
        assert other.route([1.0, 1.0]).means.tolist() == [[0.5, 0.5]]


def test_feedback_for_an_arm_of_an_earlier_configuration_is_recorded():
    store = MemoryStore()
    with made(store=store, arms=["a", "gone"]) as router:
        decision = router.route([1.0, 1.0], arms=["gone"])
    with made(store=store) as router:
        before = believed(router)
        router.feedback(decision.id, quality=1.0)
        same(before, believed(router))
    with made(store=store, arms=["gone", "b"]) as router:
        assert router.route([1.0, 1.0]).means[0, 0] > 0.5


def test_a_closed_router_releases_its_store():
    store = MemoryStore()
    with made(store=store) as router:
        with pytest.raises(StoreError, match="a store of its own, or close the first router"):
            made(store=store)
        decision = router.route([1.0, 1.0])
        router.flush()
    router.close()
    with pytest.raises(StoreError, match="closed"):
        router.feedback(decision.id, quality=1.0)
    made(store=store).close()


def test_a_router_that_could_not_be_made_releases_its_store():
    class Broken(Linear):
        def start(self, **settings):
            raise RuntimeError("broken")

    store = MemoryStore()
    with pytest.raises(RuntimeError, match="broken"):
        made(store=store, learner=Learner(policy=Uniform(), belief=Broken()))
    made(store=store).close()


def test_users_objectives_are_reported_by_name():
    helpful = Objective(name="helpfulness", higher_is_better=True, low=1.0, high=5.0, prior_mean=3.0)
    router = made(objectives=[helpful], preference={"helpfulness": 1.0}, learner=EpsilonGreedy(epsilon=0.0))
    for arm, value in (("a", 2), ("b", 4)):
        router.feedback(router.route([0.0, 0.0], arms=[arm]).id, helpfulness=value)
    assert router.route([0.0, 0.0]).arm == "b"


def test_unknown_outcome_is_left_out_and_not_taken_for_0():
    router = made(preference=Preference(quality=1.0, cost_usd=1.0))
    before = believed(router)
    router.feedback(router.route([0.3, -0.7], arms=["a"]).id, quality=1.0, cost_usd=None)
    after = believed(router)
    assert after["quality"][0][0] > before["quality"][0][0]
    np.testing.assert_array_equal(after["cost_usd"], before["cost_usd"])


def test_the_features_and_arms_of_a_router_can_be_read():
    router = made(arms=["a", Arm(name="b")])
    assert router.arms == (Arm(name="a"), Arm(name="b"))
    assert router.features.dimension == 2


def test_eight_threads_lose_and_double_nothing(caplog):
    """Contexts and outcomes in whole numbers, so that sums are exact whatever the order."""
    spec = Linear(noise={"quality": 0.5})
    router = made(learner=ThompsonSampling(belief=spec), features=1)
    errors, events, lock = [], [], threading.Lock()
    start = threading.Barrier(8)

    def work(seed):
        rng = np.random.default_rng(seed)
        start.wait()
        try:
            for _ in range(100):
                decision = router.route([float(rng.integers(-3, 4))])
                quality = float(rng.integers(2))
                router.feedback(decision.id, quality=quality)
                router.feedback(decision.id, quality=quality)
                with lock:
                    events.append((decision, quality))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    with caplog.at_level(logging.WARNING):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
    assert caplog.records == []
    assert (router.status().learned, router.status().fallbacks, len({decision.id for decision, _ in events})) == (
        800,
        0,
        800,
    )
    for arm in "ab":
        mine = [(decision.x, quality) for decision, quality in events if decision.arm == arm]
        (group,) = ArmStatistics.from_bytes(belief_of(router).statistics()[arm]).groups
        assert group.n == len(mine)
        assert np.array_equal(group.s, sum(np.outer(x, x) for x, _ in mine))
        assert np.array_equal(group.b[0], sum(quality * x for x, quality in mine))
        assert group.yy[0] == sum(quality for _, quality in mine)


def test_learned_counts_decisions_however_many_parts_their_feedback_had(tmp_path):
    for store in (MemoryStore(), SQLStore(f"sqlite:///{tmp_path / 'r.db'}")):
        with Router(arms=["a", "b"], features=0, store=store, seed=0) as router:
            decision = router.route([])
            router.feedback(decision.id, quality=0.5)
            router.feedback(decision.id, cost_usd=0.1)
            assert router.status().learned == 1
        with Router(arms=["a", "b"], features=0, store=store, seed=0) as again:
            assert again.status().learned == 1
