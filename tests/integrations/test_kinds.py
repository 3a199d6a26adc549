"""Parsed answers, the Responses interface and embeddings, with the real packages."""

import json

import anthropic
import openai
import pytest
from pydantic import BaseModel

from banditroute import InvalidRequestError
from banditroute.integrations import AsyncRoutedClient, RoutedClient
from tests.integrations.pairs import chat, make_router, message, response
from tests.support import store_of


class City(BaseModel):
    name: str


EVENTS = [
    {"type": "response.created", "sequence_number": 0, "response": response(output=[], usage=None)},
    {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "o", "delta": "hi", "logprobs": []},
    {"type": "response.completed", "sequence_number": 2, "response": response()},
]


def good(path, body):
    if path == "/v1/chat/completions":
        return 200, chat(json.dumps({"name": "Turku"}))
    if path == "/v1/messages":
        return 200, message(json.dumps({"name": "Turku"}))
    if path == "/v1/responses":
        return 200, EVENTS if body.get("stream") else response()
    if path == "/v1/embeddings":
        vectors = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}]
        usage = {"prompt_tokens": 10, "total_tokens": 10}
        return 200, {"object": "list", "model": "m", "data": vectors, "usage": usage}
    return 404, {"error": {"message": f"no {path}"}}


def routed(serve, answer_of_a):
    def answer(path, body):
        return answer_of_a(path, body) if body["model"] == "a" else good(path, body)

    url = serve(answer)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0)
    return RoutedClient(make_router(), {"a": client, "b": client}), url


def reports(chat_):
    return store_of(chat_.router).reports


class TestParse:
    @pytest.mark.parametrize("is_anthropic", [False, True])
    def test_gives_the_object(self, serve, is_anthropic):
        chat_, url = routed(serve, good)
        if is_anthropic:
            chat_.add_client("a", anthropic.Anthropic(base_url=url, api_key="x"))
        answer = chat_.parse("Which city?", response_format=City)
        assert answer.parsed == City(name="Turku")
        assert (answer.decision.arm, answer.usage.output_tokens) == ("a", 5)

    def test_an_answer_of_another_form_is_a_failure_of_the_arm(self, serve):
        chat_, _ = routed(serve, lambda path, body: (200, chat("Turku, I think")))
        assert chat_.parse("Which city?", response_format=City).parsed == City(name="Turku")
        assert reports(chat_)[0][2] == "invalid_response"

    def test_an_answer_that_is_cut_off_is_paid_for(self, serve):
        cut = chat(choices=[{"index": 0, "finish_reason": "length", "message": {"role": "assistant", "content": "{"}}])
        chat_, _ = routed(serve, lambda path, body: (200, cut))
        assert chat_.parse("Which city?", response_format=City).decision.arm == "b"
        assert reports(chat_)[0] == ("a", {"availability": 0.0, "cost_usd": pytest.approx(60e-6)}, "invalid_response")


