"""Arms that are adapters: the replay pages as a router does, and everybody pays for it."""

from itertools import product

import numpy as np
import pytest

from banditroute.adapters import AdapterSpec, Capacity, Controller
from banditroute.beliefs import Linear
from banditroute.core.arm import Arm
from banditroute.core.preference import Preference
from banditroute.errors import InvalidConfigurationError
from banditroute.learners import EpsilonGreedy, LinUCB
from banditroute.logs import OutcomeTable
from banditroute.router import Router
from banditroute.router.assembly import parts_of
from banditroute.simulate import fast_path
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.conditions import Absence, Channel, Conditions, Outage
from banditroute.simulate.metrics import mixture, references, summarize
from banditroute.simulate.plots import std_table
from banditroute.simulate.replay import Trace, replay
from banditroute.simulate.sweep import sweep

LEARNER = LinUCB(alpha=1.0, belief=Linear(), context_exploration=1.0)
PREFER = Preference(quality=1.0, latency_seconds=0.5)
SLOTS = AdapterSlots(slots=1, load_seconds=0.4)
PAGED = Conditions(paging=SLOTS)


@pytest.fixture(scope="module")
def table():
    """Four arms, each of which is good at one of four kinds of requests."""
    rng = np.random.default_rng(0)
    kind = rng.choice(4, size=200, p=[0.4, 0.3, 0.2, 0.1])
    quality = np.clip(0.3 + 0.6 * np.eye(4)[kind] + 0.05 * rng.normal(size=(200, 4)), 0.0, 1.0)
    return OutcomeTable(
        name="kinds",
        prompts=("",) * 200,
        tasks=tuple(f"task {each}" for each in kind),
        arms=("law", "code", "math", "base"),
        outcomes={"quality": quality},
    )


@pytest.fixture(scope="module")
def x(table):
    return np.eye(4)[[int(task[-1]) for task in table.tasks]]


def run(table, x, conditions, *, seed=0, learner=LEARNER):
    return replay(table, x, learner=learner, preference=PREFER, seed=seed, conditions=conditions)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("rows", "chosen", "paged_seconds"))


class TestSlots:
    def test_all_arms_or_those_that_are_named(self):
        assert SLOTS.seconds(["a", "b"]).tolist() == [0.4, 0.4]
        some = AdapterSlots(slots=1, load_seconds={"b": 0.25})
        assert some.seconds(["a", "b"]).tolist() == [0.0, 0.25]
        assert some.arms(["a", "b"]) == [
            Arm(name="a"),
            Arm(name="b", adapter=AdapterSpec(name="b", path="b", size_bytes=250_000_000)),
        ]

    def test_a_load_takes_what_it_is_said_to(self):
        (arm,) = SLOTS.arms(["a"])
        assert SLOTS.cache().acquire(arm.adapter) == 0.4

    @pytest.mark.parametrize("control", ["controller", "lru", "lfu", "fifo", "gdsf", "cost_aware"])
    def test_all_controls_have_the_same_memory(self, control):
        cache = AdapterSlots(slots=3, load_seconds=1.0, control=control).cache()
        if control == "controller":
            assert cache.control == Controller()
            assert cache.capacity == Capacity(slots=3, staging_slots=1)
        else:
            assert cache.control.__name__ == control
            assert cache.capacity == Capacity(slots=4)

    @pytest.mark.parametrize("seconds", [0.0, -1.0, np.nan, np.inf, True, "1", None, [1.0]])
    def test_load_seconds_that_are_none(self, seconds):
        with pytest.raises(InvalidConfigurationError, match="load_seconds"):
            AdapterSlots(slots=1, load_seconds=seconds)
        with pytest.raises(InvalidConfigurationError, match="load_seconds of 'law'"):
            AdapterSlots(slots=1, load_seconds={"law": seconds})

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ({"slots": 0}, "slots is 0"),
            ({"slots": 1.5}, "slots is 1.5"),
            ({"slots": True}, "slots is True"),
            ({"load_seconds": {}}, "load_seconds is empty"),
            ({"control": "mru"}, "unknown control 'mru'; known controls: controller, lru, lfu, fifo, gdsf, cost_aware"),
        ],
    )
    def test_bad_slots_and_seconds_are_refused(self, given, message):
        with pytest.raises(InvalidConfigurationError, match=message):
            AdapterSlots(**{"slots": 1, "load_seconds": 0.4, **given})


