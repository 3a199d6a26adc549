"""The SDKs' raw responses, which hold an answer before it is parsed.

An answer that the SDK cannot parse, such as a web page or an object that does not fit its format, is still an answer of
the arm. From the raw response, its tokens and its error are known.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

_SDKS = ("openai", "anthropic")


def raw_variant(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the SDK's variant of a function that gives a raw response; the function itself if it is not the SDK's own.

    A function that a tracer has wrapped is called as it is.

    Examples
    --------
    >>> raw_variant(len) is len
    True
    """
    owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
    if not inspect.ismethod(function) or type(owner).__module__.split(".")[0] not in _SDKS:
        return function
    if hasattr(function, "__wrapped__"):
        return function
    raw: Callable[..., Any] = getattr(getattr(owner, "with_raw_response", None), name, function)
    return raw


def raised_while_parsing(error: Exception) -> bool:
    """Return whether an SDK raised an error while it parsed an answer, so that the answer had come."""
    frame = error.__traceback__
    while frame is not None:
        package, _, rest = frame.tb_frame.f_globals.get("__name__", "").partition(".")
        if package in _SDKS and rest == "_response":
            return True
        frame = frame.tb_next
    return False


def is_raw(response: Any) -> bool:
    """Return whether a response is a raw one, also of a client that is itself ``client.with_raw_response``."""
    kind = type(response)
    return kind.__module__.split(".")[0] in _SDKS and hasattr(kind, "parse") and hasattr(response, "http_response")


def body_of(response: Any) -> Any:
    """Return the body of a raw response: what its JSON holds, or its text."""
    try:
        return response.http_response.json()
    except ValueError:
        return response.http_response.text
