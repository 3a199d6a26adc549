"""Read a conversation in any form that chat clients take or give, as plain messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from banditroute.errors import InvalidRequestError

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}  # LangChain's names
_PARTS = {"system-prompt": "system", "user-prompt": "user", "tool-return": "tool", "retry-prompt": "user"}
_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal", "audio")
_HELP = "give a mapping such as {'role': 'user', 'content': 'Why?'}, a (role, text) pair, or a client's message"


def is_message(thing: object) -> bool:
    """Return whether ``thing`` can be one message of a conversation.

    Examples
    --------
    >>> is_message({"role": "user", "content": "Why?"}), is_message(("user", "Why?")), is_message(0.5)
    (True, True, False)
    """
    if isinstance(thing, Mapping):
        return True
    if isinstance(thing, tuple):
        return len(thing) == 2 and isinstance(thing[0], str)
    return hasattr(thing, "content") or _kind(thing) in _ITEMS or _has_parts(thing)


def plain_messages(given: Sequence[object]) -> list[dict[str, Any]]:
    """Return a conversation as mappings with a ``role``, in the forms of OpenAI's or Anthropic's interface.

    Each message may be a mapping, a ``(role, text)`` pair, a message object of the ``openai`` or ``anthropic`` package,
    of LangChain or of pydantic-ai, or an item of OpenAI's Responses interface. Mappings are returned as they are.

    Raises
    ------
    InvalidRequestError
        If something is not a message; its position is named.

    Examples
    --------
    >>> plain_messages([("system", "Be brief."), {"role": "user", "content": "Why?"}])
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': 'Why?'}]
    """
    messages = []
    for position, message in enumerate(given):
        if _has_parts(message):
            messages.extend(_from_parts(message))
            continue
        plain = _plain_message(message)
        if plain is None:
            raise InvalidRequestError(f"message {position} is {message!r:.80}; {_HELP}")
        if plain:
            messages.append(plain)
    return messages


def plain(thing: object) -> Any:
    """Return ``thing`` with the objects in it as mappings, without the fields that are None."""
    if thing is None or isinstance(thing, str | int | float | bytes):
        return thing
    if isinstance(thing, Mapping):
        return {key: plain(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [plain(each) for each in thing]
    dump = getattr(thing, "model_dump", None)
    if callable(dump):
        return dump(mode="json", exclude_none=True)
    return {key: plain(value) for key, value in getattr(thing, "__dict__", {}).items() if value is not None}


def _plain_message(message: object) -> dict[str, Any] | None:
    """Return one message as a mapping: empty for an item that says nothing, None for what is not a message."""
    if isinstance(message, Mapping):
        if "role" not in message:
            return _from_item(message)
        content = message.get("content")
        if content is None or isinstance(content, str):
            return dict(message)
        return {**message, "content": plain(content)}
    if isinstance(message, tuple):
        if len(message) != 2 or not isinstance(message[0], str):
            return None
        return {"role": _ROLES.get(message[0], message[0]), "content": plain(message[1])}
    if isinstance(role := getattr(message, "role", None), str) and hasattr(message, "content"):
        given = {name: plain(value) for name in _FIELDS if (value := getattr(message, name, None)) is not None}
        for call in given.get("tool_calls", ()):  # OpenAI's parse() adds what its interface refuses
            if isinstance(call, dict) and isinstance(call.get("function"), dict):
                call["function"].pop("parsed_arguments", None)
        return given | {"role": str(role)}
    if hasattr(message, "content") and _kind(message):
        return _from_langchain(message)
    return _from_item(plain(message)) if _kind(message) in _ITEMS else None


def _kind(thing: object) -> str:
    kind = getattr(thing, "type", None)
    return kind if isinstance(kind, str) else ""


def _from_langchain(message: Any) -> dict[str, Any]:
    plain_message: dict[str, Any] = {
        "role": _ROLES.get(message.type, message.type),
        "content": plain(message.content),
    }
    calls = getattr(message, "tool_calls", None) or ()
    if calls:
        plain_message["tool_calls"] = [
            _tool_call(call.get("id"), call.get("name"), json.dumps(plain(call.get("args")))) for call in calls
        ]
    if (id := getattr(message, "tool_call_id", None)) is not None:
        plain_message["tool_call_id"] = id
    if message.type == "function" and (name := getattr(message, "name", None)) is not None:
        plain_message["name"] = name  # it stands for the call's id
    return plain_message


def _has_parts(thing: object) -> bool:
    """Return whether ``thing`` is a message of pydantic-ai: a request or response of several parts."""
    return getattr(thing, "kind", None) in ("request", "response") and isinstance(getattr(thing, "parts", None), list)


def _from_parts(message: Any) -> list[dict[str, Any]]:
    """Return the parts of a message of pydantic-ai: one message for each part of a request, one for a response."""
    if message.kind == "request":
        return [_from_request_part(part) for part in message.parts if part.part_kind in _PARTS]
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(part.content for part in message.parts if part.part_kind == "text"),
    }
    calls = [
        _tool_call(
            part.tool_call_id, part.tool_name, part.args if isinstance(part.args, str) else json.dumps(part.args)
        )
        for part in message.parts
        if part.part_kind == "tool-call"
    ]
    return [answer | ({"tool_calls": calls} if calls else {})]


def _from_request_part(part: Any) -> dict[str, Any]:
    plain_message = {"role": _PARTS[part.part_kind], "content": plain(part.content)}
    if part.part_kind == "tool-return":
        plain_message["tool_call_id"] = part.tool_call_id
    return plain_message


def _from_item(item: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the message of an item of OpenAI's Responses interface that has no role."""
    read = _ITEMS.get(str(item.get("type")))
    return None if read is None else read(item)


def _tool_call(id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


_ITEMS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "function_call": lambda item: {
        "role": "assistant",
        "content": None,
        "tool_calls": [_tool_call(item.get("call_id"), item.get("name"), item.get("arguments"))],
    },
    "function_call_output": lambda item: {
        "role": "tool",
        "tool_call_id": item.get("call_id"),
        "content": item.get("output"),
    },
    "reasoning": lambda item: {},
    "item_reference": lambda item: {},
}