class TestMisses:
    """Of who does not look at what is resident: against all that can happen, each with its probability."""

    @pytest.mark.parametrize("seed", range(6))
    def test_misses_equal_the_enumerated_ones(self, seed):
        rng = np.random.default_rng(seed)
        n, k = 4, 4
        arms = tuple("abcd")
        slots = AdapterSlots(slots=1 + seed % 2, load_seconds=dict(zip("abc", rng.random(3) + 0.1, strict=True)))
        shares = rng.random((n, k)) * (rng.random((n, k)) < 0.8) + 1e-9
        shares /= shares.sum(axis=1, keepdims=True)
        seconds = slots.seconds(arms)
        kept = set(np.argsort(-shares.sum(axis=0) * seconds, kind="stable")[: slots.slots].tolist())
        expected = np.zeros((n, k))
        for chosen in product(range(k), repeat=n):
            probability = np.prod(shares[np.arange(n), list(chosen)])
            resident, staged = set(), None
            for t, arm in enumerate(chosen):
                if seconds[arm] and arm not in resident and arm != staged:
                    expected[t, arm] += probability
                if seconds[arm] and arm in kept:
                    resident.add(arm)
                elif seconds[arm]:
                    staged = arm
        assert slots.misses(shares, arms) == pytest.approx(expected)

    def test_arm_without_an_adapter_never_waits(self):
        slots = AdapterSlots(slots=1, load_seconds={"law": 0.4})
        assert slots.misses(np.full((3, 2), 0.5), ["base", "law"])[:, 0].tolist() == [0.0, 0.0, 0.0]


