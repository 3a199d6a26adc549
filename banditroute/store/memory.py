"""A store for tests, notebooks and simulations: it lives and dies with the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import InvalidConfigurationError, StoreError, UnknownDecisionError
from banditroute.store.base import Event, Fold, Learn, MergeStates, Served, StoredState, Ticket, TotalCallback
from banditroute.store.outcomes import CLOSED, PAGING, new_outcomes

_Epoch: TypeAlias = tuple[str, str, int]


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
        if not isinstance(capacity, int) or isinstance(capacity, bool) or capacity < 1:
            raise InvalidConfigurationError(
                f"MemoryStore(capacity={capacity!r}): give how many decisions to retain, from 1"
            )
        self._capacity = capacity
        self._lock = threading.Lock()
        self._epoch: _Epoch | None = None
        self._made: OrderedDict[str, tuple[Decision, _Epoch]] = OrderedDict()
        self._states: dict[str, dict[str, bytes]] = {}  # by router
        self._tallies: dict[str, dict[str, dict[int, SharedTotal]]] = {}  # by router, name and period
        self._outcomes: dict[str, dict[str, float]] = {}  # by decision, in the order of the first part's arrival

    @property
    def trouble(self) -> str | None:
        """Why nothing is recorded: the store is closed. None while it is open."""
        return None if self._epoch is not None else CLOSED

    def open(
        self, *, router: str, arms: Sequence[Arm], features_version: str, dimension: int, fold: Fold
    ) -> StoredState:
        """Begin to serve a router; see :class:`~banditroute.store.base.Store`. ``arms`` and ``fold`` are not used."""
        with self._lock:
            if self._epoch is not None:
                raise StoreError(
                    f"this MemoryStore serves router {self._epoch[0]!r}; give router {router!r} a store of "
                    f"its own, or close the first router"
                )
            self._epoch = epoch = (router, features_version, dimension)
            heard = [(*self._made[id], values) for id, values in self._outcomes.items()]
            return StoredState(
                statistics={},
                pending=[
                    Event(
                        arm=decision.arm,
                        x=decision.x,
                        values=values,
                        decided_at=decision.decided_at,
                        ordinal=decision.ordinal,
                    )
                    for decision, made_in, values in heard
                    if made_in == epoch and decision.x is not None
                ],
                decisions=sum(made_in == epoch for _, made_in in self._made.values()),
                feedback=sum(made_in == epoch for _, made_in, _ in heard),
                states=dict(self._states.get(router, {})),
                tallies={name: max(kept.values()) for name, kept in self._tallies.get(router, {}).items()},
            )

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Do nothing: what is remembered does not depend on the arms."""

    def follow(self, follow: Callable[[StoredState], None]) -> None:
        """Do nothing: no other process can add to it."""

    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        """Retain a decision."""
        with self._lock:
            if self._epoch is None:
                return
            self._made[decision.id] = (decision, self._epoch)
            if len(self._made) > self._capacity:
                oldest, _ = self._made.popitem(last=False)
                self._outcomes.pop(oldest, None)

    def find(self, decision_id: str) -> Served:
        """What is recorded of a decision; see :class:`~banditroute.store.base.Store`."""
        with self._lock:
            decision, _ = self._held(decision_id)
        return Served.by(decision)

    def find_session(self, session: str) -> list[str]:
        """Ids of the decisions of a session; see :class:`~banditroute.store.base.Store`."""
        with self._lock:
            if self._epoch is None:
                raise StoreError(CLOSED)
            made = self._made.values()
            return sorted(one.id for one, epoch in made if one.session == session and epoch == self._epoch)

    def add_feedback(self, feedback: Feedback, learn: Learn) -> Ticket:
        """Record feedback and learn from it before returning; see :class:`~banditroute.store.base.Store`."""
        if PAGING in feedback.values:  # nobody could read it
            return _DONE
        try:
            event = self._record(feedback)
            if event is not None:  # outside the lock: learning takes the router's own
                learn(event)
        except Exception as error:
            return _Refused(error)
        return _DONE

    def put_state(self, name: str, blob: bytes, join: MergeStates | None = None) -> None:
        """Retain a named piece of state, replacing the last or joined to it."""
        with self._lock:
            if self._epoch is not None:
                states = self._states.setdefault(self._epoch[0], {})
                states[name] = join(states[name], blob) if join is not None and name in states else blob

    def add_tally(self, budget: str, tally: SharedTotal, told: TotalCallback) -> SharedTotal | None:
        """Add to what is counted for a budget, and return the sum: nobody else adds to it."""
        with self._lock:
            if self._epoch is None:
                return None
            mine = self._tallies.setdefault(self._epoch[0], {})
            kept = mine.setdefault(budget, {})
            kept[tally.period] = kept.get(tally.period, SharedTotal(period=tally.period)) + tally
            return kept[tally.period]

    def flush(self) -> None:
        """Return: nothing is ever waiting."""

    def close(self) -> None:
        """Stop serving the router; what is retained stays for the next one."""
        with self._lock:
            self._epoch = None

    def _held(self, decision_id: str) -> tuple[Decision, _Epoch]:
        if self._epoch is None:
            raise StoreError(CLOSED)
        made = self._made.get(decision_id)
        if made is None:
            raise UnknownDecisionError(
                f"no decision {decision_id!r} is held: a MemoryStore forgets all but its last {self._capacity:,} "
                f"decisions, and those too when the process ends; check the id, raise capacity=, or use SQLStore"
            )
        return made

    def _record(self, feedback: Feedback) -> Event | None:
        with self._lock:
            decision, epoch = self._held(feedback.decision_id)
            recorded: Mapping[str, float] = self._outcomes.get(feedback.decision_id, _NOTHING)
            new = new_outcomes(feedback, recorded)
            if not new:
                return None
            self._outcomes[feedback.decision_id] = {**recorded, **new} if recorded else new
        if decision.x is None or epoch != self._epoch:
            return None
        return Event(
            arm=decision.arm,
            x=decision.x,
            values=new,
            decided_at=decision.decided_at,
            ordinal=decision.ordinal,
            first=not recorded,
            reserved=decision.reserved,
            known=tuple(recorded),
        )


class _Done:
    """The ticket of feedback that is recorded and learned."""

    __slots__ = ()

    def result(self, timeout: float | None = None) -> None:
        """Return."""


class _Refused:
    """The ticket of feedback that was not recorded."""

    __slots__ = ("_error",)

    def __init__(self, error: Exception) -> None:
        self._error = error

    def result(self, timeout: float | None = None) -> None:
        """Raise what kept it from being recorded."""
        raise self._error


_DONE = _Done()
_NOTHING: Mapping[str, float] = {}
