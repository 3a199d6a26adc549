"""The contract between a router and its store.

The log of decisions and feedback is the truth. Statistics are a cache of it: one blob for each arm, made by *folding*
outcomes into it, and a tail of outcomes that are pending, which means not folded yet. A store keeps both. It knows
nothing of beliefs: the router gives it the function that folds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.preference import Preference
from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import MergeStates
from banditroute.core.turn import SessionTurn


class StoredDecision(NamedTuple):
    """A decision as a store keeps it.

    Attributes
    ----------
    id, arm, arms, probabilities, x, preference, session, tags, input_tokens, decided_at, ordinal, reserved
        As in :class:`~banditroute.core.decision.Decision`.
    epoch_id
        The epoch that it was made in, as the store numbers them.
    """

    id: str
    arm: str
    arms: tuple[str, ...]
    probabilities: Vector
    x: Vector | None
    preference: Preference
    session: str | None
    tags: tuple[str, ...]
    input_tokens: int | None
    decided_at: float
    ordinal: int
    reserved: Mapping[str, tuple[float, ...]]
    epoch_id: int

    @classmethod
    def of(cls, decision: Decision, *, epoch_id: int) -> StoredDecision:
        """Return ``decision`` as it will be stored in that epoch."""
        return cls(
            decision.id,
            decision.arm,
            decision.arms,
            decision.probabilities,
            decision.x,
            decision.preference,
            decision.session,
            decision.tags,
            decision.input_tokens,
            decision.decided_at,
            decision.ordinal,
            decision.reserved,
            epoch_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeEvent:
    """Newly recorded outcomes of one decision: what a belief learns from, and what is folded.

    Attributes
    ----------
    arm
        The arm that was used.
    x
        The context ``(d,)`` that it was chosen in.
    values
        Objective -> observed value; only what was not recorded before.
    decided_at, ordinal
        When the decision was made: Unix time in seconds, and how many decisions its router had made before. A belief
        that forgets counts age from these, so the order of arrival does not matter.
    first
        True if no outcome of the decision was recorded before.
    sign
        1, or -1 where a fold takes back what it added before.
    """

    arm: str
    x: Vector
    values: Mapping[str, float]
    decided_at: float
    ordinal: int
    first: bool = True
    sign: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """Feedback that is durable now, with what was new in it.

    Attributes
    ----------
    decision_id
        The decision that was reported on.
    event
        What is to be learned.
    received_at
        When the report came, in Unix seconds.
    reserved
        What budgets had reserved for the decision.
    known
        Objectives of which an outcome was recorded before.
    """

    decision_id: str
    event: OutcomeEvent
    received_at: float
    reserved: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    known: Collection[str] = ()


Fold: TypeAlias = Callable[[bytes | None, Sequence[OutcomeEvent]], bytes]
"""``fold(blob, events)`` -> the arm's statistics with the events added, or taken back where their sign is -1.
``None`` stands for an arm without statistics. Without side effects."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """The memory of a router that a store returns when it is opened.

    Attributes
    ----------
    statistics
        Arm -> its folded blob.
    pending
        Events that no blob holds yet, in the order of their arrival.
    decisions, feedback
        How many decisions, and how many decisions with feedback, were recorded in this epoch. Where other processes
        have added to them, as far as the store knows without counting.
    states
        Name -> blob, as given to ``save_state`` by routers of this name, whatever their features.
    totals
        Budget -> the sums of all that was given to ``add_total`` by routers of this name, one for each period, the
        latest first.
    """

    statistics: Mapping[str, bytes]
    pending: Sequence[OutcomeEvent]
    decisions: int
    feedback: int
    states: Mapping[str, bytes] = field(default_factory=dict)
    totals: Mapping[str, Sequence[SharedTotal]] = field(default_factory=dict)


class Subscriber(Protocol):
    """The object that a store calls, from any thread, and never while it holds a lock of its own."""

    def on_recorded(self, recorded: Recorded) -> None:
        """Learn from feedback that is durable now. Called once for each report that brought something new.

        What this raises, the ticket of that feedback raises.
        """

    def on_corrected(self, before: OutcomeEvent, after: OutcomeEvent) -> None:
        """Take back ``before``, whose sign is -1, and learn ``after``: an outcome was corrected.

        A store that other processes may change calls ``on_changed`` instead.
        """

    def on_total(self, budget: str, total: SharedTotal, added: SharedTotal) -> None:
        """Take the total of a budget over all processes, and the part that this process added since the last call."""

    def on_changed(self, state: StoredState) -> None:
        """Begin again from ``state``: another process has added to it, or this one has folded.

        The state holds exactly the feedback that ``on_recorded`` was called with so far, and that of the others.
        """


@runtime_checkable
class SessionSubscriber(Subscriber, Protocol):
    """A subscriber that follows the sessions of other processes; one that does not needs none of this."""

    @property
    def follows_sessions(self) -> bool:
        """True while ``on_turns`` is to be called."""

    def on_turns(self, turns: Sequence[SessionTurn]) -> None:
        """Take turns of sessions, within half a second after another process has served them."""


@runtime_checkable
class StateSubscriber(Subscriber, Protocol):
    """A subscriber that follows pieces of state that other processes save; one that does not needs none of this."""

    @property
    def followed_states(self) -> Collection[str]:
        """Names of the pieces of state to be given to ``on_states``."""

    def on_states(self, states: Mapping[str, bytes]) -> None:
        """Take these pieces of state as they are recorded now: name -> blob. Called about four times a second."""


Acknowledgement: TypeAlias = Literal["accepted", "pending"]
"""The answer of a store to feedback: ``"accepted"`` is durable and learned. ``"pending"`` is kept for a decision that
another process may have made a moment ago and not written yet; it is learned when that decision appears, and no
promise: it is dropped where the decision does not appear within 60 s of its own time."""


class Ticket(Protocol):
    """The promise that feedback will be durable; a :class:`concurrent.futures.Future` is one, too."""

    def result(self, timeout: float | None = None) -> Acknowledgement:
        """Return when the feedback is durable and learned, or raise what kept it from being recorded."""


@runtime_checkable
class Store(Protocol):
    """Keeps the decisions, feedback, statistics and state of one router.

    Every store keeps these promises, and ``banditroute.testing.StoreContract`` tests them.

    - **Acknowledged feedback is never lost, and never counted twice.** When a ticket's ``result()`` returns
      ``"accepted"``, the feedback survives what the store survives: the process for a store on disk.
    - **Nothing is learned that is not recorded.** ``on_recorded`` comes after the feedback is durable.
    - **Each report counts entirely or not at all.** Where one outcome conflicts, none of its report is recorded.
    - **The order of arrival does not matter.** The same reports in any order give the same sums.
    - **``add_decision``, ``save_state`` and ``add_total`` never wait for a disk and never raise**; ``trouble`` says
      what keeps the store from recording.
    - **No call into the router is made under a lock of the store.** So a router may call the store while it learns.
    - **Nothing waits without end.** A caller hears within a limit that the outcome is unknown.
    - **A forked process may go on.** It finds no lock taken, and records with means of its own.
    - **Epochs are kept apart.** What was learned by another router, in other features or in another dimension is
      neither returned nor changed.
    - **Any text is only text.** Names and ids with quotes, NUL, surrogates or SQL in them do no harm.

    A store object serves one router at a time; ``close`` makes it free for the next.
    """

    @property
    def trouble(self) -> str | None:
        """The reason why the store cannot record just now, in words; None while all is well."""

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
        """Begin to serve a router, and return what is remembered of it.

        What was learned in other features is another *epoch*: it stays recorded and is not returned.

        Parameters
        ----------
        router
            The router's name.
        arms
            What it can choose now; recorded with their prices. What was learned of other arms stays recorded.
        features_version
            Names the features. Statistics of different versions are never mixed.
        dimension
            d, the length of the context with its bias.
        fold
            Adds events to an arm's blob. The store decides when to call it.
        fold_settings
            JSON of what the fold depends on, such as half-lives. A store on disk records it, so that the log can be
            folded in the same way by others. Empty: not known.

        Raises
        ------
        StoreError
            If the store cannot be opened, or serves a router already.
        IncompatibleStoreError
            If what is stored is corrupt, another application's, of a newer version, or folded with other settings.
        """

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call ``subscriber`` from now on, until the store is closed.

        The router gives it once, when it is ready to be called. Feedback that was recorded before is pending: the
        next router that opens the store learns from it.
        """

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Record what the router can choose from now on. Return at once.

        What was learned of other arms stays recorded.
        """

    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        """Take a decision for recording. Return at once, unless the store promises more."""

    def find(self, decision_id: str) -> StoredDecision:
        """Return what is stored of a decision.

        Raises
        ------
        UnknownDecisionError
            If no decision of that id is held, or another process made it and it cannot be seen yet.
        StoreError
            If the store cannot be read.
        """

    def find_session(self, session: str) -> Sequence[str]:
        """Return the ids of the decisions of a session in this epoch, sorted; empty if it has none.

        Those that another process made a moment ago may be missing.

        Raises
        ------
        StoreError
            If the store cannot be read.
        """

    def add_feedback(self, feedback: Feedback) -> Ticket:
        """Record feedback durably, then call ``on_recorded`` with what was new in it.

        An outcome that is recorded with the same value already is passed over. ``on_recorded`` is not called where
        nothing was new, where the decision has no context, or where it was made in another epoch. Nor is it called for
        ``banditroute.store.outcomes.PAGING``, which comes alone: it is recorded if anybody can read it, it is never
        pending or folded, it does not count as feedback, and of several for one decision the first stays.

        The ticket's ``result()`` raises one of these if nothing was recorded or learned:

        UnknownDecisionError
            If no decision of that id is held.
        ConflictingFeedbackError
            If one of the outcomes is recorded with another value.
        StoreError
            If the outcomes could not be written.
        """

    def correct(self, decision_id: str, values: Mapping[str, float]) -> None:
        """Replace recorded outcomes of a decision durably, as if they had been reported with these values.

        Then ``on_corrected`` or ``on_changed`` is called, the latter within a second.

        Raises
        ------
        UnknownDecisionError
            If no decision of that id is held, or one of the outcomes is not recorded; nothing is changed.
        StoreError
            If the outcomes could not be written; nothing is changed.
        """

    def save_state(self, name: str, blob: bytes, merge: MergeStates | None = None) -> bytes | None:
        """Take a named piece of the router's other state, such as its circuits or its rollout. Return at once.

        It replaces the last. With ``merge`` it is merged into what any process has recorded until then, in the
        transaction that records it, so that no process undoes what another did. It is recorded with the next group,
        at the latest by ``flush`` or ``close``. Where other processes may merge into it, return None; else return the
        merged state.
        """

    def add_total(self, budget: str, total: SharedTotal) -> SharedTotal | None:
        """Add to what all processes have counted together for a budget in ``total.period``. Return at once.

        Where other processes may add to it, return None, and call ``on_total`` when it is recorded; else return the
        sum.
        """

    def flush(self) -> None:
        """Return when all that was given so far is recorded.

        Raises
        ------
        StoreError
            If it cannot be recorded, or the database does not answer in time.
        """

    def close(self, timeout: float = 60.0) -> None:
        """Flush, fold and release everything, and wait at most ``timeout`` seconds. Closing twice is harmless."""


class Backlog(NamedTuple):
    """Decisions that a store in the background has not written.

    Attributes
    ----------
    decisions
        Decisions that wait to be written.
    oldest_at
        When the oldest of them was made, in Unix seconds; None if none waits.
    dropped
        Decisions that were lost, as they could not be written.
    pending
        Outcomes of all processes that wait for a decision that is not written yet.
    """

    decisions: int
    oldest_at: float | None
    dropped: int
    pending: int = 0


NO_BACKLOG = Backlog(0, None, 0)


@runtime_checkable
class BackgroundStore(Protocol):
    """A store that writes decisions in the background; one that does not needs none of this."""

    @property
    def backlog(self) -> Backlog:
        """The decisions that are not written at present."""