class TestRespond:
    @pytest.mark.parametrize(
        "given",
        [
            "Why?",
            [{"role": "user", "content": "Why?"}],
            [{"type": "reasoning", "id": "x"}, {"role": "user", "content": "Why?"}],
        ],
    )
    def test_an_answer(self, serve, given):
        seen = []
        chat_, _ = routed(serve, lambda path, body: (seen.append(body), good(path, body))[1])
        answer = chat_.respond(given, temperature=0)
        assert (answer.text, answer.usage.cached_input_tokens, answer.usage.reasoning_tokens) == ("hi", 4, 2)
        assert (seen[0]["input"], seen[0]["temperature"]) == (given, 0)
        assert reports(chat_)[0][1].keys() == {"latency_seconds", "output_tokens", "cost_usd"}

    def test_items_of_an_answer_go_back(self, serve):
        chat_, _ = routed(serve, good)
        output = chat_.respond("Why?").response.output
        assert (
            chat_.respond([{"role": "user", "content": "Why?"}, *output, {"role": "user", "content": "And?"}]).text
            == "hi"
        )

    def test_a_stream(self, serve):
        chat_, _ = routed(serve, good)
        with chat_.respond("Why?", stream=True) as stream:
            assert len(list(stream)) == 3
        assert (stream.answer.text, stream.answer.usage.output_tokens) == ("hi", 5)
        assert stream.answer.first_token_seconds is not None

    @pytest.mark.parametrize(
        ("given", "failure"),
        [
            (response(status="failed", error={"code": "server_error", "message": "x"}), "server_error"),
            ({"error": {"message": "x", "code": 429}}, "rate_limit"),
            ({}, "invalid_response"),
            ("<html>", "invalid_response"),
        ],
    )
    def test_an_unusable_answer(self, serve, given, failure):
        chat_, _ = routed(serve, lambda path, body: (200, given))
        assert chat_.respond("Why?").decision.arm == "b"
        assert reports(chat_)[0][2] == failure

    def test_text_format_gives_an_object(self, serve):
        content = [{"type": "output_text", "text": City(name="Turku").model_dump_json(), "annotations": []}]
        found = response(output=[{**response()["output"][1], "content": content}])
        chat_, _ = routed(serve, lambda path, body: (200, found))
        answer = chat_.respond("Which city?", text_format=City)
        assert (answer.parsed, answer.decision.arm) == (City(name="Turku"), "a")
        assert reports(chat_)[0][1].keys() == {"latency_seconds", "output_tokens", "cost_usd"}

    def test_object_that_does_not_fit_is_a_failure_of_the_arm(self, serve):
        chat_, _ = routed(serve, good)
        with pytest.raises(ValueError, match="City"):
            chat_.respond("Which city?", text_format=City)
        assert [report[2] for report in reports(chat_)] == ["invalid_response"] * 2

    def test_object_is_not_streamed(self, serve):
        chat_, _ = routed(serve, good)
        with pytest.raises(InvalidRequestError, match="not streamed; leave out"):
            chat_.respond("Which city?", text_format=City, stream=True)

    def test_only_arms_whose_clients_have_it_are_chosen(self, serve):
        chat_, url = routed(serve, good)
        chat_.add_client("a", anthropic.Anthropic(base_url=url, api_key="x"))
        assert chat_.respond("Why?").decision.arms == ("b",)
        with pytest.raises(InvalidRequestError, match=r"no client for respond\(\) of arm a"):
            chat_.respond("Why?", route={"arms": ["a"]})


class TestEmbed:
    @pytest.mark.parametrize("given", ["Turku", ["Turku", "Oulu"]])
    def test_an_answer(self, serve, given):
        chat_, _ = routed(serve, good)
        answer = chat_.embed(given)
        assert answer.response.data[0].embedding == [0.5, 0.5]
        assert (answer.usage.input_tokens, answer.cost_usd) == (10, pytest.approx(10 / 1e6))

    def test_a_failure(self, serve):
        chat_, _ = routed(serve, lambda path, body: (500, {"error": {"message": "x"}}))
        assert chat_.embed("Turku").decision.arm == "b"

    def test_answer_without_vectors_is_a_failure_of_the_arm(self, serve):
        empty = {"object": "list", "model": "m", "data": [], "usage": {"prompt_tokens": 10, "total_tokens": 10}}
        chat_, _ = routed(serve, lambda path, body: (200, empty))
        assert chat_.embed("Turku").decision.arm == "b"
        assert reports(chat_)[0][2] == "invalid_response"

    @pytest.mark.parametrize("wrong", [7, [], [7], None])
    def test_other_things_are_refused(self, serve, wrong):
        chat_, _ = routed(serve, good)
        with pytest.raises(InvalidRequestError, match="give a text or a list of texts"):
            chat_.embed(wrong)


async def test_all_kinds_on_the_event_loop(serve):
    url = serve(good)
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="x", max_retries=0) as client:
        chat_ = AsyncRoutedClient(make_router(("a",)), {"a": client})
        assert (await chat_.create("Why?")).text
        assert (await chat_.parse("Which city?", response_format=City)).parsed == City(name="Turku")
        assert (await chat_.respond("Why?")).text == "hi"
        async with await chat_.respond("Why?", stream=True) as stream:
            assert len([each async for each in stream]) == 3
        assert (await chat_.embed("Turku")).response.data
        assert len(reports(chat_)) == 5
