"""Observers of a router, and the values that they see: decisions, recorded feedback, and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from banditroute.core.decision import Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecorded:
    """Outcomes of one decision that are durable and learned.

    Attributes
    ----------
    decision_id, arm
        The decision, and its arm.
    values
        Objective -> value; only what was not recorded before.
    received_at, decided_at
        When the report came and when the decision was made, in Unix seconds.
    """

    decision_id: str
    arm: str
    values: Mapping[str, float]
    received_at: float
    decided_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened to a router, other than a decision or feedback.

    Attributes
    ----------
    at
        Unix time in seconds.
    """

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitChanged(Event):
    """The circuit of an arm was opened, so that it is left alone, or closed again."""

    arm: str
    open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetChanged(Event):
    """A budget began to bind, or no longer does: its shadow price rose above 0, or fell to 0."""

    budget: str
    shadow_price: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftDetected(Event):
    """An objective of an arm was found to have changed, for the ``times``-th time."""

    arm: str
    objective: str
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftSuspected(Event):
    """A monitor's ``detector`` gave its ``times``-th alarm for an objective of an arm; no belief was changed."""

    arm: str
    objective: str
    times: int
    detector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficCollapsed(Event):
    """Nearly all of the latest ``decisions`` were for one arm, with this ``share``; so the others teach nothing."""

    arm: str
    share: float
    decisions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutChanged(Event):
    """The guard lets the learner decide another share of the requests, or works in another mode."""

    mode: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTrouble(Event):
    """The store can no longer record, for this reason; None: it can again."""

    trouble: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackCorrected(Event):
    """Recorded outcomes of a decision were replaced by these ``values``."""

    decision_id: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class FellBack(Event):
    """A decision named the fallback arm, as the policy could not choose."""

    decision_id: str
    arm: str
    trouble: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterLoaded(Event):
    """A request waited ``seconds`` for its adapter."""

    decision_id: str
    arm: str
    adapter: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochBegun(Event):
    """A router began without anything learned: it is new, or its features are."""

    router: str
    features_version: str
    dimension: int


@runtime_checkable
class Observer(Protocol):
    """Watches a router, and cannot disturb it.

    All observers of a router run on one thread of their own, in the order of what happened. The router never waits for
    them: what they cannot keep up with is dropped and counted, and an error is logged. A decision is the one that the
    caller holds: do not change its arrays. See ``Router(observers=...)``.
    """

    def on_decision(self, decision: Decision) -> None:
        """See a decision, however it was made; a decision for the fallback arm too."""

    def on_feedback(self, feedback: FeedbackRecorded) -> None:
        """See feedback once it is durable and learned."""

    def on_event(self, event: Event) -> None:
        """See an event, such as a circuit that was opened."""
