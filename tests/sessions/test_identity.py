"""The key of a session, and tool results."""

import subprocess
import sys

import pytest

from banditroute.errors import InvalidRequestError
from banditroute.sessions import session_key
from banditroute.sessions.identity import ends_with_tool_result

SYSTEM = {"role": "system", "content": "Be brief."}
FIRST = {"role": "user", "content": "Why is the sky blue?"}
CONVERSATION = [SYSTEM, FIRST]


def test_all_turns_of_a_conversation_share_the_key():
    later = [*CONVERSATION, {"role": "assistant", "content": "Rayleigh."}, {"role": "user", "content": "Who?"}]
    assert session_key(later) == session_key(CONVERSATION)


@pytest.mark.parametrize(
    "other",
    [
        [{"role": "system", "content": "Be long."}, FIRST],
        [SYSTEM, {"role": "user", "content": "Why is the sky red?"}],
        [FIRST],
    ],
)
def test_another_system_prompt_or_first_turn_is_another_session(other):
    assert session_key(other) != session_key(CONVERSATION)


def test_tools_and_agent_names_are_part_of_the_key():
    keys = {
        session_key(CONVERSATION),
        session_key(CONVERSATION, tools=[{"name": "search"}]),
        session_key(CONVERSATION, tools=[{"name": "search"}], agent="critic"),
    }
    assert len(keys) == 3


def test_a_system_prompt_apart_from_the_messages_gives_the_same_key():
    assert session_key([FIRST], system="Be brief.") == session_key(CONVERSATION)


def test_cache_markers_do_not_change_the_key():
    marked = [
        {"role": "system", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": [{"type": "text", "text": "Why is the sky blue?"}, {"cachePoint": {}}]},
    ]
    assert session_key(marked) == session_key(CONVERSATION)
    tool = {"name": "search", "cache_control": {"type": "ephemeral"}}
    assert session_key(CONVERSATION, tools=[tool]) == session_key(CONVERSATION, tools=[{"name": "search"}])


def test_another_process_computes_the_same_key():
    program = f"from banditroute.sessions import session_key; print(session_key({CONVERSATION!r}))"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert printed.stdout.strip() == session_key(CONVERSATION)


def test_an_empty_conversation_is_refused():
    with pytest.raises(InvalidRequestError, match="the conversation is empty; give at least one message"):
        session_key([])


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ({"role": "tool", "tool_call_id": "1", "content": "42"}, True),
        ({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "42"}]}, True),
        ({"type": "function_call_output", "call_id": "1", "output": "42"}, True),
        ({"role": "user", "content": "42"}, False),
        ({"role": "assistant", "content": "42"}, False),
    ],
)
def test_tool_results_are_recognised_in_every_interface(last, expected):
    assert ends_with_tool_result([*CONVERSATION, last]) is expected
