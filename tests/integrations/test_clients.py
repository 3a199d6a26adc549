"""Clients behind a router, with the real packages against a local server."""

import logging
from types import SimpleNamespace

import anthropic
import httpx
import openai
import pytest

from banditroute import (
    Arm,
    Budget,
    InvalidConfigurationError,
    MemoryStore,
    NotGrantedError,
    Objective,
    Router,
    StoreError,
)
from banditroute.integrations import AsyncRoutedClient, RoutedClient
from banditroute.pricing import ModelPrice
from banditroute.store.outcomes import failure_of, measured
from tests.support import store_of

PRICE = ModelPrice(
    input_usd_per_million_tokens=2.0,
    output_usd_per_million_tokens=8.0,
    cached_input_usd_per_million_tokens=0.5,
    cache_write_usd_per_million_tokens=4.0,
)
QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Who are you?"}]


class Recording(MemoryStore):
    """Remembers the feedback that it is given."""

    def __init__(self):
        super().__init__()
        self.given = []
        self.failures = []

    def add_feedback(self, feedback):
        self.given.append((feedback.decision_id, measured(feedback.values)))
        self.failures.append(failure_of(feedback.values))
        return super().add_feedback(feedback)


@pytest.fixture
def clients(server):
    """Makes clients, closed after the test."""
    made = []

    def make(kind, **settings):
        url = f"{server.url}/v1" if "OpenAI" in kind.__name__ else server.url
        made.append(kind(base_url=url, api_key="none", max_retries=0, **settings))
        return made[-1]

    yield make
    for client in made:
        if not type(client).__name__.startswith("Async"):
            client.close()


def router_of(*arms, store=None, **settings):
    return Router(arms=list(arms), seed=0, store=store or Recording(), fallback=None, **settings)


class TestAnAnswer:
    def test_openai_answer_is_read_and_reported(self, server, clients):
        router = router_of("small")
        chat = RoutedClient(router, {"small": (clients(openai.OpenAI), "gpt-x")}, prices={"small": PRICE})
        answer = chat.create(QUESTION, temperature=0.5, route={"session": "s", "tags": ["a"]})
        assert answer.text == "I am gpt-x."
        assert answer.response.choices[0].message.content == "I am gpt-x."
        assert (answer.usage.input_tokens, answer.usage.cached_input_tokens) == (1000, 800)
        assert (answer.usage.output_tokens, answer.usage.reasoning_tokens) == (100, 40)
        assert answer.cost_usd == pytest.approx((200 * 2.0 + 800 * 0.5 + 100 * 8.0) / 1e6)
        assert (answer.decision.arm, answer.decision.session, answer.decision.tags) == ("small", "s", ("a",))
        assert store_of(router).given == [
            (
                answer.decision_id,
                {"latency_seconds": answer.latency_seconds, "output_tokens": 100.0, "cost_usd": answer.cost_usd},
            )
        ]
        ((path, asked),) = server.asked
        assert (path, asked["model"], asked["messages"]) == ("/v1/chat/completions", "gpt-x", QUESTION)
        assert asked["temperature"] == 0.5
        router.feedback(answer.decision_id, quality=1.0)  # the thumbs-up that comes later

    def test_anthropic_answer_is_read_and_reported(self, server, clients):
        router = router_of("claude")
        chat = RoutedClient(router, {"claude": clients(anthropic.Anthropic)}, prices={"claude": PRICE})
        answer = chat.create(QUESTION, max_tokens=77)
        assert answer.text == "I am claude."
        usage = answer.usage
        assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens) == (1000, 800, 50)
        assert answer.cost_usd == pytest.approx((150 * 2.0 + 800 * 0.5 + 50 * 4.0 + 100 * 8.0) / 1e6)
        ((path, asked),) = server.asked
        assert (path, asked["system"], asked["max_tokens"]) == ("/v1/messages", "Be brief.", 77)
        assert asked["messages"] == QUESTION[1:]

    def test_openai_and_anthropic_clients_share_one_router(self, clients):
        router = router_of("gpt", "claude")
        chat = RoutedClient(router, {"gpt": clients(openai.OpenAI), "claude": clients(anthropic.Anthropic)})
        texts = {chat.create(QUESTION, route={"arms": [arm]}).text for arm in ("gpt", "claude")}
        assert texts == {"I am gpt.", "I am claude."}

    def test_prices_of_the_arm_do(self, clients):
        arm = Arm(name="small", input_usd_per_million_tokens=2.0, output_usd_per_million_tokens=8.0)
        chat = RoutedClient(router_of(arm), {"small": clients(openai.OpenAI)})
        assert chat.create(QUESTION).cost_usd == pytest.approx((1000 * 2.0 + 100 * 8.0) / 1e6)

    def test_answer_without_usage_reports_no_tokens_and_no_dollars(self, clients):
        router = router_of("without usage")
        answer = RoutedClient(
            router, {"without usage": clients(openai.OpenAI)}, prices={"without usage": PRICE}
        ).create(QUESTION)
        assert (answer.usage, answer.cost_usd) == (None, None)
        ((_, values),) = store_of(router).given
        assert list(values) == ["latency_seconds"]

    def test_the_router_learns_from_it(self, clients):
        router = router_of("slow", "fast", preference={"latency_seconds": 1.0})
        chat = RoutedClient(router, {"slow": clients(openai.OpenAI), "fast": clients(openai.OpenAI)})
        for arm in ("slow", "fast", "fast"):
            chat.create(QUESTION, route={"arms": [arm]})
        means = dict(zip(("slow", "fast"), router.route("Who?").means[0], strict=True))
        assert means["slow"] > means["fast"]


