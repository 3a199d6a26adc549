"""An answer: what a client gave for a routed request, and what the call took."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from banditroute.core.decision import Decision
from banditroute.pricing.model_price import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for a routed request.

    Attributes
    ----------
    decision
        For the arm that answered.
    response
        The client's own response; None of a stream, whose chunks went to who read it.
    text
        What it says.
    usage
        Its tokens, where the server says.
    cost_usd
        What the call cost by its tokens; None where tokens or prices are not known.
    latency_seconds, first_token_seconds
        From the call to the whole answer, and to the first text of a stream; None without a stream.
    failures
        Arm and error of each call that failed before.
    """

    decision: Decision
    response: Any
    text: str
    usage: Usage | None
    cost_usd: float | None
    latency_seconds: float
    first_token_seconds: float | None = None
    failures: tuple[tuple[str, Exception], ...] = ()

    @property
    def decision_id(self) -> str:
        """Names the decision in ``router.feedback()``: for a later thumbs-up."""
        return self.decision.id
