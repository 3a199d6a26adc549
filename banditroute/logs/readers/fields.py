"""Records of others in JSON: their fields under our names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from banditroute.features._messages import asked, messages_of
from banditroute.logs.readers.canonical import schema


def renamed(record: Mapping[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
    """A row of our own form from a record: what is no column is an outcome.

    Parameters
    ----------
    fields
        Our name -> the record's: a key, or the keys to descend by, joined by dots.

    Examples
    --------
    >>> renamed({"model": "small", "scores": {"judge": 0.5}}, {"arm": "model", "quality": "scores.judge"})
    {'outcomes': {'quality': 0.5}, 'arm': 'small'}
    """
    row: dict[str, Any] = {"outcomes": {}}
    for ours, theirs in fields.items():
        (row if ours in _columns() else row["outcomes"])[ours] = value_at(record, theirs)
    return row


@cache
def _columns() -> frozenset[str]:
    return frozenset(schema().names)


def value_at(record: Any, path: str) -> Any:
    """The value under a key, or under keys joined by dots; None where there is none."""
    if not isinstance(record, Mapping) or path in record:
        return record[path] if isinstance(record, Mapping) else None
    first, dot, rest = path.partition(".")
    return value_at(record.get(first), rest) if dot else None


def unpacked(value: Any) -> Any:
    """What a text holds as JSON; itself, if it is no text or no JSON."""
    try:
        return json.loads(value) if isinstance(value, str) else value
    except (ValueError, RecursionError):
        return value


def prompt_of(messages: Any) -> str | None:
    """What a conversation asks for, as a router would read it; None where it was not recorded.

    Raises
    ------
    InvalidRequestError
        For a list that holds no messages.
    """
    given = unpacked(messages)
    return (asked(messages_of(given)) if isinstance(given, list) and given else None) or (
        given if isinstance(given, str) and given else None
    )
