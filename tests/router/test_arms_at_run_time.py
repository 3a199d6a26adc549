"""Arms that come and go while a router runs: what is known of them stays, and nobody else notices."""

import sqlite3
import threading
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from banditroute import (
    Arm,
    IncompatibleStoreError,
    InvalidConfigurationError,
    InvalidRequestError,
    Limits,
    LinUCB,
    MemoryStore,
    Router,
    SQLStore,
)
from banditroute.beliefs import Linear
from banditroute.config import dump_router
from banditroute.core.request import Request
from banditroute.features import Complexity
from banditroute.limits import Share
from banditroute.objectives import Scaled
from banditroute.router import models
from banditroute.router.models import ArmModels
from banditroute.router.requests import Ask, eligible_arms
from tests.support import belief_of, engine_of, make_router, serve

X = [0.5, -0.5]


def made(arms=("a", "b"), **settings):
    return Router(arms=arms, features=2, learner=LinUCB(belief=Linear(), floor=0.5), seed=0, **settings)


def feed(router, arm, n=10, **outcomes):
    rng = np.random.default_rng(n)
    for x in rng.normal(size=(n, 2)):
        router.feedback(router.route(x, arms=[arm]).id, **(outcomes or {"quality": float(rng.random())}))


def of(router, arm):
    """Mean and spread of the quality of one arm."""
    decision = router.route(X)
    j, k = decision.objectives.index("quality"), decision.arms.index(arm)
    return decision.means[j, k], decision.stds[j, k]


def test_a_new_arm_is_chosen_and_learned():
    router = made()
    feed(router, "a")
    before, _ = of(router, "a")
    router.add_arm(Arm(name="c"))
    router.add_arm("d")
    assert [arm.name for arm in router.arms] == ["a", "b", "c", "d"]
    assert of(router, "a")[0] == pytest.approx(before, rel=1e-12)
    feed(router, "c", 40, quality=1.0)
    feed(router, "a", 40, quality=0.0)
    feed(router, "d", 40, quality=0.0)
    assert router.route(X, exclude=["b"]).ranking[-1] != "c"
    assert {router.route(X).arm for _ in range(200)} == {"a", "b", "c", "d"}


def test_an_arm_that_returns_is_believed_as_before():
    router = made(["a", "old", "c"])
    feed(router, "old")
    router.remove_arm("old")
    router.add_arm(Arm(name="b", replaces="old"))
    router.warm_start([(X, {"b": {"quality": 0.25}})] * 9)
    for arm in "abc":
        feed(router, arm)
    before = {arm: of(router, arm) for arm in "abc"}
    router.remove_arm("b")
    assert router.route(X).arms == ("a", "c")
    router.add_arm(Arm(name="b", replaces="old"))
    assert router.route(X).arms == ("a", "c", "b")
    for arm in "abc":
        assert of(router, arm) == pytest.approx(before[arm], rel=1e-12)


def test_feedback_for_an_arm_that_has_gone_is_recorded_and_counts_when_it_returns():
    router, other = made(), made()
    for one in (router, other):
        feed(one, "b", 3)
    late = router.route(X, arms=["b"])
    router.remove_arm("b")
    router.feedback(late.id, quality=1.0)
    assert router.status().learned == 4
    router.add_arm("b")
    other.feedback(other.route(X, arms=["b"]).id, quality=1.0)
    assert of(router, "b") == pytest.approx(of(other, "b"), rel=1e-12)


def test_a_restart_knows_what_came_while_an_arm_had_gone(url):
    with made(store=SQLStore(url)) as router:
        late = router.route(X, arms=["b"])
        router.remove_arm("b")
        router.feedback(late.id, quality=1.0)
        router.add_arm("b")
        expected = of(router, "b")
    with made(store=SQLStore(url)) as router:
        assert of(router, "b") == pytest.approx(expected, rel=1e-12)


def test_feedback_of_another_process_is_learned_for_the_arms_of_this_one(url, until):
    with made(store=SQLStore(url)) as router, made(store=SQLStore(url)) as other:
        router.add_arm("c")
        feed(other, "a", 3)
        until(lambda: router.status().learned == 3)
        assert router.route(X).arms == ("a", "b", "c")
        feed(router, "c", 3)
        until(lambda: other.status().learned == 6)
        other.add_arm("c")
        assert of(other, "c") == pytest.approx(of(router, "c"), rel=1e-12)


