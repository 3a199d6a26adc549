"""Send decisions as spans and feedback as evaluation events, by OpenTelemetry's conventions for generative AI."""

from __future__ import annotations

import dataclasses
import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from banditroute.core.decision import Decision
from banditroute.core.events import Event, FeedbackCorrected, FeedbackRecorded
from banditroute.core.optional_imports import optional
from banditroute.observe.logging_observer import TROUBLES
from banditroute.store.outcomes import measured

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.trace import TracerProvider

_SCOPE = "banditroute"
_SPANS_KEPT = 10_000  # feedback that comes after so many further decisions names its decision, but not the span


class OpenTelemetryObserver:
    """Sends a span for each decision, and a log event for each outcome and event. Needs the extra ``otel``.

    A decision is a span ``route ARM`` without a duration, in a trace of its own; its attributes are
    ``gen_ai.operation.name`` (``route``), ``gen_ai.request.model`` (the arm), ``gen_ai.conversation.id``,
    ``gen_ai.usage.input_tokens`` and ``banditroute.decision.*``. An outcome is an event ``gen_ai.evaluation.result``
    with the objective's name and value, in the context of its span. Other events are named ``banditroute.*``.
    Prompts and features are never sent. ``banditroute.logs.read_log`` reads what was exported to a file.

    Parameters
    ----------
    tracer_provider, logger_provider
        Where spans and log events go. Default: the global providers of OpenTelemetry.

    Raises
    ------
    MissingDependencyError
        If OpenTelemetry is not installed.

    Examples
    --------
    >>> from opentelemetry.sdk.trace import TracerProvider
    >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    >>> from banditroute import Router
    >>> exported, provider = InMemorySpanExporter(), TracerProvider()
    >>> provider.add_span_processor(SimpleSpanProcessor(exported))
    >>> router = Router(arms=["small"], features=1, observers=[OpenTelemetryObserver(tracer_provider=provider)])
    >>> _ = router.route([0.5])
    >>> router.close()
    >>> [span.name for span in exported.get_finished_spans()]
    ['route small']
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, logger_provider: LoggerProvider | None = None
    ) -> None:
        self._trace = optional("opentelemetry.trace", extra="otel")
        self._logs = optional("opentelemetry._logs", extra="otel")
        self._tracer = self._trace.get_tracer(_SCOPE, tracer_provider=tracer_provider)
        self._logger = self._logs.get_logger(_SCOPE, logger_provider=logger_provider)
        self._contexts: OrderedDict[str, Any] = OrderedDict()  # id of a decision -> the context of its span

    def on_decision(self, decision: Decision) -> None:
        """Send a decision as a span."""
        at = _nanoseconds(decision.decided_at)
        attributes = {
            "gen_ai.operation.name": "route",
            "gen_ai.request.model": decision.arm,
            "gen_ai.conversation.id": decision.session,
            "gen_ai.usage.input_tokens": decision.input_tokens,
            "banditroute.decision.id": decision.id,
            "banditroute.decision.arm": decision.arm,
            "banditroute.decision.propensity": decision.propensity,
            "banditroute.decision.arms": decision.arms,
            "banditroute.decision.probabilities": decision.probabilities.tolist(),
            "banditroute.decision.policy": decision.policy,
            "banditroute.decision.reason": decision.reason,
            "banditroute.decision.tags": decision.tags,
        }
        span = self._tracer.start_span(f"route {decision.arm}", start_time=at, attributes=_given(attributes))
        span.end(end_time=at)
        self._contexts[decision.id] = self._trace.set_span_in_context(span)
        if len(self._contexts) > _SPANS_KEPT:
            self._contexts.popitem(last=False)

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """Send each outcome of a decision as an evaluation."""
        self._evaluate(feedback.decision_id, feedback.values, feedback.received_at)

    def on_event(self, event: Event) -> None:
        """Send an event; outcomes that were corrected are evaluations again, which replace the earlier ones."""
        if isinstance(event, FeedbackCorrected):
            self._evaluate(event.decision_id, event.values, event.at)
            return
        fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}
        id, at = fields.pop("decision_id", None), fields.pop("at")
        words = re.sub(r"(?<!^)(?=[A-Z])", "_", type(event).__name__).lower()
        attributes = {"banditroute.decision.id": id, **{f"banditroute.{name}": fields[name] for name in fields}}
        self._emit(f"banditroute.{words}", attributes, id, at, trouble=isinstance(event, TROUBLES))

    def _evaluate(self, decision_id: str, values: Mapping[str, float], at: float) -> None:
        for objective, value in measured(values).items():
            attributes = {
                "gen_ai.evaluation.name": objective,
                "gen_ai.evaluation.score.value": float(value),
                "banditroute.decision.id": decision_id,
            }
            self._emit("gen_ai.evaluation.result", attributes, decision_id, at)

    def _emit(
        self, name: str, attributes: Mapping[str, Any], decision_id: str | None, at: float, *, trouble: bool = False
    ) -> None:
        level = self._logs.SeverityNumber.WARN if trouble else self._logs.SeverityNumber.INFO
        self._logger.emit(
            timestamp=_nanoseconds(at),
            context=self._contexts.get(decision_id or ""),
            severity_number=level,
            severity_text=level.name,
            event_name=name,
            attributes=_given(attributes),
        )


def _given(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e6) * 1000  # whole microseconds, as a double holds no finer time
