"""Answers and streams that come with status 200 and say that they failed, of every interface."""

import openai
import pytest

from banditroute.integrations import RoutedClient
from tests.integrations.pairs import MESSAGES, USAGE, Pair, chat, chunk, make_router, message
from tests.integrations.test_kinds import EVENTS, response
from tests.support import store_of

CREATED = {"type": "response.created", "response": response(status="in_progress", output=[], usage=None)}
TEXT = {"type": "response.output_text.delta", "item_id": "o", "delta": "he", "logprobs": []}
ERROR = {"type": "error", "code": "server_error", "message": "boom", "param": None}
FILTERED = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "output": []}


def failed(code):
    return response(status="failed", error={"code": code, "message": "no"}, output=[])


def ended(finish, content=""):
    return chunk({}, choices=[{"index": 0, "delta": {"content": content}, "finish_reason": finish}])


def responding(serve, answer_of_a):
    """Return a routed client whose arm a answers so on the Responses interface, and b well."""

    def answer(path, body):
        if body["model"] == "a":
            return 200, answer_of_a
        return 200, EVENTS if body.get("stream") else response()

    client = openai.OpenAI(base_url=f"{serve(answer)}/v1", api_key="x", max_retries=0)
    return RoutedClient(make_router(), {"a": client, "b": client})


def failures(chat_):
    return [(arm, failure) for arm, _, failure in store_of(chat_.router).reports]


class TestResponses:
    @pytest.mark.parametrize(
        ("given", "failure"),
        [
            (failed("rate_limit_exceeded"), "rate_limit"),
            (failed("server_error"), "server_error"),
            (response(status="failed", output=[]), "server_error"),
            (response(status="cancelled", output=[]), "server_error"),
            (response(**FILTERED), "content_filter"),
        ],
    )
    def test_failed_answer_goes_to_the_next_arm(self, serve, given, failure):
        asked = responding(serve, given)
        assert asked.respond("hi").text == "hi"
        assert failures(asked) == [("a", failure), ("b", None)]

    def test_answer_that_a_filter_cut_is_an_answer(self, serve):
        asked = responding(serve, response("he", status="incomplete", incomplete_details={"reason": "content_filter"}))
        assert asked.respond("hi").text == "he"
        assert failures(asked) == [("a", None)]

    @pytest.mark.parametrize(
        ("events", "failure"),
        [
            ([CREATED, {"type": "response.failed", "response": failed("server_error")}], "server_error"),
            ([CREATED, {"type": "response.failed", "response": failed("rate_limit_exceeded")}], "rate_limit"),
            ([CREATED, {"type": "response.incomplete", "response": response(**FILTERED)}], "content_filter"),
            ([ERROR], "server_error"),
        ],
    )
    def test_stream_that_fails_before_its_text_goes_to_the_next_arm(self, serve, events, failure):
        asked = responding(serve, events)
        stream = asked.respond("hi", stream=True)
        list(stream)
        assert stream.answer.text == "hi"
        assert failures(asked) == [("a", failure), ("b", None)]

    @pytest.mark.parametrize("last", [{"type": "response.failed", "response": failed("server_error")}, ERROR])
    def test_stream_that_fails_half_way_is_no_success(self, serve, last):
        asked = responding(serve, [TEXT, last])
        assert len(list(asked.respond("hi", stream=True))) == 2
        assert failures(asked) == [("a", "server_error")]
        outcomes = store_of(asked.router).reports[0][1]
        assert outcomes["availability"] == 0.0
        assert outcomes["cost_usd"] > 0.0
        assert "latency_seconds" not in outcomes


class TestChat:
    @pytest.mark.parametrize(("finish", "failure"), [("content_filter", "content_filter"), ("error", "server_error")])
    def test_stream_that_ends_without_text_goes_to_the_next_arm(self, serve, finish, failure):
        pair = Pair(serve, [chunk({"role": "assistant", "content": ""}), ended(finish)])
        stream = pair.chat.create(MESSAGES, stream=True)
        list(stream)
        assert stream.answer.text == "answer of b"
        assert failures(pair.chat) == [("a", failure), ("b", None)]

    @pytest.mark.parametrize(("finish", "failure"), [("content_filter", None), ("error", "server_error")])
    def test_stream_that_ends_after_text(self, serve, finish, failure):
        pair = Pair(serve, [chunk({"content": "he"}), ended(finish)])
        stream = pair.chat.create(MESSAGES, stream=True)
        list(stream)
        assert stream.answer.text == "he"
        assert failures(pair.chat) == [("a", failure)]

    @pytest.mark.parametrize(
        "last",
        [
            chunk({}, choices=[{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]),
            chunk({}, choices=[], x_groq={"id": "1", "usage": USAGE}),
        ],
    )
    def test_usage_may_stand_in_a_choice_or_apart(self, serve, last):
        pair = Pair(serve, [chunk({"content": "hi"}), last])
        list(pair.chat.create(MESSAGES, stream=True))
        assert pair.reports[0][1]["output_tokens"] == 5

    def test_function_call_of_the_old_form_begins_an_answer(self, serve):
        pair = Pair(serve, [chunk({"function_call": {"name": "f", "arguments": ""}})])
        assert pair.chat.create(MESSAGES, stream=True).decision.arm == "a"

    def test_message_in_place_of_a_delta_is_read(self, serve):
        choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
        stream = Pair(serve, [chunk({}, choices=[choice])]).chat.create(MESSAGES, stream=True)
        list(stream)
        assert stream.answer.text == "hi"

    def test_cache_hits_of_deepseek_are_cached_tokens(self, serve):
        pair = Pair(serve, chat("hi", usage={**USAGE, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 2}))
        assert pair.chat.create(MESSAGES).usage.cached_input_tokens == 8


def test_stream_that_anthropic_refuses_goes_to_the_next_arm(serve):
    events = [
        {"type": "message_start", "message": message(content=[])},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ]
    pair = Pair(serve, events, anthropic=True)
    stream = pair.chat.create(MESSAGES, stream=True)
    list(stream)
    assert stream.answer.text == "answer of b"
    assert failures(pair.chat) == [("a", "content_filter"), ("b", None)]


def test_stream_that_is_left_costs_what_was_read_from_the_cache(serve):
    usage = {"input_tokens": 10, "output_tokens": 0, "cache_read_input_tokens": 90}
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hi there"}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    pair = Pair(
        serve,
        [{"type": "message_start", "message": message(content=[], usage=usage)}, block, text, text],
        anthropic=True,
        arm={"cached_input_usd_per_million_tokens": 0.1},
    )
    with pair.chat.create(MESSAGES, stream=True) as stream:
        next(chunk_ for chunk_ in stream if chunk_.type == "content_block_delta")
    assert pair.reports[0][1]["cost_usd"] == pytest.approx((10 * 1.0 + 90 * 0.1 + 2 * 10.0) / 1e6)
