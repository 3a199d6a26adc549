"""Clocks and outcomes that lie; featurizers that talk; executors that are busy."""

import asyncio
import logging
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from banditroute.errors import InvalidFeedbackError
from banditroute.features import Complexity
from banditroute.router import Router
from banditroute.router.clock import CheckedClock
from banditroute.router.sizes import OutcomeSizes
from banditroute.store import MemoryStore, SQLStore
from tests.support import X, make_router

SECRET = "zebrafinch"


class FailingClock:
    """A clock whose readings are set; one that is an exception is raised."""

    def __init__(self):
        self.reading = 1.7e9

    def __call__(self):
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (math.nan, "gave nan"),
        (math.inf, "gave inf"),
        (None, "gave None"),
        ("now", "gave a str"),
        (True, "gave True"),
        (1e300, "gave 1e+300"),
        (RuntimeError("no clock"), "raised RuntimeError"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_clock_without_a_time_falls_back_and_says_so(kind, reading, said, tmp_path):
    clock = FailingClock()
    store = MemoryStore() if kind == "memory" else SQLStore(f"sqlite:///{tmp_path / 'routes.db'}")
    with make_router(clock=clock, store=store) as router:
        clock.reading = reading
        decision = router.route(X)
        assert decision.reason == f"fallback: the clock {said}; the system's time is used"
        assert abs(decision.decided_at - time.time()) < 60.0
        assert router.feedback(decision.id, quality=1.0) == "accepted"
        assert abs(router.status().at - time.time()) < 60.0
        clock.reading = 1.7e9
        assert router.route(X).reason == "policy"


@pytest.mark.parametrize("reading", [1.7e12, 1.7e18, 0.0, -1e9, np.float32(1.7e9), 17])
def test_ids_have_32_characters_whatever_the_unit_of_the_clock(reading):
    clock = FailingClock()
    clock.reading = reading
    decision = make_router(clock=clock).route(X)
    assert (len(decision.id), decision.reason) == (32, "policy")


def test_clock_is_read_as_it_is():
    assert CheckedClock(lambda: 12.5).read() == (12.5, None)


class TalkingFeatures(Complexity):
    def transform_one(self, request):
        raise ValueError(f"cannot read {request.text!r}")

    def transform(self, requests):
        raise ValueError(f"cannot read {requests[0].text!r}")


def test_words_of_a_failing_featurizer_are_neither_recorded_nor_logged(tmp_path, caplog):
    url = f"sqlite:///{tmp_path / 'routes.db'}"
    with caplog.at_level(logging.DEBUG), Router(arms=["a"], features=TalkingFeatures(), store=SQLStore(url)) as router:
        alone = router.route(f"the {SECRET} sings")
        (batched,) = router.route_many([f"the {SECRET} sings"])
        assert router.status().trouble == alone.reason.removeprefix("fallback: ")
    assert alone.reason.startswith("fallback: ValueError in transform_one(), line ")
    assert SECRET not in alone.reason + batched.reason + caplog.text
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.iterdir())


def test_absurd_outcome_is_refused_and_the_right_one_is_taken():
    router = make_router()
    for _ in range(20):
        router.feedback(router.route(X).id, cost_usd=0.002, quality=1.0)
    decision = router.route(X)
    with pytest.raises(InvalidFeedbackError, match=r"cost_usd is 1e\+10, and its outcomes are about 0.002 here"):
        router.feedback(decision.id, cost_usd=1e10)
    assert router.feedback(decision.id, cost_usd=2.0) == "accepted"


def test_outcomes_of_zero_have_no_size():
    sizes = OutcomeSizes()
    for _ in range(100):
        sizes.check({"cost_usd": 0.0})
    sizes.check({"cost_usd": 1e10})


@pytest.mark.parametrize("features", [2, None])
def test_aroute_does_not_wait_for_threads_that_wait(features):
    router = Router(arms=["a", "b"], features=features, seed=0)
    free = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(1) as executor:
            loop.set_default_executor(executor)
            blocked = loop.run_in_executor(None, free.wait)
            try:
                return await asyncio.wait_for(router.aroute([0.1, 0.2] if features else "Why?"), 30.0)
            finally:
                free.set()
                await blocked

    assert asyncio.run(main()).reason == "policy"
    router.close()


def test_aroute_leaves_the_event_loop_free_where_decisions_are_written_first(tmp_path):
    store = SQLStore(f"sqlite:///{tmp_path / 'routes.db'}", durability="all")
    threads = []

    with make_router(store=store) as router:
        add = store.add_decision

        def watched(decision, prompt=None):
            threads.append(threading.current_thread())
            add(decision, prompt)

        store.add_decision = watched
        asyncio.run(router.aroute(X))
    assert threads[0] is not threading.current_thread()
