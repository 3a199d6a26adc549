"""All that constrains a choice: limits, breaker, budgets, traffic shares and guard, in the order they apply."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from banditroute.budgets.book import BudgetBook
from banditroute.budgets.budget import Budget, BudgetStatus
from banditroute.budgets.state import Reserved
from banditroute.core.arm import Arm
from banditroute.core.arrays import Vector
from banditroute.core.request import Request
from banditroute.core.shared_total import SharedTotal
from banditroute.core.token_costs import TokenCosts
from banditroute.guard.guard import Guard, Mode, Rollout
from banditroute.guard.monitor import Mixed, RolloutMonitor
from banditroute.limits.breaker import CircuitBreaker, Circuits
from banditroute.limits.constraints import UNJUDGED_SHARE, Excess, Limits, excess
from banditroute.limits.headroom import Left
from banditroute.limits.load import Load
from banditroute.limits.quotas import Quota, Quotas
from banditroute.limits.traffic import Share, shaped
from banditroute.policies.base import PolicyState
from banditroute.router.candidates import Candidates
from banditroute.router.forecast import token_count
from banditroute.router.requests import Ask
from banditroute.router.sampling import CannotChooseError
from banditroute.store.base import Recorded
from banditroute.store.outcomes import failure_of
from banditroute.store.state_slot import StateSlots

_NOT_FINITE = "the belief is not finite; verify or restore the stored statistics"


class Constraints:
    """The constraints of one router, each a stage of a decision. Not thread-safe: the engine holds a lock.

    Parameters
    ----------
    arms
        All K arms.
    breaker
        When to leave a failing arm alone; None: never.
    budgets, quotas
        What may be spent; requests and tokens a minute.
    traffic
        Arm -> its least and greatest share of the traffic.
    guard, utility_range
        The rollout from the baseline to the learner, if any, and the range of the utility that it judges.
    slots
        Where breaker, budgets and guard store their state.
    totals, add_total
        Budget, by its name -> the total of all processes; and what adds to that total.
    """

    def __init__(
        self,
        *,
        arms: Sequence[Arm],
        breaker: CircuitBreaker | None,
        budgets: Sequence[Budget] = (),
        quotas: Sequence[Quota] = (),
        traffic: Mapping[str, Share] | None = None,
        guard: Guard | None = None,
        utility_range: tuple[float, float] = (0.0, 1.0),
        slots: StateSlots,
        totals: Mapping[str, Sequence[SharedTotal]],
        add_total: Callable[[str, SharedTotal], SharedTotal | None],
    ) -> None:
        self._traffic: Mapping[str, Share] = traffic or {}
        self._breaker_slot, self._budgets_slot = slots["breaker"], slots["budgets"]
        self._circuits = self._breaker_slot.load(lambda blob: Circuits(breaker=breaker, blob=blob))
        self._budgets = self._budgets_slot.load(
            lambda blob: BudgetBook(budgets=budgets, arms=arms, blob=blob, totals=totals, add=add_total)
        )
        self._quotas = Quotas(quotas=quotas, arms=arms, add=add_total)
        self.load: Load = Load(arms=[arm.name for arm in arms], add=add_total)
        self._stored_prices: tuple[float, ...] | None = None
        self._rollout = None
        if guard is not None:
            self._rollout = RolloutMonitor(
                guard=guard, utility_range=utility_range, slot=slots["guard"], evidence_slot=slots["guard_evidence"]
            )
        self.set_arms(arms)

    def set_arms(self, arms: Sequence[Arm]) -> None:
        """Constrain these arms from now on; the circuits of others stay as they are."""
        self._names = [arm.name for arm in arms]
        self._budgets.set_arms(arms)
        self._quotas.set_arms(arms)
        self.load.set_arms(self._names)
        self._windows = np.array([arm.context_window_tokens or np.inf for arm in arms])
        self._smallest_window = float(self._windows.min())

    # Stages of a decision, in their order.

    def foresee_waits(self, candidates: Candidates, ask: Ask) -> Candidates:
        """Let each arm's expected latency follow its open decisions, where latency counts."""
        if "latency_seconds" not in candidates.objectives:
            return candidates
        extra = self.load.extra_seconds(ask.now)
        if extra is None:
            return candidates
        seconds = candidates.means[candidates.objectives.index("latency_seconds")]
        extra = np.maximum(extra, -np.maximum(seconds, 0.0))
        seconds += extra
        weight = ask.preference.get("latency_seconds", 0.0)
        return candidates._replace(utilities=candidates.utilities - weight * extra) if weight else candidates

    def admit(self, candidates: Candidates, ask: Ask) -> Candidates:
        """Rule out arms that are too small, whose circuit is open or quota used up, or that break the limits."""
        tokens = None if self._smallest_window == np.inf else token_count(ask.request)
        if tokens is not None and tokens > self._smallest_window:
            candidates = self._admit_large_windows(candidates, tokens)
        if self._circuits.tripped:
            candidates = self._admit_closed_circuits(candidates, ask.now)
        if self._quotas.active:
            candidates = self._admit_unused_quotas(candidates, ask)
        if ask.limits is not None and ask.limits.objectives:
            candidates = _admit_within_limits(candidates, ask.limits)
        return candidates

    def _admit_large_windows(self, candidates: Candidates, tokens: float) -> Candidates:
        windows = self._windows[list(candidates.positions)]
        fits = windows >= tokens
        if not fits.any():
            fits = windows == windows.max()
            overruled = f"limits: no context window holds {tokens:.0f} tokens; the largest is used"
            candidates = candidates._replace(overruled=overruled)
        left = [k for k, fit in zip(candidates.positions, fits, strict=True) if fit]
        return candidates.restricted(left, f"limits: its context window does not hold {tokens:.0f} tokens")

    def _admit_closed_circuits(self, candidates: Candidates, now: float) -> Candidates:
        names = [self._names[k] for k in candidates.positions]
        closed = self._circuits.closed(names, now)
        if not closed:
            closed = [self._circuits.opened_first(names)]
            overruled = "breaker: the circuits of all arms are open; the one that was opened first is tried"
            candidates = candidates._replace(overruled=overruled)
        left = [k for k in candidates.positions if self._names[k] in closed]
        return candidates.restricted(left, "breaker: its circuit is open")

    def _admit_unused_quotas(self, candidates: Candidates, ask: Ask) -> Candidates:
        with_room = self._quotas.with_room([self._names[k] for k in candidates.positions], ask.request, ask.now)
        if not with_room:
            uncovered = "the quotas of all arms are used up; the decision is not covered by them"
            return candidates._replace(uncovered=uncovered)
        left = [k for k in candidates.positions if self._names[k] in with_room]
        return candidates.restricted(left, "quotas: its quota is used up")

    def price(self, candidates: Candidates, ask: Ask) -> Candidates:
        """Take the shadow prices of the budgets off the utilities, and rule out what the budgets cannot bear."""
        if not self._budgets.objectives or not self._budgets.counts(ask.request):
            return candidates
        if not np.isfinite(candidates.utilities.sum()):
            raise CannotChooseError(_NOT_FINITE)
        objectives = self._budgets.objectives
        priced = self._budgets.price(
            ask.request,
            candidates.utilities,
            candidates.utility_stds,
            {name: candidates.expected(name) for name in objectives},
            {name: candidates.counts(name) for name in objectives},
            candidates.positions,
            ask.now,
        )
        reasons = {candidates.arms[k]: why for k, why in priced.excluded.items()}
        priced_candidates = candidates.penalized(priced.penalties).restricted(priced.positions, reasons)
        return priced_candidates._replace(uncovered=priced.trouble or candidates.uncovered)

    def shape(
        self, probabilities: Vector, candidates: Candidates, policy: PolicyState, x: Vector
    ) -> tuple[Vector, str | None, Mixed | None]:
        """Keep the traffic shares, then mix learner and baseline as far as the rollout goes.

        Learner and baseline each keep the traffic shares before they are mixed, so every mixture of them does.

        Returns
        -------
        tuple
            The probabilities ``(K,)`` that serve the request; why they are not the policy's, or None; and the
            mixture of the guard, or None.
        """
        traffic = self._shares(candidates)
        if self._rollout is None and not traffic:
            return probabilities, None, None

        def redraw(positions: Sequence[int]) -> Vector:
            return candidates.subset(positions).probabilities(policy, x)

        learner, reason = shaped(probabilities, traffic, candidates.arms, redraw)
        if self._rollout is None:
            return learner, reason, None
        baseline = self._rollout.baseline(candidates.arms)
        if baseline is None:
            return learner, "guard: no arm of the baseline is eligible; the learner decides", None
        mixed, why = self._rollout.mix(learner, shaped(baseline, traffic, candidates.arms, redraw)[0])
        return mixed.probabilities, reason or why, mixed

    def _shares(self, candidates: Candidates) -> Mapping[str, Share]:
        """Return the traffic shares, with a small one for arms whose quality cannot be judged while others keep it."""
        if not candidates.unjudged:
            return self._traffic
        unjudged = [arm for arm in candidates.arms if "min_quality" in candidates.unjudged.get(arm, ())]
        if not unjudged or len(unjudged) == len(candidates.arms):
            return self._traffic
        shares = dict(self._traffic)
        for arm in unjudged:
            own = shares.get(arm, Share())
            shares[arm] = Share(at_least=own.at_least, at_most=max(own.at_least, UNJUDGED_SHARE / len(unjudged)))
        return shares

    def reserve(
        self,
        decision_id: str,
        chosen: int,
        arms: Sequence[str],
        probabilities: Vector,
        request: Request,
        now: float,
        token_costs: TokenCosts | None,
        *,
        granted: bool = True,
    ) -> dict[str, Reserved]:
        """Take the probe of a half-open circuit and reserve the expected spend of a decision.

        Parameters
        ----------
        chosen
            Position of the chosen arm in ``arms``, which have these ``probabilities``.
        token_costs
            What its tokens cost; None where that is not known.
        granted
            False if a hard budget covers no arm: the call is not to be made, and only budgets count the request.

        Returns
        -------
        dict
            Budget or quota, by its name -> what it has reserved.
        """
        taken: dict[str, Reserved] = {}
        if granted:
            if self._circuits.tripped:
                self._circuits.choose(arms[chosen], now)
            if self.load.watched:
                self.load.open(decision_id, arms[chosen], now)
            if self._quotas.active:
                taken = self._quotas.take(arms[chosen], request, now)
        if not self._budgets.objectives:
            return taken
        if self._budgets.prices != self._stored_prices:
            self._stored_prices = self._budgets.prices
            self._budgets_slot.save(self._budgets.to_bytes())
        if not granted:
            return self._budgets.refuse(request, now, token_costs)
        reserved = self._budgets.reserve(decision_id, chosen, arms, probabilities, request, now, token_costs)
        return {**reserved, **taken}

    def await_evidence(
        self,
        decision_id: str,
        chosen: int,
        mixed: Mixed,
        candidates: Candidates,
        signed_weights: Mapping[str, float],
        token_costs: TokenCosts | None,
    ) -> None:
        """Let the guard wait for the outcome of a decision that was drawn from a mixture."""
        if self._rollout is not None:
            expected = candidates.value(signed_weights)
            self._rollout.enter(decision_id, chosen, mixed, expected, signed_weights, token_costs)

    # The way back, and what may change at run time.

    def observe_outcome(self, recorded: Recorded) -> None:
        """Let breaker, budgets and guard see new outcomes of a decision."""
        event, now, values = recorded.event, recorded.received_at, recorded.event.values
        failed = values.get("availability", 1.0) < 1.0
        failure, rest_seconds = failure_of(values) or (None, 0.0)
        if failure is not None and values.get("availability") != 1.0:
            self._circuits.report_failure(
                event.arm, failure, retry_after_seconds=rest_seconds, decided_at=event.decided_at, now=now
            )
        elif failed or not recorded.known:
            self._circuits.report(event.arm, failed=failed, decided_at=event.decided_at, now=now)
            self._circuits.note_latency(event.arm, values.get("latency_seconds"))
        if failed or failure is not None:
            self._breaker_slot.save(self._circuits.to_bytes())
        if self.load.watched:
            self.load.close(recorded.decision_id, values.get("latency_seconds"), now)
        self._budgets.settle(
            recorded.decision_id, event.arm, recorded.reserved, values, recorded.known, event.decided_at, now
        )
        if self._quotas.active:
            self._quotas.settle(recorded.reserved, values, recorded.known, event.decided_at, now)
        if self._rollout is not None:
            self._rollout.report(recorded.decision_id, event.values, now)

    def availability(self) -> tuple[Vector, Vector]:
        """Return the expected availability of all arms, and its standard deviation, each ``(K,)``."""
        return self._circuits.availability(self._names)

    @property
    def open_circuits(self) -> tuple[str, ...]:
        """Names of the arms that the breaker leaves alone, or tries again by one request."""
        return self._circuits.open_arms

    @property
    def tracked_objectives(self) -> Sequence[str]:
        """Objectives that some budget counts."""
        return self._budgets.objectives

    def budget_statuses(self, now: float) -> tuple[BudgetStatus, ...]:
        """Return the status of every budget."""
        return self._budgets.status(now)

    def merge_total(self, budget: str, joint: SharedTotal, added: SharedTotal) -> None:
        """Use the total of all processes for a budget; it includes what this process ``added``."""
        if not self._quotas.merge(budget, joint, added) and not self.load.merge(budget, joint, added):
            self._budgets.merge(budget, joint, added)

    def prepare(self, now: float) -> bool:
        """Draw the first slices of hard budgets and quotas; return whether there are any."""
        return self._budgets.prepare(now) | self._quotas.prepare(now)

    @property
    def has_hard_keys(self) -> bool:
        """True if a hard budget has keys, such as one for each session."""
        return self._budgets.has_hard_keys

    def awaits_first_slice(self, request: Request, now: float) -> bool:
        """Return whether a hard budget's first slice for a key of this request is still on its way."""
        return self._budgets.awaits_first_slice(request, now)

    def affordable_fallback(
        self, request: Request, arms: Sequence[str], arm: str, now: float
    ) -> tuple[str, str | None]:
        """Return ``arm``, or another that the hard budgets cover; and why they cover no arm, or None."""
        return self._budgets.fallback(request, arms, arm, now)

    def note_headroom(self, arm: str, left: Mapping[str, Left], now: float) -> None:
        """Take a provider's word for what is left of an arm's limits."""
        self._quotas.note_headroom(arm, left, now)

    def close(self) -> None:
        """Give back what is left of the slices of hard budgets."""
        self._budgets.close()

    def set_budget(self, name: str, amount: float) -> None:
        """Keep another amount of a budget from now on, and record it."""
        self._budgets.set_amount(name, amount)
        self._budgets_slot.save(self._budgets.to_bytes())

    def set_traffic(self, traffic: Mapping[str, Share]) -> None:
        """Keep the arms within these shares from now on."""
        self._traffic = traffic

    def rollout(self) -> Rollout | None:
        """Return how far the learner is rolled out; None without a guard."""
        return None if self._rollout is None else self._rollout.rollout()

    def set_guard_mode(self, mode: Mode, now: float) -> None:
        """Restart the rollout in ``mode``, where there is a guard."""
        if self._rollout is not None:
            self._rollout.set_mode(mode, now)

    def load_rollout(self, blob: bytes | None) -> None:
        """Use the rollout stage that another process has stored since."""
        if self._rollout is not None:
            self._rollout.follow(blob)


