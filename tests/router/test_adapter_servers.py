"""A router and the servers of its adapters: restarts, wrong guesses of load times, and fleets."""

import numpy as np
import pytest

from banditroute.adapters import (
    AdapterCache,
    AdapterSpec,
    Capacity,
    CostEstimate,
    Fleet,
    LoadResult,
    SimulatedBackend,
    Tier,
    lru,
)
from banditroute.beliefs import Linear
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.errors import BackendUnavailableError
from banditroute.learners import LinUCB
from banditroute.router import Router

X = [0.5]
LAW, CODE = (AdapterSpec(name=name, path=name, size_bytes=1) for name in ("law", "code"))


class Server(SimulatedBackend):
    """Forgets everything in a restart, which is noticed when it is asked; guesses half a second for any load."""

    capabilities = frozenset()

    def __init__(self, *, seconds=0.25, slots=3):
        super().__init__(capacity=Capacity(slots=slots), base_seconds=seconds, bytes_per_second=1e12, jitter=0.0)
        self.loads = 0
        self.down = False
        self.known = set()

    def load(self, adapter):
        if self.down:
            raise BackendUnavailableError("down")
        if adapter.name in self.known:
            return LoadResult(name=adapter.name, seconds=0.0, source=Tier.GPU)
        result = super().load(adapter)
        self.loads += 1
        self.known.add(adapter.name)
        return result

    def unload(self, name):
        self.known.discard(name)
        return super().unload(name)

    def resident(self):
        self.known &= self._resident.keys()
        return super().resident()

    def load_cost(self, adapter):
        return CostEstimate(mean_seconds=0.5, p95_seconds=1.0, log_std=2.3)

    def restart(self):
        self._resident.clear()
        self.loads = 0


def made(cache, *, arms=None, **options):
    arms = [Arm(name="law", adapter=LAW), Arm(name="code", adapter=CODE)] if arms is None else arms
    settings = {"features": 1, "preference": Preference(quality=1.0, latency_seconds=1.0), "seed": 0, **options}
    return Router(arms=arms, adapters=cache, **settings)


class TestRestart:
    @pytest.mark.parametrize("told_by", ["feedback", "lease"])
    def test_calls_that_fail_after_a_restart_are_few(self, told_by):
        """The server answers 404 for a name that it has forgotten."""
        server = Server()
        router = made(AdapterCache(backend=server, control=lru), breaker=None)

        def call():
            decision = router.route(X)
            if told_by == "lease":
                with router.lease(router.route(X)) as decision:
                    if decision.arm not in server.resident():
                        raise LookupError("404")
                router.feedback(decision.id, quality=1.0)
                return True
            with router.lease(decision) as decision:
                there = decision.arm in server.resident()
            router.feedback(decision.id, **({"quality": 1.0} if there else {"failed": True}))
            return there

        def attempt():
            try:
                return call()
            except LookupError:
                return False

        assert all(attempt() for _ in range(30))
        server.restart()
        failures = [attempt() for _ in range(60)].count(False)
        assert 1 <= failures <= 2  # one for each adapter at most
        assert server.loads <= 2

    def test_rate_limit_casts_no_doubt(self):
        cache = AdapterCache(backend=Server(), control=lru)
        router = made(cache, breaker=None)
        with router.lease(router.route(X, arms=["law"])) as decision:
            pass
        router.feedback(decision.id, failure="rate_limit")
        assert cache.resident == {"law"}


class TestWrongGuess:
    """Half a second is guessed, which would cost half of the quality range."""

    def run(self, seconds, requests=200):
        server = Server(seconds=seconds, slots=1)
        cache = AdapterCache(backend=server, control=lru)
        arms = [Arm(name="law", adapter=LAW), Arm(name="code", adapter=CODE), Arm(name="base")]
        router = made(cache, arms=arms, learner=LinUCB(alpha=0.5, floor=0.0, belief=Linear()))
        quality = {"law": 0.8, "code": 0.8, "base": 0.6}
        chosen = []
        for i in range(requests):
            topic = i % 2
            decision = router.route([float(topic)])
            with router.lease(decision) as decision:
                pass
            at_home = decision.arm != ("law", "code")[topic]
            router.feedback(decision.id, quality=quality[decision.arm] - 0.3 * at_home * (decision.arm != "base"))
            chosen.append(decision.arm)
        return server, cache, chosen

    def test_cheap_loads_are_tried_and_then_used(self):
        server, cache, chosen = self.run(0.05)
        assert cache.load_cost(LAW).mean_seconds == pytest.approx(0.05, rel=0.2)
        assert chosen[-50:].count("base") == 0
        assert server.loads > 50  # a load of .05 for a gain of .2 is worth it every time

    def test_expensive_loads_are_few(self):
        server, cache, _ = self.run(3.0)
        assert cache.load_cost(LAW).mean_seconds == pytest.approx(3.0, rel=0.3)
        assert 1 <= server.loads <= 4


