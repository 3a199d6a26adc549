"""The calls that a routed client can make, from checked arguments: the same for blocking and awaited calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from banditroute.core.conversation import is_message, plain_messages
from banditroute.errors import InvalidRequestError
from banditroute.integrations.targets import Ask, Kind

MessagesLike: TypeAlias = Any
"""A text, one message, or a conversation; each message a mapping, a ``(role, text)`` pair or a client's own object."""

ArmOptions: TypeAlias = Mapping[str, Mapping[str, Any]]
"""Arm -> options for its client alone."""

_NOT_GIVEN = ("NotGiven", "Omit")  # the SDKs' types for an option that is not given


def conversation(
    kind: Kind, messages: object, arm_options: ArmOptions | None, shared: Mapping[str, Any], *, stream: bool = False
) -> Ask:
    """Return the call for a text, one message or a list of messages."""
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    elif is_message(messages):
        messages = [messages]
    elif not isinstance(messages, Sequence):
        raise InvalidRequestError(f"messages is {messages!r:.80}; give a text, a message or a list of messages")
    plain = plain_messages(messages)
    if not plain:
        raise InvalidRequestError("messages is empty; give a text, a message or a list of messages")
    return _ask(kind, plain, plain, arm_options, shared, stream=stream)


def responses(input: object, arm_options: ArmOptions | None, shared: Mapping[str, Any], *, stream: bool) -> Ask:
    """Return the call of OpenAI's Responses interface for a text or a list of items."""
    kind: Kind = "respond" if shared.get("text_format") is None else "respond_parsed"
    if stream and kind == "respond_parsed":
        raise InvalidRequestError("an answer with a text_format is not streamed; leave out stream=True or text_format")
    if isinstance(input, str):
        return _ask(kind, input, input, arm_options, shared, stream=stream)
    if not isinstance(input, Sequence) or not input:
        raise InvalidRequestError(f"input is {input!r:.80}; give a text or a list of items")
    return _ask(kind, plain_messages(input), input, arm_options, shared, stream=stream)


def texts_to_embed(input: object, arm_options: ArmOptions | None, shared: Mapping[str, Any]) -> Ask:
    """Return the call that embeds one or more texts."""
    texts = [input] if isinstance(input, str) else input
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidRequestError(f"input is {input!r:.80}; give a text or a list of texts")
    return _ask("embed", "\n".join(texts), input, arm_options, shared)


def _ask(
    kind: Kind,
    request: Any,
    messages: Any,
    arm_options: ArmOptions | None,
    shared: Mapping[str, Any],
    *,
    stream: bool = False,
) -> Ask:
    if "model" in shared:
        raise InvalidRequestError(
            "model is given, and the router chooses the model; name it with the arm's client, or restrict the choice "
            "with route={'arms': [...]}"
        )
    if arm_options is not None and not isinstance(arm_options, Mapping):
        raise InvalidRequestError(f"options is {arm_options!r:.80}; give arm -> options: {{'large': {{'seed': 1}}}}")
    for arm, own in (arm_options or {}).items():
        if not isinstance(own, Mapping):
            raise InvalidRequestError(f"the options of arm {arm!r} are {own!r:.80}; give a mapping: name -> value")
        if wrong := sorted({"stream", "messages", "input"} & own.keys()):
            raise InvalidRequestError(f"{wrong[0]} is given for arm {arm!r}; give it for all arms, as an argument")
    shared = {name: value for name, value in shared.items() if type(value).__name__ not in _NOT_GIVEN}
    return Ask(
        kind=kind, request=request, messages=messages, options=shared, arm_options=arm_options or {}, stream=stream
    )
