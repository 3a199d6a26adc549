"""A signal from the probabilities that a model gave its own tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from banditroute.core.validation import number
from banditroute.errors import InvalidInputError
from banditroute.graders.signal import Signal


def probability_margin(tokens: Sequence[Sequence[float]]) -> Signal:
    """Return the mean margin between the two most probable tokens at each position, in [0, 1].

    At a position with log probabilities ``l1 >= l2`` the margin is ``exp(l1) - exp(l2)``. A model that hesitates has a
    small margin. This is a sign of quality, not quality: a model may be sure and wrong. It is not known without a
    position that has two candidates.

    Parameters
    ----------
    tokens
        For each position, the log probabilities of its candidates, at most 0, as :func:`openai_logprobs` gives.

    Raises
    ------
    InvalidInputError
        If a log probability is not a number of at most 0.

    Notes
    -----
    Margin sampling: Scheffer, Decomain and Wrobel 2001, "Active hidden Markov models for information extraction".

    Examples
    --------
    >>> round(probability_margin([[-0.105, -2.303], [-0.693, -0.693]]).quality, 2)  # (0.9 - 0.1 + 0) / 2
    0.4
    """
    margins = []
    for candidates in tokens:
        if isinstance(candidates, str) or not isinstance(candidates, Sequence):
            raise InvalidInputError(f"a position is {candidates!r:.80}; give the log probabilities of its candidates")
        known = sorted((number(each, name="log probability", high=1e-6) for each in candidates), reverse=True)
        if len(known) > 1:
            margins.append(math.exp(known[0]) - math.exp(known[1]))
    if not margins:
        return Signal(quality=None, reason="no position has two candidates")
    return Signal(quality=min(max(math.fsum(margins) / len(margins), 0.0), 1.0))


def openai_logprobs(response: Any) -> list[list[float]]:
    """Return the log probabilities of each position of a chat completion, asked with ``top_logprobs=2`` or more.

    The list is empty if the response holds no log probabilities.

    Examples
    --------
    >>> from types import SimpleNamespace as Some
    >>> token = Some(top_logprobs=[Some(logprob=-0.1), Some(logprob=-2.4)])
    >>> openai_logprobs(Some(choices=[Some(logprobs=Some(content=[token]))]))
    [[-0.1, -2.4]]
    """
    try:
        content = response.choices[0].logprobs.content or ()
        return [[max(float(each.logprob), -1e4) for each in token.top_logprobs] for token in content]
    except (AttributeError, IndexError, TypeError, ValueError):
        return []
