"""One call of an arm's client: its clock, what is known of its answer so far, and what to report of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from banditroute.core.decision import Decision
from banditroute.core.failure import Failure
from banditroute.integrations import fields
from banditroute.integrations.answer import Answer
from banditroute.integrations.apis.base import NOTHING_COUNTED, Counts, openai_counts
from banditroute.integrations.failures import failure_of, retry_after_seconds
from banditroute.integrations.targets import Target
from banditroute.integrations.tokens import output_tokens
from banditroute.pricing.model_price import Usage


@dataclass(kw_only=True)
class Call:
    """One call of an arm's client: its clock, and what is known of its answer so far."""

    decision: Decision
    target: Target
    failures: tuple[tuple[str, Exception], ...]
    began: float
    counts: Counts = NOTHING_COUNTED
    texts: list[str] = field(default_factory=list)
    first_token_seconds: float | None = None
    lease: Any = None

    @property
    def server(self) -> str | None:
        """The server of a fleet that holds the arm's adapter."""
        return None if self.decision.residency is None else self.decision.residency.server

    @property
    def seconds(self) -> float:
        """Seconds since the call began."""
        return time.perf_counter() - self.began

    def cost_usd(self, usage: Usage | None) -> float | None:
        """Return the cost of a whole answer; None if tokens or prices are not known."""
        if self.target.price is None:
            return self.counts.cost_usd
        return None if usage is None or self.counts.contradict else self.target.price.cost_usd(usage)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.texts)

    @property
    def spent_usd(self) -> float | None:
        """The cost so far of an answer that is not whole: by the tokens known, and estimates of the others."""
        price = self.target.price
        if price is None:
            return self.counts.cost_usd
        known = self.counts
        if known.input_tokens is None:
            known = known._replace(input_tokens=self.decision.input_tokens or 0)
        usage = known.updated(Counts(output_tokens=output_tokens(self.text))).usage()
        return None if usage is None else price.cost_usd(usage)

    def give_up_lease(self) -> Any:
        """Return the lease, the first time; then None."""
        lease, self.lease = self.lease, None
        return lease

    def answer(self, *, response: Any, parsed: Any = None) -> Answer:
        """Return the answer, now that it is whole."""
        usage = self.counts.usage()
        return Answer(
            decision=self.decision,
            response=response,
            text=self.text,
            parsed=parsed,
            usage=usage,
            cost_usd=self.cost_usd(usage),
            latency_seconds=self.seconds,
            first_token_seconds=self.first_token_seconds,
            failures=self.failures,
        )


def answered_outcomes(call: Call, answer: Answer) -> dict[str, Any]:
    """Return what to report of a whole answer; None for what is not known."""
    return {
        "latency_seconds": answer.latency_seconds,
        "output_tokens": call.counts.output_tokens,
        "cost_usd": answer.cost_usd,
        **_cached(call),
    }


def _cached(call: Call) -> dict[str, float]:
    """Return the cached tokens of a call whose router prices prompt caches, if the server counted them."""
    cached = call.counts.cached_input_tokens
    return {} if call.decision.turn is None or cached is None else {"cached_tokens": cached}


def failed_outcomes(call: Call, error: BaseException) -> dict[str, Any]:
    """Return what to report of a call that ended in an error; nothing for a mistake of the caller's own."""
    failure = failure_of(error)
    if failure is None:
        return {}
    if failure is Failure.CANCELLED:
        return {"failure": failure, "latency_seconds": _latency_bound(call), "cost_usd": call.spent_usd}
    completion = fields.field(error, "completion")  # of OpenAI's parse(): the answer is paid for
    if completion is not None:
        call.counts = call.counts.updated(openai_counts(fields.field(completion, "usage")))
    outcomes: dict[str, Any] = {"failure": failure, "cost_usd": call.cost_usd(call.counts.usage())}
    if failure is Failure.RATE_LIMIT:
        outcomes["retry_after_seconds"] = retry_after_seconds(error)
    return outcomes


def _latency_bound(call: Call) -> float | None:
    """Return the seconds of a cancelled call if they are more than was expected of a whole one; else None.

    They bound the latency from below. A bound below the expected latency says nothing.
    """
    decision = call.decision
    if "latency_seconds" not in decision.objectives or decision.arm not in decision.arms:
        return None
    expected = decision.means[decision.objectives.index("latency_seconds"), decision.arms.index(decision.arm)]
    return call.seconds if call.seconds > expected else None