class TestFailures:
    @pytest.mark.parametrize("trouble", ["500 broken", "429 busy", "401 no key", "404 gone", "503 down"])
    def test_the_next_arm_answers(self, clients, trouble):
        router = router_of(trouble, "small")
        chat = RoutedClient(router, {trouble: clients(openai.OpenAI), "small": clients(openai.OpenAI)})
        while (answer := chat.create(QUESTION)).failures == ():
            pass
        assert answer.text == "I am small."
        ((arm, error),) = answer.failures
        assert (arm, error.status_code) == (trouble, int(trouble[:3]))
        (failed, first), (answered, _) = store_of(router).given[-2:]
        assert first == {"availability": 0.0}
        assert failed != answered == answer.decision_id

    def test_failed_arms_are_followed_in_the_order_of_the_ranking(self, clients):
        arms = ["500 a", "500 b", "500 c", "small"]
        router = router_of(*arms)
        for _ in range(20):
            for k, arm in enumerate(arms):
                router.feedback(router.route("Who?", arms=[arm]).id, quality=1.0 - k / 10)
        answer = RoutedClient(router, {arm: clients(openai.OpenAI) for arm in arms}).create(QUESTION)
        asked = [*(arm for arm, _ in answer.failures), answer.decision.arm]
        assert asked[-1] == "small"
        assert asked[1:] == sorted(asked[1:], key=arms.index)  # but for the first, which the policy chose

    def test_last_error_is_raised_where_all_arms_fail(self, clients):
        router = router_of("500 a", "503 b")
        chat = RoutedClient(router, {arm: clients(openai.OpenAI) for arm in ("500 a", "503 b")})
        with pytest.raises(openai.APIStatusError):
            chat.create(QUESTION)
        assert [values for _, values in store_of(router).given] == [{"availability": 0.0}] * 2

    @pytest.mark.parametrize("status", [400, 422])
    def test_a_request_that_is_refused_is_the_callers(self, clients, status):
        router = router_of(f"{status} no", "small")
        chat = RoutedClient(router, {arm: clients(openai.OpenAI) for arm in (f"{status} no", "small")})
        with pytest.raises(openai.APIStatusError, match=str(status)):
            chat.create(QUESTION, route={"arms": [f"{status} no"]})
        assert store_of(router).given == []

    def test_a_timeout(self, clients):
        router = router_of("slow", "small")
        slow = clients(openai.OpenAI, timeout=httpx.Timeout(0.1))
        chat = RoutedClient(router, {"slow": slow, "small": clients(openai.OpenAI)})
        router.remove_arm("small")
        router.add_arm("small")
        while not (answer := chat.create(QUESTION)).failures:
            pass
        assert isinstance(answer.failures[0][1], openai.APITimeoutError)

    def test_unreachable_server_goes_to_the_next_arm(self, clients):
        gone = openai.OpenAI(base_url="http://127.0.0.1:9/v1", api_key="none", max_retries=0)
        router = router_of("gone", "small")
        chat = RoutedClient(router, {"gone": gone, "small": clients(openai.OpenAI)})
        while not (answer := chat.create(QUESTION)).failures:
            pass
        assert isinstance(answer.failures[0][1], openai.APIConnectionError)
        gone.close()

    def test_a_mistake_of_the_callers_own_is_raised(self, clients):
        router = router_of("small")
        chat = RoutedClient(router, {"small": clients(openai.OpenAI)})
        with pytest.raises(TypeError, match="temperatur"):
            chat.create(QUESTION, temperatur=1.0)
        assert store_of(router).given == []

    def test_an_answer_is_not_lost_for_a_store_that_fails(self, clients, caplog):
        class Broken(MemoryStore):
            def add_feedback(self, feedback):
                raise StoreError("the disk is full")

        chat = RoutedClient(router_of("small", store=Broken()), {"small": clients(openai.OpenAI)})
        with caplog.at_level(logging.ERROR, logger="banditroute"):
            assert chat.create(QUESTION).text == "I am small."
        assert "the disk is full" in caplog.text


