"""The identity of a conversation: a key that every process computes alike, and whether a turn is a tool's result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from banditroute.core.conversation import plain, plain_messages
from banditroute.core.validation import label
from banditroute.errors import InvalidRequestError

_KEY_DIGITS = 32
_CACHE_MARKERS = frozenset({"cache_control", "cachePoint", "cache_point", "prompt_cache_key"})
_SYSTEM_ROLES = ("system", "developer")
_TOOL_ROLES = ("tool", "function")


def session_key(
    messages: Sequence[object], *, system: object = None, tools: Sequence[object] = (), agent: str | None = None
) -> str:
    """Return the key of the session that a conversation belongs to: 32 hexadecimal digits.

    It is a hash of the system prompt, the tools and the first user turn. All turns of a conversation share it, and
    every process computes the same. Cache markers are left out, as clients move them from turn to turn.

    Parameters
    ----------
    messages
        The conversation, in any form that ``route()`` takes.
    system
        The system prompt, where the client gives it apart from the messages.
    tools
        The tools, in the order in which the client gives them.
    agent
        The name of a sub-agent that is to have a session of its own. Default: the key depends on its prompts alone.

    Raises
    ------
    InvalidRequestError
        If something is not a message, or there are no messages.

    Examples
    --------
    >>> first = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    >>> later = [*first, {"role": "assistant", "content": "So."}, {"role": "user", "content": "Sure?"}]
    >>> session_key(first) == session_key(later), session_key(first) == session_key(first, agent="critic")
    (True, False)
    """
    plain_turns = plain_messages(messages)
    if not plain_turns:
        raise InvalidRequestError("the conversation is empty; give at least one message")
    if agent is not None:
        label(agent, name="agent", error=InvalidRequestError)
    systems = [_stripped(message.get("content")) for message in plain_turns if message.get("role") in _SYSTEM_ROLES]
    first = next((message for message in plain_turns if message.get("role") == "user"), plain_turns[0])
    content = [
        [*([] if system is None else [_stripped(plain(system))]), *systems],
        _stripped(plain(list(tools))),
        _stripped(first.get("content")),
        agent,
    ]
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=repr)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:_KEY_DIGITS]


def ends_with_tool_result(messages: Sequence[object]) -> bool:
    """Return whether the last message of a conversation brings the result of a tool.

    Examples
    --------
    >>> ends_with_tool_result([{"role": "tool", "tool_call_id": "1", "content": "42"}])
    True
    >>> ends_with_tool_result([{"role": "user", "content": [{"type": "tool_result", "content": "42"}]}])
    True
    >>> ends_with_tool_result([{"role": "user", "content": "Why?"}])
    False
    """
    last = plain_messages(messages[-1:])
    if not last:
        return False
    if last[0].get("role") in _TOOL_ROLES:
        return True
    content = last[0].get("content")
    return isinstance(content, list | tuple) and any(
        isinstance(part, Mapping) and part.get("type") == "tool_result" for part in content
    )


def _stripped(value: Any) -> Any:
    """Return a message's content without cache markers; a text and its one text part are the same."""
    if isinstance(value, Mapping):
        return {str(key): _stripped(each) for key, each in value.items() if key not in _CACHE_MARKERS}
    if isinstance(value, list | tuple):
        parts = [_stripped(each) for each in value]
        parts = [part for part in parts if part != {}]  # a part that was a marker alone
        if len(parts) == 1 and isinstance(parts[0], dict) and parts[0].keys() == {"type", "text"}:
            return parts[0]["text"]
        return parts
    return value
