"""Translate messages and options between OpenAI's form and Anthropic's, so that any arm can go on with any history.

A message that is in the client's own form already is passed on unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from banditroute.integrations.fields import field, sequence, text

_SYSTEM_ROLES = ("system", "developer")
_ANTHROPIC_PARTS = ("thinking", "redacted_thinking", "image", "document", "search_result", "container_upload")
_OPENAI_PARTS = ("image_url", "input_image", "refusal", "input_text", "output_text", "file")
_TOOL_ROLES = ("tool", "function")  # the second is the older form, in which a tool's name stands for the call's id


def openai_messages(messages: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return messages in OpenAI's form.

    Examples
    --------
    >>> openai_messages([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "1", "content": "4"}]}])
    [{'role': 'tool', 'tool_call_id': '1', 'content': '4'}]
    """
    return [turned for message in messages for turned in _to_openai(message)]


def anthropic_messages(messages: Sequence[Mapping[str, Any]]) -> tuple[Any, list[Mapping[str, Any]]]:
    """Return the system prompt, a text or a list of parts, and the other messages in Anthropic's form.

    Examples
    --------
    >>> anthropic_messages([{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
    ('Be brief.', [{'role': 'user', 'content': 'Why?'}])
    """
    prompts = [message.get("content") for message in messages if message.get("role") in _SYSTEM_ROLES]
    system: Any = "\n\n".join(prompt for prompt in prompts if isinstance(prompt, str))
    if any(not isinstance(prompt, str) for prompt in prompts):
        system = [part for prompt in prompts for part in _blocks(prompt)]
    turns: list[Mapping[str, Any]] = []
    for message in messages:
        if message.get("role") in _SYSTEM_ROLES:
            continue
        turned = _to_anthropic(message)
        if message.get("role") in _TOOL_ROLES and turns and _is_tool_results(turns[-1]):
            turns[-1] = {**turns[-1], "content": [*turns[-1]["content"], *turned["content"]]}
        elif turned["content"]:  # the interface refuses empty messages
            turns.append(turned)
    return system, turns


def openai_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with Anthropic's names and forms turned into OpenAI's.

    Examples
    --------
    >>> openai_options({"stop_sequences": ["x"], "temperature": 0})
    {'stop': ['x'], 'temperature': 0}
    """
    given = {{"stop_sequences": "stop"}.get(name, name): value for name, value in options.items()}
    if any("input_schema" in tool for tool in sequence(given.get("tools")) if isinstance(tool, Mapping)):
        given["tools"] = [_openai_tool(tool) for tool in given["tools"]]
    choice = given.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") in ("auto", "any", "none", "tool"):
        named = {"type": "function", "function": {"name": choice.get("name")}}
        given["tool_choice"] = {"any": "required", "tool": named}.get(choice["type"], choice["type"])
    return given


def anthropic_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with OpenAI's names and forms turned into Anthropic's.

    Examples
    --------
    >>> anthropic_options({"max_completion_tokens": 50, "stop": "x"})
    {'max_tokens': 50, 'stop_sequences': ['x']}
    """
    given = {
        {"stop": "stop_sequences", "max_completion_tokens": "max_tokens"}.get(name, name): value
        for name, value in options.items()
    }
    if isinstance(stop := given.get("stop_sequences"), str):
        given["stop_sequences"] = [stop]
    if any("function" in tool for tool in sequence(given.get("tools")) if isinstance(tool, Mapping)):
        given["tools"] = [_anthropic_tool(tool) for tool in given["tools"]]
    choice = given.get("tool_choice")
    if isinstance(choice, str):
        given["tool_choice"] = {"type": {"required": "any"}.get(choice, choice)}
    elif isinstance(choice, Mapping) and choice.get("type") == "function":
        given["tool_choice"] = {"type": "tool", "name": field(choice, "function", "name")}
    return given


