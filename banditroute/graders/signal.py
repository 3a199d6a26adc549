"""What a check says of an answer: a quality, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass

from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A quality in [0, 1], or the reason why there is none.

    ``router.feedback(decision.id, quality=signal.quality, cost_usd=...)`` leaves out a quality that is None. Whether an
    answer that cannot be read counts as a wrong one is for the application to say; no check says it silently.

    Parameters
    ----------
    quality
        In [0, 1]; None: not known.
    reason
        Why the quality is not known; or, where there is something to say, why it is what it is.

    Raises
    ------
    InvalidInputError
        For a quality out of range, and for none without a reason.

    Examples
    --------
    >>> Signal(quality=1.0)
    Signal(quality=1.0, reason='')
    """

    quality: float | None
    reason: str = ""

    def __post_init__(self) -> None:
        plain_numbers(self)
        if self.quality is not None:
            number(self.quality, name="quality", low=0.0, high=1.0)
        elif not self.reason:
            raise InvalidInputError("a signal without a quality needs a reason; say why there is none")


def text_of(answer: object) -> str:
    """``answer`` without the space around it; empty for None, which is what clients give where there is no text.

    Raises
    ------
    InvalidInputError
        For anything but a string or None.
    """
    if answer is None:
        return ""
    if not isinstance(answer, str):
        raise InvalidInputError(f"the answer is {answer!r} ({type(answer).__name__}); give its text, or None for none")
    return answer.strip()


NO_ANSWER = Signal(quality=None, reason="there is no answer")
