"""Answers that the SDKs parse themselves, raw responses, and options that a server refuses: nothing paid is lost."""

import asyncio

import openai
import pytest
from anthropic import Anthropic
from openai import AsyncOpenAI
from pydantic import BaseModel

from banditroute import InvalidConfigurationError, InvalidRequestError, InvalidResponseError
from banditroute.integrations import AsyncRoutedClient, RoutedClient
from tests.integrations.pairs import MESSAGES, USAGE, Pair, chat, chunk, make_router, message, response
from tests.support import store_of


class City(BaseModel):
    name: str


ROME = chat('{"name": "Rome"}')
COST_USD = 60e-6  # of 10 tokens in and 5 out
NO_ANSWER = {"index": 0, "finish_reason": "stop", "message": None}
FILTERED = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}
CUT = {"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": '{"na'}}


@pytest.fixture
def pair_of_parsers(serve):
    """Arm ``a`` answers as the test says, arm ``b`` with Rome."""

    def make(answer_of_a, *, anthropic=False):
        def answer(path, body):
            return (200, ROME) if body["model"] != "a" else (200, answer_of_a)

        url = serve(answer)
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
        first = Anthropic(base_url=url, api_key="x", max_retries=0) if anthropic else client
        router = make_router()
        return RoutedClient(router, {"a": first, "b": client}), store_of(router).reports

    return make


@pytest.mark.parametrize(
    ("answer", "failure", "cost_usd"),
    [
        (chat('{"nme": "Rome"}'), "invalid_response", COST_USD),
        (chat(choices=[CUT]), "invalid_response", COST_USD),
        (chat(choices=[FILTERED]), "content_filter", COST_USD),
        (chat(choices=[NO_ANSWER]), "invalid_response", COST_USD),
        (chat(choices=None), "invalid_response", None),
        ({"error": {"message": "slow down", "code": 429}}, "rate_limit", None),
        ("<html>log in</html>", "invalid_response", None),
    ],
)
def test_parse_reports_what_an_unusable_answer_cost_and_asks_the_next_arm(pair_of_parsers, answer, failure, cost_usd):
    client, reports = pair_of_parsers(answer)
    assert client.parse(MESSAGES, response_format=City).parsed == City(name="Rome")
    (first, outcomes, kind), (second, _, none) = reports
    assert (first, kind, second, none) == ("a", failure, "b", None)
    assert outcomes.get("cost_usd") == (cost_usd and pytest.approx(cost_usd))


@pytest.mark.parametrize("answer", ["<html>log in</html>", {**message(), "content": None}, {}, message('{"nme": 1}')])
def test_parse_of_anthropic_asks_the_next_arm_after_an_unusable_answer(pair_of_parsers, answer):
    client, reports = pair_of_parsers(answer, anthropic=True)
    assert client.parse(MESSAGES, response_format=City).parsed == City(name="Rome")
    assert [(arm, failure) for arm, _, failure in reports] == [("a", "invalid_response"), ("b", None)]


def test_parse_awaits_an_asynchronous_client(serve):
    url = serve(lambda path, body: (200, ROME if body["model"] == "b" else chat("no object")))
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    router = make_router()
    answer = asyncio.run(AsyncRoutedClient(router, dict.fromkeys("ab", client)).parse(MESSAGES, response_format=City))
    assert answer.parsed == City(name="Rome")
    assert store_of(router).reports[0][1]["cost_usd"] == pytest.approx(COST_USD)


def test_parse_calls_a_patched_function_as_it_is(serve):
    pair, asked = Pair(serve, ROME), []
    plain = pair.openai.chat.completions.parse

    def traced(**options):
        asked.append(options)
        return plain(**options)

    pair.openai.chat.completions.parse = traced
    assert pair.chat.parse(MESSAGES, response_format=City).parsed == City(name="Rome")
    assert len(asked) == 1


def test_parse_finds_the_function_of_older_packages_under_beta(serve):
    pair = Pair(serve, ROME)

    class Older:
        class chat:
            class completions:
                create = pair.openai.chat.completions.create

        class beta:
            chat = pair.openai.chat

    client = RoutedClient(make_router(["a"]), {"a": Older()})
    assert client.parse(MESSAGES, response_format=City).parsed == City(name="Rome")


def test_respond_parses_an_answer_with_text_format(serve):
    pair = Pair(serve, response('{"name": "Rome"}'))
    answer = pair.chat.respond("Where?", text_format=City, route={"arms": ["a"]})
    assert answer.parsed == City(name="Rome")
    assert pair.reports[0][1]["cost_usd"] == pytest.approx(COST_USD)


def test_respond_reports_what_an_answer_cost_that_does_not_fit(serve):
    pair = Pair(serve, response('{"nme": 1}'))
    with pytest.raises(ValueError, match="validation error"):
        pair.chat.respond("Where?", text_format=City, route={"arms": ["a"]})
    ((_, outcomes, failure),) = pair.reports
    assert (outcomes["cost_usd"], failure) == (pytest.approx(COST_USD), "invalid_response")


