"""Readers that go away and calls that are cancelled: what was spent is reported, and only a slow arm is blamed."""

import asyncio
import gc
import threading

import openai
import pytest

from banditroute import Router
from banditroute.integrations import AsyncRoutedClient, RoutedClient
from tests.integrations.pairs import MESSAGES, PRICE, Pair, chat, chunk, make_router
from tests.support import store_of

TWO = [chunk({"content": "x" * 40}), chunk({"content": "y"})]
LEFT = ("a", {"availability": 1.0, "cost_usd": pytest.approx((5 + 10 * 10) / 1e6)}, None)


@pytest.fixture
def pair(serve):
    return Pair(serve, TWO)


@pytest.fixture
async def asynchronous(pair):
    """The pair behind an asynchronous client."""
    client = openai.AsyncOpenAI(base_url=f"{pair.url}/v1", api_key="x", max_retries=0)
    pair.chat = AsyncRoutedClient(pair.router, {"a": client, "b": client})
    yield pair
    await client.close()


class TestBlocking:
    def test_stream_read_to_its_end_reports_its_latency(self, pair):
        with pair.chat.create(MESSAGES, stream=True) as stream:
            assert len(list(stream)) == 2
        assert [outcomes.keys() for _, outcomes, _ in pair.reports] == [{"latency_seconds"}]

    def test_stream_left_early_reports_that_the_arm_answered_and_what_it_cost(self, pair):
        with pair.chat.create(MESSAGES, stream=True) as stream:
            for _ in stream:
                break
        assert pair.reports == [LEFT]
        assert list(stream) == []
        assert stream.response.response.is_closed

    def test_break_without_with(self, pair):
        for _ in pair.chat.create(MESSAGES, stream=True):
            break
        gc.collect()
        assert pair.reports == [LEFT]

    def test_an_error_in_the_readers_own_code(self, pair):
        with pytest.raises(ZeroDivisionError), pair.chat.create(MESSAGES, stream=True) as stream:
            raise ZeroDivisionError(next(stream))
        assert pair.reports == [LEFT]

    def test_a_stream_that_is_never_read(self, pair):
        pair.chat.create(MESSAGES, stream=True)
        gc.collect()
        assert pair.reports == [LEFT]

    def test_garbage_that_is_collected_while_the_router_is_locked_blocks_nothing(self, pair):
        stream = pair.chat.create(MESSAGES, stream=True)
        done = threading.Event()
        original = store_of(pair.router).add_feedback
        store_of(pair.router).add_feedback = lambda feedback: (done.wait(10), original(feedback))[1]
        del stream
        gc.collect()
        assert pair.reports == []
        done.set()

    def test_keyboard_interrupt_is_reported_as_cancelled(self, serve):
        pair = Pair(serve, chat())

        def interrupted(**options):
            raise KeyboardInterrupt

        pair.openai.chat.completions.create = interrupted
        with pytest.raises(KeyboardInterrupt):
            pair.chat.create(MESSAGES)
        assert [(arm, failure) for arm, _, failure in pair.reports] == [("a", "cancelled")]