def test_the_store_knows_the_arms(tmp_path):
    path = tmp_path / "routes.db"
    with made(store=SQLStore(f"sqlite:///{path}")) as router:
        router.add_arm(Arm(name="c", input_usd_per_million_tokens=1.0, output_usd_per_million_tokens=2.0))
        router.remove_arm("a")
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(
            "SELECT name, active, input_usd_per_million_tokens FROM banditroute_arm ORDER BY name"
        )
        assert rows.fetchall() == [("a", 0, None), ("b", 1, None), ("c", 1, 1.0)]


def test_prices_windows_and_scales_follow():
    preference = Scaled(weights={"quality": 0.5, "latency_seconds": 0.5})
    router = made([Arm(name="a", context_window_tokens=100)], preference=preference)
    router.add_arm(
        Arm(
            name="c",
            input_usd_per_million_tokens=1.0,
            output_usd_per_million_tokens=2.0,
            context_window_tokens=1000,
        )
    )
    long = router.route(X, input_tokens=500)
    assert (long.arm, long.arms) == ("c", ("c",))
    feed(router, "c", 100, output_tokens=1e6, latency_seconds=2.0)
    decision = router.route(X, input_tokens=50)
    cost = decision.means[decision.objectives.index("cost_usd")]
    assert cost[1] == pytest.approx(50e-6 + 2.0, rel=0.1)
    router.remove_arm("c")
    assert router.route(X, input_tokens=500).arms == ("a",)


def test_the_circuit_of_an_arm_is_as_open_when_it_returns():
    router = made()
    feed(router, "b", 5, failed=True)
    router.remove_arm("b")
    assert router.route(X).arm == "a"
    router.add_arm("c")
    router.add_arm("b")
    assert router.route(X).arms == ("a", "c")


def test_first_arm_is_the_fallback_after_the_fallback_is_removed():
    class Broken(Complexity):
        def transform_one(self, request):
            raise RuntimeError("broken")

    router = Router(arms=["a", "b", "c"], features=Broken(), fallback="b")
    assert router.route("x").arm == "b"
    router.remove_arm("b")
    decision = router.route("x")
    assert (decision.arm, decision.fell_back) == ("a", True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda router: router.add_arm("a"), "given twice: a"),
        (lambda router: router.add_arm(3), "is a int"),
        (lambda router: router.add_arm(""), "0 characters"),
        (lambda router: router.remove_arm("c"), "unknown arm 'c'; known arms: a, b"),
        (lambda router: router.remove_arm("a"), r"no arm is left.*requires=\['eu'\]"),
    ],
)
def test_a_mistake_changes_nothing(change, words):
    router = made([Arm(name="a", capabilities=("eu",)), "b"], limits=Limits(requires=("eu",)))
    before = router.arms
    with pytest.raises(InvalidConfigurationError, match=words):
        change(router)
    assert router.arms == before
    assert router.route(X).arms == ("a",)


def test_an_arm_whose_statistics_are_damaged_does_not_come_and_nothing_changes():
    class Damaged(MemoryStore):
        def open(self, **settings):
            return replace(super().open(**settings), statistics={"c": b"what is this"})

    router = made(["a", Arm(name="b", replaces="a")], store=Damaged())
    router.warm_start([(X, {"a": {"quality": 0.25}})] * 9)
    feed(router, "b")
    before = of(router, "b")
    with pytest.raises(IncompatibleStoreError, match="not statistics of an arm"):
        router.add_arm("c")
    assert [arm.name for arm in router.arms] == ["a", "b"]
    assert of(router, "b") == before
    router.add_arm("d")
    assert of(router, "b") == pytest.approx(before, rel=1e-12)


def test_the_last_arm_stays():
    router = made(["a"])
    with pytest.raises(InvalidConfigurationError, match="'a' is the last arm"):
        router.remove_arm("a")
    assert router.route(X).arm == "a"


def test_a_choice_among_arms_that_went_meanwhile_is_refused():
    router = made()
    checked = router.route(X)
    router.remove_arm("b")
    with pytest.raises(InvalidRequestError, match="b was removed meanwhile"):
        engine_of(router).decide(Ask(Request(features=X), checked.x, checked.preference, ["b"], None, 0.0))


