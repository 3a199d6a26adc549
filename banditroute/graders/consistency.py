"""Self-consistency: how far several answers of one model agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from banditroute.errors import InvalidInputError
from banditroute.graders.matching import plain
from banditroute.graders.signal import Signal


def self_consistency(answers: Sequence[str | None]) -> Signal:
    """Share of the answers that are the most frequent one, in (0, 1]; letter case, spacing and marks around them aside.

    A sign of quality, not quality: a model may be sure and wrong. Of n answers it is at least 1/n, so compare it for
    one n. An answer that is None or empty agrees with none. Not known: fewer than two answers, or all of them empty.

    Parameters
    ----------
    answers
        Final answers that one model gave to one prompt, sampled independently.

    Raises
    ------
    InvalidInputError
        For an answer that is not text, and for one string in place of several.

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
