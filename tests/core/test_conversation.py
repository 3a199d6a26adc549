"""Conversations in the forms of the clients' own objects."""

from dataclasses import dataclass

import anthropic.types
import openai.types.chat
import openai.types.responses
import pytest

from banditroute import InvalidRequestError, Router
from banditroute.core.conversation import plain_messages


class LangChainMessage:
    """As of ``langchain_core.messages``: a type in place of a role."""

    def __init__(self, type, content, **more):
        self.type, self.content = type, content
        vars(self).update(more)


OPENAI = openai.types.chat.ChatCompletionMessage.model_validate(
    {
        "role": "assistant",
        "content": "4",
        "refusal": None,
        "annotations": [],
        "parsed": {"answer": 4},
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}],
    }
)
ANTHROPIC = anthropic.types.Message.model_validate(
    {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "2 + 2", "signature": "s"},
            {"type": "text", "text": "4"},
            {"type": "tool_use", "id": "1", "name": "add", "input": {}},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }
)
CALL = openai.types.responses.ResponseFunctionToolCall(
    type="function_call", call_id="1", name="add", arguments="{}", status="completed"
)
TOOL_CALLS = [{"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (("user", "Why?"), {"role": "user", "content": "Why?"}),
        (("human", "Why?"), {"role": "user", "content": "Why?"}),
        (OPENAI, {"role": "assistant", "content": "4", "tool_calls": TOOL_CALLS}),
        (
            ANTHROPIC,
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "2 + 2", "signature": "s"},
                    {"type": "text", "text": "4"},
                    {"type": "tool_use", "id": "1", "name": "add", "input": {}},
                ],
            },
        ),
        (
            {"role": "assistant", "content": ANTHROPIC.content[1:2]},
            {"role": "assistant", "content": [{"type": "text", "text": "4"}]},
        ),
        (LangChainMessage("human", "Why?"), {"role": "user", "content": "Why?"}),
        (
            LangChainMessage("ai", "", tool_calls=[{"id": "1", "name": "add", "args": {}}]),
            {"role": "assistant", "content": "", "tool_calls": TOOL_CALLS},
        ),
        (
            LangChainMessage("tool", "4", tool_call_id="1"),
            {"role": "tool", "content": "4", "tool_call_id": "1"},
        ),
        (CALL, {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS}),
        (
            {"type": "function_call_output", "call_id": "1", "output": "4"},
            {"role": "tool", "tool_call_id": "1", "content": "4"},
        ),
    ],
)
def test_messages_become_mappings(message, expected):
    assert plain_messages([message]) == [expected]


def test_reasoning_items_are_passed_over():
    assert plain_messages([{"type": "reasoning", "summary": []}, ("user", "Why?")]) == [
        {"role": "user", "content": "Why?"}
    ]


@pytest.mark.parametrize("wrong", [0.5, {"content": "Why?"}, ("user", "Why?", 1), (1, "Why?"), None, object()])
def test_bad_messages_are_refused_with_their_position(wrong):
    with pytest.raises(InvalidRequestError, match="message 1 is"):
        plain_messages([("user", "Why?"), wrong])


@pytest.mark.parametrize("message", [OPENAI, ANTHROPIC, ("user", "4"), LangChainMessage("human", "4")])
def test_router_reads_the_text(message):
    router = Router(arms=["a"], seed=0)
    x = router.route([("user", "4")]).x
    assert (router.route([message]).x == x).all()


def test_objects_without_a_dict_are_read():
    @dataclass(slots=True)
    class Message:
        role: str
        content: str

    assert plain_messages([Message("user", "Why?")]) == [{"role": "user", "content": "Why?"}]
