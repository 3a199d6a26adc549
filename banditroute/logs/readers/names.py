"""Our names for columns, and the names under which files usually have them."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from banditroute.errors import InvalidConfigurationError

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "id": ("id", "decision_id"),
    "query_id": ("query_id", "query", "sample_id", "question_id", "prompt_id"),
    "arm": ("arm", "model"),
    "propensity": ("propensity", "propensity_score"),
    "decided_at": ("decided_at", "timestamp", "ts", "time"),
    "session": ("session", "session_id"),
    "task": ("task", "dataset", "eval_name"),
    "prompt": ("prompt",),
    "input_tokens": ("input_tokens", "prompt_tokens"),
    "quality": ("quality", "score"),
    "cost_usd": ("cost_usd", "total_cost", "cost"),
    "energy_joules": ("energy_joules", "energy_j"),
    "latency_seconds": ("latency_seconds", "latency_s"),
    "output_tokens": ("output_tokens", "completion_tokens"),
    "availability": ("availability",),
}
"""Our name -> the columns that are read as it, the first that is there. Objectives are in their own units."""

_SIMILAR = 0.75  # of difflib's ratio: names that a typing error may have parted


def our_name(name: str, usual: Mapping[str, str] | None = None) -> str:
    """Return our name for a column, given our own or a usual one; any other name is an objective of the user's.

    Parameters
    ----------
    name
        Such as ``"quality"`` or ``"score"``.
    usual
        Our name -> the column, as one format has them; they come first.

    Examples
    --------
    >>> our_name("score"), our_name("arm"), our_name("helpfulness")
    ('quality', 'arm', 'helpfulness')
    """
    of_format = {theirs: ours for ours, theirs in (usual or {}).items()}
    known = {theirs: ours for ours, names in USUAL_NAMES.items() for theirs in names}
    return name if name in USUAL_NAMES else of_format.get(name, known.get(name, name))


def usual_columns(has: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Return our name -> the column that is there, for those that are wanted and there.

    Examples
    --------
    >>> usual_columns(["Model", "score", "Score"], ["arm", "quality", "prompt"])  # as it is written, else in any case
    {'arm': 'Model', 'quality': 'score'}
    """
    folded = {name.casefold(): name for name in reversed(list(has))} | {name: name for name in has}
    found = {ours: next((folded[name] for name in USUAL_NAMES[ours] if name in folded), None) for ours in wanted}
    return {ours: theirs for ours, theirs in found.items() if theirs is not None}


def column_and_factor(text: str) -> tuple[str, float]:
    """Return the column and the factor of ``"latency_ms*0.001"``; the factor is 1 where none is given.

    Raises
    ------
    InvalidConfigurationError
        If the factor is 0 or not a finite number.

    Examples
    --------
    >>> column_and_factor("latency_ms*0.001"), column_and_factor("score")
    (('latency_ms', 0.001), ('score', 1.0))
    """
    name, star, factor = text.rpartition("*")
    if not star:
        return text, 1.0
    try:
        value = float(factor)
    except ValueError:
        value = 0.0
    if not (name.strip() and 0.0 < abs(value) < float("inf")):
        raise InvalidConfigurationError(
            f"column {text!r:.80} has no number after *; give a column and a factor, such as 'latency_ms*0.001'"
        )
    return name.strip(), value


def suggestion(name: str, known: Collection[str], *, cutoff: float = _SIMILAR) -> str:
    """Return ``"; did you mean 'quality'?"``, or nothing if no known name is near.

    Examples
    --------
    >>> suggestion("qualty", ["quality", "cost_usd"])
    "; did you mean 'quality'?"
    """
    near = difflib.get_close_matches(name[:255], [each[:255] for each in known], n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""