def test_traffic_goes_on_while_arms_come_and_go(tmp_path):
    failures = []
    stop = threading.Event()

    def work(seed):
        rng = np.random.default_rng(seed)
        try:
            while not stop.is_set():
                decision = router.route(rng.normal(size=2), arms=["a"] if rng.random() < 0.5 else None)
                assert not decision.fell_back, decision.reason
                assert decision.arm in decision.arms
                assert decision.means.shape[1] == len(decision.probabilities) == len(decision.arms)
                router.feedback(decision.id, quality=1.0)
                heard.append(decision.arm)
        except BaseException as error:
            failures.append(error)

    heard = []
    with made(store=SQLStore(f"sqlite:///{tmp_path / 'routes.db'}", durability="relaxed")) as router:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(60):
            router.add_arm("c")
            router.warm_start([(X, {"c": {"quality": 1.0}})])
            router.remove_arm("b")
            router.add_arm("b")
            router.remove_arm("c")
        stop.set()
        for thread in threads:
            thread.join()
        assert failures == []
        router.add_arm("c")
        assert router.status().learned == len(heard) > 0
        counts = belief_of(router).counts("quality")
        # What is said of c by the log alone is one more.
        assert counts.tolist() == pytest.approx([heard.count("a"), heard.count("b"), heard.count("c") + 1])


@pytest.mark.parametrize("change", ["add_arm", "remove_arm", "correct", "warm_start"])
def test_decisions_go_on_while_the_belief_is_built_again(change, monkeypatch):
    router = make_router()
    served = serve(router, quality=1.0)
    building, free = threading.Event(), threading.Event()
    build = ArmModels._build

    def slow(self, *arguments):
        building.set()
        free.wait(30.0)
        return build(self, *arguments)

    changes = {
        "add_arm": lambda: router.add_arm("new"),
        "remove_arm": lambda: router.remove_arm("b"),
        "correct": lambda: router.correct(served.id, quality=0.0),
        "warm_start": lambda: router.warm_start([(X, {"a": {"quality": 1.0}})]),
    }
    monkeypatch.setattr(ArmModels, "_build", slow)
    changing = threading.Thread(target=changes[change])
    changing.start()
    building.wait(30.0)
    routing = threading.Thread(target=router.route, args=(X,))
    routing.start()
    routing.join(10.0)
    waits = routing.is_alive()
    free.set()
    changing.join(30.0)
    routing.join(30.0)
    assert not waits


def test_outcomes_that_come_while_an_arm_is_added_are_learned(monkeypatch):
    router = make_router()
    decision = serve(router)
    reports = []
    over = ArmModels.over

    def reported(self, arms):
        belief = over(self, arms)
        reports.append(threading.Thread(target=router.feedback, args=(decision.id,), kwargs={"quality": 1.0}))
        reports[0].start()
        return belief

    monkeypatch.setattr(ArmModels, "over", reported)
    router.add_arm("new")
    reports[0].join(30.0)
    assert belief_of(router).counts("quality").sum() == 1.0


def test_arms_that_do_not_fit_into_memory_are_refused_with_the_figure(monkeypatch):
    router = make_router()
    monkeypatch.setattr(models, "free_bytes", lambda: 1000.0)
    with pytest.raises(InvalidConfigurationError, match=r"3 arms with 3 features need about 1.21e-06 GiB"):
        router.add_arm("new")
    assert [arm.name for arm in router.arms] == ["a", "b"]
    assert router.route(X).reason == "policy"
    monkeypatch.setattr(models, "free_bytes", lambda: 500.0)
    with pytest.raises(InvalidConfigurationError, match="use fewer arms, or fewer features"):
        make_router()


class Counted(str):
    """A name that counts how often it is compared."""

    compared = 0
    __hash__ = str.__hash__

    def __eq__(self, other):
        Counted.compared += 1
        return str.__eq__(self, other)


def test_many_excluded_arms_are_looked_up_in_sets():
    names = [Counted(f"arm {number}") for number in range(300)]
    Counted.compared = 0
    assert eligible_arms([Arm(name=name) for name in names], exclude=names[1:]) == ["arm 0"]
    assert Counted.compared < 3_000


def test_arm_that_is_refused_leaves_no_share_of_the_traffic():
    router = Router(arms=["old"], features=1, seed=0)
    with pytest.raises(InvalidConfigurationError, match="profile"):
        router.add_arm(Arm(name="new", profile={"quality": {"maths": 0.9}}), traffic=Share(at_least=0.1))
    assert "traffic" not in dump_router(router)
