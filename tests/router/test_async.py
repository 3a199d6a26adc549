"""The router in an event loop, which is free while texts are featurized and reports are written."""

import asyncio
import threading
from concurrent.futures import Future

import pytest

from banditroute.errors import ConflictingFeedbackError, InvalidRequestError, UnknownDecisionError
from banditroute.features import Complexity
from banditroute.router import Router
from banditroute.store.memory import MemoryStore


class SlowStore(MemoryStore):
    """Writes feedback in a thread of its own, once its gate is open."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.writers = []

    def add_feedback(self, feedback):
        ticket = Future()

        def write():
            ticket.set_running_or_notify_cancel()
            try:
                assert self.gate.wait(5.0), "the event loop was blocked"
                super(SlowStore, self).add_feedback(feedback).result()
            except Exception as error:
                ticket.set_exception(error)
            else:
                ticket.set_result("accepted")

        self.writers.append(threading.Thread(target=write))
        self.writers[-1].start()
        return ticket

    def finish(self):
        self.gate.set()
        for writer in self.writers:
            writer.join()


class SlowFeatures(Complexity):
    """Featurizes once its gate is open, and remembers where."""

    def __init__(self):
        super().__init__()
        self.gate = threading.Event()
        self.threads = []

    def transform_one(self, request):
        self.threads.append(threading.current_thread())
        assert self.gate.wait(5.0), "the event loop was blocked"
        return super().transform_one(request)


@pytest.fixture
def store():
    store = SlowStore()
    yield store
    store.finish()


async def tick(times=20):
    for _ in range(times):
        await asyncio.sleep(0.0005)


async def test_the_loop_runs_on_while_feedback_is_written(store):
    router = Router(arms=["a"], features=1, store=store)
    decision = await router.aroute([1.0])
    report = asyncio.create_task(router.afeedback(decision.id, quality=1.0))
    await tick()
    assert not report.done()
    assert router.status().learned == 0
    store.gate.set()
    await report
    assert router.status().learned == 1


async def test_a_cancelled_wait_does_not_take_the_report_back(store):
    router = Router(arms=["a"], features=1, store=store)
    decision = router.route([1.0])
    report = asyncio.create_task(router.afeedback(decision.id, quality=1.0))
    await tick(2)
    report.cancel()
    with pytest.raises(asyncio.CancelledError):
        await report
    assert router.status().learned == 0
    await asyncio.to_thread(store.finish)
    assert router.status().learned == 1
    with pytest.raises(ConflictingFeedbackError):
        await router.afeedback(decision.id, quality=0.0)


async def test_a_wait_that_times_out_does_not_take_the_report_back(store):
    router = Router(arms=["a"], features=1, store=store)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(router.afeedback(router.route([1.0]).id, quality=1.0), timeout=0.01)
    await asyncio.to_thread(store.finish)
    assert router.status().learned == 1


async def test_many_reports_wait_side_by_side(store):
    router = Router(arms=["a", "b"], features=1, store=store)
    ids = [router.route([1.0]).id for _ in range(10)]
    reports = asyncio.gather(*(router.afeedback(id, quality=0.5, cost_usd=0.1) for id in ids))
    await tick(2)
    store.gate.set()
    await reports
    assert router.status().learned == 10


async def test_errors_of_the_writer_reach_the_one_who_waits(store):
    store.gate.set()
    router = Router(arms=["a"], features=1, store=store)
    with pytest.raises(UnknownDecisionError, match="'never'"):
        await router.afeedback("never", quality=1.0)
    decision = router.route([1.0])
    await router.afeedback(decision.id, quality=1.0)
    with pytest.raises(ConflictingFeedbackError, match="the first value stays"):
        await router.afeedback(decision.id, quality=0.0)


async def test_a_store_that_answers_at_once_needs_no_future():
    router = Router(arms=["a"], features=1)
    await router.afeedback((await router.aroute([1.0])).id, quality=1.0)
    assert router.status().learned == 1
    with pytest.raises(UnknownDecisionError):
        await router.afeedback("never", quality=1.0)


async def test_the_loop_runs_on_while_a_text_is_featurized():
    features = SlowFeatures()
    router = Router(arms=["a", "b"], features=features, seed=0)
    routing = asyncio.create_task(
        router.aroute("What is 2 + 2?", exclude=["a"], tags=["t"], preference={"quality": 2.0})
    )
    try:
        await tick()
        assert not routing.done()
    finally:
        features.gate.set()
    decision = await routing
    assert (decision.arm, decision.tags, decision.preference) == ("b", ("t",), {"quality": 2.0})
    assert features.threads != [threading.main_thread()]


async def test_a_decision_in_the_loop_is_that_of_route():
    routers = [Router(arms=["a", "b", "c"], features=2, seed=4) for _ in range(2)]
    for i in range(20):
        waited = await routers[0].aroute([0.1 * i, 1.0], session="s")
        plain = routers[1].route([0.1 * i, 1.0], session="s")
        assert (waited.arm, waited.session, waited.x.tolist()) == (plain.arm, "s", plain.x.tolist())


@pytest.mark.parametrize("request_", ["a text", [1.0, 2.0]])
async def test_a_callers_mistake_is_raised_in_the_loop(request_):
    with pytest.raises(InvalidRequestError, match=r"expects 1 ready features|expects \(1,\)"):
        await Router(arms=["a"], features=1).aroute(request_)
