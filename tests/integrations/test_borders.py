"""What servers send that is not as documented: no paid answer is lost, and each failure has its class."""

import logging

import anthropic
import openai
import pytest

from banditroute import InvalidRequestError, InvalidResponseError
from banditroute.core import Failure
from banditroute.integrations import AsyncRoutedClient, RoutedClient
from tests.integrations.pairs import MESSAGES, Pair, chat, chunk, make_router, message
from tests.support import store_of

ODD_USAGE = {
    "reasoning next to the output": (
        {
            "prompt_tokens": 32,
            "completion_tokens": 9,
            "total_tokens": 135,
            "completion_tokens_details": {"reasoning_tokens": 94},
        },
        {"output_tokens": 103.0, "cost_usd": (32 + 10 * 103) / 1e6},
    ),
    "reasoning next to a longer output": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 9,
            "total_tokens": 24,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        {"output_tokens": 14.0, "cost_usd": (10 + 10 * 14) / 1e6},
    ),
    "reasoning inside the output": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 9,
            "total_tokens": 19,
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
        {"output_tokens": 9.0, "cost_usd": (10 + 10 * 9) / 1e6},
    ),
    "only a total": ({"total_tokens": 7}, {}),
    "empty": ({}, {}),
    "null": (None, {}),
    "null parts": ({"prompt_tokens": None, "completion_tokens": 5, "total_tokens": 5}, {"output_tokens": 5.0}),
    "more cached than input": (
        {
            "prompt_tokens": 10,
            "completion_tokens": 5,
            "total_tokens": 15,
            "prompt_tokens_details": {"cached_tokens": 64},
        },
        {"output_tokens": 5.0},
    ),
    "negative": ({"prompt_tokens": -1, "completion_tokens": -5, "total_tokens": 5}, {}),
    "words": ({"prompt_tokens": "ten", "completion_tokens": "five", "total_tokens": "15"}, {}),
    "a text": ("15 tokens", {}),
    "a list": ([1, 2], {}),
    "parts of another type": (
        {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_tokens_details": 3, "x": {"y": 1}},
        {"output_tokens": 5.0, "cost_usd": 60e-6},
    ),
    "huge": ({"prompt_tokens": 10**30, "completion_tokens": 10**30, "total_tokens": 1}, {}),
}


@pytest.mark.parametrize("usage", ODD_USAGE)
def test_odd_usage_loses_no_answer(serve, usage):
    given, known = ODD_USAGE[usage]
    pair = Pair(serve, chat("fine", given))
    answer = pair.chat.create(MESSAGES)
    assert answer.text == "fine"
    ((arm, outcomes, failure),) = pair.reports
    assert (arm, failure) == ("a", None)
    assert {name: value for name, value in outcomes.items() if name != "latency_seconds"} == pytest.approx(known)
    assert outcomes["latency_seconds"] == answer.latency_seconds
    missing = {"output_tokens", "cost_usd"} - known.keys()
    assert pair.chat.left_out == dict.fromkeys(missing, 1)


@pytest.mark.parametrize("usage", ODD_USAGE)
def test_odd_usage_loses_no_stream(serve, usage):
    given, known = ODD_USAGE[usage]
    pair = Pair(serve, [chunk({"content": "fine"}), chunk({}, choices=[], usage=given)])
    stream = pair.chat.create(MESSAGES, stream=True)
    assert len(list(stream)) == 2
    assert stream.answer.text == "fine"
    ((_, outcomes, _),) = pair.reports
    assert {name: value for name, value in outcomes.items() if name != "latency_seconds"} == pytest.approx(known)


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"input_tokens": None, "output_tokens": 5},
        {"output_tokens": "x"},
        {"cache_read_input_tokens": -3},
        "odd",
    ],
)
def test_odd_usage_of_anthropic_loses_no_answer(serve, usage):
    pair = Pair(serve, message("fine", usage=usage), anthropic=True)
    assert pair.chat.create(MESSAGES).text == "fine"
    assert pair.reports[0][1]["latency_seconds"] > 0.0


def test_dollars_that_the_server_reports_count_where_no_price_is_known(serve):
    pair = Pair(serve, chat("fine", {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "cost": 0.125}))
    pair.chat._targets["a"].price = None
    assert pair.chat.create(MESSAGES).cost_usd == 0.125


