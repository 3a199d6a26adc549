"""Change detection: how soon, how seldom for nothing, and that a reset is everyone's and nobody else's."""

import logging
import time

import numpy as np
import pytest

from banditroute.beliefs import ArmStatistics, Hybrid, Linear, PageHinkley
from banditroute.beliefs.drift import Drift
from banditroute.core.state import StateSlot
from banditroute.errors import IncompatibleStoreError, InvalidConfigurationError
from banditroute.learners import Learner
from banditroute.policies import Uniform
from banditroute.router import Router
from banditroute.store import SQLStore
from banditroute.store.memory import MemoryStore
from banditroute.store.sql import writer
from tests.support import belief_of, engine_of

ARMS = ["a", "b"]
LEARNER = Learner(policy=Uniform(), drift=PageHinkley())


def opened(store, learner=LEARNER, features=1):
    return Router(arms=ARMS, features=features, learner=learner, store=store, seed=0)


def serve(router, rng, *, requests, quality, arms=None, cost=False):
    """Serve requests with quality 0 or 1; how many outcomes of each arm came before each of the resets."""
    served = dict.fromkeys(ARMS, 0)
    found = []
    for _ in range(requests):
        decision = router.route(rng.normal(size=1), arms=arms)
        served[decision.arm] += 1
        before = engine_of(router).resets
        values = {"cost_usd": 0.01 * rng.random()} if cost else {}
        router.feedback(decision.id, quality=float(rng.random() < quality[decision.arm]), **values)
        if engine_of(router).resets != before:
            found.append((decision.arm, served[decision.arm]))
    return found


def counts(router, objective="quality"):
    belief = belief_of(router)
    return belief.counts(objective)


def test_a_drop_from_92_to_75_is_found_within_150_outcomes_and_nowhere_else():
    delays = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        router = opened(MemoryStore())
        assert serve(router, rng, requests=1000, quality={"a": 0.92, "b": 0.92}) == []
        found = serve(router, rng, requests=400, quality={"a": 0.75, "b": 0.92})
        assert [arm for arm, _ in found] == ["a"]
        delays.append(found[0][1])
    assert np.mean(delays) < 100
    assert max(delays) < 150


def test_steady_outcomes_give_no_reset():
    rng = np.random.default_rng(0)
    assert serve(opened(MemoryStore()), rng, requests=5000, quality={"a": 0.92, "b": 0.5}, cost=True) == []


def test_a_sum_by_hand():
    drift = drift_of(PageHinkley(slack=0.5, threshold=1.9))
    belief = Linear().start(arms=["a"], dimension=1, priors={})
    belief.watch(["quality"])  # expects 0, since it is never taught
    x = np.ones(1)
    for _ in range(15):
        assert drift.notice(belief, "a", x, {"quality": 1.0}) == []
        assert drift.notice(belief, "a", x, {"quality": -1.0}) == []  # 30 residuals of noise 1
    seen = [drift.notice(belief, "a", x, {"quality": 1.0}) for _ in range(4)]
    assert seen == [[], [], [], ["quality"]]  # .5, 1, 1.5, 2


def test_one_outlier_changes_nothing():
    drift = drift_of(PageHinkley(threshold=5.0))
    belief = Linear().start(arms=["a"], dimension=1, priors={})
    belief.watch(["cost_usd"])
    for value in [1.0, -1.0] * 20 + [1e9] + [1.0, -1.0] * 20:
        assert drift.notice(belief, "a", np.ones(1), {"cost_usd": value}) == []


def test_a_reset_says_so_and_touches_nothing_else(caplog):
    rng = np.random.default_rng(4)
    router = opened(MemoryStore())
    serve(router, rng, requests=600, quality={"a": 0.9, "b": 0.9}, cost=True)
    before = counts(router).tolist(), counts(router, "cost_usd").tolist()
    old = ArmStatistics.from_bytes(belief_of(router).statistics()["b"])
    with caplog.at_level(logging.WARNING, logger="banditroute"):
        found = serve(router, rng, requests=120, quality={"a": 0.3, "b": 0.9}, arms=["a"], cost=True)
    assert len(found) == 1
    since = 120 - found[0][1]
    left, other = counts(router).tolist()
    assert other == before[0][1]
    assert since < left - 10.0 <= 130  # what came since the change, and at most a few from just before it
    assert left - 10.0 > 115
    assert counts(router, "cost_usd").tolist() == pytest.approx([before[1][0] + 120, before[1][1]])
    new = ArmStatistics.from_bytes(belief_of(router).statistics()["b"])
    assert [group.b.tolist() for group in new.groups] == [group.b.tolist() for group in old.groups]
    assert "quality of arm 'a' has changed" in caplog.text
    (reset,) = router.status().resets
    assert (reset.arm, reset.objective, reset.times) == ("a", "quality", 1)


