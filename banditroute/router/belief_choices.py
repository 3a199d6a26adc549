"""The choices of a belief, such as the strength of each block of features, recorded for other processes.

A restart and other processes then use the same choices, whatever they have folded.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode

from banditroute.beliefs.base import Belief
from banditroute.core.state import StateSlot, read_state


class BeliefChoices:
    """Records the choices of a belief when they change.

    Parameters
    ----------
    slot
        Where they are stored.
    features_version
        The features that they are about; choices about other features stay as they are.
    """

    def __init__(self, *, slot: StateSlot, features_version: str) -> None:
        self._slot = slot
        self._features_version = features_version
        self._recorded: bytes | None = None

    def load(self, blob: bytes | None) -> bytes | None:
        """Return the choices in a stored record, or the ones recorded last where it has none.

        Raises
        ------
        IncompatibleStoreError
            If the record is damaged.
        """
        stored = read_state(self._slot.name, blob, self._choices)
        return self._recorded if stored is None else stored

    def record(self, belief: Belief) -> None:
        """Record what ``belief`` has chosen since the last call."""
        choices = belief.choices
        if choices is not None and choices != self._recorded:
            self._recorded = choices
            outcomes = max((float(belief.counts(name).sum()) for name in belief.objectives), default=0.0)
            record = {self._features_version: (outcomes, b64encode(choices).decode())}
            self._slot.save(json.dumps(record).encode(), _merge)

    def _choices(self, blob: bytes | None) -> bytes | None:
        record = {} if blob is None else json.loads(blob)
        version = self._features_version
        return b64decode(record[version][1], validate=True) if version in record else None


def _merge(earlier: bytes, later: bytes) -> bytes:
    """Return, for each version of the features, the choices that rest on more outcomes."""
    record = json.loads(earlier)
    for version, choices in json.loads(later).items():
        record[version] = max(record.get(version, choices), choices, key=lambda each: each[0])
    return json.dumps(record).encode()