def test_an_answer_survives_a_store_that_raises_anything(serve, caplog):
    pair = Pair(serve, chat("fine"))

    def explode(feedback):
        raise ValueError("a bug of the store")

    store_of(pair.router).add_feedback = explode
    with caplog.at_level(logging.ERROR, logger="banditroute"):
        assert pair.chat.create(MESSAGES).text == "fine"
        assert len(list(pair.chat.create(MESSAGES, stream=True, route={"arms": ["b"]}))) == 1
    assert caplog.text.count("a bug of the store") == 2


class TestUnusableAnswers:
    """With status 200, and no answer in it: the arm failed, and the next one is asked."""

    @pytest.mark.parametrize(
        ("given", "failure"),
        [
            ("5", "invalid_response"),
            ({"error": {"message": "provider is overloaded", "code": 502}}, "server_error"),
            ({"error": {"message": "slow down", "code": 429}}, "rate_limit"),
            ({"error": "no money left: insufficient credits"}, "insufficient_credit"),
            (chat(choices=[]), "invalid_response"),
            (chat(choices=None), "invalid_response"),
            ({}, "invalid_response"),
            ("<html>log in</html>", "invalid_response"),
            ('{"id": "c", "choi', "invalid_response"),
            ({"choices": [{"index": 0, "finish_reason": "content_filter", "message": None}]}, "content_filter"),
            ({"choices": [{"index": 0, "finish_reason": "stop", "message": None}]}, "invalid_response"),
            ({"choices": [{"finish_reason": "content_filter", "message": {"content": ""}}]}, "content_filter"),
            ({"choices": [{"finish_reason": "error", "message": {"content": None}}]}, "server_error"),
            ({"choices": [None]}, "invalid_response"),
            ({"choices": "odd"}, "invalid_response"),
        ],
    )
    def test_unusable_answer_of_openai_goes_to_the_next_arm(self, serve, given, failure):
        pair = Pair(serve, given)
        answer = pair.chat.create(MESSAGES)
        assert answer.text == "answer of b"
        assert [(arm, failed) for arm, _, failed in pair.reports] == [("a", failure), ("b", None)]
        assert [arm for arm, _ in answer.failures] == ["a"]

    @pytest.mark.parametrize(
        "given",
        [{"type": "error", "error": {"type": "api_error", "message": "x"}}, {}, "<html>", message(content=None)],
    )
    def test_unusable_answer_of_anthropic_goes_to_the_next_arm(self, serve, given):
        pair = Pair(serve, given, anthropic=True)
        assert pair.chat.create(MESSAGES).text == "answer of b"
        assert pair.reports[0][1] == {"availability": 0.0}

    @pytest.mark.parametrize(
        "given", ["<html>log in</html>", [], [chunk({}, choices=[])], [chunk({"role": "assistant"})]]
    )
    def test_unusable_stream_goes_to_the_next_arm(self, serve, given):
        pair = Pair(serve, given)
        stream = pair.chat.create(MESSAGES, stream=True)
        list(stream)
        assert stream.answer.text == "answer of b"
        assert pair.reports[0][2] == "invalid_response"

    def test_unusable_answer_of_the_last_arm_is_raised_with_the_response(self, serve):
        pair = Pair(serve, chat(choices=[]))
        with pytest.raises(InvalidResponseError, match="arm 'a': the answer has no choices") as caught:
            pair.chat.create(MESSAGES, route={"arms": ["a"]})
        assert caught.value.response.id == "c"
        assert caught.value.failure == "invalid_response"

    def test_tool_calls_and_refusals_are_answers(self, serve):
        calls = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        for said in ({"content": None, "tool_calls": calls}, {"content": None, "refusal": "no"}):
            answer = chat(choices=[{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", **said}}])
            pair = Pair(serve, answer)
            assert pair.chat.create(MESSAGES).decision.arm == "a"

    def test_an_answer_that_cannot_be_read_is_given_as_it_is(self, serve, monkeypatch, caplog):
        pair = Pair(serve, chat("fine"))
        monkeypatch.setattr("banditroute.integrations.apis.openai.text", lambda content: 1 / 0)
        answer = pair.chat.create(MESSAGES)
        assert answer.response.choices[0].message.content == "fine"
        assert (answer.text, answer.usage) == ("", None)
        assert "cannot be read" in caplog.text


REFUSALS = {
    "no credit": (
        400,
        {"message": "Your credit balance is too low", "type": "invalid_request_error"},
        "insufficient_credit",
    ),
    "no quota": (
        429,
        {"message": "You exceeded your current quota", "code": "insufficient_quota"},
        "insufficient_credit",
    ),
    "payment": (402, {"message": "pay"}, "insufficient_credit"),
    "bad key": (400, {"message": "API key not valid", "code": 400}, "authentication"),
    "unauthorized": (401, {"message": "no"}, "authentication"),
    "forbidden": (403, {"message": "your region"}, "authentication"),
    "context": (
        400,
        {"message": "maximum context length is 8192 tokens", "code": "context_length_exceeded"},
        "context_length",
    ),
    "context of anthropic": (400, {"message": "prompt is too long: 210000 tokens > 200000 maximum"}, "context_length"),
    "context of vllm": (
        400,
        {"message": "This model's maximum context length is 4096 tokens. However, you"},
        "context_length",
    ),
    "context of gemini": (
        400,
        {"message": "The input token count (5) exceeds the maximum number of tokens"},
        "context_length",
    ),
    "parameter": (
        400,
        {"message": "Unsupported parameter: 'temperature'", "code": "unsupported"},
        "unsupported_parameter",
    ),
    "value": (
        400,
        {"message": "'temperature' does not support 0.2 with this model", "code": "unsupported_value"},
        "unsupported_parameter",
    ),
    "no tools": (400, {"message": "this model does not support tools"}, "unsupported_parameter"),
    "extra": (422, {"message": "Extra inputs are not permitted"}, "unsupported_parameter"),
    "filter": (400, {"message": "The response was filtered", "code": "content_filter"}, "content_filter"),
    "policy": (403, {"message": "content policy violation"}, "content_filter"),
    "model": (404, {"message": "The model `x` does not exist", "code": "model_not_found"}, "unknown_model"),
    "model in a 400": (400, {"message": "x is not a valid model ID"}, "unknown_model"),
    "retired": (400, {"message": "The model x has been decommissioned and is no longer supported"}, "unknown_model"),
    "busy": (429, {"message": "Rate limit reached"}, "rate_limit"),
    "conflict": (409, {"message": "try again"}, "server_error"),
    "overloaded": (529, {"message": "overloaded"}, "server_error"),
    "slow": (408, {"message": "took too long"}, "timeout"),
    "large": (413, {"message": "Payload Too Large"}, "context_length"),
    "behind": (424, {"message": "Generation failed"}, "server_error"),
    "law": (451, {"message": "Unavailable For Legal Reasons"}, "content_filter"),
    "full": (498, {"message": "capacity exceeded"}, "rate_limit"),
}


@pytest.mark.parametrize("refusal", REFUSALS)
def test_request_that_one_arm_refuses_goes_to_another(serve, refusal):
    status, error, failure = REFUSALS[refusal]
    pair = Pair(serve, lambda body: (status, {"error": error}), breaker=None)
    for _ in range(8):
        assert pair.chat.create(MESSAGES, temperature=0).text == "answer of b"
    assert [failed for arm, _, failed in pair.reports if arm == "a"] == [failure] * 8
    availability = {"availability": 0.0} if Failure(failure).blames_arm else {}
    assert pair.reports[0][1] == availability


@pytest.mark.parametrize(
    "error",
    [
        {"message": "Invalid type for 'messages[0].content': expected a string"},
        {"message": "messages: roles must alternate between user and assistant"},
        {"message": "'tools' is a required property"},
        {},
    ],
)
def test_request_that_every_arm_would_refuse_is_raised_at_once(serve, error):
    pair = Pair(serve, lambda body: (400, {"error": error}))
    with pytest.raises(openai.BadRequestError):
        pair.chat.create(MESSAGES)
    assert (len(pair.asked), pair.reports) == (1, [])


class TestRetryAfter:
    def test_leaves_the_arm_alone_that_long(self, serve):
        now = [1e9]
        pair = Pair(
            serve, lambda body: (429, {"error": {"message": "slow"}}, ("Retry-After", "3600")), clock=lambda: now[0]
        )
        for _ in range(60):
            now[0] += 10
            assert pair.chat.create(MESSAGES).text == "answer of b"
        assert len(pair.asked) == 1
        now[0] += 3600
        pair.chat.create(MESSAGES)
        assert len(pair.asked) == 2

    @pytest.mark.parametrize(
        ("status", "header"),
        [(429, ("retry-after-ms", "3600000")), (503, ("Retry-After", "3600")), (529, ("retry-after", "3600"))],
    )
    def test_retry_after_is_read_from_all_its_headers(self, serve, status, header):
        pair = Pair(serve, lambda body: (status, {"error": {"message": "slow"}}, header), clock=lambda: 1e9)
        for _ in range(5):
            pair.chat.create(MESSAGES)
        assert len(pair.asked) == 1
        assert pair.reports[0][2] == "rate_limit"

    @pytest.mark.parametrize("value", ["soon", "-5", "", "inf"])
    def test_unreadable_retry_after_is_ignored(self, serve, value):
        pair = Pair(serve, lambda body: (429, {"error": {"message": "slow"}}, ("Retry-After", value)))
        assert pair.chat.create(MESSAGES).text == "answer of b"
        assert pair.reports[0][2] == "rate_limit"

    def test_clients_do_not_sleep_it_out_where_another_arm_can_be_asked(self, serve):
        """The clients retry twice by themselves, and would sleep here for a second each time."""
        pair = Pair(serve, lambda body: (429, {"error": {"message": "slow"}}, ("Retry-After", "1")))
        patient = openai.OpenAI(base_url=f"{pair.url}/v1", api_key="x", max_retries=2)
        chat = RoutedClient(pair.router, {"a": patient, "b": pair.openai})
        assert chat.create(MESSAGES).text == "answer of b"
        assert len(pair.asked) == 1

    def test_clients_retry_where_there_is_no_other_arm(self, serve):
        answers = iter([(500, {"error": {"message": "x"}}), (200, chat("at last"))])
        pair = Pair(serve, lambda body: next(answers))
        patient = openai.OpenAI(base_url=f"{pair.url}/v1", api_key="x", max_retries=1)
        chat_ = RoutedClient(pair.router, {"a": patient, "b": pair.openai})
        assert chat_.create(MESSAGES, route={"arms": ["a"]}).text == "at last"


class TestStreams:
    def test_chunks_without_a_delta_or_choices_pass_through(self, serve):
        bare = chunk({}, choices=[{"index": 0, "finish_reason": None, "content_filter_offsets": {"check_offset": 1}}])
        first = chunk({}, choices=[], prompt_filter_results=[])
        pair = Pair(serve, [first, chunk({"content": "he"}), bare, chunk({"content": "llo"}), chunk(None)])
        stream = pair.chat.create(MESSAGES, stream=True)
        assert len(list(stream)) == 5
        assert stream.answer.text == "hello"

    def test_first_of_several_answers_is_the_text(self, serve):
        second = chunk({}, choices=[{"index": 1, "delta": {"content": "NO"}, "finish_reason": None}])
        pair = Pair(serve, [chunk({"content": "he"}), second, chunk({"content": "llo"}), second])
        stream = pair.chat.create(MESSAGES, stream=True, n=2)
        assert len(list(stream)) == 4
        assert stream.answer.text == "hello"

    def test_content_may_be_a_list_of_parts(self, serve):
        pair = Pair(serve, [chunk({"content": [{"type": "text", "text": "hello"}]})])
        stream = pair.chat.create(MESSAGES, stream=True)
        list(stream)
        assert stream.answer.text == "hello"

    @pytest.mark.parametrize(
        "delta",
        [{"refusal": "no"}, {"tool_calls": [{"index": 0, "function": {"name": "f"}}]}, {"reasoning_content": "hm"}],
    )
    def test_refusals_tool_calls_and_reasoning_begin_an_answer(self, serve, delta):
        pair = Pair(serve, [chunk({"role": "assistant"}), chunk(delta)])
        stream = pair.chat.create(MESSAGES, stream=True)
        assert len(list(stream)) == 2
        assert stream.decision.arm == "a"
        assert stream.answer.first_token_seconds is not None

    def test_usage_may_come_with_every_chunk(self, serve):
        def usage(n):
            return {"prompt_tokens": 10, "completion_tokens": n, "total_tokens": 10 + n}

        pair = Pair(serve, [chunk({"content": "he"}, usage=usage(1)), chunk({"content": "llo"}, usage=usage(2))])
        stream = pair.chat.create(MESSAGES, stream=True)
        list(stream)
        assert stream.answer.usage.output_tokens == 2

    def test_anthropic_may_report_input_at_the_end(self, serve):
        events = [
            {"type": "message_start", "message": message(content=[], usage={"input_tokens": 0, "output_tokens": 0})},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"input_tokens": 100, "cache_read_input_tokens": 20, "output_tokens": 5},
            },
            {"type": "message_stop"},
        ]
        pair = Pair(serve, events, anthropic=True)
        stream = pair.chat.create(MESSAGES, stream=True)
        assert len(list(stream)) == 5
        assert (stream.answer.text, stream.answer.usage.input_tokens) == ("hello", 120)
        assert stream.answer.usage.cached_input_tokens == 20

    def test_an_error_before_the_first_text_goes_to_the_next_arm(self, serve):
        events = [
            {"type": "message_start", "message": message(content=[])},
            {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
        ]
        pair = Pair(serve, events, anthropic=True)
        stream = pair.chat.create(MESSAGES, stream=True)
        list(stream)
        assert stream.answer.text == "answer of b"
        assert pair.reports[0][1:] == ({"availability": 0.0, "cost_usd": 60e-6}, "server_error")

    @pytest.mark.parametrize(
        "refusal",
        [
            {"error": {"message": "stream_options is not permitted"}},
            {"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]},
        ],
    )
    def test_a_server_that_refuses_stream_options_is_asked_without_from_then_on(self, serve, refusal):
        def answer(body):
            if "stream_options" in body:
                return 422, refusal
            return 200, [chunk({"content": "x"})]

        pair = Pair(serve, answer)
        for _ in range(2):
            stream = pair.chat.create(MESSAGES, stream=True)
            assert len(list(stream)) == 1
            assert stream.decision.arm == "a"
        assert len(pair.asked) == 3


class TestOtherPackages:
    """Clients that are like openai's: their errors are recognised by attributes."""

    @pytest.mark.parametrize(
        ("attributes", "failure"),
        [
            ({"status_code": 429}, "rate_limit"),
            ({"status": 503}, "server_error"),
            ({"http_status": 401}, "authentication"),
            ({"code": 404}, "unknown_model"),
            ({"code": "429"}, "rate_limit"),
            ({"response": {"ResponseMetadata": {"HTTPStatusCode": 500}}}, "server_error"),
            ({"response": type("Response", (), {"status_code": 502, "headers": {}})()}, "server_error"),
            ({"code": lambda: type("Code", (), {"name": "RESOURCE_EXHAUSTED"})}, "rate_limit"),
        ],
    )
    def test_failure_is_read_from_the_attributes_of_foreign_errors(self, serve, attributes, failure):
        error = type("ProviderError", (Exception,), {"__module__": "groq"})("no")
        vars(error).update(attributes)
        check_failure(error, failure)

    @pytest.mark.parametrize(
        ("name", "failure"),
        [
            ("RateLimitError", "rate_limit"),
            ("ReadTimeout", "timeout"),
            ("APIConnectionError", "connection"),
            ("ContextWindowExceededError", "context_length"),
            ("ContentFilterFinishReasonError", "content_filter"),
        ],
    )
    def test_names_of_classes(self, name, failure):
        check_failure(type(name, (Exception,), {})("no"), failure)

    @pytest.mark.parametrize(
        ("error", "failure"),
        [(TimeoutError(), "timeout"), (ConnectionResetError(), "connection"), (BrokenPipeError(), "connection")],
    )
    def test_errors_of_python_are_classified(self, error, failure):
        check_failure(error, failure)

    @pytest.mark.parametrize("error", [TypeError("no"), KeyError("no"), ValueError("no"), ZeroDivisionError()])
    def test_mistakes_of_the_callers_own_are_raised(self, error):
        with pytest.raises(type(error)):
            check_failure(error, None)


class Completions:
    """Raises for model a, answers for others."""

    def __init__(self, error):
        self._error = error

    def create(self, *, model, messages, **options):
        if model == "a":
            raise self._error
        return chat("answer of b")


def client_with(create):
    completions = type("Completions", (), {"create": staticmethod(create)})()
    return type("Client", (), {"chat": type("Chat", (), {"completions": completions})()})()


def check_failure(error, failure):
    router = make_router()
    client = client_with(Completions(error).create)
    answer = RoutedClient(router, {"a": client, "b": client}).create(MESSAGES)
    assert answer.text == "answer of b"
    assert answer.failures == (("a", error),)
    assert store_of(router).reports[0][2] == failure


class TestOptions:
    @pytest.mark.parametrize(
        "option",
        [
            {"seed": 1},
            {"max_completion_tokens": 50},
            {"stop": ["x"]},
            {"stop": "x"},
            {"response_format": {"type": "json_object"}},
            {"frequency_penalty": 0.5, "presence_penalty": 0.5, "logprobs": True},
        ],
    )
    def test_options_that_anthropic_does_not_know_end_no_request(self, serve, option):
        pair = Pair(serve, message("fine"), anthropic=True)
        answer = pair.chat.create(MESSAGES, **option)
        assert (answer.text, answer.failures) == ("fine", ())

    @pytest.mark.parametrize(
        "option", [{"stop_sequences": ["x"]}, {"thinking": {"type": "disabled"}}, {"system": "Be brief."}]
    )
    def test_options_that_openai_does_not_know_end_no_request(self, serve, option):
        pair = Pair(serve, message("fine"), anthropic=True)
        pair.chat.create(MESSAGES, **option)
        assert pair.chat.create(MESSAGES, route={"arms": ["b"]}, **option).text == "answer of b"

    def test_a_dropped_option_is_logged_once(self, serve, caplog):
        pair = Pair(serve, message("fine"), anthropic=True)
        for _ in range(3):
            pair.chat.create(MESSAGES, seed=1)
        assert caplog.text.count("does not know the option 'seed'") == 1

    def test_options_take_the_clients_own_names(self, serve):
        pair = Pair(serve, message("fine"), anthropic=True)
        tool = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object"}}}
        pair.chat.create(MESSAGES, stop="x", max_completion_tokens=50, tools=[tool], tool_choice="required")
        (asked,) = pair.asked
        assert (asked["stop_sequences"], asked["max_tokens"]) == (["x"], 50)
        assert asked["tools"] == [{"name": "f", "description": "d", "input_schema": {"type": "object"}}]
        assert asked["tool_choice"] == {"type": "any"}

    def test_options_of_one_arm_go_to_it_alone(self, serve):
        pair = Pair(serve, message("fine"), anthropic=True)
        options = {"a": {"max_tokens": 7}, "b": {"seed": 3}}
        pair.chat.create(MESSAGES, options=options)
        assert pair.asked[0]["max_tokens"] == 7
        assert "seed" not in pair.asked[0]

    def test_an_unknown_option_of_one_arm_is_the_callers_mistake(self, serve):
        pair = Pair(serve, message("fine"), anthropic=True)
        with pytest.raises(TypeError, match="seed"):
            pair.chat.create(MESSAGES, options={"a": {"seed": 3}})

    def test_an_option_that_no_client_knows_is_the_callers_mistake(self, serve):
        pair = Pair(serve, message("fine"), anthropic=True)
        with pytest.raises(TypeError, match="temperatur"):
            pair.chat.create(MESSAGES, temperatur=1)

    def test_model_is_refused(self, serve):
        pair = Pair(serve, chat("fine"))
        with pytest.raises(ValueError, match="the router chooses the model"):
            pair.chat.create(MESSAGES, model="gpt-x")


class TestArmsAtRunTime:
    def test_an_added_arm_serves_once_it_has_a_client(self, serve):
        pair = Pair(serve, chat("fine"))
        pair.router.add_arm("new")
        with pytest.raises(ValueError, match=r"no client for create\(\) of arm new; give it one with add_client"):
            pair.chat.create(MESSAGES, route={"arms": ["new"]})
        assert pair.chat.create(MESSAGES).text == "fine"
        pair.chat.add_client("new", (pair.openai, "b"))
        assert pair.chat.create(MESSAGES, route={"arms": ["new"]}).text == "answer of b"

    def test_a_client_of_no_arm_is_refused(self, serve):
        pair = Pair(serve, chat("fine"))
        with pytest.raises(ValueError, match="unknown arm 'new'; known arms: a, b"):
            pair.chat.add_client("new", pair.openai)

    def test_an_arm_removed_meanwhile_hides_no_error(self, serve):
        def answer(body):
            pair.router.remove_arm("b")
            return 500, {"error": {"message": "down"}}

        pair = Pair(serve, answer)
        with pytest.raises(openai.InternalServerError, match="down"):
            pair.chat.create(MESSAGES)
        assert pair.reports[0][2] == "server_error"


class TestTokens:
    def test_are_estimated_so_that_context_windows_apply(self, serve):
        from banditroute import Arm, Router

        pair = Pair(serve, chat("fine"))
        router = Router(
            arms=[Arm(name="a", context_window_tokens=100), Arm(name="b", context_window_tokens=10_000)], seed=0
        )
        chat_ = RoutedClient(router, {"a": pair.openai, "b": pair.openai})
        for _ in range(20):
            assert chat_.create([{"role": "user", "content": "word " * 200}]).decision.arm == "b"
        assert chat_.create("word " * 200).decision.input_tokens == 254
        assert chat_.create("word " * 200, route={"input_tokens": 7}).decision.input_tokens == 7


class TestWrappers:
    def test_asynchronous_wrapper_is_known_by_its_function(self, serve):
        class Traced:
            def __init__(self, client):
                self.chat = client.chat

        client = Traced(openai.AsyncOpenAI(base_url="http://127.0.0.1:9/v1", api_key="x"))
        with pytest.raises(ValueError, match="is a Traced, whose calls are awaited"):
            RoutedClient(make_router(("a",)), {"a": client})

    def test_a_coroutine_behind_a_plain_function_is_refused_when_it_is_called(self):
        async def create(**options):
            return chat("fine")

        client = client_with(lambda **options: create(**options))
        with pytest.raises(ValueError, match="put it into an AsyncRoutedClient"):
            RoutedClient(make_router(("a",)), {"a": client}).create(MESSAGES)

    async def test_an_asynchronous_client_takes_any_awaitable(self):
        async def create(**options):
            return chat("fine")

        client = client_with(lambda **options: create(**options))
        assert (await AsyncRoutedClient(make_router(("a",)), {"a": client}).create(MESSAGES)).text == "fine"

    def test_a_blocking_client_of_the_packages_is_refused_on_the_event_loop(self, serve):
        pair = Pair(serve, chat("fine"))
        with pytest.raises(ValueError, match="whose calls block the event loop"):
            AsyncRoutedClient(pair.router, {"a": pair.openai, "b": pair.openai})

    def test_a_subclass_is_taken(self, serve):
        class Mine(anthropic.Anthropic):
            pass

        pair = Pair(serve, message("fine"))
        client = Mine(base_url=pair.url, api_key="x")
        assert RoutedClient(pair.router, {"a": client, "b": pair.openai}).create(MESSAGES).text == "fine"

    def test_a_patched_client_is_called_as_it_is(self, serve):
        """Tracers patch the client's function; a copy without retries would lose their patch."""
        pair = Pair(serve, chat("fine"))
        client = openai.OpenAI(base_url=f"{pair.url}/v1", api_key="x")
        original, calls = client.chat.completions.create, []
        client.chat.completions.create = lambda **options: (calls.append(options), original(**options))[1]
        RoutedClient(pair.router, {"a": client, "b": pair.openai}).create(MESSAGES)
        assert len(calls) == 1


class TestObjectsOfWrappers:
    def test_an_object_that_a_wrapper_made_is_the_answer(self):
        """As ``instructor`` gives: the caller's own model, with the response in a private field."""

        class City:
            name = "Turku"
            _raw_response = chat("{}")

        client = client_with(lambda **options: City())
        router = make_router()
        answer = RoutedClient(router, {"a": client, "b": client}).create(MESSAGES, response_model=City)
        assert (answer.response.name, answer.usage.output_tokens) == ("Turku", 5)
        assert store_of(router).reports[0][2] is None

    def test_an_error_that_a_wrapper_raised_has_the_class_of_its_cause(self):
        class WrapperError(Exception):
            pass

        error = WrapperError("gave up")
        error.__cause__ = TimeoutError()
        check_failure(error, "timeout")

    def test_plain_mappings_are_answers(self):
        client = client_with(lambda **options: chat("fine"))
        assert RoutedClient(make_router(), {"a": client, "b": client}).create(MESSAGES).text == "fine"

    def test_generators_are_streams(self):
        client = client_with(lambda **options: (chunk({"content": text}) for text in ("he", "llo")))
        stream = RoutedClient(make_router(), {"a": client, "b": client}).create(MESSAGES, stream=True)
        assert len(list(stream)) == 2
        assert stream.answer.text == "hello"

    async def test_asynchronous_generators_are_streams(self):
        async def create(**options):
            for text in ("he", "llo"):
                yield chunk({"content": text})

        client = client_with(create)
        routed = AsyncRoutedClient(make_router(), {"a": client, "b": client})
        async with await routed.create(MESSAGES, stream=True) as stream:
            assert len([each async for each in stream]) == 2
        assert stream.answer.text == "hello"


def test_later_events_that_know_less_do_not_take_counts_back(serve):
    start = message(content=[], usage={"input_tokens": 10, "cache_read_input_tokens": 2455, "output_tokens": 1})
    events = [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hello"}},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn"},
            "usage": {"input_tokens": 0, "output_tokens": 5},
        },
        {"type": "message_stop"},
    ]
    pair = Pair(serve, events, anthropic=True)
    stream = pair.chat.create(MESSAGES, stream=True)
    list(stream)
    usage = stream.answer.usage
    assert (usage.input_tokens, usage.cached_input_tokens, usage.output_tokens) == (2465, 2455, 5)


def test_retry_after_may_be_a_date():
    from email.utils import formatdate
    from time import time

    from banditroute.integrations.failures import retry_after_seconds

    def error(value):
        response = type("Response", (), {"headers": {"retry-after": value}})()
        made = Exception("slow")
        made.response = response
        return made

    assert 3500.0 < retry_after_seconds(error(formatdate(time() + 3600, usegmt=True))) <= 3600.0
    assert retry_after_seconds(error(formatdate(time() - 3600, usegmt=True))) == 0.0
    assert retry_after_seconds(error("soon")) is None
    assert retry_after_seconds(error("30s")) == 30.0
    assert 3500.0 < retry_after_seconds(error(f"{time() + 3600:.0f}")) <= 3601.0
    assert retry_after_seconds(error("2020-01-01T00:00:00Z")) == 0.0


class TestRequests:
    """Mistakes of the caller are found before anything is routed."""

    @pytest.mark.parametrize(
        ("messages", "options", "message"),
        [
            ([], {}, "messages is empty; give a text"),
            ((), {}, "messages is empty; give a text"),
            ("hi", {"options": {"c": {}}}, "options names an unknown arm 'c'; known arms: a, b"),
            ("hi", {"options": {"a": 5}}, "the options of arm 'a' are 5; give a mapping"),
            ("hi", {"options": ["a"]}, "options is .*; give arm -> options"),
            ("hi", {"route": 5}, r"route is 5; give options of route\(\)"),
        ],
    )
    def test_mistake_is_refused(self, serve, messages, options, message):
        pair = Pair(serve, chat())
        with pytest.raises(InvalidRequestError, match=message):
            pair.chat.create(messages, **options)
        assert pair.router.status().decisions == 0

    def test_options_of_an_arm_that_was_removed_do_no_harm(self, serve):
        pair = Pair(serve, chat())
        pair.router.remove_arm("b")
        assert pair.chat.create("hi", options={"b": {"seed": 1}}).text == "hi"

    def test_detail_of_a_refusal_says_that_the_arm_lacks_an_option(self, serve):
        detail = [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]
        pair = Pair(serve, lambda body: (422, {"detail": detail}))
        assert pair.chat.create("hi", seed=1).decision.arm == "b"
        assert pair.reports[0][2] == "unsupported_parameter"
