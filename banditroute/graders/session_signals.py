"""Signals that a session gives by itself: how the user and the tools react to an answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from banditroute.errors import InvalidInputError
from banditroute.graders.signal import Signal, text_of

_WORD = re.compile(r"\w+")
_REPEATED_SHARE = 0.6  # of the words of two requests that are the same, by which the second repeats the first
_LOOP_LENGTH = 3  # equal calls in a row
_CORRECTION = re.compile(
    r"^\W*(no\b|nope\b|wrong\b|incorrect\b|that('s| is) (not|wrong|incorrect)|not what i\b"
    r"|you (misunderstood|forgot|missed)|i (said|meant|asked)\b|still (not|wrong|fails?|failing|broken)"
    r"|try again\b|that (doesn't|does not|didn't|did not) work)",
    re.IGNORECASE,
)
_TOOL_ERROR = re.compile(
    r"\b(error|exception|traceback|failed|failure|not found|invalid|denied|refused|timed? ?out)\b", re.IGNORECASE
)


def no_correction(next_request: str | None) -> Signal:
    """Return 0 if the user's next message begins with a correction, else 1; it is not known without a message.

    English only.

    Raises
    ------
    InvalidInputError
        If the message is not text.

    Examples
    --------
    >>> no_correction("No, I meant the river.").quality, no_correction("Thanks! And the lake?").quality
    (0.0, 1.0)
    """
    text = text_of(next_request).replace("’", "'")
    if not text:
        return Signal(quality=None, reason="there is no next request")
    match = _CORRECTION.search(text)
    return Signal(quality=1.0) if match is None else Signal(quality=0.0, reason=f"the user says {match[0].strip()!r}")


def no_repetition(request: str, next_request: str | None) -> Signal:
    """Return 0 if the user's next message repeats or rephrases the request, else 1; not known without a message.

    It repeats the request if at least 60% of the words of both together are the same (Dice coefficient).

    Raises
    ------
    InvalidInputError
        If a message is not text.

    Examples
    --------
    >>> no_repetition("sort a list in python", "how do I sort a list in python?").quality
    0.0
    """
    first, second = _words(request), _words(next_request)
    if not first or not second:
        return Signal(quality=None, reason="there are no two requests to compare")
    same = 2.0 * (first & second).total() / (first.total() + second.total())
    return Signal(quality=float(same < _REPEATED_SHARE), reason=f"{same:.0%} of the words are the same")


def tools_succeeded(results: Sequence[str | None]) -> Signal:
    """Return the share of the tools' results that report no error, in [0, 1]; it is not known without results.

    Raises
    ------
    InvalidInputError
        If a result is not text, or one string is given in place of several.

    Examples
    --------
    >>> tools_succeeded(["4 files", "Error: no such file"]).quality
    0.5
    """
    if isinstance(results, str):
        raise InvalidInputError(f"results is the string {results!r:.80}; give a list of results")
    if not results:
        return Signal(quality=None, reason="no tool was called")
    return Signal(quality=sum(not _TOOL_ERROR.search(text_of(result)[:400]) for result in results) / len(results))


def no_loop(calls: Sequence[object]) -> Signal:
    """Return 0 if an agent made the same call three times in a row, else 1; it is not known without a call.

    Parameters
    ----------
    calls
        The tool calls in order, such as ``(name, arguments)``.

    Examples
    --------
    >>> no_loop([("ls", "."), ("ls", "."), ("ls", ".")]).quality
    0.0
    """
    if not calls:
        return Signal(quality=None, reason="no tool was called")
    windows = (calls[start : start + _LOOP_LENGTH] for start in range(len(calls) - _LOOP_LENGTH + 1))
    loops = any(all(call == window[0] for call in window) for window in windows)
    return Signal(quality=0.0, reason="the same call was made three times in a row") if loops else Signal(quality=1.0)


def _words(text: str | None) -> Counter[str]:
    return Counter(_WORD.findall(text_of(text).casefold()))