class TestReplay:
    @pytest.mark.parametrize("control", ["controller", "lru"])
    def test_is_what_a_router_does(self, table, x, control):
        slots = AdapterSlots(slots=2, load_seconds={"law": 0.4, "code": 0.2, "math": 0.3}, control=control)
        trace = run(table, x, Conditions(paging=slots), seed=3)
        cache = slots.cache()
        now = 0.0
        router = Router(
            arms=slots.arms(table.arms),
            features=4,
            learner=LEARNER,
            preference=PREFER,
            adapters=cache,
            seed=3,
            clock=lambda: now,
        )
        chosen, waited = [], []
        for step, row in enumerate(trace.rows):
            now = step + 1.0
            lease = router.lease(router.route(x[row]))
            with lease as decision:
                chosen.append(table.arms.index(decision.arm))
            waited.append(lease.seconds)
            router.feedback(decision.id, quality=table.outcomes["quality"][row, chosen[-1]])
            cache.wait()
        assert trace.chosen.tolist() == chosen
        assert trace.paged_seconds.tolist() == waited
        assert set(chosen) == {0, 1, 2, 3}
        assert set(waited) == {0.0, 0.2, 0.3, 0.4}

    @pytest.mark.parametrize("control", ["controller", "gdsf"])
    def test_the_same_seed_is_the_same_to_the_bit(self, table, x, control):
        conditions = Conditions(
            paging=AdapterSlots(slots=2, load_seconds=0.7, control=control),
            requests_per_second=3.0,
            poisson=True,
            feedback={"quality": Channel(delay_seconds=5.0, loss=0.2, noise=0.1)},
            outages=[Outage(arm="law", begin=0.2, end=0.4)],
            absences=[Absence(arm="code", end=0.3), Absence(arm="math", begin=0.6)],
        )
        one = run(table, x, conditions)
        assert same(one, run(table, x, conditions))
        assert not same(one, run(table, x, conditions, seed=1))
        assert (one.paged_seconds > 0.0).any()
        assert not (one.chosen[:60] == 1).any()
        assert (one.chosen[60:] == 1).any()
        assert not (one.chosen[120:] == 2).any()

    def test_each_adapter_is_loaded_once_with_a_slot_for_each(self, table, x):
        trace = run(table, x, Conditions(paging=AdapterSlots(slots=3, load_seconds=0.4, control="lru")))
        first = [np.flatnonzero(trace.chosen == k)[0] for k in set(trace.chosen.tolist())]
        assert np.flatnonzero(trace.paged_seconds).tolist() == sorted(first)
        assert trace.paged_seconds[first].tolist() == [0.4] * len(first)

    def test_request_during_a_load_waits_for_the_rest_of_it(self, table, x):
        one = Conditions(requests_per_second=10.0, paging=AdapterSlots(slots=1, load_seconds=0.35))
        alone = OutcomeTable(
            name="one", prompts=("",) * 6, tasks=("",) * 6, arms=("a",), outcomes={"quality": np.ones((6, 1))}
        )
        assert run(alone, np.zeros((6, 0)), one).paged_seconds == pytest.approx([0.35, 0.25, 0.15, 0.05, 0.0, 0.0])

    def test_a_report_comes_after_the_load(self, table, x, monkeypatch):
        seen = []
        feedback = Router.feedback

        def spy(router, decision_id, **told):
            seen.append((parts_of(router).settings.clock(), int(decision_id[:12], 16) / 1000.0))
            feedback(router, decision_id, **told)

        monkeypatch.setattr(Router, "feedback", spy)
        trace = run(table, x, PAGED)
        taken = {made: now - made for now, made in seen}
        waited = dict(enumerate(trace.paged_seconds[:-1].tolist(), start=1))  # the last may come too late
        assert {made: taken[made] for made in waited} == pytest.approx(waited)

    def test_unreachable_arm_fails_whether_or_not_it_is_paged_in(self, table, x):
        down = Conditions(paging=SLOTS, outages=[Outage(arm=arm) for arm in table.arms])
        trace = run(table, x, down)
        assert (trace.paged_seconds > 0.0).any()
        assert summarize(table, PREFER, "p", [trace], conditions=down).objectives["quality"].mean == 0.0

    def test_the_short_way_is_not_taken(self, table, x, monkeypatch):
        monkeypatch.setattr(
            fast_path, "choices", lambda *arguments, **options: pytest.fail("it knows nothing of paging")
        )
        assert run(table, x, PAGED).paged_seconds.shape == (200,)
        assert (
            replay(
                table, x, learner=LEARNER, preference=PREFER, seed=0, conditions=Conditions(poisson=True), warm=1
            ).paged_seconds
            is None
        )

    def test_a_warm_start_knows_what_adapters_do(self, table, x):
        trace = replay(table, x, learner=LEARNER, preference=PREFER, seed=0, conditions=PAGED, warm=50)
        assert len(trace.paged_seconds) == 150


OPTIONS = {"learners": {"p": LEARNER, "q": EpsilonGreedy()}, "preference": PREFER, "seeds": [0, 1], "conditions": PAGED}


class TestSweep:
    def test_processes_give_the_same(self, table, x):
        for trace in sweep(table, x, **OPTIONS):
            assert same(trace, run(table, x, PAGED, seed=trace.seed, learner=OPTIONS["learners"][trace.policy]))

    @pytest.mark.parametrize("damage", ["[0.4]", "null", '["x"]', "NaN"])
    def test_waited_seconds_are_kept_with_a_finished_cell(self, table, x, tmp_path, damage):
        options = {**OPTIONS, "learners": {"p": LEARNER}, "seeds": [0], "keep": tmp_path}
        (done,) = sweep(table, x, **options)
        (path,) = tmp_path.iterdir()
        changed = path.stat().st_mtime_ns
        (again,) = sweep(table, x, **options)
        assert same(done, again)
        assert path.stat().st_mtime_ns == changed
        text = path.read_text()
        path.write_text(text[: text.index('"paged_seconds": ') + 17] + damage + "}")
        (repaired,) = sweep(table, x, **options)
        assert same(done, repaired)
        assert path.read_text() == text