def _to_openai(message: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    parts = sequence(message.get("content"))
    if not any(_is_anthropic_part(part) for part in parts):
        return [message]
    results = [
        {"role": "tool", "tool_call_id": part.get("tool_use_id"), "content": text(part.get("content"))}
        for part in parts
        if part.get("type") == "tool_result"
    ]
    calls = [
        {
            "id": part.get("id"),
            "type": "function",
            "function": {"name": part.get("name"), "arguments": json.dumps(part.get("input"))},
        }
        for part in parts
        if part.get("type") == "tool_use"
    ]
    content = [_openai_part(part) for part in parts if part.get("type") in ("text", "image", "document")]
    rest = {**message, "content": content or None, **({"tool_calls": calls} if calls else {})}
    if message.get("role") == "assistant":
        rest["content"] = text(content) or None
    return [*results, *([rest] if content or calls else [])]


def _is_anthropic_part(part: Any) -> bool:
    kind = field(part, "type")
    return kind in _ANTHROPIC_PARTS or (isinstance(kind, str) and kind.endswith(("tool_use", "tool_result")))


def _openai_part(part: Mapping[str, Any]) -> Mapping[str, Any]:
    kind, source = part.get("type"), part.get("source") or {}
    if kind == "text" or source.get("type") in ("text", "content"):
        return {"type": "text", "text": text([part]) or text(source.get("data") or source.get("content"))}
    url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
    if kind == "document":
        return {"type": "file", "file": {"filename": part.get("title") or "document.pdf", "file_data": url}}
    return {"type": "image_url", "image_url": {"url": url}}


def _to_anthropic(message: Mapping[str, Any]) -> dict[str, Any]:
    if message.get("role") in _TOOL_ROLES:
        result = {
            "type": "tool_result",
            "tool_use_id": message.get("tool_call_id") or message.get("name"),
            "content": text(message.get("content")),
        }
        return {"role": "user", "content": [result]}
    content, calls = message.get("content") or message.get("refusal"), sequence(message.get("tool_calls"))
    if (old := message.get("function_call")) is not None and not calls:
        calls = [{"id": field(old, "name"), "function": old}]
    if not calls and isinstance(content, str):
        return {"role": message["role"], "content": content}
    blocks = _blocks(content)
    for call in calls:
        function, custom = field(call, "function"), field(call, "custom")
        arguments: Any = {"input": field(custom, "input")}
        if custom is None:
            try:
                arguments = json.loads(field(function, "arguments") or "{}")
            except (TypeError, ValueError):
                arguments = {}
        name = field(custom or function, "name")
        arguments = arguments if isinstance(arguments, dict) else {"input": arguments}
        blocks.append({"type": "tool_use", "id": field(call, "id"), "name": name, "input": arguments})
    return {"role": message["role"], "content": blocks}


def _blocks(content: Any) -> list[Any]:
    """Return a content as Anthropic's blocks."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [_anthropic_block(part) for part in sequence(content)]


def _anthropic_block(part: Any) -> Any:
    kind = field(part, "type")
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if kind not in _OPENAI_PARTS:
        return part
    url = field(part, "image_url", "url") or field(part, "image_url")
    if kind == "file":
        file = str(field(part, "file", "file_data") or "")
        media, _, data = file.removeprefix("data:").partition(";base64,")
        source = {"type": "base64", "media_type": media, "data": data}
        return {"type": "document", "source": source} if data else part
    if not isinstance(url, str):
        return {"type": "text", "text": text([part]) or str(field(part, "refusal") or "")}
    if url.startswith("data:"):
        kind, _, data = url.removeprefix("data:").partition(";base64,")
        return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _is_tool_results(message: Mapping[str, Any]) -> bool:
    return message.get("role") == "user" and all(
        field(part, "type") == "tool_result" for part in sequence(message.get("content")) or [None]
    )


def _openai_tool(tool: Any) -> Any:
    if not isinstance(tool, Mapping) or "input_schema" not in tool:
        return tool
    function = {"name": tool.get("name"), "description": tool.get("description"), "parameters": tool["input_schema"]}
    return {"type": "function", "function": {name: value for name, value in function.items() if value is not None}}


def _anthropic_tool(tool: Any) -> Any:
    function = field(tool, "function")
    if function is None:
        return tool
    turned = {"name": field(function, "name"), "description": field(function, "description")}
    schema = field(function, "parameters") or {"type": "object", "properties": {}}
    return {**{name: value for name, value in turned.items() if value is not None}, "input_schema": schema}
