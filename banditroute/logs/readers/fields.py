"""JSON records of other programs, with their fields under our names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from banditroute.features._messages import asked, messages_of
from banditroute.logs.readers.canonical import schema
from banditroute.logs.readers.log_format import Fields
from banditroute.logs.readers.source import value_at


def renamed(record: Mapping[str, Any], fields: Fields) -> dict[str, Any]:
    """Return a row of our own form from a record; a name that is no column of ours is an outcome.

    Examples
    --------
    >>> fields = Fields(columns={"arm": "model", "quality": "scores.judge"}, factors={"quality": 0.01})
    >>> renamed({"model": "small", "scores": {"judge": 50}}, fields)
    {'outcomes': {'quality': 0.5}, 'arm': 'small'}
    """
    row: dict[str, Any] = {"outcomes": {}}
    for ours, theirs in fields.columns.items():
        value = value_at(record, theirs)
        if type(value) in (int, float) and (factor := fields.factor(ours)) != 1.0:
            value = value * factor
        (row if ours in _columns() else row["outcomes"])[ours] = value
    return row


@cache
def _columns() -> frozenset[str]:
    return frozenset(schema().names)


def unpacked(value: Any) -> Any:
    """Return what a text holds as JSON, or the value itself if it is no text or no JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def prompt_of(messages: Any) -> str | None:
    """Return what a conversation asks, as a router would read it; None where it was not recorded.

    Raises
    ------
    InvalidRequestError
        If a list holds something else than messages.
    """
    given = unpacked(messages)
    return (asked(messages_of(given)) if isinstance(given, list) and given else None) or (
        given if isinstance(given, str) and given else None
    )