def _admit_within_limits(candidates: Candidates, limits: Limits) -> Candidates:
    beyond = _excess(limits, candidates)
    left, overruled = list(candidates.positions), candidates.overruled
    new = beyond.unknown.get("min_quality", np.zeros(len(candidates.arms), dtype=bool))
    least = beyond.total[left].min()
    if least > 0.0:
        overruled = overruled or (
            f"limits: no arm is believed to keep {limits!r}; the one that breaks it least is used"
        )
    # Where a judged arm keeps the limits, those whose quality cannot be judged stay as well, with a small share.
    some_keep = any(not new[k] and beyond.total[k] == 0.0 for k in left)
    left = [k for k in left if (some_keep and new[k]) or not beyond.total[k] > least]
    names = candidates.arms
    unjudged = {names[k]: [name for name, unknown in beyond.unknown.items() if unknown[k]] for k in left}
    admitted = candidates.restricted(left, f"limits: it is not believed to keep {limits!r}")
    return admitted._replace(overruled=overruled, unjudged=unjudged)


def _excess(limits: Limits, candidates: Candidates) -> Excess:
    """Return how far every arm is beyond ``limits``."""
    rows = {name: candidates.objectives.index(name) for name in limits.objectives.values()}
    means, stds = ({name: array[j] for name, j in rows.items()} for array in (candidates.means, candidates.stds))
    return excess(limits, means, stds, {name: candidates.counts(name) for name in rows})
