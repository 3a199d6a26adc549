"""Escalation: ask another arm if the first answer looks worse than another answer would be worth."""

from __future__ import annotations

from dataclasses import replace

from banditroute.core.decision import Decision
from banditroute.core.request import Request
from banditroute.core.validation import probability
from banditroute.errors import InvalidRequestError
from banditroute.limits.constraints import Limits
from banditroute.router.engine import Engine
from banditroute.router.fallback import FallbackRouting
from banditroute.router.feedback import FeedbackService, check_id
from banditroute.router.requests import Terms
from banditroute.router.signal_model import SignalModel
from banditroute.store.base import Store


class Escalation:
    """Decides whether an answer is good enough, and which arm to ask if it is not.

    Parameters
    ----------
    store
        Finds the decision of the first answer.
    engine
        Predicts the quality and the utility of every arm.
    signals
        Predicts the quality of an answer from its signal.
    routing, feedback
        Decide again, and record what the signal of a discarded answer says.
    limits
        The limits of the router.
    """

    def __init__(
        self,
        *,
        store: Store,
        engine: Engine,
        signals: SignalModel,
        routing: FallbackRouting,
        feedback: FeedbackService,
        limits: Limits | None,
    ) -> None:
        self._store = store
        self._engine = engine
        self._signals = signals
        self._routing = routing
        self._feedback = feedback
        # The arms of a decision keep the rules already, which may be about what is not stored.
        self._limits = None if limits is None else replace(limits, rules=())

    def next(self, decision_id: str, *, signal: float) -> Decision | None:
        """Return a decision for another arm, or None if the answer is good enough; see ``Router.escalate``."""
        served = self._store.find(check_id(decision_id))
        score = probability(signal, name="signal", error=InvalidRequestError)
        if served.x is None:
            return None
        request = Request(
            features=served.x[:-1],
            session=served.session,
            tags=served.tags,
            input_tokens=served.input_tokens,
            again=True,
        )
        quality, utilities = self._engine.expect(served, request)
        left = [arm for arm in served.arms if arm != served.arm and arm in utilities]
        expected, drawn = self._signals.predict(decision_id, expected=quality, signal=score)
        worth_of_answer = served.preference.get("quality", 0.0) * drawn
        if not left or max(utilities[arm] for arm in left) <= worth_of_answer:
            return None
        self._feedback.record_expected_quality(decision_id, expected)
        return self._routing.decide(request, Terms(served.preference, left, self._limits))
