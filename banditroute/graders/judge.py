"""Read the score in the reply of an LLM judge."""

from __future__ import annotations

import re

from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.graders.signal import Signal, text_of

_SCORE = r"(-?\d+(?:\.\d+)?)(?:\s*(?:/|out of)\s*(\d+(?:\.\d+)?))?(?![\w.]*\d)"
_MARKED = re.compile(rf"\[\[{_SCORE}\]\]|\b(?:score|rating|grade)\b(?:\W|is\b|of\b)*?{_SCORE}", re.IGNORECASE)
_ALONE = re.compile(rf"[^\w-]*{_SCORE}\W*")


def judge_score(reply: str | None, *, low: float, high: float) -> Signal:
    """Return the judge's score as a quality: ``(score - low) / (high - low)``, in [0, 1].

    Reads a reply that is a number alone; else ``[[7]]``, ``Score: 7``, ``"rating": 7``, ``grade of 7 out of 10``. The
    quality is not known if the reply has no score, different scores, a score out of range, or one on another scale
    (``4/5`` where ``high`` is 10). A judge's scores are not frequencies: calibrate them with :func:`calibrate_judge`.

    Parameters
    ----------
    reply
        The whole reply of the judge.
    low, high
        The worst and the best score on the judge's scale.

    Raises
    ------
    InvalidInputError
        If the reply is not text, or not ``low < high``.

    Examples
    --------
    >>> judge_score("Correct, but long-winded. Score: 8/10", low=0, high=10).quality
    0.8
    >>> judge_score("As an AI, I cannot say.", low=0, high=10)
    Signal(quality=None, reason='there is no score in the reply')
    """
    if number(low, name="low") >= number(high, name="high"):
        raise InvalidInputError(f"the judge's scale is from {low} to {high}; give low < high")
    text = text_of(reply)
    alone = _ALONE.fullmatch(text)
    found = {tuple(filter(None, groups)) for groups in ([alone.groups()] if alone else _MARKED.findall(text))}
    if not found:
        return Signal(quality=None, reason="there is no score in the reply")
    if len({float(score) for score, *_ in found}) > 1:
        return Signal(quality=None, reason=f"the reply has several scores: {', '.join(sorted(s for s, *_ in found))}")
    scales = {float(most) for _, *rest in found for most in rest} - {float(high)}
    if scales:
        return Signal(quality=None, reason=f"the score is out of {min(scales):g}, not of {high:g}")
    score = float(next(iter(found))[0])
    if not low <= score <= high:
        return Signal(quality=None, reason=f"the score {score:g} is not between {low:g} and {high:g}")
    return Signal(quality=(score - low) / (high - low))