class TestFleet:
    def made(self, n=2, **options):
        servers = {
            f"s{i}": SimulatedBackend(capacity=Capacity(slots=2), base_seconds=0.25, jitter=0.0) for i in range(n)
        }
        fleet = Fleet(servers=servers, control=options.pop("control", lru))
        return made(fleet, **options), fleet

    def test_decision_names_the_server_where_the_adapter_waits_least(self):
        router, fleet = self.made()
        fleet.hold(LAW, server="s1").release()
        decision = router.route(X, arms=["law"])
        assert (decision.residency.server, decision.residency.resident, decision.residency.expected_seconds) == (
            "s1",
            True,
            0.0,
        )
        with router.lease(decision) as served:
            assert served.residency.server == "s1"
            assert fleet.open_requests("s1") == 1
        assert fleet.open_requests("s1") == 0

    def test_arm_is_priced_by_its_least_wait_and_its_propensity_is_that_of_the_pair(self):
        router, fleet = self.made(learner=LinUCB(alpha=0.0, floor=0.1))
        fleet.hold(LAW, server="s1").release()
        decision = router.route(X)
        assert decision.penalties == pytest.approx([0.0, 0.25], abs=1e-6)
        assert decision.propensity == decision.probabilities[decision.arms.index(decision.arm)]
        assert decision.probabilities.sum() == pytest.approx(1.0)

    def test_queue_of_a_server_is_part_of_the_price(self):
        router, fleet = self.made(1)
        fleet.cache_of("s0").loader.pending_seconds = 2.0
        assert router.route(X).penalties == pytest.approx([2.25, 2.25], abs=1e-6)

    def test_hosted_arm_pays_no_queue(self):
        router, fleet = self.made(arms=[Arm(name="law", adapter=LAW), Arm(name="hosted")])
        for name in fleet.servers:
            fleet.cache_of(name).loader.pending_seconds = 2.0
        assert router.route(X).penalties == pytest.approx([2.25, 0.0], abs=1e-6)

    def test_decisions_in_a_row_go_to_different_servers(self):
        router, _ = self.made()
        servers = {router.route(X, arms=["law"]).residency.server for _ in range(2)}
        assert servers == {"s0", "s1"}

    def test_server_that_breaks_is_replaced_in_the_decision_that_is_served(self):
        servers = {"s0": Server(), "s1": Server()}
        fleet = Fleet(servers=servers, control=lru)
        router = made(fleet)
        decision = router.route(X, arms=["law"])
        servers[decision.residency.server].down = True
        with router.lease(decision) as served:
            assert served.id == decision.id
            assert served.residency.server != decision.residency.server
        assert router.route(X, arms=["law"]).residency.server == served.residency.server

    def test_whole_fleet_that_is_down_falls_back(self):
        servers = {"s0": Server(), "s1": Server()}
        router = made(Fleet(servers=servers, control=lru), arms=[Arm(name="law", adapter=LAW), Arm(name="base")])
        for server in servers.values():
            server.down = True
        with router.lease(router.route(X)) as served:
            assert served.arm == "base"
        assert np.isfinite(router.route(X).utilities).all()

    def test_controller_plans_for_all_servers(self):
        router, fleet = self.made(control=None)
        for i in range(120):
            with router.lease(router.route([float(i % 2)])) as decision:
                pass
            router.feedback(decision.id, quality=float(decision.arm == ("law", "code")[i % 2]))
            fleet.wait()
        assert fleet.kept == {"law", "code"}

    def test_joining_and_leaving_servers_are_followed(self):
        router, fleet = self.made(1)
        fleet.add("new", SimulatedBackend(capacity=Capacity(slots=2), base_seconds=0.01, jitter=0.0))
        assert router.route(X, arms=["law"]).residency.server == "new"
        fleet.drain("new")
        assert router.route(X, arms=["law"]).residency.server == "s0"
        fleet.remove("new")
        assert router.route(X, arms=["law"]).residency.server == "s0"