VECTOR = {"object": "embedding", "index": 0, "embedding": [0.5]}


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        ({"object": "list", "model": "m", "data": [], "usage": USAGE}, "invalid_response"),
        ("<html>log in</html>", "invalid_response"),
        ({"error": {"message": "Overloaded"}}, "server_error"),
    ],
)
def test_embed_reports_an_answer_without_vectors_as_a_failure(serve, answer, failure):
    pair = Pair(serve, answer)
    with pytest.raises(InvalidResponseError, match="arm 'a'"):
        pair.chat.embed("hi", route={"arms": ["a"]})
    assert [kind for *_, kind in pair.reports] == [failure]


def test_embed_takes_a_total_for_the_input(serve):
    pair = Pair(serve, {"object": "list", "model": "m", "data": [VECTOR], "usage": {"total_tokens": 3}})
    assert pair.chat.embed("hi", route={"arms": ["a"]}).cost_usd == pytest.approx(3e-6)


@pytest.mark.parametrize("anthropic", [False, True])
def test_a_raw_response_is_read_and_given_as_it_is(serve, anthropic):
    pair = Pair(serve, message() if anthropic else chat(), anthropic=anthropic)
    client = RoutedClient(make_router(["a"]), {"a": pair.client.with_raw_response})
    answer = client.create(MESSAGES)
    assert (answer.text, answer.cost_usd) == ("hi", pytest.approx(COST_USD))
    assert answer.response.headers["content-type"] == "application/json"


def test_a_raw_response_is_streamed(serve):
    pair = Pair(serve, [chunk({"content": "hi"})])
    client = RoutedClient(make_router(["a"]), {"a": pair.client.with_raw_response})
    with client.create(MESSAGES, stream=True) as stream:
        assert len(list(stream)) == 1
    assert stream.answer.text == "hi"


def test_a_streaming_response_client_is_refused(serve):
    pair = Pair(serve, chat())
    with pytest.raises(InvalidConfigurationError, match="with_streaming_response"):
        RoutedClient(make_router(["a"]), {"a": pair.client.with_streaming_response})


def refusing(option, words):
    def answer(body):
        if option in body:
            return 400, {"error": {"message": words, "param": option, "code": "unsupported_parameter"}}
        return 200, chat("fine")

    return answer


@pytest.mark.parametrize("option", ["temperature", "top_p", "seed"])
def test_a_sampling_option_that_a_model_refuses_is_left_out_for_it(serve, option):
    pair = Pair(serve, refusing(option, f"Unsupported value: '{option}' does not support 1 with this model."))
    assert [pair.chat.create(MESSAGES, **{option: 1}).text for _ in range(2)] == ["fine", "fine"]
    assert [option in body for body in pair.asked] == [True, False, False]
    assert [(arm, failure) for arm, _, failure in pair.reports] == [("a", None)] * 2


@pytest.mark.parametrize("option", ["max_tokens", "max_completion_tokens"])
def test_a_token_limit_is_given_by_the_name_that_a_model_knows(serve, option):
    pair = Pair(serve, refusing(option, f"Unsupported parameter: '{option}' is not supported with this model."))
    (other,) = {"max_tokens", "max_completion_tokens"} - {option}
    assert [pair.chat.create(MESSAGES, **{option: 50}).text for _ in range(2)] == ["fine", "fine"]
    assert [body.get(other) for body in pair.asked] == [None, 50, 50]


def test_a_token_limit_that_is_refused_by_both_names_goes_to_the_next_arm(serve):
    words = "Unsupported parameter: max_tokens and max_completion_tokens are not supported."
    pair = Pair(serve, lambda body: (400, {"error": {"message": words}}))
    assert pair.chat.create(MESSAGES, max_tokens=50).text == "answer of b"
    assert len(pair.asked) == 2


def test_a_token_limit_that_is_too_large_keeps_its_name(serve):
    words = "max_tokens is too large: 100000. This model supports at most 16384 completion tokens."
    pair = Pair(serve, lambda body: (400, {"error": {"message": words, "param": "max_tokens"}}))
    assert pair.chat.create(MESSAGES, max_tokens=100_000).text == "answer of b"
    assert len(pair.asked) == 1


@pytest.mark.parametrize("option", ["stop", "tools"])
def test_an_option_that_the_answer_depends_on_is_never_left_out(serve, option):
    pair = Pair(serve, refusing(option, f"Unsupported parameter: '{option}' is not supported with this model."))
    value = ["x"] if option == "stop" else [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert pair.chat.create(MESSAGES, **{option: value}).text == "answer of b"
    assert len(pair.asked) == 1


def test_an_arms_own_option_is_never_left_out(serve):
    pair = Pair(serve, refusing("temperature", "Unsupported value: 'temperature'"))
    assert pair.chat.create(MESSAGES, options={"a": {"temperature": 0}}).text == "answer of b"


def test_an_option_that_is_not_given_is_not_sent(serve):
    pair = Pair(serve, message(), anthropic=True)
    assert pair.chat.create(MESSAGES, max_tokens=None, seed=openai.NOT_GIVEN, stop=openai.omit).text == "hi"
    assert pair.asked[0].keys() == {"max_tokens", "messages", "model"}


@pytest.mark.parametrize("wrong", [5, None, {"stream": True}, {"messages": []}])
def test_options_of_one_arm_are_checked(serve, wrong):
    pair = Pair(serve, chat())
    with pytest.raises(InvalidRequestError, match="arm 'a'"):
        pair.chat.create(MESSAGES, options={"a": wrong})
    assert not pair.asked
