"""Vowpal Wabbit's decision service JSON: a decision between several actions on each line."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from banditroute.errors import InvalidInputError
from banditroute.logs.readers.canonical import typed
from banditroute.logs.readers.fields import renamed
from banditroute.logs.readers.hashed import hashed
from banditroute.logs.readers.log_format import Fields, Format, Reading
from banditroute.logs.readers.row_errors import MALFORMED, Repeated
from banditroute.logs.readers.source import objects, value_at

if TYPE_CHECKING:
    import pyarrow

_FIELDS = {"id": "EventId", "decided_at": "Timestamp", "quality": "_label_cost"}
_NAME = "_tag"  # of an action, where it has one


def knows(reading: Reading) -> bool:
    """Say whether there are ranked actions with their probabilities and a context."""
    return {"a", "p", "c"} <= {*reading.source.names}


def read(reading: Reading) -> Iterator[pyarrow.Table]:
    """Yield the decisions that were carried out; a reward is minus the cost."""
    return typed(_rows(reading), reading.damage)


def _rows(reading: Reading) -> Iterator[tuple[int, dict[str, Any]]]:
    fields = reading.fields(_FIELDS)
    name = fields.columns.get("arm", _NAME)
    repeated = Repeated()
    for number, record in objects(reading.source, reading.damage):
        if record.get("_skipLearn"):
            reading.damage.leave_out("decision that was not carried out")
            continue
        if "EventId" in record and "a" not in record and "c" not in record:
            reading.damage.leave_out("reward without its decision")
            continue
        if "EventId" in record and repeated(f"{record['EventId']} {hash(repr(record))}"):
            reading.damage.leave_out("decision that is repeated")
            continue
        share = record.get("pdrop", 0.0)
        dropped = reading.first.setdefault("pdrop", share)  # the share of the decisions that is not in the log
        try:
            if share != dropped:
                raise InvalidInputError(
                    f"pdrop is {reprlib.repr(share)}, before it was {reprlib.repr(dropped)}: rows need weights; "
                    "split the file"
                )
            yield number, _row(record, fields, name)
        except MALFORMED as error:
            reading.damage.row(number, "decision", f"does not choose one action: {error!r}")


def _row(record: Mapping[str, Any], fields: Fields, name: str) -> dict[str, Any]:
    actions = record["c"]["_multi"]
    if not all(isinstance(action, Mapping) for action in actions):
        raise InvalidInputError("_multi lists an action that is not an object")
    ranked = [_position(action, len(actions)) for action in record["a"]]
    names = _names([value_at(action, name) for action in actions])
    names = [names[k] for k in ranked]
    chosen = _position(record.get("_label_Action", record["a"][0]), len(actions))
    row = renamed(record, fields)
    for objective, theirs in fields.columns.items():
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


def _names(given: Sequence[Any]) -> list[str]:
    """Return a name for each action: its own, its number where it has none, both where two have the same."""
    names = [str(each) if isinstance(each, str | int) else str(k) for k, each in enumerate(given, start=1)]
    return [name if names.count(name) == 1 else f"{name} ({k})" for k, name in enumerate(names, start=1)]


def _position(action: Any, n: int) -> int:
    """Return the index of an action in ``_multi``; actions are counted from 1."""
    if type(action) is not int or not 1 <= action <= n:
        raise InvalidInputError(f"action {reprlib.repr(action)} is unknown; _multi has actions 1 to {n}")
    return action - 1


def _features(context: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Yield every feature that the actions share, named by its key and the key above; a text is part of the name."""
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
