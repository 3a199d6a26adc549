"""The status of a running router: one value to print, log or watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from html import escape
from typing import Any, TypeAlias

from banditroute.beliefs.drift import Reset
from banditroute.beliefs.pool import PoolStatus
from banditroute.budgets.budget import BudgetStatus
from banditroute.guard.guarantee import Assurance
from banditroute.guard.guard import Rollout
from banditroute.statistics.fairness import effective_arms
from banditroute.store.base import Store

Means: TypeAlias = Mapping[str, float]
"""Objective -> mean of the reported outcomes, in the objective's unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStatus:
    """The figures of one arm in this process.

    Attributes
    ----------
    arm
        Its name.
    decisions, share
        Decisions for it since the router was made, and their share of all, in [0, 1].
    means
        Objective -> mean of the outcomes reported to this process. The outcome of a session of n decisions counts as an
        n-th for each that has none of its own. What this process corrects counts as corrected, for the last 10,000
        decisions with feedback.
    decisions_last_hour, share_last_hour, means_last_hour
        The same, within the last hour.
    circuit_open
        Whether the circuit breaker leaves it alone at present.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1)
    >>> _ = router.feedback(router.route([0.5], arms=["small"]).id, quality=0.5)
    >>> small = router.status().arm("small")
    >>> small.share, small.means, small.circuit_open
    (1.0, {'quality': 0.5}, False)
    """

    arm: str
    decisions: int
    share: float
    means: Means
    decisions_last_hour: int
    share_last_hour: float
    means_last_hour: Means
    circuit_open: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of a router: this process, and what it has learned from others. It reads no database.

    Attributes
    ----------
    at
        When this was true: Unix time in seconds.
    router
        The router's name.
    decisions
        Decisions of this process.
    learned
        Decisions with feedback that the models rest on, those of other processes included.
    fallbacks
        Decisions of this process that fell back: the policy could not choose, or no budget or quota covers the call.
    trouble
        Why decisions fall back or cannot be recorded at present, in words; None while all is well.
    arms
        The figures of every arm, in the router's order.
    budgets
        Spend, pace and shadow price of every budget.
    rollout
        How far the guard lets the learner decide, and on what evidence; None without a guard.
    resets
        Objectives of arms that were found to have changed, each with when and how often, oldest first; see
        ``Learner(drift=...)``.
    assurance
        What the guarantee of cascades has shown; None without one.
    signals
        Signal -> ``answers`` (graded, later ones weigh more), ``error`` (root mean squared, of the expected quality),
        ``log_loss_saved`` per answer beyond better signals, and ``off`` (1: it says nothing more, and is ignored).
    queued
        Decisions that wait to be written.
    lag_seconds
        How long the oldest of them has waited.
    dropped
        Decisions that were lost, as they could not be written.
    pending
        Outcomes of all processes that wait for a decision that is not written yet; see ``feedback()``.
    unobserved
        Items that observers missed, as they did not keep up; see ``Router(observers=...)``.
    pool
        For each objective whether arms are specialists and what context is worth, with the evidence.

    Examples
    --------
    >>> from banditroute import Router
    >>> router = Router(arms=["small", "large"], features=1, seed=0)
    >>> _ = router.feedback(router.route([0.5], arms=["small"]).id, quality=0.5)
    >>> status = router.status()
    >>> status.decisions, status.learned, status.arm("small").means
    (1, 1, {'quality': 0.5})
    >>> print(status)
    router default: 1 decisions, 1 learned, 0 fallbacks
    small  100.0%  quality 0.5
    large    0.0%
    """

    at: float
    router: str
    decisions: int
    learned: int
    fallbacks: int
    trouble: str | None
    arms: tuple[ArmStatus, ...]
    budgets: tuple[BudgetStatus, ...]
    rollout: Rollout | None
    resets: tuple[Reset, ...]
    assurance: Assurance | None = None
    signals: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    queued: int = 0
    lag_seconds: float = 0.0
    dropped: int = 0
    pending: int = 0
    unobserved: int = 0
    pool: tuple[PoolStatus, ...] = ()

    @property
    def effective_arms(self) -> float:
        """Number of equally used arms with the entropy of the last hour's traffic: 1 if one arm gets everything."""
        return effective_arms(arm.decisions_last_hour for arm in self.arms)

    @property
    def open_circuits(self) -> tuple[str, ...]:
        """Names of the arms that the circuit breaker leaves alone."""
        return tuple(arm.arm for arm in self.arms if arm.circuit_open)

    def arm(self, name: str) -> ArmStatus:
        """Return the figures of one arm; raise KeyError if the name is unknown."""
        for each in self.arms:
            if each.arm == name:
                return each
        raise KeyError(f"unknown arm {name!r}; known arms: {', '.join(each.arm for each in self.arms)}")

    def as_dict(self) -> dict[str, Any]:
        """Return all figures as plain dicts, lists and numbers, for a log or for JSON."""
        content = asdict(self)
        content["arms"] = [asdict(arm) for arm in self.arms]
        content["budgets"] = [asdict(budget) for budget in self.budgets]
        content["pool"] = [{**asdict(each), "kind": each.kind} for each in self.pool]
        content["resets"] = [reset._asdict() for reset in self.resets]
        return content

    def __repr__(self) -> str:
        return (
            f"Status({len(self.arms)} arms, {self.decisions:,} decisions, {self.learned:,} learned from, "
            f"{self.fallbacks:,} fallbacks)"
        )

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        return f"<pre>{escape(str(self))}</pre>"

    def __str__(self) -> str:
        counts = f"{self.decisions:,} decisions, {self.learned:,} learned, {self.fallbacks:,} fallbacks"
        lines = [f"router {self.router}: {counts}"]
        width = max(len(arm.arm) for arm in self.arms)
        for arm in self.arms:
            means = "  ".join(f"{objective} {mean:.4g}" for objective, mean in arm.means.items())
            circuit = "  circuit open" if arm.circuit_open else ""
            lines.append(f"{arm.arm:<{width}}  {arm.share:>6.1%}  {means}{circuit}".rstrip())
        lines += [
            f"budget {each.budget.name}: {each.spent:.4g} spent, pace {each.pace:.2f}, "
            f"shadow price {each.shadow_price:.4g}"
            for each in self.budgets
        ]
        if self.rollout is not None:
            lines.append(f"guard: {self.rollout.mode}, the learner decides {self.rollout.share:.1%} of the requests")
        lines += [f"pool: {each}" for each in self.pool if each.kind != "unknown"]
        if self.assurance is not None:
            known = self.assurance
            lines.append(
                f"guarantee: at most {known.loss_bound:.4f} lost, {known.audit_share:.0%} of the stops are audited, "
                f"{known.audits_needed:,} audits to go"
            )
        lines += [f"changed: {each.objective} of {each.arm}, {each.times} times" for each in self.resets]
        if self.queued or self.dropped:
            lines.append(f"store: {self.queued:,} wait for {self.lag_seconds:.1f} s, {self.dropped:,} dropped")
        if self.unobserved:
            lines.append(f"observers: {self.unobserved:,} missed")
        if self.trouble is not None:
            lines.append(f"trouble: {self.trouble}")
        return "\n".join(lines)


def trouble_of(store: Store) -> str | None:
    """Return what keeps a store from recording; a store whose ``trouble`` raises is in trouble, too."""
    try:
        return store.trouble
    except Exception as error:
        return f"{type(error).__name__}: {error}"