@pytest.mark.parametrize("belief", [Hybrid(), Linear(), Hybrid(half_life_requests=300.0)], ids=repr)
def test_resets_survive_a_restart(tmp_path, belief):
    learner = Learner(policy=Uniform(), belief=belief, drift=PageHinkley())
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    rng = np.random.default_rng(2)
    probes = [np.array([value]) for value in (-1.0, 0.0, 2.0)]
    with opened(SQLStore(url), learner) as router:
        serve(router, rng, requests=300, quality={"a": 0.9, "b": 0.9}, cost=True)
        serve(router, rng, requests=200, quality={"a": 0.2, "b": 0.9}, cost=True)
        serve(router, rng, requests=200, quality={"a": 0.9, "b": 0.9}, cost=True)
        resets = router.status().resets
        before = [router.route(x) for x in probes]
    assert resets[-1].times >= 2
    with opened(SQLStore(url), learner) as again:
        assert again.status().resets == resets
        for x, old in zip(probes, before, strict=True):
            new = again.route(x)
            order = [new.objectives.index(name) for name in old.objectives]
            np.testing.assert_allclose(new.means[order], old.means, rtol=1e-3 if belief.half_life_requests else 1e-9)
            np.testing.assert_allclose(new.stds[order], old.stds, rtol=1e-2 if belief.half_life_requests else 1e-9)


def test_a_reset_is_seen_by_other_processes(tmp_path):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    rng = np.random.default_rng(3)
    with opened(SQLStore(url)) as one, opened(SQLStore(url)) as other:
        serve(one, rng, requests=300, quality={"a": 0.9, "b": 0.9})
        serve(one, rng, requests=100, quality={"a": 0.1, "b": 0.9})
        assert [reset.arm for reset in one.status().resets] == ["a"]
        deadline = time.monotonic() + 10.0
        while other.status().learned < 400 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert other.status().resets == one.status().resets
        np.testing.assert_allclose(counts(other), counts(one), rtol=1e-9)


def test_resets_of_both_processes_reach_the_other_and_outlive_them(tmp_path, until, monkeypatch):
    """Though no feedback comes after them: with the next fold."""
    monkeypatch.setattr(writer, "FOLD_SECONDS", 0.2)
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    rng = np.random.default_rng(4)
    with opened(SQLStore(url)) as one, opened(SQLStore(url)) as other:
        for router, arm in ((one, "a"), (other, "b")):
            serve(router, rng, requests=150, quality={arm: 0.9}, arms=[arm])
        for router, arm in ((one, "a"), (other, "b")):
            while not any(reset.arm == arm for reset in router.status().resets):
                serve(router, rng, requests=1, quality={arm: 0.0}, arms=[arm])
        until(
            lambda: (
                {reset.arm for reset in one.status().resets} == {"a", "b"}
                and one.status().resets == other.status().resets
            )
        )
        until(lambda: np.allclose(counts(one), counts(other), rtol=1e-9) and counts(one).max() < 50)
        found, left = one.status().resets, counts(one)
    with opened(SQLStore(url)) as again:
        assert again.status().resets == found
        np.testing.assert_allclose(counts(again), left, rtol=1e-9)


def drift_of(test=PageHinkley(), **settings):  # noqa: B008
    kept = settings.pop("kept", {})
    return Drift(
        test=test,
        belief=Linear(),
        dimension=settings.pop("dimension", 1),
        features_version=settings.pop("features_version", "1"),
        slot=StateSlot(
            name="drift",
            save=lambda name, blob, merge: kept.update({name: merge(kept[name], blob) if name in kept else blob}),
        ),
    )


def taught(observations):
    belief = Linear().start(arms=["a"], dimension=1, priors={})
    for value in observations:
        belief.update("a", np.ones(1), {"quality": value})
    return belief.statistics()


def begin(drift, arm):
    """Test a first outcome of the arm, which is no change."""
    belief = Linear().start(arms=[arm], dimension=1, priors={})
    belief.watch(["quality"])
    assert drift.notice(belief, arm, np.ones(1), {"quality": 0.0}) == []


