"""A router among adapters: paging is a penalty and nothing else, a lease loads and holds, what fails falls back."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banditroute import admin
from banditroute.adapters import AdapterCache, AdapterSpec, Capacity, Controller, SimulatedBackend, lru
from banditroute.budgets import Budget
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.errors import BackendUnavailableError, IncompatibleStoreError, InvalidConfigurationError
from banditroute.learners import Learner, LinUCB
from banditroute.limits import CircuitBreaker
from banditroute.logs import read_log
from banditroute.policies import Greedy, Uniform
from banditroute.router import Router
from banditroute.store import MemoryStore, SQLStore
from banditroute.store.outcomes import PAGING

PREFER = Preference(quality=1.0, latency_seconds=0.4)
X = [0.5]


class Backend(SimulatedBackend):
    def __init__(self, *, slots=1, breaks=()):
        super().__init__(
            capacity=Capacity(slots=slots, staging_slots=1), base_seconds=0.25, bytes_per_second=1e12, jitter=0.0
        )
        self.breaks = set(breaks)

    def load(self, adapter):
        if adapter.name in self.breaks:
            raise BackendUnavailableError(f"{adapter.name} is broken")
        return super().load(adapter)


def adapter(name, *, arm=None, pinned=False, **options):
    return Arm(name=arm or name, adapter=AdapterSpec(name=name, path=name, size_bytes=1, pinned=pinned), **options)


def made(*, backend=None, control=None, arms=None, **options):
    cache = AdapterCache(backend=backend or Backend(), control=control)
    arms = [adapter("law"), adapter("code"), Arm(name="base")] if arms is None else arms
    return Router(arms=arms, features=1, adapters=cache, **{"preference": PREFER, "seed": 0, **options}), cache


def serve(router, x=X, *, quality=0.5, **options):
    with router.lease(router.route(x, **options)) as decision:
        pass
    router.feedback(decision.id, quality=quality)
    return decision


class TestPenalty:
    def test_absent_adapter_costs_the_worth_of_its_load_seconds(self):
        router, _ = made()
        decision = router.route(X)
        assert decision.penalties == pytest.approx([0.1, 0.1, 0.0])  # .25 s x .4
        believed = decision.means[decision.objectives.index("quality")]
        assert decision.utilities == pytest.approx(believed - decision.penalties)
        assert router.route(X, preference={"quality": 1.0}).penalties == pytest.approx([0.0, 0.0, 0.0])

    def test_resident_adapter_costs_nothing_and_is_not_rewarded(self):
        router, cache = made()
        serve(router, arms=["code"])
        assert cache.resident == {"code"}
        assert router.route(X).penalties == pytest.approx([0.1, 0.0, 0.0])

    def test_is_never_learned(self):
        """Two routers with the same feedback believe the same, whatever was resident."""
        near, _ = made(learner=Learner(policy=Greedy()))
        far, _ = made(learner=Learner(policy=Greedy()), backend=Backend(slots=2))
        for router in (near, far):
            for i in range(20):
                serve(router, [i / 20], quality=0.3 + 0.02 * i, arms=[("law", "code")[i % 2]])
        assert near.route(X).means == pytest.approx(far.route(X).means)

    def test_decision_says_whether_the_adapter_is_resident(self):
        router, _ = made()
        decision = router.route(X, arms=["law"])
        assert (decision.residency.resident, decision.residency.expected_seconds) == (False, pytest.approx(0.25))
        assert decision.residency.adapter.name == "law"
        serve(router, arms=["law"])
        assert router.route(X, arms=["law"]).residency.resident
        assert router.route(X, arms=["base"]).residency is None

    def test_goes_with_the_price_of_a_budget(self):
        router, _ = made(budgets=[Budget(usd=1e-6)], learner=Learner(policy=Uniform()))
        for _ in range(30):
            decision = router.route(X)
            router.feedback(decision.id, quality=0.5, cost_usd=0.01)
        decision = router.route(X)
        believed = np.array([decision.means[decision.objectives.index("quality")]])
        assert decision.utilities == pytest.approx((believed - decision.penalties)[0])


class TestLease:
    def test_holds_the_adapter_and_measures(self):
        router, cache = made()
        lease = router.lease(router.route(X, arms=["law"]))
        with lease as decision:
            assert decision.arm == "law"
            assert not cache.resident_set.evict("law")
        assert lease.seconds == pytest.approx(0.25)
        assert cache.resident_set.evict("law")

    async def test_can_be_awaited(self):
        router, cache = made()
        async with router.lease(await router.aroute(X, arms=["law"])) as decision:
            assert cache.resident == {"law"}
        assert decision.arm == "law"

    def test_lease_of_an_arm_without_an_adapter_does_nothing(self):
        router = Router(arms=["a"], features=1)
        with router.lease(router.route(X)) as decision:
            assert decision.arm == "a"

    def test_gives_up_what_it_held_when_the_request_fails(self):
        router, cache = made()
        with pytest.raises(ZeroDivisionError), router.lease(router.route(X, arms=["law"])):
            1 / 0  # noqa: B018
        assert cache.resident_set.evict("law")


class TestRecord:
    """How long each adapter was waited for is in the log, and nowhere else."""

    @pytest.fixture
    def url(self, tmp_path):
        return f"sqlite:///{tmp_path / 'router.db'}"

    def test_load_seconds_of_each_served_decision_are_recorded(self, url, tmp_path):
        with made(store=SQLStore(url))[0] as router:
            for name in ("law", "law", "base", "code"):
                serve(router, arms=[name])
            router.route(X, arms=["law"])  # and not served
        admin.export(url, tmp_path / "log.parquet")
        for log in (read_log(url), read_log(str(tmp_path / "log.parquet"))):
            assert [log.arms[k] for k in log.chosen] == ["law", "law", "base", "code", "law"]
            assert log.outcomes[PAGING] == pytest.approx([0.25, 0.0, np.nan, 0.25, np.nan], nan_ok=True)

    async def test_awaited_lease_records_the_load_of_the_arm_that_served_instead(self, url):
        router, _ = made(backend=Backend(breaks=["law"]), arms=[adapter("law"), adapter("code")], store=SQLStore(url))
        with router:
            serve(router, arms=["code"])
            first = router.route(X)
            while first.arm != "law":
                first = router.route(X)
            async with router.lease(first) as decision:
                assert decision.arm == "code"
        waited = read_log(url).outcomes[PAGING]
        assert waited[[0, -1]] == pytest.approx([0.25, 0.0])
        assert np.isnan(waited[1:-1]).all()

    def test_teaches_nothing_and_counts_as_no_feedback(self, url):
        with made(store=SQLStore(url))[0] as router:
            before = router.route(X)
            with router.lease(router.route(X, arms=["law"])):
                pass
            router.flush()
            assert router.status().learned == 0
            assert router.route(X).means == pytest.approx(before.means)
            serve(router, arms=["law"])
            with router.lease(before), router.lease(before):  # the first time counts
                pass
            assert router.status().learned == 1
        with made(store=SQLStore(url))[0] as router:
            assert router.status().learned == 1
        (epoch,) = admin.inspect(url)
        assert (epoch.answered, epoch.pending) == (1, 0)
        assert [dict(arm.counts) for arm in epoch.arms] == [{}, {}, {"quality": 1.0}]
        admin.rebuild(url)
        assert admin.verify(url) == []
        assert admin.prune(url, unanswered_seconds=0.0) == 3  # all but the one with feedback
        assert len(read_log(url)) == 1

    def test_goes_and_stays_with_its_decision(self, url):
        with made(store=SQLStore(url))[0] as router:
            for session in ("Ann", "Bob"):
                with router.lease(router.route(X, arms=["law"], session=session)) as decision:
                    pass
                router.feedback(decision.id, quality=0.5, source="grader")
        assert admin.erase(url, source="grader") == 2
        assert [epoch.answered for epoch in admin.inspect(url)] == [0]
        assert read_log(url).outcomes[PAGING] == pytest.approx([0.25, 0.0])
        assert admin.erase(url, session="Ann") == 1
        assert read_log(url).outcomes[PAGING].tolist() == [0.0]
        assert admin.verify(url) == []

    def test_a_breaker_hears_the_first_report_as_such(self, url):
        """What was noted before must not hide that a call was answered: without it, a failure follows a failure."""
        router, _ = made(breaker=CircuitBreaker(failures=2), store=SQLStore(url))
        with router:
            for failed in (True, False, True):
                with router.lease(router.route(X, arms=["law"])) as decision:
                    pass
                router.flush()
                router.feedback(decision.id, failed=failed)
            assert "law" in router.route(X).arms

    def test_a_store_that_fails_does_not_fail_the_request(self, caplog):
        class Full(MemoryStore):
            def add_feedback(self, feedback):
                raise OSError("no space left")

        router, _ = made(store=Full())
        with router.lease(router.route(X, arms=["law"])) as decision:
            assert decision.arm == "law"
        assert "the time that an adapter was waited for cannot be recorded" in caplog.text
        router.close()
        with router.lease(decision):  # nor one that is closed
            pass


class TestFailure:
    def test_the_next_best_that_is_ready_serves_and_says_why(self, caplog):
        router, cache = made(backend=Backend(breaks=["law"]))
        first = router.route(X, arms=["law", "code", "base"])
        while first.arm != "law":
            first = router.route(X)
        with router.lease(first) as decision:
            assert decision.id != first.id
            assert decision.arm == "base"  # code would have to be paged in
        assert decision.reason == "fallback: adapters: 'law' cannot be loaded (law is broken)"
        assert "routing falls back to arm 'base'" in caplog.text
        assert decision.propensity == 1.0
        assert (router.status().fallbacks, cache.failures) == (1, 1)
        router.feedback(decision.id, quality=1.0)
        assert cache.resident == frozenset()

    async def test_awaited_lease_falls_back_to_a_ready_arm(self):
        router, _ = made(backend=Backend(breaks=["law", "code"]))
        async with router.lease(router.route(X)) as decision:
            pass
        assert (decision.arm, decision.fell_back) == ("base", True)

    def test_counts_as_a_failed_call_so_that_the_breaker_leaves_it_alone(self):
        router, cache = made(backend=Backend(breaks=["law"]))
        for _ in range(5):
            with router.lease(router.route(X, exclude=["code"])) as decision:
                assert decision.arm == "base"
            router.feedback(decision.id, quality=0.0)
        assert cache.failures == 5
        with router.lease(router.route(X, exclude=["code"])) as decision:
            assert not decision.fell_back
        assert cache.failures == 5

    def test_failed_load_is_raised_where_no_arm_is_ready(self):
        router, _ = made(backend=Backend(breaks=["law"]))
        with pytest.raises(BackendUnavailableError, match="law is broken"), router.lease(router.route(X, arms=["law"])):
            pass

    def test_a_fallback_decision_has_its_paging_too(self):
        router, _ = made(fallback="law", learner=Learner(policy=Broken()))
        decision = router.route(X)
        assert decision.fell_back
        assert decision.residency.adapter.name == "law"


class Broken:
    def probabilities(self, means, stds, *, arms, information):
        return np.full(len(arms), np.nan)


class TestControl:
    SPEC = Controller(shortest_epoch=20, longest_epoch=20)

    def test_keeps_what_requests_ask_for(self):
        router, cache = made(control=self.SPEC)
        for i in range(60):
            decision = router.route([float(i % 5 == 0)])
            with router.lease(decision) as decision:
                good = {"law": 0.9, "code": 0.1, "base": 0.2}[decision.arm]
            router.feedback(decision.id, quality=good)
            cache.wait()
        assert cache.kept == {"law"}
        assert router.route([1.0]).arm == "law"

    def test_goes_on_after_a_restart(self, tmp_path):
        url = f"sqlite:///{tmp_path / 'router.db'}"
        router, cache = made(control=self.SPEC, store=SQLStore(url))
        with router:
            for i in range(25):
                name = ("law", "code")[i % 2]
                serve(router, quality={"law": 0.1, "code": 0.9}[name], arms=[name])
            cache.wait()
            assert cache.kept == {"code"}
        router, cache = made(control=self.SPEC, store=SQLStore(url))
        with router:
            cache.wait()
            assert cache.kept == {"code"}
            assert cache.load_cost(router.arms[1].adapter).mean_seconds == pytest.approx(0.25)

    def test_a_damaged_state_is_refused(self):
        store = MemoryStore()
        with made(control=self.SPEC, store=store)[0]:
            store.save_state("adapters", b"{")
        with pytest.raises(IncompatibleStoreError, match="the stored state 'adapters' is damaged"):
            made(control=self.SPEC, store=store)

    def test_pinned_adapters_are_there_from_the_start(self):
        _, cache = made(arms=[adapter("law", pinned=True), adapter("code")])
        cache.wait()
        assert cache.kept == {"law"}

    def test_forced_trials_are_certain_and_say_so(self):
        router, _ = made(control=Controller.polar_plus(first_epoch=8, forced=1.0))
        tried = [serve(router) for _ in range(4)]
        assert sorted(decision.arm for decision in tried) == ["code", "code", "law", "law"]
        assert {decision.propensity for decision in tried} == {1.0}
        assert {decision.reason for decision in tried} == {"adapters: it had to be tried"}
        assert serve(router).reason == "policy"

    def test_a_rule_that_evicts_needs_no_plan(self):
        router, cache = made(control=lru)
        for name in ("law", "code", "law"):
            serve(router, arms=[name])
        assert cache.resident == {"law"}

    def test_failed_plan_leaves_the_cache_unchanged(self, caplog):
        backend = Backend()
        router, cache = made(backend=backend, control=self.SPEC)
        serve(router, arms=["law"])
        cache.keep = lambda adapters: 1 / 0
        for _ in range(40):
            serve(router, arms=["law"])
        assert router.status().learned == 41
        assert caplog.text.count("which adapters to keep could not be decided") == 2  # once for each epoch
        assert cache.resident == {"law"}

    def test_arms_may_come_and_go(self):
        router, cache = made(control=self.SPEC)
        router.add_arm(adapter("math"))
        serve(router, arms=["math"])
        assert router.route(X).penalties == pytest.approx([0.1, 0.1, 0.0, 0.0])
        late = router.route(X, arms=["math"])
        router.remove_arm("math")
        with router.lease(late) as decision:
            assert decision.arm == "math"
        for _ in range(40):
            serve(router)
        cache.wait()
        assert cache.kept <= {"law", "code"}


class TestPrefetch:
    def test_waiting_requests_are_grouped_and_the_first_load_begins(self):
        router, cache = made(backend=Backend(slots=1))
        serve(router, arms=["law"])
        names = ["code", "law", "code", "base", "law"]
        decisions = [router.route(X, arms=[name]) for name in names]
        ahead = cache.prefetch(decisions)
        served = [next(ahead)]
        cache.wait()
        assert cache.resident == {"law", "code"}
        for decision in ahead:
            served.append(decision)
            with router.lease(decision):
                pass
        assert [decision.arm for decision in served] == ["law", "base", "law", "code", "code"]
        assert cache.loads == 2
        assert [decision.arm for decision in cache.prefetch(decisions, max_overtaken=0)] == names

    def test_each_adapter_is_loaded_while_others_are_served(self):
        names = ["a", "b", "c", "z"]
        router, cache = made(backend=Backend(slots=2), control=lru, arms=[adapter(name) for name in names])
        for name in ("a", "z"):
            serve(router, arms=[name])
        decisions = [router.route(X, arms=[name]) for name in ("b", "c", "a", "b")]
        seen = []
        for decision in cache.prefetch(decisions):
            cache.wait()
            seen.append((decision.arm, sorted(cache.resident)))
            with router.lease(decision):
                pass
        # a was used before z, and stays: it is waited for
        assert seen == [("a", ["a", "b"]), ("b", ["b", "c"]), ("b", ["b", "c"]), ("c", ["b", "c"])]
        assert cache.loads == 4
        serve(router, arms=["z"])  # the queue is served, and the least recently used leaves again
        assert cache.resident == {"c", "z"}

    def test_prefetch_leaves_kept_adapters_resident(self):
        router, cache = made(arms=[adapter("law"), adapter("code"), adapter("math"), Arm(name="base")])
        cache.keep([router.arms[0].adapter])
        cache.wait()
        seen = []
        for decision in cache.prefetch([router.route(X, arms=[name]) for name in ("math", "code", "code")]):
            cache.wait()
            seen.append((decision.arm, sorted(cache.resident)))
        assert seen == [("code", ["code", "law"]), ("code", ["code", "law"]), ("math", ["law", "math"])]

    def test_a_queue_that_is_given_up_awaits_nothing(self):
        router, cache = made(backend=Backend(slots=2), control=lru, arms=[adapter(name) for name in "abc"])
        for name in "ab":
            serve(router, arms=[name])
        ahead = cache.prefetch([router.route(X, arms=["a"])])
        next(ahead)
        ahead.close()
        serve(router, arms=["c"])
        assert cache.resident == {"b", "c"}

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.sampled_from("abcdz"), max_size=12), st.integers(1, 3), st.sampled_from([lru, None]))
    def test_any_queue_is_served_within_the_slots(self, names, slots, control):
        backend = Backend(slots=slots)
        arms = [adapter(name) for name in "abcd"] + [Arm(name="z")]
        router, cache = made(backend=backend, control=control, arms=arms)
        served = []
        for decision in cache.prefetch([router.route(X, arms=[name]) for name in names], max_overtaken=4):
            with router.lease(decision):
                served.append(decision.arm)
                assert len(backend.resident()) <= slots + 1
        cache.wait()
        assert sorted(served) == sorted(names)
        assert cache.failures == 0

    def test_bad_bound_is_refused_at_once(self):
        router, cache = made()
        with pytest.raises(InvalidConfigurationError, match="max_overtaken"):
            cache.prefetch([router.route(X)], max_overtaken=-1)
        assert list(cache.prefetch([])) == []


class TestOptimism:
    def test_adapters_never_tried_are_expected_to_be_perfect(self):
        router, _ = made()
        decision = router.route(X)
        assert decision.means[decision.objectives.index("quality")] == pytest.approx([1.0, 1.0, 0.5])
        assert [dict(arm.expected) for arm in router.arms] == [{"quality": 1.0}, {"quality": 1.0}, {}]

    def test_unless_the_arm_says_otherwise(self):
        router, _ = made(arms=[adapter("law", expected={"quality": 0.3}), Arm(name="base")])
        assert router.route(X).means[0] == pytest.approx([0.3, 0.5])

    def test_locked_out_adapter_is_warned_of_once_with_the_remedy(self, caplog):
        timid = LinUCB(alpha=0.0, floor=0.0)
        arms = [adapter("law", expected={"quality": 0.01}), adapter("code"), Arm(name="base")]
        router, cache = made(
            arms=arms,
            learner=timid,
            preference=Preference(quality=1.0, latency_seconds=20.0),
            control=Controller(shortest_epoch=10, longest_epoch=10),
        )
        with caplog.at_level(logging.WARNING, logger="banditroute"):
            for _ in range(40):
                serve(router, quality=0.9)
                cache.wait()
        said = [record.getMessage() for record in caplog.records if "never tried" in record.getMessage()]
        assert len(said) == 1  # code is expected to be perfect, so that the controller has it loaded
        assert "adapter arm 'law' was never tried, and will not be" in said[0]
        assert "Expect more of it, Arm(expected={'quality': 1.0})" in said[0]

    def test_router_is_silent_where_all_adapters_can_be_tried(self, caplog):
        router, _ = made(control=Controller(shortest_epoch=10, longest_epoch=10))
        for _ in range(40):
            serve(router)
        assert "never tried" not in caplog.text


class TestSwitching:
    def test_leaving_the_sessions_last_arm_costs_what_is_lost(self):
        router = Router(
            arms=["a", "b"],
            features=1,
            preference=Preference(quality=1.0, latency_seconds=0.1, cost_usd=50.0),
            switching={"latency_seconds": 0.8, "cost_usd": 0.001},
        )
        assert router.route(X, session="s", arms=["b"]).penalties == pytest.approx([0.0])
        assert router.route(X, session="s").penalties == pytest.approx([0.13, 0.0])  # .8 x .1 + .001 x 50
        assert router.route(X, session="other").penalties == pytest.approx([0.0, 0.0])
        assert router.route(X).penalties == pytest.approx([0.0, 0.0])
        router.remove_arm("b")
        assert router.route(X, session="s").penalties == pytest.approx([0.0])

    def test_adds_to_paging(self):
        router, _ = made(switching={"quality": 0.2})
        serve(router, arms=["base"], session="s")
        assert router.route(X, session="s").penalties == pytest.approx([0.3, 0.3, 0.0])

    @pytest.mark.parametrize(
        ("switching", "message"),
        [
            (0.5, "switching is 0.5; give the loss by objective"),
            ({"speed": 1.0}, "switching names an unknown objective 'speed'"),
            ({"cost_usd": -1.0}, "switching 'cost_usd' is -1.0; it must be at least 0"),
            ({"cost_usd": True}, r"switching 'cost_usd' is True \(bool\)"),
        ],
    )
    def test_bad_switching_loss_is_refused(self, switching, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            Router(arms=["a"], features=1, switching=switching)


def test_an_adapter_needs_something_that_holds_it():
    with pytest.raises(InvalidConfigurationError, match=r"arm 'law' has an adapter; say what holds it with Router\("):
        Router(arms=[adapter("law")], features=1)
    with pytest.raises(InvalidConfigurationError, match=r"adapters is 'vllm'; give AdapterCache\(backend=...\)"):
        Router(arms=[adapter("law")], features=1, adapters="vllm")
    with pytest.raises(InvalidConfigurationError, match="adapter names must be unique; given twice: law"):
        made(arms=[adapter("law"), adapter("law", arm="law again")])