class TestOnTheEventLoop:
    async def test_async_with(self, asynchronous):
        async with await asynchronous.chat.create(MESSAGES, stream=True) as stream:
            assert len([each async for each in stream]) == 2
        assert stream.answer.text == "x" * 40 + "y"

    async def test_asynchronous_stream_left_early_reports_what_it_cost(self, asynchronous):
        async with await asynchronous.chat.create(MESSAGES, stream=True) as stream:
            async for _ in stream:
                break
        assert asynchronous.reports == [LEFT]

    async def test_break_without_async_with(self, asynchronous):
        async for _ in await asynchronous.chat.create(MESSAGES, stream=True):
            break
        gc.collect()
        await asyncio.sleep(0)
        assert asynchronous.reports == [LEFT]

    async def test_a_stream_that_is_cancelled_was_answered(self, asynchronous):
        stream = await asynchronous.chat.create(MESSAGES, stream=True)
        await anext(stream)

        async def hang(chunks):
            await asyncio.sleep(60)

        stream._stream._io.next = hang
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(stream), 0.01)
        ((arm, outcomes, failure),) = asynchronous.reports
        assert (arm, outcomes["availability"], failure) == ("a", 1.0, "cancelled")
        assert outcomes["cost_usd"] > 0.0
        assert stream._stream.response.response.is_closed

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_call_that_is_cancelled_teaches_no_quality(self, serve, stream):
        release = threading.Event()
        pair = Pair(serve, lambda body: (release.wait(10), (200, chat()))[1])
        client = openai.AsyncOpenAI(base_url=f"{pair.url}/v1", api_key="x", max_retries=0)
        routed = AsyncRoutedClient(pair.router, {"a": client, "b": client})
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(routed.create(MESSAGES, stream=stream), 0.05)
        release.set()
        ((arm, outcomes, failure),) = pair.reports
        assert (arm, failure) == ("a", "cancelled")
        assert outcomes.keys() <= {"latency_seconds", "cost_usd"}
        assert outcomes["cost_usd"] == pytest.approx(5 / 1e6)
        await client.close()


class Clock:
    def __init__(self):
        self.now = 1e9

    def __call__(self):
        return self.now


def hanging(clock, seconds):
    """A client whose calls wait so long on the router's clock, and are cancelled then."""

    async def create(**options):
        clock.now += seconds
        raise asyncio.CancelledError

    completions = type("Completions", (), {"create": staticmethod(create)})()
    return type("Client", (), {"chat": type("Chat", (), {"completions": completions})()})()


@pytest.mark.parametrize(("seconds", "left_alone"), [(0.05, False), (4.9, False), (5.0, True), (60.0, True)])
async def test_users_who_hang_up_at_once_open_no_circuit(seconds, left_alone):
    clock = Clock()
    router = make_router(clock=clock)
    client = hanging(clock, seconds)
    routed = AsyncRoutedClient(router, {"a": client, "b": client})
    for _ in range(5):
        with pytest.raises(asyncio.CancelledError):
            await routed.create(MESSAGES, route={"arms": ["a"]})
    assert (router.route("hi").arms == ("b",)) is left_alone
    assert router.status().learned == 5


async def test_elapsed_time_bounds_the_latency_from_below():
    """A bound above the expected latency is learned; one below it says nothing."""
    router = Router(arms=["a"], seed=0, preference={"latency_seconds": 1.0})
    for _ in range(30):
        router.feedback(router.route("hi").id, latency_seconds=1e-9)
    client = hanging(Clock(), 0.0)
    with pytest.raises(asyncio.CancelledError):
        await AsyncRoutedClient(router, {"a": client}).create("hi")
    raised = router.route("hi").means
    slow = Router(arms=["a"], seed=0, preference={"latency_seconds": 1.0})
    for _ in range(30):
        slow.feedback(slow.route("hi").id, latency_seconds=100.0)
    before = slow.route("hi").means
    with pytest.raises(asyncio.CancelledError):
        await AsyncRoutedClient(slow, {"a": client}).create("hi")
    latency = slow.route("hi").objectives.index("latency_seconds")
    assert slow.route("hi").means[latency] == pytest.approx(before[latency])
    assert raised[latency] > 1e-9


def test_a_timeout_of_the_client_is_a_timeout_of_the_arm(serve):
    release = threading.Event()
    pair = Pair(serve, lambda body: (release.wait(10), (200, chat()))[1])
    hasty = openai.OpenAI(base_url=f"{pair.url}/v1", api_key="x", max_retries=0, timeout=0.05)
    answer = RoutedClient(pair.router, {"a": hasty, "b": pair.openai}).create(MESSAGES)
    release.set()
    assert answer.text == "answer of b"
    assert pair.reports[0] == ("a", {"availability": 0.0}, "timeout")


assert PRICE["output_usd_per_million_tokens"] == 10.0  # the costs above are computed with it
