"""OpenTelemetry spans of generative AI as JSON: OTLP's form, or that of the Python SDK, and evaluations of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from banditroute.logs.readers.canonical import moment, typed
from banditroute.logs.readers.fields import prompt_of, renamed, unpacked
from banditroute.logs.readers.log_format import Fields, Format, Reading
from banditroute.logs.readers.row_errors import MALFORMED, Damage
from banditroute.logs.readers.source import objects

if TYPE_CHECKING:
    import pyarrow

_FIELDS = {
    "id": "banditroute.decision.id",
    "arm": "banditroute.decision.arm",
    "propensity": "banditroute.decision.propensity",
    "arms": "banditroute.decision.arms",
    "probabilities": "banditroute.decision.probabilities",
    "policy": "banditroute.decision.policy",
    "reason": "banditroute.decision.reason",
    "session": "gen_ai.conversation.id",
    "input_tokens": "gen_ai.usage.input_tokens",
    "prompt": "gen_ai.input.messages",
    "quality": "quality",
    "cost_usd": "gen_ai.usage.cost.amount",
    "energy_joules": "hw.energy",
    "output_tokens": "gen_ai.usage.output_tokens",
}
_DECISION = "route"  # the operation of a span that is a decision of a router, and no call of a model
_OPERATIONS = (None, "chat", "text_completion", "generate_content", _DECISION)
_FAILED = (2, "STATUS_CODE_ERROR", "ERROR")

_SDK_LOG_RECORD = "severity_number"  # a key of every log record that the SDK writes
_DECISION_ID = "banditroute.decision.id"
_EVALUATION = "gen_ai.evaluation.name"
_SCORE = "gen_ai.evaluation.score.value"

_Evaluations = dict[str, dict[str, Any]]
"""Id of a decision, of a span, or of a response -> name of an evaluation -> score."""


def knows(reading: Reading) -> bool:
    """Say whether there are OTLP's keys, or those of a span as the SDK writes it."""
    names = {*reading.source.names}
    return bool({"resourceSpans", "resourceLogs"} & names) or {"context", "attributes", "start_time"} <= names


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """Yield the spans of one file that asked a model."""
    return read_together([reading])


def read_together(readings: Sequence[Reading]) -> Iterator[pyarrow.Table]:
    """Yield the spans that asked a model, with the evaluations that any of the files has for them.

    Evaluations that are log records are read first, as they follow their spans; they are held in memory.
    """
    evaluations: _Evaluations = {}
    for reading in readings:
        if reading.source.container == "jsonl":
            _gather(reading, evaluations)
    for reading in readings:
        yield from typed(_rows(reading, evaluations), reading.damage)
    for _ in range(sum(map(len, evaluations.values()))):
        readings[0].damage.leave_out("evaluation without its span")


def _gather(reading: Reading, evaluations: _Evaluations) -> None:
    """Take in the log records that are evaluations; a later one of the same name replaces an earlier one."""
    quiet = Damage(reading.source.address, skip=True)  # rows that cannot be read are counted with the spans
    for _, record in objects(reading.source, quiet):
        for log_record in _log_records(record, quiet):
            try:
                attributes = _attributes(log_record)
                name = attributes.get(_EVALUATION)
                at = attributes.get(_DECISION_ID) or _id(log_record, "span") or attributes.get("gen_ai.response.id")
                if not (isinstance(name, str) and isinstance(at, str)):
                    continue
                of_span = evaluations.setdefault(at, {})
                if name in of_span:
                    reading.damage.leave_out("evaluation that a later one replaces")
                of_span[name] = attributes.get(_SCORE)
            except MALFORMED:
                reading.damage.leave_out("evaluation that cannot be read")


def _rows(reading: Reading, evaluations: _Evaluations) -> Iterator[tuple[int, dict[str, Any]]]:
    fields = reading.fields(_FIELDS)
    for number, record in objects(reading.source, reading.damage):
        if _is_log_record(record):
            continue
        try:
            for span in _spans(record):
                try:
                    row = _row(span, fields, evaluations)
                except MALFORMED as error:
                    reading.damage.row(number, "span", f"cannot be used: {error!r}")
                    continue
                if isinstance(row, str):
                    reading.damage.leave_out(row)
                else:
                    yield number, row
        except MALFORMED as error:
            reading.damage.row(number, "span", f"is not of OpenTelemetry: {error!r}")


