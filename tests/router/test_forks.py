"""A forked child routes, learns and draws by itself, whatever the parent's threads were doing."""

import os
import pickle
import threading

import numpy as np
import pytest

from banditroute.core.forking import hold_while_forking
from banditroute.errors import BanditRouteError
from banditroute.router import Router
from banditroute.router.sampling import RandomStream
from banditroute.store import MemoryStore, SQLStore
from tests.support import X, in_child, make_router, wait_until

if not hasattr(os, "fork"):
    pytest.skip("this platform cannot fork", allow_module_level=True)


def arms_of(router, count: int = 40) -> str:
    return "".join(router.route(X).arm for _ in range(count))


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_child_forked_beside_routing_threads_routes_and_reports(kind, tmp_path):
    store = MemoryStore() if kind == "memory" else SQLStore(f"sqlite:///{tmp_path / 'routes.db'}")
    router = make_router(store=store)
    stop = threading.Event()

    def work():
        while not stop.is_set():
            router.feedback(router.route(X).id, quality=0.5)

    def serve():
        decision = router.route(X)
        return decision.reason + " " + router.feedback(decision.id, quality=1.0)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        answers = {in_child(serve) for _ in range(10)}
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        router.close()
    assert answers == {"policy accepted"}


@pytest.mark.parametrize("seed", [0, None])
def test_children_and_parent_draw_different_arms(seed):
    router = make_router(seed=seed)
    drawn = [in_child(lambda: arms_of(router)) for _ in range(8)]
    assert len({*drawn, arms_of(router)}) == 9


def test_children_of_a_seeded_router_draw_alike_in_every_run():
    runs = []
    for _ in range(2):
        router = make_router(seed=3)
        runs.append([in_child(lambda router=router: arms_of(router)) for _ in range(3)])
    assert runs[0] == runs[1]


def test_nth_child_draws_from_the_nth_stream_that_is_spawned():
    stream, expected = RandomStream(np.random.default_rng(5)), np.random.default_rng(5).spawn(2)
    drawn = [in_child(lambda: repr(float(stream.generator.random()))) for _ in range(2)]
    assert drawn == [repr(float(each.random())) for each in expected]


def test_child_of_a_generator_without_seed_sequence_draws_by_fresh_entropy():
    generator = np.random.Generator(np.random.RandomState(1)._bit_generator)
    stream = RandomStream(generator)
    drawn = {in_child(lambda: repr(float(stream.generator.random()))) for _ in range(2)}
    assert len(drawn) == 2


def test_child_observes_with_a_thread_of_its_own():
    seen = []

    class Watch:
        def on_decision(self, decision):
            seen.append(decision.id)

        def on_feedback(self, feedback):
            pass

        def on_event(self, event):
            pass

    router = make_router(observers=[Watch()])
    router.route(X)
    wait_until(lambda: len(seen) == 1)

    def observe():
        seen.clear()
        id = router.route(X).id
        wait_until(lambda: bool(seen))
        return str(seen == [id])

    assert in_child(observe) == "True"
    router.close()


class Part:
    def __init__(self):
        self.lock = threading.Lock()
        hold_while_forking(self, "lock")


def test_fork_waits_for_a_part_that_is_being_changed():
    part, whole, inside = Part(), [1, 1], threading.Event()

    def change():
        with part.lock:
            whole[0] = 2
            inside.set()
            threading.Event().wait(0.05)
            whole[1] = 2

    thread = threading.Thread(target=change)
    thread.start()
    inside.wait()
    assert in_child(lambda: f"{whole} {part.lock.acquire(timeout=5)}") == "[2, 2] True"
    thread.join()
    assert part.lock.acquire(timeout=5)  # the parent's is free again


@pytest.mark.parametrize("copy", [pickle.dumps, __import__("copy").deepcopy, __import__("copy").copy])
def test_copied_router_says_to_make_one_in_each_process(copy):
    with pytest.raises(BanditRouteError, match="make a router in each process"):
        copy(Router(arms=["a", "b"], features=2))
