"""The gate: all that limits a router's choice, in the order in which it applies."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np

from banditroute.budgets.book import BudgetBook
from banditroute.budgets.budget import Budget
from banditroute.budgets.state import Reserved
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal
from banditroute.errors import IncompatibleStoreError
from banditroute.guard.guard import Guard, Mode
from banditroute.guard.monitor import Mixed, RolloutMonitor
from banditroute.limits.breaker import CircuitBreaker, Circuits
from banditroute.limits.constraints import Excess, Limits
from banditroute.limits.traffic import Redraw, Share, shaped
from banditroute.store.outcomes import failure_of

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Which arms the gate lets pass.

    Attributes
    ----------
    positions
        Of the arms that may be chosen, at least one.
    trouble
        Why these pass although they break a limit; None where they do not.
    unjudged
        Arm -> limits that it passes because too little is known of it.
    """

    positions: list[int]
    trouble: str | None = None
    unjudged: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def reason(self, arm: str) -> str | None:
        """What to say of the choice of ``arm``; None where it was the policy's."""
        if self.trouble is None and self.unjudged.get(arm):
            return f"limits: {', '.join(self.unjudged[arm])} cannot be judged yet of {arm!r}"
        return self.trouble


class Shaped(NamedTuple):
    """What serves a request.

    Attributes
    ----------
    probabilities : (K,)
        Of the eligible arms.
    reason
        What to say of it; None where it is the policy's choice.
    mixed
        What the guard has mixed; None where it has not.
    """

    probabilities: Vector
    reason: str | None
    mixed: Mixed | None


