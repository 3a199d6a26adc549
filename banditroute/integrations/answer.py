"""An answer: what a client gave for a routed request, and what the call used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from banditroute.core.decision import Decision
from banditroute.pricing.model_price import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The answer to a routed request.

    Attributes
    ----------
    decision
        The decision for the arm that answered.
    response
        The client's own response; None for a stream, whose chunks went to the reader.
    text
        The text of the answer, without the tools that it calls.
    parsed
        The object that ``parse`` made of the answer; None for other calls.
    usage
        The tokens of the call; None if the server did not report them.
    cost_usd
        The cost of the call in US dollars; None if tokens or prices are not known.
    latency_seconds, first_token_seconds
        Time from the call to the whole answer, and to the first part of a stream; the latter is None without a stream.
    failures
        Arm and error of each call that failed before this one.
    others
        Answers of other arms to the same request, which are not delivered; only of a client with graders or under a
        guarantee.
    audit_of
        For an audit under a guarantee, the id of the decision among ``others`` that it is compared with. Unless the
        client has ``quality=``, grade both, and report this one by ``feedback(..., audit_of=answer.audit_of)``.
    """

    decision: Decision
    response: Any
    text: str
    parsed: Any = None
    usage: Usage | None
    cost_usd: float | None
    latency_seconds: float
    first_token_seconds: float | None = None
    failures: tuple[tuple[str, Exception], ...] = ()
    others: tuple[Answer, ...] = ()
    audit_of: str | None = None

    @property
    def decision_id(self) -> str:
        """The id of the decision, for ``router.feedback()``: a thumbs-up may come later."""
        return self.decision.id
