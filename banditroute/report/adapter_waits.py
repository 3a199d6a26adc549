"""How long requests waited for adapters, and how many adapters to keep: sections of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from banditroute.core.arrays import Vector
from banditroute.core.preference import Preference
from banditroute.errors import InvalidInputError
from banditroute.evaluate.residency import demand_of_log, residency
from banditroute.logs import DecisionLog
from banditroute.objectives.objective import STANDARD_OBJECTIVES
from banditroute.report import charts
from banditroute.report.section import Section, Table
from banditroute.simulate.adapter_slots import AdapterSlots
from banditroute.simulate.replay import Trace
from banditroute.store.outcomes import PAGING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WINDOW = 200  # requests over which figures are averaged
_LATEST = 2_000  # of which it is said how many adapters to keep: of more it would take minutes
_COLUMNS = ("requests", "waited", "hit rate", "seconds of a wait", "seconds waited")


def paging_of_log(log: DecisionLog, *, preference: Preference) -> list[Section]:
    """Return sections about waits for adapters and how many to keep; no section if the log records no waits."""
    served = np.flatnonzero(~np.isnan(log.outcomes.get(PAGING, np.full(len(log), np.nan))))
    if not len(served):
        return []
    ours = _some(log, served)
    seconds = ours.outcomes[PAGING]
    parts = [(arm, seconds[ours.chosen == k]) for k, arm in enumerate(ours.arms)]
    waits = int((seconds > 0.0).sum())
    paging = Section(
        name="paging",
        title="Paging",
        says=f"Of the {len(served):,} requests that were served by an adapter, under a lease. Above, the share of the "
        f"latest {_WINDOW} that found it resident; below, how long they waited for it on average.",
        chart=_chart({"logged": seconds[None, :]}, share="hit rate"),
        table=Table(
            columns=("arm", *_COLUMNS, "share of all waits"),
            rows=[
                (arm, *_figures(some), float((some > 0.0).sum() / waits) if waits else None)
                for arm, some in [*parts, ("all", seconds)]
            ],
        ),
    )
    return [paging, *_residency(_some(log, served[-_LATEST:]), preference)]


def paging_of_traces(arms: Sequence[str], traces: Mapping[str, Sequence[Trace]], paging: AdapterSlots) -> Section:
    """Return the section about waits for adapters under conditions, by policy and over all seeds."""
    adapters = paging.seconds(arms) > 0.0
    waited = {policy: np.array([run.paged_seconds for run in runs]) for policy, runs in traces.items()}
    asked = {policy: np.array([adapters[run.chosen] for run in runs]) for policy, runs in traces.items()}
    return Section(
        name="paging",
        title="Paging",
        says=f"{paging.slots} of {adapters.sum()} adapters are kept, by {paging.control}. Above, the share of the "
        f"latest {_WINDOW} requests that need not wait; below, how long they waited on average. The table is of all "
        "seeds.",
        chart=_chart(waited, share="served at once"),
        table=Table(
            columns=("policy", *_COLUMNS),
            rows=[(policy, *_figures(seconds[asked[policy]])) for policy, seconds in waited.items()],
        ),
    )


def _some(log: DecisionLog, rows: NDArray[np.intp]) -> DecisionLog:
    """Return some decisions of a log, among the arms that served them."""
    arms, chosen = np.unique(log.chosen[rows], return_inverse=True)
    return DecisionLog(
        arms=tuple(log.arms[k] for k in arms),
        chosen=chosen,
        eligible=log.eligible[np.ix_(rows, arms)],
        contexts=None if log.contexts is None else log.contexts[rows],
        outcomes={name: values[rows] for name, values in log.outcomes.items()},
        decided_at=log.decided_at[rows],
    )


def _residency(log: DecisionLog, preference: Preference) -> list[Section]:
    """Return the answer of ``banditroute diagnose`` for a log, with the measured cost of a miss."""
    seconds = log.outcomes[PAGING]
    known = [each.name for each in STANDARD_OBJECTIVES if each.name in log.outcomes]
    usable = Preference(**({name: preference[name] for name in known if name in preference} or {"quality": 1.0}))
    miss_cost = preference.get("latency_seconds", 0.0) * float(seconds[seconds > 0.0].mean()) if seconds.any() else 0.0
    for demand in reversed(demand_of_log(log, usable)):
        with suppress(InvalidInputError):  # too few requests, or none that an adapter is good for
            found = residency(demand, miss_cost=miss_cost or None)
            row, _ = found.at
            shares = {name: each[row] for name, each in found.figures.items()}
            return [
                Section(
                    name="residency",
                    title="How many adapters to keep",
                    says=f"Recommended: {found.recommended_slots} resident, chosen again every "
                    f"{found.recommended_length:,} requests. Of the latest {len(log):,}; the adapter of a request is "
                    f"{demand.source}.",
                    chart=charts.lines(
                        {name: each[None, :] for name, each in shares.items()},
                        x="resident adapters",
                        y="share",
                        at=np.array(found.slots),
                    ),
                    table=Table(
                        columns=("resident", *shares),
                        rows=[
                            (float(slots), *map(float, each))
                            for slots, *each in zip(found.slots, *shares.values(), strict=True)
                        ],
                    ),
                )
            ]
    return []


def _chart(waited: Mapping[str, Vector], *, share: str) -> Figure:
    """Draw the seconds of each request ``(seeds, n)``, one curve for each seed."""
    seconds = {name: np.array([charts.averaged(run, _WINDOW) for run in runs]) for name, runs in waited.items()}
    at_once = {name: np.array([charts.averaged(run == 0.0, _WINDOW) for run in runs]) for name, runs in waited.items()}
    return charts.stacked({share: at_once, "seconds waited": seconds}, x="requests")


def _figures(seconds: Vector) -> tuple[float | None, ...]:
    """Return the columns above for the requests of adapters."""
    waited = seconds[seconds > 0.0]
    return (
        float(len(seconds)),
        float(len(waited)),
        1.0 - len(waited) / len(seconds) if len(seconds) else None,
        float(waited.mean()) if len(waited) else None,
        float(waited.sum()),
    )