def made(observations=(0.5,) * 40, kept=None):
    """A drift that has made one reset after these observations."""
    drift = drift_of(kept={} if kept is None else kept)
    begin(drift, "a")
    drift.reset(taught(observations), "a", "quality", 7.0)
    return drift


def held(statistics):
    return ArmStatistics.from_bytes(statistics["a"]).groups[0]


def test_discounted_counts_equal_the_hand_computed_ones():
    kept = {}
    made(kept=kept)
    left = held(drift_of().discounted(lambda: taught([0.5] * 40 + [1.0] * 5), kept))
    # 40 of .5 count as 10, 5 of 1 in full
    assert (left.n, left.b[0, 0], left.s[0, 0]) == pytest.approx((15.0, 10.0, 15.0))


def test_outcomes_since_the_change_keep_their_weight():
    """40 residuals of 1 and -1, then 3s: beyond a slack of .5 the sum last was 0 before them."""
    drift = drift_of(PageHinkley(slack=0.5, threshold=6.0, worth=5.0))
    belief = Linear().start(arms=["a"], dimension=1, priors={})
    belief.watch(["quality"])
    values = [1.0, -1.0] * 20 + [3.0] * 3
    expects_nothing = Linear().start(arms=["a"], dimension=1, priors={})
    expects_nothing.watch(["quality"])
    found = []
    for value in values:
        found += drift.notice(expects_nothing, "a", np.ones(1), {"quality": value})
        belief.update("a", np.ones(1), {"quality": value})
    assert found == ["quality"]
    left = held(drift.reset(belief.statistics(), "a", "quality", 7.0))
    # 40 that sum to 0 count as 5; the three since then in full
    assert (left.n, left.b[0, 0], left.yy[0]) == pytest.approx((8.0, 9.0, 5.0 + 27.0))


def test_statistics_keep_their_weight_without_a_test_or_in_other_features():
    kept = {}
    made(kept=kept)
    statistics = taught([0.5] * 40)
    assert drift_of(None).discounted(lambda: statistics, kept) is None
    assert drift_of(features_version="2").discounted(lambda: statistics, kept) is None


def test_a_store_rolled_back_to_before_the_reset_is_left_alone():
    kept = {}
    made(kept=kept)
    assert held(drift_of().discounted(lambda: taught([0.5] * 20), kept)).n == 20.0
    assert drift_of().discounted(dict, kept) == {}


def test_resets_that_two_processes_find_are_joined():
    """The second knows nothing of the first's when it records its own."""
    kept = {}
    made(kept=kept)
    other = drift_of(kept=kept)
    begin(other, "b")
    other.reset({"b": taught([0.5] * 40)["a"]}, "b", "quality", 8.0)
    third = drift_of()
    third.discounted(dict, kept)
    assert [(reset.arm, reset.times) for reset in third.resets] == [("a", 1), ("b", 1)]


def test_first_recorded_reset_stands_where_two_processes_find_a_change():
    kept = {}
    made(kept=kept)
    other = made([0.5] * 41, kept=kept)
    assert held(other.discounted(lambda: taught([0.5] * 41), kept)).n == pytest.approx(11.0)  # as for all
    begin(other, "a")
    other.reset(taught([0.5] * 41), "a", "quality", 9.0)  # and what it finds later is the second
    assert [reset.times for reset in other.resets] == [2]
    third = drift_of()
    third.discounted(dict, kept)
    assert third.resets == other.resets


def test_resets_in_other_features_stay_for_their_return():
    kept = {}
    made(kept=kept)
    other = drift_of(features_version="2", kept=kept)
    begin(other, "a")
    other.reset(taught((0.5,) * 40), "a", "quality", 7.0)
    assert held(drift_of().discounted(lambda: taught([0.5] * 40), kept)).n == pytest.approx(10.0)


def test_little_is_not_reset():
    drift = made([0.5] * 9)
    assert drift.resets == ()


@pytest.mark.parametrize("blob", [b"", b"[]", b'{"1": [["a"]]}', b'{"1": 7}'])
def test_a_damaged_state_is_refused(blob):
    with pytest.raises(IncompatibleStoreError, match="'drift' is damaged"):
        drift_of().discounted(dict, {"drift": blob})


@pytest.mark.parametrize("setting", ["slack", "threshold", "worth"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "1"])
def test_bad_settings_are_refused(setting, value):
    with pytest.raises(InvalidConfigurationError, match=setting):
        PageHinkley(**{setting: value})