class TestStreams:
    @pytest.mark.parametrize(("kind", "arm"), [(openai.OpenAI, "small"), (anthropic.Anthropic, "claude")])
    def test_chunks_come_through_and_the_end_is_reported(self, clients, kind, arm):
        router = router_of(arm)
        stream = RoutedClient(router, {arm: clients(kind)}, prices={arm: PRICE}).create(QUESTION, stream=True)
        assert store_of(router).given == []
        assert len(list(stream)) in (6, 7)
        answer = stream.answer
        assert answer.text == f"I am {arm}."
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (1000, 100)
        assert 0.0 < answer.first_token_seconds <= answer.latency_seconds
        given = [set(values) for _, values in store_of(router).given]
        assert given == [{"latency_seconds", "output_tokens", "cost_usd"}]
        assert list(stream) == []
        assert len(store_of(router).given) == 1
        assert stream.decision_id == answer.decision_id

    def test_an_arm_that_fails_at_once_is_replaced(self, clients):
        router = router_of("500 no", "small")
        chat = RoutedClient(router, {arm: clients(openai.OpenAI) for arm in ("500 no", "small")})
        while True:
            stream = chat.create(QUESTION, stream=True)
            assert len(list(stream)) == 6
            if stream.answer.failures:
                break
        assert stream.answer.text == "I am small."
        assert store_of(router).given[-2][1] == {"availability": 0.0}

    def test_one_that_breaks_off_has_failed(self, clients):
        router = router_of("breaks off")
        stream = RoutedClient(router, {"breaks off": clients(openai.OpenAI)}).create(QUESTION, stream=True)
        with pytest.raises((httpx.HTTPError, openai.APIError)):
            list(stream)
        stream.close()
        assert [values for _, values in store_of(router).given] == [{"availability": 0.0}]
        assert stream.answer is None

    def test_one_that_is_closed_was_answered(self, clients):
        router = router_of("small")
        stream = RoutedClient(router, {"small": clients(openai.OpenAI)}).create(QUESTION, stream=True)
        next(stream)
        stream.close()
        stream.close()
        assert [values for _, values in store_of(router).given] == [{"availability": 1.0}]


