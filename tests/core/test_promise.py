"""A promise: the first outcome counts, every waiter gets it, and an interrupted waiter harms nobody."""

import asyncio
import re
import threading
from itertools import count
from pathlib import Path
from traceback import walk_tb

import pytest

import banditroute
from banditroute.core.promise import Promise
from tests.support import Interrupted, interrupting_at

# What waits in another way than with a promise, with the reason.
WAITS_OTHERWISE = {
    "core/worker_processes.py": "the process runs a simulation and serves no requests",
    "simulate/sweep.py": "the process runs a simulation and serves no requests",
    "dashboard/reader.py": "a thread that serves a page waits, in which no signal handler runs",
    "router/engine.py": "its condition only asks who holds the lock, and lends it",
    "router/feedback.py": "waits for the future of an application's own store",
    "store/sql/ticket.py": "waits for the future of an application's own store",
}


def set_in_thread(promise, result):
    setter = threading.Thread(target=promise.set_result, args=(result,), daemon=True)
    setter.start()
    return setter


def test_every_other_wait_of_the_package_has_a_reason():
    root = Path(banditroute.__file__).parent
    waits = re.compile(r"\b(Event|Condition|Semaphore|Barrier)\(\)|threading\.Condition\(|import Future\b")
    texts = {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    assert {name for name, text in texts.items() if waits.search(text)} == WAITS_OTHERWISE.keys()


def test_every_waiter_gets_the_first_outcome():
    promise = Promise()
    results = []
    waiters = [threading.Thread(target=lambda: results.append(promise.result(30))) for _ in range(5)]
    for waiter in waiters:
        waiter.start()
    promise.set_result("first")
    promise.set_result("second")
    promise.set_exception(ValueError("third"))
    for waiter in waiters:
        waiter.join(30)
    assert results == ["first"] * 5
    assert promise.result() == "first"


def test_an_error_is_raised_by_every_wait():
    promise = Promise()
    promise.set_exception(ValueError("no"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            promise.result()


def test_a_wait_ends_with_its_limit():
    promise = Promise()
    assert not promise.wait(0.0)
    assert not promise.wait(-1.0)
    with pytest.raises(TimeoutError):
        promise.result(0.001)
    assert not promise.done()


def test_waits_that_ended_leave_nothing_behind():
    promise = Promise()
    for _ in range(100):
        promise.wait(0.0)
        asyncio.run(promise.wait_async(0.0))
    assert len(promise.waiters) == 0


def test_an_event_loop_waits_without_being_blocked():
    async def main():
        promise = Promise()
        waiting = asyncio.create_task(promise.wait_async(30.0))
        await asyncio.sleep(0)
        set_in_thread(promise, 1)
        assert await waiting
        assert promise.result() == 1

    asyncio.run(main())


def test_a_cancelled_wait_leaves_the_promise_to_others():
    async def main():
        promise = Promise()
        waiting = [asyncio.create_task(promise.wait_async(30.0)) for _ in range(2)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        promise.set_result(1)
        assert await waiting[1]
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]

    asyncio.run(main())


def test_a_loop_that_is_closed_does_not_keep_the_result_from_others():
    promise = Promise()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(promise.wait_async(30.0))
    loop.run_until_complete(asyncio.sleep(0))
    waiting.cancel()
    callbacks = list(promise.waiters)
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    promise.waiters.extend(callbacks)  # as if the loop had been closed while the result came
    promise.set_result(1)
    assert promise.result() == 1


def test_an_error_does_not_keep_its_promise_alive():
    promise, error = Promise(), ValueError("no")
    promise.set_exception(error)
    with pytest.raises(ValueError, match="no"):
        promise.result()
    frames = [frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code.co_name == "result"]
    assert len(frames) == 1
    assert "self" not in frames[0].f_locals


def test_a_wait_that_is_interrupted_at_any_instruction_blocks_neither_the_setter_nor_other_waiters():
    for instruction in count(1):
        promise = Promise()
        try:
            with interrupting_at(instruction):
                promise.wait(0.001)
        except Interrupted:
            interrupted = True
        else:
            interrupted = False
        setter = set_in_thread(promise, instruction)
        setter.join(10)
        assert not setter.is_alive(), (
            f"an interrupt at instruction {instruction} blocks the thread that brings the result"
        )
        assert promise.result(10) == instruction
        if not interrupted:
            break
    assert instruction > 20
