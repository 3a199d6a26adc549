"""The queue of decisions, reports, state and totals that wait to be written to the database, within bounds."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import NamedTuple, TypeVar

from banditroute.core.arm import Arm
from banditroute.core.decision import Decision
from banditroute.core.feedback import Feedback
from banditroute.core.promise import Promise
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import StoreError, UnknownDecisionError
from banditroute.store.sql import log
from banditroute.store.sql.folding import Put
from banditroute.store.sql.ticket import Ticket

MAX_QUEUED_DECISIONS = 10_000
MAX_QUEUED_REPORTS = 10_000
MAX_QUEUED_PROMPT_BYTES = 64 * 2**20
MAX_QUEUED_TOTALS = 1_000
MAX_DROPPED_IDS = 100_000

_SUMMED_TOGETHER = 100  # queued parts of totals: most are of few budgets, so their sums are far fewer

_T = TypeVar("_T")


class Report(NamedTuple):
    """Feedback, and the ticket of its caller."""

    feedback: Feedback
    ticket: Ticket


class WriteQueue:
    """Decisions, reports, state and totals that wait to be written, and the callers that wait for a flush.

    Callers take no lock: they use operations of queues that are atomic. So a signal handler, or a child that was forked
    at any moment, finds no lock that nobody will release. One thread takes things out.

    Parameters
    ----------
    dropped
        Number of decisions that an earlier queue has dropped.

    Attributes
    ----------
    decisions
        Decision id -> the decision, and its prompt if that is recorded.
    arms
        The router's arms, if they are to be written.
    reports, flushes
        Callers that wait, in the order of their arrival.
    states, totals
        State and totals that :meth:`gather` has put together; the thread's own.
    new_totals
        Parts of totals that are to be put together.
    dropped
        Number of decisions that were dropped.
    dropped_ids
        The latest of them, with the time.
    """

    def __init__(self, *, dropped: int = 0) -> None:
        self.decisions: OrderedDict[str, tuple[Decision, str | None]] = OrderedDict()
        self.arms: Sequence[Arm] | None = None
        self.reports: deque[Report] = deque()
        self.flushes: deque[Promise[None]] = deque()
        self.states: dict[str, Put] = {}
        self.totals: dict[tuple[str, int], SharedTotal] = {}
        self.dropped: int = dropped
        self.dropped_ids: OrderedDict[str, float] = OrderedDict()
        self._prompt_bytes = 0
        self._new_states: deque[tuple[str, Put]] = deque()
        self.new_totals: deque[tuple[str, SharedTotal]] = deque()

    @property
    def holds_prompts(self) -> bool:
        """True while there is room for another prompt."""
        return self._prompt_bytes <= MAX_QUEUED_PROMPT_BYTES

    def add_decision(self, decision: Decision, prompt: str | None) -> bool:
        """Queue a decision; return whether the oldest one was dropped for it."""
        if prompt is not None:
            self._prompt_bytes += len(prompt)
        self.decisions[decision.id] = (decision, prompt)
        return len(self.decisions) > MAX_QUEUED_DECISIONS and self._drop_oldest()

    def add_state(self, name: str, put: Put) -> None:
        """Queue a piece of state."""
        self._new_states.append((name, put))

    def add_total(self, budget: str, total: SharedTotal) -> None:
        """Queue a part of a budget's total."""
        self.new_totals.append((budget, total))
        queued = len(self.new_totals)
        if queued > MAX_QUEUED_TOTALS and queued % (_SUMMED_TOGETHER // 2) == 0:
            some = list(islice(taken(self.new_totals), _SUMMED_TOGETHER))
            self.new_totals.extend((budget, total) for (budget, _), total in _summed(some).items())

    def remove_written(self, decision_id: str) -> None:
        """Remove a decision that is written now."""
        self.decisions.pop(decision_id, None)
        self.dropped_ids.pop(decision_id, None)  # it was dropped while it was written

    def remove_unwritable(self, decision_id: str) -> None:
        """Drop a decision that no database can hold."""
        self.decisions.pop(decision_id, None)
        self.dropped += 1

    def count_prompts(self) -> None:
        """Count the prompts that still wait."""
        self._prompt_bytes = sum(len(prompt) for _, prompt in list(self.decisions.values()) if prompt is not None)

    def refusal(self, feedback: Feedback, trouble: str | None) -> StoreError | UnknownDecisionError | None:
        """Return why a report cannot be queued; None if it can be."""
        if len(self.reports) >= MAX_QUEUED_REPORTS:
            return StoreError(
                f"more than {MAX_QUEUED_REPORTS:,} reports wait for the database ({trouble or 'it is too slow'}); "
                f"nothing was recorded, report it again later"
            )
        if feedback.decision_id in self.dropped_ids:
            return UnknownDecisionError(
                f"decision {feedback.decision_id!r} was dropped, as the database could not be written for too long; "
                f"nothing can be learned from it"
            )
        return None

    def refuse_reports(self, error: Exception) -> None:
        """Answer every report that waits with ``error``."""
        for report in taken(self.reports):
            if not report.ticket.done():
                report.ticket.set_exception(error)

    def finish_flushes(self, error: Exception | None) -> None:
        """Answer every caller that waits for a flush."""
        finish(taken(self.flushes), error)

    def gather(self) -> None:
        """Put queued state and totals together in ``states`` and ``totals``."""
        for name, put in taken(self._new_states):
            self.states[name] = put.after(self.states.get(name))
        self.totals = _summed(taken(self.new_totals), self.totals)

    def take_states(self) -> tuple[Mapping[str, Put], Mapping[tuple[str, int], SharedTotal]]:
        """Take the gathered state and totals out."""
        taken_out = self.states, self.totals
        self.states, self.totals = {}, {}
        return taken_out

    def put_back(self, states: Mapping[str, Put], totals: Mapping[tuple[str, int], SharedTotal]) -> None:
        """Put back what could not be written, before the state that was gathered since."""
        self.states = {**states, **{name: put.after(states.get(name)) for name, put in self.states.items()}}
        self.totals = dict(totals)

    def _drop_oldest(self) -> bool:
        try:
            id, _ = self.decisions.popitem(last=False)
        except KeyError:  # it was written meanwhile
            return False
        now = time.monotonic()
        self.dropped_ids[id] = now
        # Later than that, an id that nobody knows is refused anyway.
        while len(self.dropped_ids) > MAX_DROPPED_IDS or (
            self.dropped_ids and now - next(iter(self.dropped_ids.values()), now) > 2 * log.ORPHAN_SECONDS
        ):
            self.dropped_ids.popitem(last=False)
        self.dropped += 1
        return True


def _summed(
    parts: Iterable[tuple[str, SharedTotal]], sums: Mapping[tuple[str, int], SharedTotal] | None = None
) -> dict[tuple[str, int], SharedTotal]:
    """Return these sums, by budget and period, with these parts of them."""
    summed = dict(sums or {})
    for budget, total in parts:
        key = budget, total.period
        summed[key] = summed.get(key, SharedTotal(period=total.period)) + total
    return summed


def taken(queue: deque[_T]) -> Iterator[_T]:
    """Take what is in a queue, while others may append to it."""
    with suppress(IndexError):
        while True:
            yield queue.popleft()


def finish(flushes: Iterator[Promise[None]] | Sequence[Promise[None]], error: Exception | None) -> None:
    """Answer those who wait for a flush."""
    for flush in flushes:
        if error is None:
            flush.set_result(None)
        else:
            flush.set_exception(error)
