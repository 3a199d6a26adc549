"""Simulated adapters: traffic is what it says, policies do what they are called, and all are charged alike."""

import numpy as np
import pytest

from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, SimulatedBackend
from banditroute.adapters.controller import Controller
from banditroute.adapters.eviction import lru
from banditroute.beliefs import Linear
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.learners import LinUCB
from banditroute.objectives import Objective
from banditroute.router import Router
from banditroute.simulate.adapter_traffic import adapter_traffic
from banditroute.simulate.adapters import LinearUCB, PagingPolicy, oracle_cache, run

UTILITY_PER_SECOND = 0.3


@pytest.fixture(scope="module")
def traffic():
    return [adapter_traffic(seed=seed, adapters=6, tasks=6, requests=1200) for seed in range(3)]


class TestTraffic:
    def test_shapes_and_sizes(self):
        traffic = adapter_traffic(seed=0, adapters=20, tasks=5, dimension=4, requests=4000, miss_cost=0.3, noise=0.2)
        assert traffic.x.shape == (4000, 4)
        assert np.linalg.norm(traffic.x[:, :-1], axis=1) == pytest.approx(1.0)
        assert (traffic.x[:, -1] == 1.0).all()
        assert traffic.utilities.shape == (4000, 20)
        assert ((traffic.utilities > -0.15) & (traffic.utilities < 1.15)).all()
        assert traffic.noise.std() == pytest.approx(0.2, rel=0.05)
        assert ((traffic.costs >= 0.15) & (traffic.costs <= 0.45)).all()
        assert traffic.costs.mean() == pytest.approx(0.3, rel=0.2)

    def test_popularity_follows_zipf(self):
        share = np.bincount(adapter_traffic(seed=1, requests=20000).task) / 20000
        assert share[0] / share[1] == pytest.approx(2**0.9, rel=0.1)
        assert share[0] / share[9] == pytest.approx(10**0.9, rel=0.2)

    def test_nearly_each_adapter_is_best_somewhere(self):
        traffic = adapter_traffic(seed=2)
        best = traffic.utilities.argmax(axis=1)
        top = [np.bincount(best[traffic.task == task]).argmax() for task in range(15)]
        assert len(set(top)) >= 12  # some are better than others everywhere

    def test_a_shift_exchanges_popularity_and_nothing_else(self):
        still, shifted = adapter_traffic(seed=3), adapter_traffic(seed=3, shift_at=4000)
        assert np.array_equal(still.task[:4000], shifted.task[:4000])
        pairs = set(zip(still.task[4000:].tolist(), shifted.task[4000:].tolist(), strict=True))
        assert len(pairs) == len({task for task, _ in pairs}) == 15
        assert any(task != other for task, other in pairs)

    def test_is_drawn_from_the_seed(self):
        assert np.array_equal(adapter_traffic(seed=4).x, adapter_traffic(seed=4).x)
        assert not np.array_equal(adapter_traffic(seed=4).x, adapter_traffic(seed=5).x)


