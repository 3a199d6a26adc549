"""The result of a grader: a quality, or the reason why it is not known."""

from __future__ import annotations

from dataclasses import dataclass

from banditroute.core.validation import number, plain_numbers
from banditroute.errors import InvalidInputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """A quality in [0, 1], or the reason why it is not known.

    ``router.feedback(decision.id, quality=signal.quality, cost_usd=...)`` leaves out a quality that is None. The
    application decides whether an answer that cannot be read counts as wrong; no grader decides it silently.

    Parameters
    ----------
    quality
        In [0, 1]; None: not known.
    reason
        The reason why the quality is not known; or, optionally, the reason for it.

    Raises
    ------
    InvalidInputError
        If the quality is out of range, or None without a reason.

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
            raise InvalidInputError("a signal without a quality needs a reason; say why the quality is not known")


def text_of(answer: object) -> str:
    """Return ``answer`` without the space around it; empty for None, which clients give where there is no text.

    Raises
    ------
    InvalidInputError
        If it is neither a string nor None.
    """
    if answer is None:
        return ""
    if not isinstance(answer, str):
        raise InvalidInputError(
            f"the answer is {answer!r} ({type(answer).__name__}); give its text, or None if there is no answer"
        )
    return answer.strip()


NO_ANSWER = Signal(quality=None, reason="there is no answer")
