"""The statistics of a warm start: folded from a log, one blob for each arm, and stored as one piece of state."""

from __future__ import annotations

import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from banditroute.beliefs.base import BeliefSpec, Observation
from banditroute.core.arrays import Vector

_log = logging.getLogger("banditroute")


class Taught(NamedTuple):
    """Outcomes by objective that a row teaches of one arm, and how many outcomes each counts as."""

    values: Mapping[str, float]
    weight: float = 1.0


def fold(
    belief: BeliefSpec,
    rows: Iterable[tuple[Vector, Mapping[str, Taught]]],
    *,
    worth: float | None,
    decided_at: float,
    ordinal: int,
) -> dict[str, bytes]:
    """Return the statistics of a log, by arm.

    Parameters
    ----------
    rows
        Context ``(d,)``, and arm -> what the row teaches of it.
    worth
        How many outcomes those of each arm count for at most; None: each counts as one.
    decided_at, ordinal
        When the rows begin to age, where the belief forgets.
    """
    observed: dict[str, list[tuple[Vector, Taught]]] = {}
    for x, outcomes in rows:
        for arm, taught in outcomes.items():
            observed.setdefault(arm, []).append((x, taught))
    blobs = {}
    for arm, pairs in observed.items():
        share = 1.0 if worth is None else min(1.0, worth / len(pairs))
        observations = [Observation(x, each.values, decided_at, ordinal, share * each.weight) for x, each in pairs]
        blobs[arm] = belief.fold(None, observations, dimension=len(pairs[0][0]))
    return blobs


def to_bytes(blobs: Mapping[str, bytes], *, features_version: str, dimension: int) -> bytes:
    """Return a piece of state for ``from_bytes``: JSON, with the blobs in base64."""
    arms = {arm: b64encode(blob).decode() for arm, blob in blobs.items()}
    return json.dumps({"features_version": features_version, "dimension": dimension, "arms": arms}).encode()


def from_bytes(state: bytes | None, *, features_version: str, dimension: int) -> dict[str, bytes]:
    """Return what ``to_bytes`` wrote; nothing if nothing is stored, or if it is of other features, which is logged."""
    if state is None:
        return {}
    content = json.loads(state)
    made_in = content["features_version"], content["dimension"]
    blobs = {arm: b64decode(blob, validate=True) for arm, blob in content["arms"].items()}
    if made_in != (features_version, dimension):
        _log.warning("the warm start in other features (%s, %d numbers) is ignored; give the log again", *made_in)
        return {}
    return blobs
