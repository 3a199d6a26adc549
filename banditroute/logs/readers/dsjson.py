"""Vowpal Wabbit's decision service JSON: one decision between several actions a line."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import typed
from banditroute.logs.readers.fields import renamed, value_at
from banditroute.logs.readers.hashed import hashed
from banditroute.logs.readers.log_format import Format, Reading
from banditroute.logs.readers.row_errors import MALFORMED
from banditroute.logs.readers.source import objects

if TYPE_CHECKING:
    import pyarrow

_FIELDS = {"id": "EventId", "decided_at": "Timestamp", "quality": "_label_cost"}
_NAME = "_tag"  # of an action, where it has one


def knows(reading: Reading) -> bool:
    """Whether the first line has ranked actions with their probabilities and a context."""
    return {"a", "p", "c"} <= {*reading.source.names}


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """The decisions that were carried out; a reward is minus the cost."""
    return typed(_rows(reading), reading.damage)


def _rows(reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    fields = reading.fields(_FIELDS)
    name = fields.pop("arm", _NAME)
    for number, record in objects(reading.source, reading.damage):
        if record.get("_skipLearn"):
            reading.damage.leave_out("decision that was not carried out")
            continue
        share = record.get("pdrop", 0.0)
        dropped = reading.first.setdefault("pdrop", share)  # the share of the decisions that is not in the log
        try:
            if share != dropped:
                raise InvalidInputError(
                    f"pdrop is {reprlib.repr(share)}, before {reprlib.repr(dropped)}: rows need weights; split the file"
                )
            yield number, _row(record, fields, name)
        except MALFORMED as error:
            reading.damage.row(number, "decision", f"is none of one action: {error!r}")


def _row(record: Mapping[str, Any], fields: Mapping[str, str], name: str) -> dict[str, Any]:
    actions = record["c"]["_multi"]
    if not all(isinstance(action, Mapping) for action in actions):
        raise InvalidInputError("_multi lists an action that is no object")
    ranked = [_position(action, len(actions)) for action in record["a"]]
    named = [value_at(actions[k], name) for k in ranked]
    names = [str(each) if isinstance(each, str | int) else str(k + 1) for each, k in zip(named, ranked, strict=True)]
    chosen = _position(record.get("_label_Action", record["a"][0]), len(actions))
    row = renamed(record, fields)
    for objective, theirs in fields.items():
        cost = row["outcomes"].get(objective)
        if theirs == "_label_cost" and type(cost) in (int, float):
            row["outcomes"][objective] = 0.0 - cost
    return {
        **row,
        "arm": names[ranked.index(chosen)],
        "propensity": record.get("_label_probability", record["p"][0]),
        "arms": names,
        "probabilities": record["p"],
        "x": np.append(hashed(_features(record["c"])), 1.0),
    }


def _position(action: Any, n: int) -> int:
    """Of an action among ``_multi``; actions are counted from 1."""
    if type(action) is not int or not 1 <= action <= n:
        raise InvalidInputError(f"action {reprlib.repr(action)} is none of the {n} in _multi")
    return action - 1


def _features(context: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Every feature that the actions share, under its key and the one above; texts and flags are 1 where they are."""
    rest: list[tuple[str, str, Any]] = [("", "", context)]
    while rest:
        above, key, value = rest.pop()
        if isinstance(value, Mapping):
            rest += [(key, below, each) for below, each in value.items() if not below.startswith("_")]
        elif isinstance(value, list):
            numbered = ((str(k), each) for k, each in enumerate(value))
            rest += [(key, k, each) if isinstance(each, int | float) else (above, key, each) for k, each in numbered]
        elif isinstance(value, str):
            yield f"{above}.{key}={value}", 1.0
        elif value is not None:
            yield f"{above}.{key}", float(value)


DSJSON = Format(name="dsjson", containers=("jsonl",), knows=knows, read=read)
