"""A step of a cascade: deliver an answer, or ask a further arm."""

from __future__ import annotations

from dataclasses import dataclass

from banditroute.core.decision import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """The next step after an answer; returned by ``next_step()``.

    Attributes
    ----------
    next
        The decision to serve now. None: stop, and deliver ``answer``.
    answer
        The id of the decision whose answer is the best so far: deliver this answer when you stop.
    expected_quality
        The expected quality of that answer, in [0, 1].
    probability
        The probability with which this was chosen between stopping and asking, in (0, 1]; exact. The propensity of the
        arm that is asked is in its decision.
    reason
        Why it was chosen, such as which arms and limits bind the request.
    audit_of
        For an audit, the id of the decision whose answer is compared; None for any other step. Serve the decision, and
        report both qualities: ``feedback(decision.id, quality=..., audit_of=step.audit_of)``.

    Examples
    --------
    >>> step = Step(next=None, answer="0f", expected_quality=0.9, probability=1.0)
    >>> step.stop
    True
    """

    next: Decision | None
    answer: str
    expected_quality: float
    probability: float
    reason: str = ""
    audit_of: str | None = None

    @property
    def stop(self) -> bool:
        """True if no further arm is to be asked."""
        return self.next is None