class TestRun:
    def test_the_streams_do_not_meet(self, traffic):
        together = run(traffic, policy=PagingPolicy(), slots=2)
        for b, each in enumerate(traffic):
            assert np.array_equal(run([each], policy=PagingPolicy(), slots=2).chosen[0], together.chosen[b])

    @pytest.mark.parametrize("seed", [0, 1])
    def test_chooses_as_a_router_does(self, seed):
        control = Controller(shortest_epoch=20, longest_epoch=40)
        traffic = adapter_traffic(seed=seed, adapters=6, tasks=6, dimension=4, requests=300)
        simulated = run([traffic], policy=PagingPolicy(cache=control), slots=2)
        gigabytes_per_utility = 1e9 / UTILITY_PER_SECOND
        arms = [
            Arm(
                name=str(k),
                adapter=AdapterSpec(name=str(k), path=str(k), size_bytes=round(cost * gigabytes_per_utility)),
            )
            for k, cost in enumerate(traffic.costs)
        ]
        capacity = Capacity(slots=2, staging_slots=1)
        backend = SimulatedBackend(capacity=capacity, base_seconds=0.0, bytes_per_second=1e9, jitter=0.0)
        cache = AdapterCache(backend=backend, control=control)
        linear = Linear(feature_precision=1.0, intercept_precision=1.0, noise={"worth": 0.1})
        router = Router(
            arms=arms,
            features=3,
            learner=LinUCB(alpha=3.0, floor=0.0, belief=linear, context_exploration=1.0),
            objectives=[Objective(name="worth", higher_is_better=True, prior_mean=1.0)],
            preference=Preference(worth=1.0, latency_seconds=UTILITY_PER_SECOND),
            adapters=cache,
        )
        chosen, hit = [], []
        for t in range(300):
            with router.lease(router.route(traffic.x[t, :-1])) as decision:
                k = int(decision.arm)
            router.feedback(decision.id, worth=traffic.utilities[t, k] + traffic.noise[t])
            cache.wait()
            chosen.append(k)
            hit.append(decision.residency.resident)
        assert chosen == simulated.chosen[0].tolist()
        assert hit == simulated.hit[0].tolist()
        assert len(set(chosen)) == 6
        assert cache.loads > 10

    def test_misses_are_paid_and_hits_are_free(self, traffic):
        found = run(traffic, policy=PagingPolicy(route="oblivious", cache=lru), slots=2)
        costs = np.stack([each.costs for each in traffic])
        missed = np.take_along_axis(costs, found.chosen, axis=1) * ~found.hit
        assert found.paid == pytest.approx(missed)
        assert found.net == pytest.approx(found.utility - found.paid)
        assert 0.0 < found.hit.mean() < 1.0

    def test_utility_is_that_of_the_chosen(self, traffic):
        found = run(traffic, policy=PagingPolicy(cache="random"), slots=2)
        assert found.utility[1, 7] == traffic[1].utilities[7, found.chosen[1, 7]]

    def test_each_adapter_is_loaded_once_with_a_slot_for_each(self, traffic):
        found = run(traffic, policy=PagingPolicy(cache=lru), slots=6)
        assert ((~found.hit).sum(axis=1) <= 6).all()

    def test_a_fixed_cache_never_changes(self, traffic):
        found = run(traffic, policy=PagingPolicy(route="omniscient", cache="oracle"), slots=2)
        for b, each in enumerate(traffic):
            kept = oracle_cache(each, 2)
            assert found.hit[b, np.isin(found.chosen[b], kept)].all()
            assert found.paid[b, 0] >= each.costs[kept].sum()  # its loads are charged, too

    def test_the_oracle_is_the_best_and_learning_comes_near(self, traffic):
        net = {
            name: run(traffic, policy=policy, slots=2).net.mean()
            for name, policy in {
                "oracle": PagingPolicy(route="omniscient", cache="oracle"),
                "ours": PagingPolicy(),
                "random": PagingPolicy(cache="random"),
                "oblivious": PagingPolicy(route="oblivious", cache=lru),
            }.items()
        }
        assert net["oracle"] > net["ours"] > max(net["random"], net["oblivious"])
        assert net["oracle"] - net["ours"] < 0.05

    def test_edgelora_prefers_a_resident_one_of_the_best_three(self, traffic):
        chosen = run(traffic, policy=PagingPolicy(route="edgelora", cache=lru), slots=4)
        oblivious = run(traffic, policy=PagingPolicy(route="oblivious", cache=lru), slots=4)
        # five of six are resident, so that always one of three is
        assert chosen.hit[:, 10:].all()
        assert not oblivious.hit[:, 10:].all()

    def test_popular_is_fixed_after_a_thousand(self, traffic):
        found = run(traffic, policy=PagingPolicy(cache="popular"), slots=2)
        for b in range(3):
            used = np.bincount(found.chosen[b, :1000], minlength=6)
            kept = np.argsort(-used, kind="stable")[:2]
            assert found.hit[b, 1000:][np.isin(found.chosen[b, 1000:], kept)].all()

    def test_forced_trials_come_first(self, traffic):
        found = run(traffic, policy=PagingPolicy(cache=Controller.polar_plus(first_epoch=24, forced=1.0)), slots=2)
        assert (np.bincount(found.chosen[0, :12]) == 2).all()  # ceil(sqrt(24 / 6)) = 2 each

    def test_optimism_frees_from_lock_in(self, traffic):
        """Without it, a miss that costs more than an untried adapter could be worth is never paid."""
        dear = [adapter_traffic(seed=seed, adapters=6, tasks=6, requests=1200, miss_cost=0.6) for seed in range(3)]
        locked = run(
            dear,
            policy=PagingPolicy(cache=Controller(optimism=0.0)),
            slots=2,
            learner=LinearUCB(alpha=0.3, prior_mean=0.0),
        )
        free = run(dear, policy=PagingPolicy(), slots=2)
        assert free.net.mean() > locked.net.mean() + 0.05
        assert locked.hit[:, 10:].mean() > 0.99
