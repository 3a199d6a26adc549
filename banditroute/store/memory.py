"""A store for tests, notebooks and simulations: it lives and dies with the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.forking import hold_while_forking
from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import MergeStates
from banditroute.core.validation import shown, whole
from banditroute.core.values import open_twin
from banditroute.errors import InvalidConfigurationError, StoreError, UnknownDecisionError
from banditroute.store.base import (
    Acknowledgement,
    Fold,
    OutcomeEvent,
    Recorded,
    StoredDecision,
    StoredState,
    Subscriber,
    Ticket,
)
from banditroute.store.outcomes import CLOSED, PAGING, check_recorded, new_outcomes

_OpenEvent, _OpenRecorded = open_twin(OutcomeEvent), open_twin(Recorded)

_Epoch: TypeAlias = tuple[str, str, int]
"""Router, features version, dimension."""


class MemoryStore:
    """Keeps the latest decisions and their outcomes in memory, and nothing on disk.

    A router that is opened on it later in the same process learns again what is retained. Nothing is folded:
    what is forgotten beyond ``capacity`` is forgotten for the next router too. Prompts are not kept.

    Parameters
    ----------
    capacity
        How many decisions are retained, at least 1; then the oldest is forgotten for each new one.

    Raises
    ------
    InvalidConfigurationError
        If ``capacity`` is not a whole number of at least 1.

    Examples
    --------
    >>> store = MemoryStore(capacity=1_000)
    >>> memory = store.open(router="docs", arms=(), features_version="1", dimension=2, fold=lambda blob, events: b"")
    >>> memory.decisions
    0
    >>> store.close()
    """

    def __init__(self, *, capacity: int = 20_000) -> None:
        self._capacity = whole(capacity, name="capacity of a MemoryStore", error=InvalidConfigurationError)
        self._lock = threading.RLock()  # a signal handler may come to it again
        self._router: str | None = None  # the one that is served; None while the store is closed
        self._epoch_id = 0
        self._epochs: dict[_Epoch, int] = {}
        self._subscriber: Subscriber | None = None
        self._decisions: OrderedDict[str, tuple[Decision, int]] = OrderedDict()  # with the epoch of each
        self._states: dict[str, dict[str, bytes]] = {}  # by router
        self._totals: dict[str, dict[str, dict[int, SharedTotal]]] = {}  # by router, budget and period
        self._outcomes: dict[str, dict[str, float]] = {}  # by decision, in the order of the first part's arrival
        hold_while_forking(self, "_lock")

    @property
    def trouble(self) -> str | None:
        """Why nothing is recorded: the store is closed. None while it is open."""
        return None if self._router is not None else CLOSED

    def open(
        self,
        *,
        router: str,
        arms: Sequence[Arm],
        features_version: str,
        dimension: int,
        fold: Fold,
        fold_settings: str = "",
    ) -> StoredState:
        """Begin to serve a router; see :class:`~banditroute.store.base.Store`. Nothing is folded."""
        with self._lock:
            if self._router is not None:
                raise StoreError(
                    f"this MemoryStore serves router {self._router!r}; give router {router!r} a store of "
                    f"its own, or close the first router"
                )
            self._router = router
            self._epoch_id = self._epochs.setdefault((router, features_version, dimension), len(self._epochs) + 1)
            answered = [
                (self._decisions[id][0], values)
                for id, values in self._outcomes.items()
                if self._decisions[id][1] == self._epoch_id
            ]
            return StoredState(
                statistics={},
                pending=[
                    OutcomeEvent(
                        arm=decision.arm,
                        x=decision.x,
                        values=values,
                        decided_at=decision.decided_at,
                        ordinal=decision.ordinal,
                    )
                    for decision, values in answered
                    if decision.x is not None
                ],
                decisions=sum(epoch_id == self._epoch_id for _, epoch_id in self._decisions.values()),
                feedback=len(answered),
                states=dict(self._states.get(router, {})),
                totals={
                    budget: sorted(periods.values(), reverse=True)
                    for budget, periods in self._totals.get(router, {}).items()
                },
            )

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` with what is recorded; no other process can change or add to it."""
        self._subscriber = subscriber

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Do nothing: what is remembered does not depend on the arms."""

    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        """Retain a decision."""
        with self._lock:
            if self._router is None:
                return
            self._decisions[decision.id] = decision, self._epoch_id
            if len(self._decisions) > self._capacity:
                oldest, _ = self._decisions.popitem(last=False)
                self._outcomes.pop(oldest, None)

    def find(self, decision_id: str) -> StoredDecision:
        """Return what is stored of a decision; see :class:`~banditroute.store.base.Store`."""
        with self._lock:
            decision, epoch_id = self._held(decision_id)
        return StoredDecision.of(decision, epoch_id=epoch_id)

    def find_session(self, session: str) -> list[str]:
        """Return the ids of the decisions of a session; see :class:`~banditroute.store.base.Store`."""
        with self._lock:
            if self._router is None:
                raise StoreError(CLOSED)
            mine = [each for each, epoch_id in self._decisions.values() if epoch_id == self._epoch_id]
            return sorted(each.id for each in mine if each.session == session)

    def add_feedback(self, feedback: Feedback) -> Ticket:
        """Record feedback and learn from it before returning; see :class:`~banditroute.store.base.Store`."""
        if PAGING in feedback.values:  # nobody could read it
            return _ACCEPTED
        try:
            recorded = self._record(feedback)
            # Called without the lock: the router takes its own.
            if recorded is not None and self._subscriber is not None:
                self._subscriber.on_recorded(recorded)
        except Exception as error:
            return _Refused(error)
        return _ACCEPTED

    def correct(self, decision_id: str, values: Mapping[str, float]) -> None:
        """Replace recorded outcomes of a decision; see :class:`~banditroute.store.base.Store`."""
        with self._lock:
            decision, epoch_id = self._held(decision_id)
            known = self._outcomes.get(decision_id, {})
            check_recorded(decision_id, values, known)
            self._outcomes[decision_id] = {**known, **values}
            subscriber = self._subscriber
        if subscriber is None or decision.x is None or epoch_id != self._epoch_id:
            return
        after = OutcomeEvent(
            arm=decision.arm,
            x=decision.x,
            values=dict(values),
            decided_at=decision.decided_at,
            ordinal=decision.ordinal,
            first=False,
        )
        before = replace(after, values={name: known[name] for name in values}, sign=-1)
        subscriber.on_corrected(before, after)  # without the lock: the router takes its own

    def save_state(self, name: str, blob: bytes, merge: MergeStates | None = None) -> bytes | None:
        """Retain a named piece of state in place of the last, or merged into it; return what is retained."""
        with self._lock:
            if self._router is None:
                return None
            states = self._states.setdefault(self._router, {})
            states[name] = merge(states[name], blob) if merge is not None and name in states else blob
            return states[name]

    def add_total(self, budget: str, total: SharedTotal) -> SharedTotal | None:
        """Add to what is counted for a budget, and return the sum: no other process adds to it."""
        with self._lock:
            if self._router is None:
                return None
            periods = self._totals.setdefault(self._router, {}).setdefault(budget, {})
            periods[total.period] = periods.get(total.period, SharedTotal(period=total.period)) + total
            while len(periods) > _PERIODS:
                del periods[min(periods)]
            return periods.get(total.period)

    def flush(self) -> None:
        """Do nothing: no write ever waits."""

    def close(self, timeout: float = 60.0) -> None:
        """Stop serving the router; what is retained stays for the next one."""
        with self._lock:
            self._router = self._subscriber = None

    def _held(self, decision_id: str) -> tuple[Decision, int]:
        if self._router is None:
            raise StoreError(CLOSED)
        held = self._decisions.get(decision_id)
        if held is None:
            raise UnknownDecisionError(
                f"no decision {shown(decision_id)} is held: a MemoryStore forgets all but its last {self._capacity:,} "
                f"decisions, and those too when the process ends; check the id, raise capacity=, or use SQLStore"
            )
        return held

    def _record(self, feedback: Feedback) -> Recorded | None:
        with self._lock:
            decision, epoch_id = self._held(feedback.decision_id)
            known: Mapping[str, float] = self._outcomes.get(feedback.decision_id, _NOTHING)
            new = new_outcomes(feedback, known)
            if not new:
                return None
            self._outcomes[feedback.decision_id] = {**known, **new} if known else new
        if decision.x is None or epoch_id != self._epoch_id:
            return None
        event = _OpenEvent(
            arm=decision.arm,
            x=decision.x,
            values=new,
            decided_at=decision.decided_at,
            ordinal=decision.ordinal,
            first=not known,
            sign=1,
        )
        event.__class__ = OutcomeEvent
        recorded = _OpenRecorded(
            decision_id=decision.id,
            event=event,
            received_at=feedback.received_at,
            reserved=decision.reserved,
            known=tuple(known),
        )
        recorded.__class__ = Recorded
        return recorded


class _Accepted:
    """The ticket of feedback that is recorded and learned."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> Acknowledgement:
        """Return that it is accepted."""
        return "accepted"


class _Refused:
    """The ticket of feedback that was not recorded."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self, timeout: float | None = None) -> Acknowledgement:
        """Raise what kept it from being recorded."""
        raise self._error


_PERIODS = 50  # of a budget that are kept
_ACCEPTED = _Accepted()
_NOTHING: Mapping[str, float] = {}
