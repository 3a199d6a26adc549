"""LiteLLM's spend logs as JSON lines: rows of its table ``LiteLLM_SpendLogs``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from banditroute.logs.readers.canonical import moment, typed
from banditroute.logs.readers.fields import prompt_of, renamed, unpacked
from banditroute.logs.readers.log_format import Fields, Format, Reading
from banditroute.logs.readers.row_errors import MALFORMED
from banditroute.logs.readers.source import objects, value_at

if TYPE_CHECKING:
    import pyarrow

_FIELDS = {
    "id": "request_id",
    "arm": "model",
    "decided_at": "startTime",
    "session": "session_id",
    "tags": "request_tags",
    "input_tokens": "prompt_tokens",
    "prompt": "messages",
    "cost_usd": "spend",
    "output_tokens": "completion_tokens",
}
_JSON = ("metadata", "request_tags")  # texts in some exports
_CALLS = ("completion", "responses", "messages", "generate_content")  # parts of the call types that ask a model


def knows(reading: Reading) -> bool:
    """Say whether the columns are those of spend logs."""
    return {"request_id", "spend", "startTime"} <= {*reading.source.names}


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """Yield the calls of models, without those that a cache answered."""
    return typed(_rows(reading), reading.damage)


def _rows(reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    fields = reading.fields(_FIELDS)
    for number, record in objects(reading.source, reading.damage):
        call = record.get("call_type") or "completion"
        if not any(part in call for part in _CALLS if isinstance(call, str)):
            reading.damage.leave_out("call of another type")
        elif record.get("cache_hit") in ("True", "true", True):
            reading.damage.leave_out("answered from a cache")
        elif record.get("status") == "failure" and value_at(record, fields.columns["arm"]) in (None, ""):
            reading.damage.leave_out("failure without a model")
        else:
            try:
                yield number, _row(record, fields)
            except MALFORMED as error:
                arm = value_at(record, fields.columns["arm"])
                reading.damage.row(number, "call", f"cannot be used: {error!r}", arm=arm)


def _row(record: dict[str, Any], fields: Fields) -> dict[str, Any]:
    record = {**record, **{name: unpacked(record.get(name)) for name in _JSON}}
    row = renamed(record, fields)
    row["prompt"] = prompt_of(row["prompt"])
    if record.get("status") == "failure":
        row["outcomes"] = {"availability": 0.0}
        return row
    outcomes = row["outcomes"]
    if outcomes.get("cost_usd") == 0.0 and record.get("total_tokens"):
        outcomes["cost_usd"] = None  # LiteLLM has no price for the model
    times = [record.get(name) for name in ("startTime", "endTime")]
    if None not in times:
        begin, end = (moment(value, "startTime or endTime") for value in times)
        outcomes.setdefault("latency_seconds", end - begin)
    return row


LITELLM = Format(name="litellm", containers=("jsonl",), knows=knows, read=read)
