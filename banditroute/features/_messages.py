"""A conversation as chat interfaces give it: its messages, and what of them is read as the request's text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from banditroute.core.validation import label
from banditroute.errors import InvalidRequestError


def messages_of(given: Sequence[object]) -> tuple[tuple[str, str], ...]:
    """Role and text of each message of a list such as ``[{"role": "user", "content": "Why?"}]``.

    A content may be a text, None (as of an answer that only calls tools), or a list of parts; of these the texts count,
    joined by line breaks, and images or sounds do not.

    Raises
    ------
    InvalidRequestError
        For no message, and for what is none; the message is named by its position.

    Examples
    --------
    >>> messages_of([{"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url"}]}])
    (('user', 'What is this?'),)
    """
    messages = []
    for position, message in enumerate(given):
        if not isinstance(message, Mapping) or "role" not in message:
            raise InvalidRequestError(
                f"message {position} is {message!r}; give a mapping such as {{'role': 'user', 'content': 'Why?'}}"
            )
        role = label(message["role"], name=f"role of message {position}", error=InvalidRequestError)
        messages.append((role, _text(message.get("content"), position)))
    return tuple(messages)


def asked(messages: Sequence[tuple[str, str]]) -> str:
    """What is read of a conversation: its last user message and what came after it, such as the results of tools.

    What came before is the same for all requests (a system prompt), or was answered already. Features of it would hide
    what this request asks for, as those of any preamble do.

    Examples
    --------
    >>> asked([("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello"), ("user", "Why?")])
    'Why?'
    """
    last = max((position for position, (role, _) in enumerate(messages) if role == "user"), default=0)
    return "\n".join(text for _, text in messages[last:] if text)


def _text(content: object, position: int) -> str:
    """The text of a message's content."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence) and all(isinstance(part, Mapping) for part in content):
        texts = [part["text"] for part in content if isinstance(part.get("text"), str)]
        return "\n".join(texts)
    raise InvalidRequestError(
        f"content of message {position} is {type(content).__name__}; give a text, None, or a list of parts "
        "such as {'type': 'text', 'text': 'Why?'}"
    )