class TestAsyncio:
    async def test_an_answer_after_a_failure(self, clients):
        router = router_of("500 no", "small")
        both = {arm: clients(openai.AsyncOpenAI) for arm in ("500 no", "small")}
        chat = AsyncRoutedClient(router, both)
        while not (answer := await chat.create(QUESTION)).failures:
            pass
        assert answer.text == "I am small."
        for client in both.values():
            await client.close()

    @pytest.mark.parametrize(("kind", "arm"), [(openai.AsyncOpenAI, "small"), (anthropic.AsyncAnthropic, "claude")])
    async def test_a_stream(self, clients, kind, arm):
        router = router_of(arm)
        client = clients(kind)
        stream = await AsyncRoutedClient(router, {arm: client}).create(QUESTION, stream=True)
        chunks = [chunk async for chunk in stream]
        assert len(chunks) in (6, 7)
        assert stream.answer.text == f"I am {arm}."
        assert len(store_of(router).given) == 1
        other = await AsyncRoutedClient(router, {arm: client}).create(QUESTION, stream=True)
        await other.aclose()
        assert store_of(router).given[-1][1] == {"availability": 1.0}
        await client.close()


class TestRefusals:
    def test_clients_and_arms_must_match(self, clients):
        client = clients(openai.OpenAI)
        for wrong in ({}, {"small": client, "large": client}, {"large": client}):
            with pytest.raises(InvalidConfigurationError, match="give one for each arm of the router: small"):
                RoutedClient(router_of("small"), wrong)

    def test_a_client_of_no_kind(self):
        with pytest.raises(InvalidConfigurationError, match=r"'small' is a object; give one with chat\.completions"):
            RoutedClient(router_of("small"), {"small": object()})

    def test_mixed_blocking_and_async_clients_are_refused(self, clients):
        mixed = {"small": clients(openai.OpenAI), "large": clients(openai.AsyncOpenAI)}
        with pytest.raises(InvalidConfigurationError, match="put all clients into an AsyncRoutedClient"):
            RoutedClient(router_of("small", "large"), mixed)


def test_first_token_seconds_can_be_an_objective(clients):
    """Declared by the user, it is theirs to report: the wrapper does not guess what it is for."""
    objective = Objective(name="first_token_seconds", higher_is_better=False, low=0.0)
    router = router_of("small", objectives=[objective])
    stream = RoutedClient(router, {"small": clients(openai.OpenAI)}).create(QUESTION, stream=True)
    list(stream)
    router.feedback(stream.decision_id, first_token_seconds=stream.answer.first_token_seconds)
    assert set(store_of(router).given[-1][1]) == {"first_token_seconds"}


class TestAHardBudget:
    def chat(self, usd):
        self.asked = []

        def create(*, model, messages):
            self.asked.append(model)
            raise TimeoutError("it took too long")

        client = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))
        arms = [Arm(name="small", max_cost_usd=0.6), Arm(name="large", max_cost_usd=0.6)]
        router = router_of(*arms, budgets=[Budget(usd=usd, per="day", hard=True)])
        return RoutedClient(router, {"small": client, "large": client})

    def test_that_covers_no_arm_raises_and_asks_none(self):
        chat = self.chat(usd=0.1)
        with pytest.raises(NotGrantedError, match="no arm was asked: budget 'cost_usd per day'") as caught:
            chat.create("hello")
        assert len(caught.value.decision_id) == 32
        assert self.asked == []

    def test_that_does_not_cover_the_next_arm_gives_the_error_of_the_first(self):
        chat = self.chat(usd=1.0)
        with pytest.raises(TimeoutError, match="it took too long"):
            chat.create("hello")
        assert len(self.asked) == 1
        (status,) = chat.router.status().budgets
        assert status.uncovered == 1
