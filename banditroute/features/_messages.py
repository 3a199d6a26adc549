"""The text of a conversation: its messages, and the part that featurizers read as the request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from banditroute.core.conversation import plain_messages
from banditroute.core.validation import label
from banditroute.errors import InvalidRequestError


def messages_of(given: Sequence[object]) -> tuple[tuple[str, str], ...]:
    """Return role and text of each message of a conversation.

    A message may have any of the forms that :func:`banditroute.core.conversation.plain_messages` reads. Its content may
    be a text, None (as in an answer that only calls tools), or a list of parts. The texts of parts are joined by line
    breaks; images and sounds are skipped.

    Raises
    ------
    InvalidRequestError
        If an element is not a message; the error names its position.

    Examples
    --------
    >>> messages_of([{"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url"}]}])
    (('user', 'What is this?'),)
    """
    messages = []
    for position, message in enumerate(plain_messages(given)):
        role = label(message["role"], name=f"role of message {position}", error=InvalidRequestError)
        messages.append((role, _text(message.get("content"), position)))
    return tuple(messages)


def asked(messages: Sequence[tuple[str, str]]) -> str:
    """Return the part of a conversation that is read: its last user message and all later ones, such as tool results.

    Earlier messages are the same for all requests (a system prompt) or were answered already. Their features would
    hide the question of this request.

    Examples
    --------
    >>> asked([("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")])
    'Why?'
    """
    last = max((position for position, (role, _) in enumerate(messages) if role == "user"), default=0)
    return "\n".join(text for _, text in messages[last:] if text)


def _text(content: object, position: int) -> str:
    """Return the text of a message's content."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and all(isinstance(part, str | Mapping) for part in content):
        texts = [part if isinstance(part, str) else _text_of_part(part) for part in content]
        return "\n".join(text for text in texts if text)
    raise InvalidRequestError(
        f"content of message {position} is {type(content).__name__}; give a text, None, or a list of parts "
        "such as {'type': 'text', 'text': 'Why?'}"
    )


def _text_of_part(part: Mapping[str, object]) -> str:
    """Return the text of a part; a tool's result may hold parts of its own."""
    if isinstance(text := part.get("text"), str):
        return text
    if part.get("type") == "tool_result":
        content = part.get("content")
        if isinstance(content, str):
            return content
        if isinstance(content, Sequence):
            return "\n".join(_text_of_part(each) for each in content if isinstance(each, Mapping))
    return ""
