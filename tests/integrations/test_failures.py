"""The class of a failure, by the status and the words of a server: answers that providers were reported to give."""

import json

import openai
import pytest

from banditroute.core import Failure
from banditroute.integrations.failures import failure_of_status, retry_after_seconds
from tests.integrations.pairs import MESSAGES

WORDS = [
    (400, "invalid_request_error This model does not support image inputs", Failure.UNSUPPORTED_PARAMETER),
    (400, "Invalid content type. image_url is only supported by certain models.", Failure.UNSUPPORTED_PARAMETER),
    (
        400,
        "invalid_value Invalid value: 'input_audio'. Supported values are: 'text', 'image_url', 'refusal'.",
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (
        400,
        "Input tag 'input_audio' found using 'type' does not match any of the expected tags: 'text'",
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (
        400,
        "unsupported_value Unsupported value: 'temperature' does not support 0 with this model.",
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (400, 'Unknown name "seed": Cannot find field.', Failure.UNSUPPORTED_PARAMETER),
    (
        400,
        "max_tokens: 128000 > 8192, which is the maximum allowed number of output tokens for claude-3-5-haiku",
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (
        400,
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (400, "prompt is too long: 210000 tokens > 200000 maximum", Failure.CONTEXT_LENGTH),
    (
        400,
        "context_length_exceeded This model's maximum context length is 8192 tokens.",
        Failure.CONTEXT_LENGTH,
    ),
    (
        400,
        "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
        Failure.CONTEXT_LENGTH,
    ),
    (
        400,
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        Failure.CONTEXT_LENGTH,
    ),
    (400, "Input is too long for requested model.", Failure.CONTEXT_LENGTH),
    (
        422,
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000",
        Failure.CONTEXT_LENGTH,
    ),
    (400, "Please reduce the length of the messages or completion.", Failure.CONTEXT_LENGTH),
    (400, "Range of input length should be [1, 30720]", Failure.CONTEXT_LENGTH),
    (400, "This endpoint's maximum context length is 131072 tokens.", Failure.CONTEXT_LENGTH),
    (
        400,
        "the request exceeds the available context size. try increasing the context size or enable context shift",
        Failure.CONTEXT_LENGTH,
    ),
    (400, "The decoder prompt (length 9000) is longer than the maximum model length of 8192.", Failure.CONTEXT_LENGTH),
    (
        400,
        "content_filter The response was filtered due to Azure OpenAI's content management policy.",
        Failure.CONTENT_FILTER,
    ),
    (400, "Output blocked by content filtering policy", Failure.CONTENT_FILTER),
    (400, "data_inspection_failed Input data may contain inappropriate content.", Failure.CONTENT_FILTER),
    (400, "Content Exists Risk", Failure.CONTENT_FILTER),
    (
        400,
        "cyber_policy_violation Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
        Failure.CONTENT_FILTER,
    ),
    (400, "Your request was rejected as a result of our safety system.", Failure.CONTENT_FILTER),
    (403, 'Your chosen model requires moderation and your input was flagged for "violence"', Failure.CONTENT_FILTER),
    (400, "Your credit balance is too low to access the Anthropic API.", Failure.INSUFFICIENT_CREDIT),
    (
        429,
        "insufficient_quota You exceeded your current quota, please check your plan and billing details.",
        Failure.INSUFFICIENT_CREDIT,
    ),
    (403, "Arrearage Access denied, please make sure your account is in good standing.", Failure.INSUFFICIENT_CREDIT),
    (402, "Insufficient Balance", Failure.INSUFFICIENT_CREDIT),
    (429, "billing_hard_limit_reached Billing hard limit has been reached", Failure.INSUFFICIENT_CREDIT),
    (400, "API key not valid. Please pass a valid API key.", Failure.AUTHENTICATION),
    (401, "Incorrect API key provided", Failure.AUTHENTICATION),
    (403, "Country, region, or territory not supported", Failure.AUTHENTICATION),
    (400, "User location is not supported for the API use.", Failure.AUTHENTICATION),
    (400, "The security token included in the request is expired", Failure.AUTHENTICATION),
    (404, "The model `gpt-9` does not exist or you do not have access to it.", Failure.UNKNOWN_MODEL),
    (400, "gpt-9 is not a valid model ID", Failure.UNKNOWN_MODEL),
    (400, "Model Not Exist", Failure.UNKNOWN_MODEL),
    (400, "The model `mixtral-8x7b-32768` has been decommissioned and is no longer supported.", Failure.UNKNOWN_MODEL),
    (
        400,
        "Invalid model name passed in model=foo. Call `/v1/models` to view available models for your key.",
        Failure.UNKNOWN_MODEL,
    ),
    (
        400,
        "Invocation of model ID anthropic.claude with on-demand throughput isn't supported.",
        Failure.UNKNOWN_MODEL,
    ),
    (404, "No endpoints found that support tool use.", Failure.UNSUPPORTED_PARAMETER),
    (404, "No endpoints found matching your data policy", Failure.UNKNOWN_MODEL),
    (400, "Function calling is not enabled for models/gemma-3-27b-it", Failure.UNSUPPORTED_PARAMETER),
    (400, "`tools` is not supported with this model", Failure.UNSUPPORTED_PARAMETER),
    (
        400,
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        Failure.UNSUPPORTED_PARAMETER,
    ),
    (400, "registry.ollama.ai/library/gemma does not support tools", Failure.UNSUPPORTED_PARAMETER),
    (400, "Developer instruction is not enabled for models/gemma-3-27b-it", Failure.UNSUPPORTED_PARAMETER),
    (400, "Unable to submit request because thinking is not supported by this model.", Failure.UNSUPPORTED_PARAMETER),
    (400, "json_validate_failed Failed to generate JSON. Please adjust your prompt.", Failure.INVALID_RESPONSE),
    (400, "tool_use_failed Failed to call a function. Please adjust your prompt.", Failure.INVALID_RESPONSE),
    (400, "Invalid schema for response_format 'x': In context=(), 'additionalProperties' is required", None),
    (400, "messages: at least one message is required", None),
    (400, "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.", None),
    (400, "temperature: range: 0..1", None),
    (400, "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 3", None),
    (
        400,
        "unexpected `tool_use_id` found in `tool_result` blocks: toolu_01.",
        None,
    ),
    (400, "Could not process image", None),
    (503, "The model is overloaded. Please try again later.", Failure.SERVER_ERROR),
    (529, "overloaded_error Overloaded", Failure.SERVER_ERROR),
    (500, "CUDA out of memory", Failure.SERVER_ERROR),
    (520, "", Failure.SERVER_ERROR),
    (524, "A timeout occurred", Failure.SERVER_ERROR),
    (504, "gateway timeout", Failure.SERVER_ERROR),
    (422, "Failed to deserialize the JSON body into the target type", None),
    (499, "client closed request", None),
    (409, "conflict", Failure.SERVER_ERROR),
]


@pytest.mark.parametrize(("status", "words", "failure"), WORDS, ids=[words[:40] for _, words, _ in WORDS])
def test_words_of_a_server_tell_how_the_call_failed(status, words, failure):
    assert failure_of_status(status, words) is failure


def test_seconds_to_wait_are_read_from_the_body_where_no_header_names_them(serve):
    """Gemini's interface for OpenAI's clients answers so."""
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37.5s"}]
    error = {"error": {"code": 429, "message": "quota", "status": "RESOURCE_EXHAUSTED", "details": details}}
    for body in (error, [error]):
        url = serve(lambda path, asked, body=body: (429, json.dumps(body)))
        with pytest.raises(openai.RateLimitError) as caught:
            openai.OpenAI(base_url=url, api_key="x", max_retries=0).chat.completions.create(
                model="m", messages=MESSAGES
            )
        assert retry_after_seconds(caught.value) == 37.5