TOY = OutcomeTable(
    name="toy",
    prompts=("",) * 4,
    tasks=("s", "s", "o", "o"),
    arms=("a", "b"),
    outcomes={"quality": np.array([[1.0, 0.5], [1.0, 0.5], [0.0, 1.0], [0.0, 0.5]])},
)


class TestMetrics:
    def test_a_policy_pays_what_it_waited(self):
        waited = np.array([0.4, 0.0, 0.4, 0.0])
        trace = Trace(policy="p", seed=0, rows=np.arange(4), chosen=np.array([0, 0, 1, 1]), paged_seconds=waited)
        row = summarize(TOY, PREFER, "p", [trace], conditions=PAGED)
        assert row.utility.mean == pytest.approx((3.5 - 0.5 * 0.8) / 4)
        assert row.objectives["quality"].mean == 3.5 / 4
        assert row.objectives["paged_seconds"].mean == pytest.approx(0.2)
        assert row.objectives["hit_rate"].mean == 0.5
        # the best single arm is b: 2.5 less its one load
        assert row.regret.mean == pytest.approx((2.5 - 0.2) - (3.5 - 0.4))
        free = summarize(TOY, Preference(quality=1.0), "p", [trace], conditions=PAGED)
        assert free.utility.mean == 3.5 / 4
        assert free.objectives["paged_seconds"].mean == pytest.approx(0.2)

    def test_requests_for_arms_without_adapters_are_all_hits(self):
        conditions = Conditions(paging=AdapterSlots(slots=1, load_seconds={"b": 0.4}))
        trace = Trace(policy="p", seed=0, rows=np.arange(4), chosen=np.zeros(4, dtype=int), paged_seconds=np.zeros(4))
        row = summarize(TOY, PREFER, "p", [trace], conditions=conditions)
        assert row.objectives["hit_rate"].mean == 1.0

    def test_references_by_hand(self):
        rows = {row.policy: row for row in references(TOY, PREFER, conditions=PAGED)}
        assert {policy: row.utility.mean * 4 for policy, row in rows.items()} == pytest.approx(
            {
                "always a": 2.0 - 0.2,  # one load
                "always b": 2.5 - 0.2,
                "best arm per task": 3.5 - 0.4,  # a is kept, b staged
                "oracle per query": 3.5,  # has all
            }
        )
        assert rows["always b"].regret.mean == pytest.approx(0.0)
        assert rows["always b"].objectives["hit_rate"].mean == 0.75
        assert rows["oracle per query"].objectives["paged_seconds"].mean == 0.0
        uniform = mixture(TOY, PREFER, "uniform", {"a": 1.0, "b": 1.0}, conditions=PAGED)
        misses = SLOTS.misses(np.full((4, 2), 0.5), ("a", "b")).sum()
        assert uniform.objectives["hit_rate"].mean == pytest.approx(1.0 - misses / 4)
        assert uniform.utility.mean == pytest.approx(4.5 / 8 - 0.5 * 0.4 * misses / 4)

    def test_the_table_shows_it_where_there_is_paging(self, table):
        rows = references(table, PREFER, conditions=PAGED)
        assert "hit rate  paging s" in std_table(rows)
        assert "hit rate" not in std_table(references(table, PREFER))

    def test_pricing_loads_makes_fewer_of_them(self, table, x):
        slow = Conditions(paging=AdapterSlots(slots=1, load_seconds=3.0))  # a miss is never worth it
        blind = replay(table, x, learner=LEARNER, preference={"quality": 1.0}, seed=0, conditions=slow)
        aware, oblivious = (
            summarize(table, PREFER, "p", [trace], conditions=slow) for trace in (run(table, x, slow), blind)
        )
        assert aware.objectives["hit_rate"].mean > 0.9 > 0.7 > oblivious.objectives["hit_rate"].mean
        assert aware.utility.mean > oblivious.utility.mean
