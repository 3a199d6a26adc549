"""Decisions, feedback and a fold for tests of stores. All numbers are whole, so sums are equal to the bit."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.preference import Preference
from banditroute.core.shared_total import SharedTotal
from banditroute.store.base import OutcomeEvent, Recorded, Store, StoredState

Sums = Mapping[str, Mapping[str, list[int]]]
"""Arm -> objective -> number of values, followed by the entries of the sum of value times x."""


class Listener:
    """A subscriber that keeps what it is called with.

    Attributes
    ----------
    recorded, corrections, totals, changes
        The arguments of ``on_recorded``, ``on_corrected``, ``on_total`` and ``on_changed``.
    """

    def __init__(self) -> None:
        self.recorded: list[Recorded] = []
        self.corrections: list[tuple[OutcomeEvent, OutcomeEvent]] = []
        self.totals: list[tuple[str, SharedTotal, SharedTotal]] = []
        self.changes: list[StoredState] = []

    @property
    def events(self) -> list[OutcomeEvent]:
        """The events to learn from, in the order of its arrival."""
        return [each.event for each in self.recorded]

    @property
    def values(self) -> list[dict[str, float]]:
        """The outcomes of each event."""
        return [dict(each.event.values) for each in self.recorded]

    def on_recorded(self, recorded: Recorded) -> None:
        """Keep what is recorded."""
        self.recorded.append(recorded)

    def on_corrected(self, before: OutcomeEvent, after: OutcomeEvent) -> None:
        """Keep a correction."""
        self.corrections.append((before, after))

    def on_total(self, budget: str, total: SharedTotal, added: SharedTotal) -> None:
        """Keep a total."""
        self.totals.append((budget, total, added))

    def on_changed(self, state: StoredState) -> None:
        """Keep what changed."""
        self.changes.append(state)


def listen(store: Store) -> Listener:
    """Return a new subscriber of ``store``, which is open."""
    listener = Listener()
    store.subscribe(listener)
    return listener


def until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait until ``condition`` holds; fail after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true"
        time.sleep(0.005)


def fold(blob: bytes | None, events: Sequence[OutcomeEvent]) -> bytes:
    """Add events in whole numbers, so that sums in any order are equal to the bit."""
    sums: dict[str, list[int]] = json.loads(blob) if blob is not None else {}
    for event in events:
        for objective, value in event.values.items():
            one = [event.sign, *(int(event.sign * value * entry) for entry in event.x)]
            sums[objective] = [a + b for a, b in zip(sums.get(objective, [0] * len(one)), one, strict=True)]
            if not any(sums[objective]):
                del sums[objective]
    return json.dumps(sums, sort_keys=True).encode()


def summed(events: Iterable[OutcomeEvent], statistics: Mapping[str, bytes] | None = None) -> Sums:
    """Return the sums of events and statistics together."""
    blobs = dict(statistics or {})
    for event in events:
        blobs[event.arm] = fold(blobs.get(event.arm), [event])
    return {arm: sums for arm, blob in blobs.items() if (sums := json.loads(blob))}


def remembered(memory: StoredState) -> Sums:
    """Return what a router knows after it has opened a store."""
    return summed(memory.pending, memory.statistics)


def decision(
    number: int,
    *,
    arm: str = "a",
    x: Vector | str | None = "of the number",
    session: str | None = None,
    tags: tuple[str, ...] = (),
) -> Decision:
    """Return the decision with this number; its context has whole numbers."""
    none = np.zeros((1, 2))
    return Decision(
        id=f"{number:032x}",
        arm=arm,
        propensity=0.75,
        reason="policy",
        decided_at=1_700_000_000.0 + number,
        arms=(arm, f"not {arm}"),
        probabilities=np.array([0.75, 0.25]),
        objectives=("quality",),
        means=none,
        stds=none,
        utilities=none[0],
        utility_stds=none[0],
        penalties=none[0],
        x=np.array([number % 7, number % 11, 1.0]) if isinstance(x, str) else x,
        preference=Preference(quality=1.0),
        policy="a test",
        session=session,
        tags=tags,
        ordinal=number,
    )


def feedback(number: int, **values: float) -> Feedback:
    """Return feedback for the decision with this number."""
    return Feedback(decision_id=f"{number:032x}", values=values, received_at=1_700_000_001.0 + number)


def event(number: int, **values: float) -> OutcomeEvent:
    """Return the event to learn from feedback for the decision with this number."""
    made = decision(number)
    assert made.x is not None
    return OutcomeEvent(arm=made.arm, x=made.x, values=values, decided_at=made.decided_at, ordinal=made.ordinal)
