"""How each router stands now: what waits, what is open, what was spent, and what needs somebody."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection, select

from banditroute.beliefs.drift import Reset, recorded_resets
from banditroute.budgets import BudgetStatus
from banditroute.budgets.book import recorded
from banditroute.core.shared_total import SharedTotal
from banditroute.core.state import read_state
from banditroute.errors import IncompatibleStoreError
from banditroute.guard.monitor import recorded_evidence, recorded_stage
from banditroute.limits.breaker import Circuits
from banditroute.store.sql import folding, recent, schema

_STATES = ("adapters", "breaker", "budgets", "drift", "guard", "guard_evidence")


@dataclass(slots=True, kw_only=True)
class Present:
    """How one router stands, all its processes together.

    Attributes
    ----------
    learned
        Number of decisions of which feedback was folded.
    pending, pending_seconds
        Outcomes that are not folded yet, and how long ago the oldest of them was received.
    arms
        Arm -> whether the router that was opened last can choose it.
    open_arms
        Arms whose circuit is not closed.
    resets
        The latest change of each objective of each arm that drift detection found.
    guard
        Mode of the guard and share of the learner; None without a guard, or before its first stage.
    evidence
        Of the guard's stage: number of outcomes, and bounds of the gain; None without evidence.
    budgets
        How each budget stands.
    kept_adapters
        Adapters that the controller keeps resident.
    damage
        Pieces of state that cannot be read, in words.
    """

    learned: int = 0
    pending: int = 0
    pending_seconds: float = 0.0
    arms: dict[str, bool] = field(default_factory=dict)
    open_arms: tuple[str, ...] = ()
    resets: tuple[Reset, ...] = ()
    guard: tuple[str, float] | None = None
    evidence: tuple[int, float, float] | None = None
    budgets: tuple[BudgetStatus, ...] = ()
    kept_adapters: tuple[str, ...] = ()
    damage: list[str] = field(default_factory=list)


def present_of(connection: Connection) -> dict[str, Present]:
    """Return how each router stands, by its name."""
    now = time.time()
    found: dict[str, Present] = {}
    for record in recent.routers(connection, _STATES):
        known = found[record.router] = Present(
            learned=record.learned,
            pending=record.pending,
            pending_seconds=0.0 if record.oldest is None else max(0.0, now - record.oldest),
        )
        for name, blob in record.states.items():
            totals = folding.totals_of(connection, record.router) if name == "budgets" else {}
            try:
                read_state(name, blob, partial(_read, known, name, totals=totals, now=now))
            except IncompatibleStoreError as error:
                known.damage.append(str(error))
    for row in connection.execute(select(schema.arm).order_by(schema.arm.c.name)):
        if row.router in found:
            found[row.router].arms[row.name] = row.active
    return found


def _read(of: Present, name: str, blob: bytes, *, totals: Mapping[str, Sequence[SharedTotal]], now: float) -> None:
    """Read one piece of a router's state."""
    if name == "adapters":
        of.kept_adapters = tuple(map(str, json.loads(blob).get("keep", ())))
    elif name == "breaker":
        of.open_arms = Circuits(breaker=None, blob=blob).open_arms
    elif name == "budgets":
        of.budgets = recorded(blob, totals, now)
    elif name == "drift":
        of.resets = recorded_resets(blob)
    elif name == "guard":
        of.guard = recorded_stage(blob)
    elif name == "guard_evidence":
        of.evidence = recorded_evidence(blob)
