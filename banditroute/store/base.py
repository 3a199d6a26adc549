"""What the router asks of a store, and what a store gives back.

The truth is the log of decisions and feedback. What was learned from it is a cache: one blob of statistics per arm,
made by *folding* feedback into it, and a tail of feedback that is not folded yet. A store keeps both and
knows nothing of beliefs: the router hands it the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol, TypeAlias, runtime_checkable

from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.preference import Preference
from banditroute.core.shared_total import SharedTotal


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Newly recorded outcomes of one decision: what a belief learns from.

    Attributes
    ----------
    arm
        The arm that was used.
    x
        The context ``(d,)`` that it was chosen in.
    values
        Objective name -> observed value; only what was not recorded before.
    decided_at, ordinal
        When the decision was made: Unix time in seconds, and as the how-manieth of the router. What forgets counts
        age from these, so that the order of arrival does not matter.
    first
        Whether nothing was recorded of the decision before.
    sign
        1, or -1 where a fold is to take back what it added before.
    reserved, known
        As in the decision, and the objectives of which something was recorded before; told to ``learn`` alone.
    """

    arm: str
    x: Vector
    values: Mapping[str, float]
    decided_at: float
    ordinal: int
    first: bool = True
    sign: int = 1
    reserved: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    known: Collection[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What is recorded of a decision.

    Attributes
    ----------
    arm, arms, x, preference, session, tags, input_tokens
        As in :class:`~banditroute.core.decision.Decision`.
    """

    arm: str
    arms: tuple[str, ...]
    x: Vector | None
    preference: Preference
    session: str | None
    tags: tuple[str, ...]
    input_tokens: int | None

    @classmethod
    def by(cls, decision: Decision) -> Served:
        """What will be recorded of ``decision``."""
        return cls(**{each.name: getattr(decision, each.name) for each in fields(cls)})


Learn: TypeAlias = Callable[[Event], None]
"""Called once for each event, after it is durable, from whichever thread made it so."""

Fold: TypeAlias = Callable[[bytes | None, Sequence[Event]], bytes]
"""``fold(blob, events)`` -> the arm's statistics with the events added, or taken back by their sign; ``None`` is an arm
without any. Pure."""


TotalCallback: TypeAlias = Callable[[SharedTotal, SharedTotal], None]
"""Called with the sum of all tallies of a budget, and with what this process added to it just now."""

MergeStates: TypeAlias = Callable[[bytes, bytes], bytes]
"""``join(earlier, later)`` -> one piece of state that holds what both do; associative. Pure."""


class PutState(Protocol):
    """``Store.put_state``."""

    def __call__(self, name: str, blob: bytes, join: MergeStates | None = None) -> None:
        """Take a named piece of the router's other state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredState:
    """What a store remembers of a router when it is opened.

    Attributes
    ----------
    statistics
        Arm -> its folded blob.
    pending
        Events that no blob holds yet, in the order of their arrival.
    decisions, feedback
        How many decisions, and how many decisions with feedback, were recorded under this router, dimension and
        features version; where others have added to them, as far as can be told without counting.
    states
        Name -> blob, as given to ``put_state`` by routers of this name, whatever their features.
    tallies
        Budget -> all that was given to ``add_tally`` by routers of this name, added up.
    """

    statistics: Mapping[str, bytes]
    pending: Sequence[Event]
    decisions: int
    feedback: int
    states: Mapping[str, bytes] = field(default_factory=dict)
    tallies: Mapping[str, SharedTotal] = field(default_factory=dict)


class Ticket(Protocol):
    """The promise that feedback will be durable; a :class:`concurrent.futures.Future` is one."""

    def result(self, timeout: float | None = None) -> None:
        """Return when the feedback is durable and learned, or raise what kept it from being recorded."""


@runtime_checkable
class Store(Protocol):
    """Keeps decisions, feedback and folded statistics. One store object serves one router.

    ``banditroute.testing.StoreContract`` is the suite that every store must pass.
    """

    @property
    def trouble(self) -> str | None:
        """What keeps decisions from being recorded just now, in words; None while all is well."""

    def open(
        self, *, router: str, arms: Sequence[Arm], features_version: str, dimension: int, fold: Fold
    ) -> StoredState:
        """Begin to serve a router, and return what is remembered of it.

        What was learned in other features is another *epoch*: it stays recorded and is not returned.

        Parameters
        ----------
        router
            The router's name.
        arms
            What it can choose now; recorded with its prices. What was learned of other arms stays recorded.
        features_version
            Names the features; statistics of different versions are never mixed.
        dimension
            d, the length of the context with its bias.
        fold
            Adds events to an arm's blob; the store calls it when it sees fit.

        Raises
        ------
        StoreError
            If the store cannot be opened, or serves a router already.
        IncompatibleStoreError
            If what is stored is corrupt, another application's, or of a newer version.
        """

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Record what the router can choose from now on, in place of what ``open`` was told.

        Returns at once, as ``put_state`` does. What was learned of other arms stays recorded.
        """

    def follow(self, follow: Callable[[StoredState], None]) -> None:
        """From now on, call ``follow`` with all that is remembered whenever others have added to it, or it is folded.

        A router begins anew from it; so what it chooses by what is folded is what every other chooses.

        It is called from the thread that calls ``learn``, or where no other learns, so that what it is given holds
        exactly the feedback that was learned so far and that of the others. A store of one process never calls it.
        """

    def add_decision(self, decision: Decision, prompt: str | None = None) -> None:
        """Take a decision for recording; returns at once, without waiting for a disk, unless the store promises more.

        Never raises: what keeps the store from recording is told by ``trouble``.
        """

    def find(self, decision_id: str) -> Served:
        """What is recorded of a decision.

        Raises
        ------
        UnknownDecisionError
            If no decision of that id is held, or it was made by another process and cannot be seen yet.
        StoreError
            If the store cannot be read.
        """

    def find_session(self, session: str) -> Sequence[str]:
        """Ids of the decisions of a session in this epoch, in the order of their ids; none if there are none.

        Those that another process made just now may be missing. Raises StoreError if the store cannot be read.
        """

    def add_feedback(self, feedback: Feedback, learn: Learn) -> Ticket:
        """Record feedback durably, then call ``learn`` with what was new in it.

        The ticket's ``result()`` raises, and nothing was recorded or learned, with

        UnknownDecisionError
            if no decision of that id is held (one just made by another process may yet appear: a store that is shared
            keeps its feedback, and learns from it then);
        ConflictingFeedbackError
            if one of the outcomes is recorded with another value;
        StoreError
            if the outcomes could not be written.

        An outcome that is recorded with the same value already is passed over. ``learn`` is not called where
        nothing was new, the decision has no context, or it was made in other features. Nor is it for
        ``banditroute.store.outcomes.PAGING``, which comes alone: it is recorded (if anybody can read it), and is never
        pending, folded, or counted as feedback; of several of one decision the first stays.
        """

    def put_state(self, name: str, blob: bytes, join: MergeStates | None = None) -> None:
        """Take a named piece of the router's other state (a budget, a breaker, a warm start).

        It replaces the last, or is joined to it: to what any process has recorded until then, in the transaction that
        records it, so that none undoes what another did.

        Returns at once, as ``add_decision`` does; recorded with the next group, at the latest by ``flush`` or
        ``close``.
        """

    def add_tally(self, budget: str, tally: SharedTotal, told: TotalCallback) -> SharedTotal | None:
        """Add to what all processes have counted together for a budget.

        Returns at once, as ``put_state`` does: the sum, where nobody else adds to it; else None. Where other processes may add to it, ``told`` is called when it is
        recorded, from whichever thread made it so, with the sum of all and with what this process added to it since
        ``told`` was called last.
        """

    def flush(self) -> None:
        """Return when all that was given so far is recorded; raises StoreError if it cannot be."""

    def close(self) -> None:
        """Flush, fold and release everything; closing twice is harmless."""
