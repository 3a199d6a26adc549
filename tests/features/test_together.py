"""One call for all threads that wait."""

import asyncio
import time
from threading import Event, Thread

import numpy as np
import pytest

from banditroute.core.promise import Promise
from banditroute.core.request import Request
from banditroute.features import SentenceEmbedding
from banditroute.features._together import Together


class Slow:
    """A model that takes its time for each call, whatever the number of texts."""

    def __init__(self, seconds=0.05):
        self.calls = []
        self.seconds = seconds
        self.running = 0
        self.overlapped = False

    def __call__(self, texts):
        self.running += 1
        self.overlapped |= self.running > 1
        self.calls.append(list(texts))
        time.sleep(self.seconds)
        self.running -= 1
        if "bad" in texts:
            raise ValueError("bad text")
        return np.array([[len(text), text.count("a")] for text in texts], dtype=float)


class Gated(Slow):
    """A model whose first call lasts until the gate is opened."""

    def __init__(self):
        super().__init__(seconds=0.0)
        self.entered, self.gate = Event(), Event()

    def __call__(self, texts):
        if not self.entered.is_set():
            self.entered.set()
            assert self.gate.wait(10)
        return super().__call__(texts)


def gathered(together, model, texts):
    """Results of threads that all come while the first call runs."""
    results = {}

    def ask(text):
        try:
            results[text] = together([text])[0].tolist()
        except Exception as error:
            results[text] = error

    first = Thread(target=ask, args=("first",))
    first.start()
    assert model.entered.wait(10)
    others = [Thread(target=ask, args=(text,)) for text in texts]
    for number, other in enumerate(others, start=1):
        other.start()
        while len(together._waiting) < number:
            time.sleep(0.001)
    model.gate.set()
    for thread in (first, *others):
        thread.join(10)
        assert not thread.is_alive()
    return results


def test_whoever_comes_during_a_call_shares_the_next():
    model = Gated()
    texts = [f"{'a' * n}b" for n in range(20)]
    results = gathered(Together(model, most=64), model, texts)
    assert model.calls == [["first"], texts]
    assert results == {"first": [5.0, 0.0]} | {text: [len(text), text.count("a")] for text in texts}


def test_a_call_has_no_more_than_the_most():
    model = Gated()
    gathered(Together(model, most=8), model, [f"{n}" for n in range(20)])
    assert [len(call) for call in model.calls] == [1, 8, 8, 4]


def test_the_same_text_is_computed_once():
    model = Slow(seconds=0.0)
    rows = Together(model, most=64)(["b", "a", "b"])
    assert [row.tolist() for row in rows] == [[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]
    assert model.calls == [["b", "a"]]


def test_a_text_that_comes_alone_waits_for_nobody():
    model = Slow(seconds=0.0)
    together = Together(model, most=64)
    start = time.perf_counter()
    for n in range(100):
        together([str(n)])
    assert len(model.calls) == 100
    assert time.perf_counter() - start < 1.0  # of waiting for company there would be some


def test_a_bad_text_fails_alone():
    model = Gated()
    results = gathered(Together(model, most=64), model, ["good", "bad", "fine"])
    assert isinstance(results.pop("bad"), ValueError)
    assert results == {"first": [5.0, 0.0], "good": [4.0, 0.0], "fine": [4.0, 0.0]}


def test_a_failure_leaves_the_way_free():
    together = Together(Slow(seconds=0.0), most=64)
    with pytest.raises(ValueError, match="bad text"):
        together(["bad"])
    assert together(["a"])[0].tolist() == [1.0, 1.0]


def test_an_interrupted_call_leaves_the_way_free():
    def interrupt(texts):
        if texts == ["stop"]:
            raise KeyboardInterrupt
        return np.ones((len(texts), 1))

    together = Together(interrupt, most=64)
    with pytest.raises(KeyboardInterrupt):
        together(["stop"])
    assert together(["go"])[0].tolist() == [1.0]


def test_an_interrupted_wait_is_not_waited_for(monkeypatch):
    model = Gated()
    together = Together(model, most=64)
    first = Thread(target=together, args=(["first"],))
    first.start()
    assert model.entered.wait(10)

    class Interrupted(Promise):
        def wait(self, timeout=None):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("banditroute.features._together.Promise", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            together(["gone"])
    model.gate.set()
    first.join(10)
    assert together(["a"])[0].tolist() == [1.0, 1.0]
    assert model.calls == [["first"], ["a"]]


def test_empty_batch_makes_no_call():
    model = Slow()
    assert Together(model, most=2)([]) == []
    assert model.calls == []


def test_many_threads_get_their_own_rows_and_never_two_calls_at_once():
    model = Slow(seconds=0.001)
    together = Together(model, most=16)
    wrong = []

    def work(seed):
        for n in range(20):
            texts = ["a" * ((seed * 7 + n * k) % 50) + str(n) for k in range(seed % 3 + 1)]
            if [row.tolist() for row in together(texts)] != [[len(text), text.count("a")] for text in texts]:
                wrong.append(texts)

    threads = [Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert not wrong
    assert not model.overlapped
    assert len(model.calls) < 16 * 20  # some were shared


async def test_requests_of_an_event_loop_are_embedded_together():
    model = Slow(seconds=0.05)
    sentence = SentenceEmbedding(model=model, label="slow")
    texts = [f"text {n}" for n in range(24)]
    rows = await asyncio.gather(*(asyncio.to_thread(sentence.transform_one, Request(text=text)) for text in texts))
    assert [row[0] for row in rows] == [len(text) for text in texts]
    assert sum(map(len, model.calls)) == 24
    assert len(model.calls) < 24