def _spans(record: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    if "resourceSpans" not in record:
        yield record
        return
    for resource in record["resourceSpans"]:
        for scope in resource.get("scopeSpans") or ():
            yield from scope.get("spans") or ()


def _is_log_record(record: Mapping[str, Any]) -> bool:
    """Say whether it is a log record, or a batch of them, and not a span."""
    return "resourceLogs" in record or (_SDK_LOG_RECORD in record and "start_time" not in record)


def _log_records(record: Mapping[str, Any], damage: Damage) -> Iterator[Mapping[str, Any]]:
    if not _is_log_record(record):
        return
    if "resourceLogs" not in record:
        yield record
        return
    try:
        for resource in record["resourceLogs"]:
            for scope in resource.get("scopeLogs") or ():
                yield from scope.get("logRecords") or ()
    except MALFORMED as error:
        damage.row(0, "log record", f"is not of OpenTelemetry: {error!r}")


def _id(part: Mapping[str, Any], kind: str) -> str | None:
    """Return the id of a span, in hexadecimal digits without a prefix; OTLP and the SDK write it in different ways."""
    given = part.get(f"{kind}Id", part.get(f"{kind}_id"))
    if given is None and isinstance(part.get("context"), Mapping):
        given = part["context"].get(f"{kind}_id")
    return given.lower().removeprefix("0x") if isinstance(given, str) and given else None


def _row(span: Mapping[str, Any], fields: Fields, evaluations: _Evaluations) -> dict[str, Any] | str:
    """Return a row of our own form, or the reason why the span is left out."""
    attributes = _attributes(span)
    model = attributes.get("gen_ai.request.model", attributes.get("gen_ai.response.model"))
    operation = attributes.get("gen_ai.operation.name")
    failed = _failed(span)
    if operation not in _OPERATIONS or (model is None and operation is None):
        return "span that asks no model"
    if model is None:
        return "failure without a model" if failed else "span without a model"
    attributes.setdefault("banditroute.decision.arm", model)
    for event in span.get("events") or ():
        of_event = _attributes(event)
        if isinstance(of_event.get(_EVALUATION), str):
            attributes[of_event[_EVALUATION]] = of_event.get(_SCORE)
    evaluated: dict[str, Any] = {}
    for at in (attributes.get(_DECISION_ID), _id(span, "span"), attributes.get("gen_ai.response.id")):
        if isinstance(at, str):
            evaluated |= evaluations.pop(at, {})
    attributes |= evaluated
    row = renamed(attributes, fields)
    row["prompt"] = prompt_of(_contents(row["prompt"]))
    begin, end = _times(span)
    row.setdefault("decided_at", begin)
    if operation == _DECISION:  # its outcomes are the router's own, under our names, and it has no duration
        row["outcomes"] = {**evaluated, **{name: v for name, v in row["outcomes"].items() if v is not None}}
    elif failed:
        row["outcomes"] = {"availability": 0.0}
    else:
        row["outcomes"].setdefault("latency_seconds", end - begin)
    if attributes.get("gen_ai.usage.cost.currency", "USD") != "USD":
        row["outcomes"].pop("cost_usd", None)
    return row


def _failed(span: Mapping[str, Any]) -> bool:
    status = span.get("status") or {}
    return status.get("code", status.get("status_code")) in _FAILED


def _attributes(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return name -> value of a span, an event or a log record; OTLP lists both, each value with its type."""
    given = part.get("attributes") or {}
    if isinstance(given, Mapping):
        return dict(given)
    return {each["key"]: _plain(each["value"]) for each in given}


def _plain(value: Any) -> Any:
    """Return a value without its type; None where it is null, which OTLP writes as an empty object."""
    if value is None or value == {}:
        return None
    ((kind, given),) = value.items()
    if kind == "arrayValue":
        return [_plain(each) for each in given.get("values") or ()]
    return int(given) if kind == "intValue" else given


def _times(span: Mapping[str, Any]) -> tuple[float, float]:
    """Return its begin and its end as Unix time in seconds."""
    if "startTimeUnixNano" in span:
        return int(span["startTimeUnixNano"]) / 1e9, int(span["endTimeUnixNano"]) / 1e9
    return moment(span["start_time"], "start_time"), moment(span["end_time"], "end_time")


def _contents(messages: Any) -> Any:
    """Return OpenTelemetry's messages, whose parts are a list, in the form of chat interfaces."""
    messages = unpacked(messages)
    if not isinstance(messages, list):
        return messages
    return [
        {**each, "content": [{"type": "text", "text": part.get("content")} for part in each["parts"]]}
        if "parts" in each
        else each
        for each in messages
    ]


OTEL = Format(name="otel", containers=("jsonl",), knows=knows, read=read, read_together=read_together)
