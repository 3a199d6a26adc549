"""OpenTelemetry spans of generative AI as JSON lines: OTLP's form, or the Python SDK's, one span a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from banditroute.logs.readers.canonical import moment, typed
from banditroute.logs.readers.fields import prompt_of, renamed, unpacked
from banditroute.logs.readers.log_format import Format, Reading
from banditroute.logs.readers.row_errors import MALFORMED
from banditroute.logs.readers.source import objects

if TYPE_CHECKING:
    import pyarrow

_FIELDS = {
    "id": "banditroute.decision.id",
    "arm": "banditroute.decision.arm",
    "propensity": "banditroute.decision.propensity",
    "policy": "banditroute.decision.policy",
    "session": "gen_ai.conversation.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "prompt": "gen_ai.input.messages",
    "quality": "quality",
    "cost_usd": "gen_ai.usage.cost.amount",
    "energy_joules": "hw.energy",
    "output_tokens": "gen_ai.usage.output_tokens",
}
_OPERATIONS = (None, "chat", "text_completion", "generate_content")
_FAILED = (2, "STATUS_CODE_ERROR", "ERROR")


def knows(reading: Reading) -> bool:
    """Whether the first record is OTLP, or a span as the SDK writes it."""
    names = {*reading.source.names}
    return "resourceSpans" in names or {"context", "attributes", "start_time"} <= names


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """The spans that asked a model."""
    return typed(_rows(reading), reading.damage)


def _rows(reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    fields = reading.fields(_FIELDS)
    for number, record in objects(reading.source, reading.damage):
        try:
            rows = [_row(span, fields) for span in _spans(record)]
        except MALFORMED as error:
            reading.damage.row(number, "span", f"is none of OpenTelemetry: {error!r}")
            continue
        for row in rows:
            if row is None:
                reading.damage.leave_out("span that asks no model")
            else:
                yield number, row


def _spans(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "resourceSpans" not in record:
        yield record
        return
    for resource in record["resourceSpans"]:
        for scope in resource.get("scopeSpans", ()):
            yield from scope.get("spans", ())


def _row(span: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any] | None:
    """A row of our own form; None of a span that asks no model."""
    attributes = _attributes(span)
    model = attributes.get("gen_ai.request.model", attributes.get("gen_ai.response.model"))
    if model is None or attributes.get("gen_ai.operation.name") not in _OPERATIONS:
        return None
    attributes.setdefault("banditroute.decision.arm", model)
    for event in span.get("events") or ():
        told = _attributes(event)
        if isinstance(told.get("gen_ai.evaluation.name"), str):
            attributes[told["gen_ai.evaluation.name"]] = told.get("gen_ai.evaluation.score.value")
    row = renamed(attributes, fields)
    row["prompt"] = prompt_of(_contents(row["prompt"]))
    begin, end = _times(span)
    row.setdefault("decided_at", begin)
    if (span.get("status") or {}).get("code", (span.get("status") or {}).get("status_code")) in _FAILED:
        row["outcomes"] = {"availability": 0.0}
    else:
        row["outcomes"].setdefault("latency_seconds", end - begin)
    if attributes.get("gen_ai.usage.cost.currency", "USD") != "USD":
        row["outcomes"].pop("cost_usd", None)
    return row


def _attributes(part: Mapping[str, Any]) -> dict[str, Any]:
    """Name -> value, of a span or an event; OTLP has a list of both, each with its type."""
    given = part.get("attributes") or {}
    if isinstance(given, Mapping):
        return dict(given)
    return {each["key"]: _plain(each["value"]) for each in given}


def _plain(value: Mapping[str, Any]) -> Any:
    ((kind, given),) = value.items()
    return int(given) if kind == "intValue" else given


def _times(span: Mapping[str, Any]) -> tuple[float, float]:
    """When it began and ended, Unix time in seconds."""
    if "startTimeUnixNano" in span:
        return int(span["startTimeUnixNano"]) / 1e9, int(span["endTimeUnixNano"]) / 1e9
    return moment(span["start_time"], "start_time"), moment(span["end_time"], "end_time")


def _contents(messages: Any) -> Any:
    """Messages whose parts are a list, as OpenTelemetry has them, in the form of chat interfaces."""
    messages = unpacked(messages)
    if not isinstance(messages, list):
        return messages
    return [
        {**each, "content": [{"type": "text", "text": part.get("content")} for part in each["parts"]]}
        if "parts" in each
        else each
        for each in messages
    ]


OTEL = Format(name="otel", containers=("jsonl",), knows=knows, read=read)
