"""Self-consistency: the agreement of several answers of one model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from banditroute.errors import InvalidInputError
from banditroute.graders.matching import plain
from banditroute.graders.signal import Signal


def self_consistency(answers: Sequence[str | None]) -> Signal:
    """Return the share of the most frequent answer, in (0, 1].

    Letter case, spacing and marks around the answers do not count.

    This is a sign of quality, not quality: a model may be sure and wrong. Among n answers it is at least 1/n, so
    compare it for the same n. An empty answer agrees with no other. It is not known for fewer than two answers, or if
    all are empty.

    Parameters
    ----------
    answers
        Final answers that one model gave to one prompt, sampled independently.

    Raises
    ------
    InvalidInputError
        If an answer is not text, or one string is given in place of several.

    Notes
    -----
    Wang et al. 2023, "Self-consistency improves chain of thought reasoning in language models".

    Examples
    --------
    >>> self_consistency(["42", "42.", "41", None]).quality
    0.5
    """
    if isinstance(answers, str):
        raise InvalidInputError(f"answers is the string {answers!r}; give a list of answers")
    counts = Counter(text for answer in answers if (text := plain(answer)))
    if len(answers) < 2 or not counts:
        return Signal(quality=None, reason="there are not two answers to compare")
    return Signal(quality=max(counts.values()) / len(answers))