class Constraints:
    """What may be chosen just now. Not thread-safe: the chooser holds a lock.

    Parameters
    ----------
    arms
        All K arms.
    breaker
        When to leave a failing arm alone; None: never.
    budgets
        What may be spent.
    traffic
        The least and the most that arms get of the traffic.
    guard, utility_range
        What leads from the baseline to the learner, if anything, and the range of the utility that it judges.
    states
        What ``put_state`` was given before.
    put_state
        Keeps a named piece of state.
    tallies, add_tally
        Budget, by its name -> what all processes have counted for it; and what adds to that.

    Attributes
    ----------
    accounts
        The budgets at work.
    watch
        The guard at work; None without one.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        breaker: CircuitBreaker | None,
        budgets: Sequence[Budget] = (),
        traffic: Mapping[str, Share] | None = None,
        guard: Guard | None = None,
        utility_range: tuple[float, float] = (0.0, 1.0),
        states: Mapping[str, bytes],
        put_state: Callable[[str, bytes], None],
        tallies: Mapping[str, SharedTotal],
        add_tally: Callable[[str, SharedTotal], SharedTotal | None],
    ) -> None:
        self._put_state = put_state
        self._traffic: Mapping[str, Share] = traffic or {}
        self._circuits = _restored("breaker", states, lambda blob: Circuits(breaker=breaker, blob=blob))
        self.accounts = _restored(
            "budgets",
            states,
            lambda blob: BudgetBook(budgets=budgets, arms=arms, blob=blob, totals=tallies, add=add_tally),
        )
        self._kept: tuple[float, ...] | None = None  # the prices that were given to ``put_state``
        self.watch = None
        if guard is not None:
            self.watch = _restored(
                "guard",
                states,
                lambda blob: RolloutMonitor(
                    guard=guard,
                    utility_range=utility_range,
                    put_state=put_state,
                    rollout=blob,
                    evidence=states.get("guard_evidence"),
                ),
            )
        self.set_arms(arms)

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Judge these arms from now on; the circuits of others stay as they are."""
        self._names = [arm.name for arm in arms]
        self.accounts.set_arms(arms)
        self._windows = np.array([arm.context_window_tokens or np.inf for arm in arms])
        self._smallest_window = float(self._windows.min())

    def bars(self, tokens: int | None) -> bool:
        """Whether some arm may not be chosen for a request of so many ``tokens``, whatever is believed."""
        return self._circuits.tripped or (tokens is not None and tokens > self._smallest_window)

    def admit(
        self,
        positions: Sequence[int],
        *,
        tokens: int | None,
        now: float,
        limits: Limits | None,
        beyond: Excess | None,
    ) -> Admission:
        """Which arms at ``positions`` may be chosen.

        Parameters
        ----------
        tokens
            Of the request; None if not counted.
        limits
            What must be kept, if anything.
        beyond
            How far each of all arms is believed to be beyond the limits.
        """
        trouble = None
        left = list(positions)
        if tokens is not None:
            windows = self._windows[left]
            fits = windows >= tokens
            if not fits.any():
                fits = windows == windows.max()
                trouble = f"limits: no context window holds {tokens} tokens; the largest is used"
            left = [k for k, fit in zip(left, fits, strict=True) if fit]
        if self._circuits.tripped:
            names = [self._names[k] for k in left]
            closed = self._circuits.closed(names, now)
            if not closed:
                closed = [self._circuits.opened_first(names)]
                trouble = "breaker: the circuits of all arms are open; the one that was opened first is tried"
            left = [k for k in left if self._names[k] in closed]
        if beyond is None:
            return Admission(positions=left, trouble=trouble)
        total = beyond.total[left]
        least = total.min()
        if least > 0.0:
            trouble = trouble or f"limits: no arm is believed to keep {limits!r}; the one that breaks it least is used"
        left = [k for k, each in zip(left, total, strict=True) if not each > least]
        unjudged = {self._names[k]: [name for name, unknown in beyond.unknown.items() if unknown[k]] for k in left}
        return Admission(positions=left, trouble=trouble, unjudged=unjudged)

    def set_traffic(self, traffic: Mapping[str, Share]) -> None:
        """Keep the arms within these shares from now on."""
        self._traffic = traffic

    def set_guard_mode(self, mode: Mode, now: float) -> None:
        """Begin the rollout anew in ``mode``, where there is a guard."""
        if self.watch is not None:
            self.watch.set_mode(mode, now)

    @property
    def shapes(self) -> bool:
        """Whether ``shape`` does anything."""
        return self.watch is not None or bool(self._traffic)

    def shape(self, probabilities: Vector, arms: Sequence[str], redraw: Redraw) -> Shaped:
        """What serves the eligible ``arms (K,)`` in place of the policy's ``probabilities``.

        Learner and baseline are kept within the shares of the traffic before they are mixed: so is every mixture of
        them then, and what is judged is what would serve.
        """
        learner, reason = shaped(probabilities, self._traffic, arms, redraw)
        if self.watch is None:
            return Shaped(learner, reason, None)
        baseline = self.watch.baseline(arms)
        if baseline is None:
            return Shaped(learner, "guard: no arm of the baseline is eligible; the learner decides", None)
        mixed, why = self.watch.mix(learner, shaped(baseline, self._traffic, arms, redraw)[0])
        return Shaped(mixed.probabilities, reason or why, mixed)

    def choose(
        self,
        id: str,
        chosen: int,
        among: Sequence[str],
        probabilities: Vector,
        request: Request,
        now: float,
        by_tokens: tuple[float, float] | None,
    ) -> dict[str, Reserved]:
        """Say that the ``chosen``-th of the arms ``among`` which it was is chosen, as decision ``id``.

        Parameters
        ----------
        probabilities
            Of each of the arms.
        by_tokens
            As in ``BudgetBook.reserve``, whose result is returned.
        """
        if self._circuits.tripped:
            self._circuits.choose(among[chosen], now)
        if not self.accounts.objectives:
            return {}
        if self.accounts.prices != self._kept:
            self._kept = self.accounts.prices
            self._put_state("budgets", self.accounts.to_bytes())
        return self.accounts.reserve(id, chosen, among, probabilities, request, now, by_tokens)

    def availability(self) -> tuple[Vector, Vector]:
        """Expected availability of all arms, and its standard deviation, each ``(K,)``."""
        return self._circuits.availability(self._names)

    def report(
        self,
        id: str,
        arm: str,
        values: Mapping[str, float],
        *,
        reserved: Mapping[str, Reserved],
        known: Collection[str],
        decided_at: float,
        now: float,
    ) -> None:
        """Take what is newly reported of a decision for ``arm``, of which outcomes may be ``known`` already."""
        failed = values.get("availability", 1.0) < 1.0
        failure, seconds = failure_of(values) or (None, 0.0)
        if failure is not None and values.get("availability") != 1.0:
            self._circuits.report_failure(arm, failure, retry_after_seconds=seconds, decided_at=decided_at, now=now)
        elif failed or not known:
            self._circuits.report(arm, failed=failed, decided_at=decided_at, now=now)
            self._circuits.note_latency(arm, values.get("latency_seconds"))
        if failed or failure is not None:
            self._put_state("breaker", self._circuits.to_bytes())
        self.accounts.settle(id, arm, reserved, values, known, decided_at, now)
        if self.watch is not None:
            self.watch.report(id, values, now)


def _restored(name: str, states: Mapping[str, bytes], make: Callable[[bytes | None], _T]) -> _T:
    try:
        return make(states.get(name))
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise IncompatibleStoreError(
            f"the stored state {name!r} is damaged ({error}); restore the database from a backup, or use another "
            "router name"
        ) from error
