"""Replay policies over the orders of a table's requests, next to references that learn nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit
from tqdm.auto import tqdm

from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.errors import InvalidInputError
from banditroute.features import Featurizer, TextFeatures
from banditroute.learners import Learner
from banditroute.learners.specs import learner_of
from banditroute.logs import OutcomeTable, read_outcomes
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import check_preference, merge_objectives
from banditroute.simulate.conditions import Conditions
from banditroute.simulate.metrics import Row, gained, mixture, references, static_mixture, summarize, utilities
from banditroute.simulate.plots import std_table
from banditroute.simulate.replay import Expected, Trace
from banditroute.simulate.sweep import sweep
from banditroute.statistics.intervals import Interval

if TYPE_CHECKING:
    import pandas
    import pyarrow

_LONGEST_REPR = 2_000  # characters


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Simulation:
    """Policies replayed on one table; made by :func:`simulate`. Its ``str`` is a table of means over seeds.

    Attributes
    ----------
    name
        Name of the table.
    preference
        Weights of the objectives in the utility.
    rows
        One for each policy, then one for each reference.
    utility
        Policy -> mean utility per request under each seed ``(seeds,)``.
    traces
        Policy -> its passes, by seed.
    """

    name: str
    preference: Preference
    rows: tuple[Row, ...]
    utility: Mapping[str, Vector]
    traces: Mapping[str, Sequence[Trace]]

    def __str__(self) -> str:
        return std_table(self.rows)

    def __repr__(self) -> str:
        means = ", ".join(f"{policy}: {values.mean():.4f}" for policy, values in self.utility.items())
        seeds = len(next(iter(self.utility.values())))
        return f"Simulation({self.name!r}, {seeds} seeds, mean utility {means})"[:_LONGEST_REPR]

    def _repr_html_(self) -> str:
        table = self._records()
        head = "".join(f"<th>{escape(name)}</th>" for name in table[0])
        body = "".join(
            f"<tr>{''.join(f'<td>{escape(_cell(value))}</td>' for value in row.values())}</tr>" for row in table
        )
        return f"<table><tr>{head}</tr>{body}</table>"

    def difference(self, policy: str, against: str, *, alpha: float = 0.05) -> Interval:
        """Return the mean difference of two policies' utility per request, with a paired Student-t interval over seeds.

        Each seed gives both policies the same order of requests, so that its luck cancels.

        Raises
        ------
        InvalidInputError
            If a policy was not simulated, or there are fewer than 2 seeds.
        """
        for name in (policy, against):
            if name not in self.utility:
                raise InvalidInputError(f"unknown policy {name!r:.80}; known policies: {', '.join(self.utility)}")
        gaps = self.utility[policy] - self.utility[against]
        if len(gaps) < 2:
            raise InvalidInputError("an interval over seeds needs at least 2 of them; simulate with more seeds")
        half = float(stdtrit(len(gaps) - 1, 1.0 - alpha / 2.0) * gaps.std(ddof=1) / np.sqrt(len(gaps)))
        mean = float(gaps.mean())
        return Interval(mean, mean - half, mean + half)

    def to_arrow(self) -> pyarrow.Table:
        """Return one row for each policy and reference: utility, regret and objectives over seeds, and arm shares."""
        return optional("pyarrow", extra="logs").Table.from_pylist(self._records())

    def to_frame(self) -> pandas.DataFrame:
        """Return :meth:`to_arrow` as a pandas frame."""
        return optional("pandas", extra="logs").DataFrame(self._records())

    def _records(self) -> list[dict[str, Any]]:
        objectives = list(dict.fromkeys(name for row in self.rows for name in row.objectives))
        return [
            {
                "policy": row.policy,
                "utility": row.utility.mean,
                "utility_std": row.utility.std,
                "utility_worst": row.utility.worst,
                "regret": row.regret.mean,
                **{name: row.objectives[name].mean if name in row.objectives else None for name in objectives},
                **{f"share of {arm}": share for arm, share in row.shares.items()},
            }
            for row in self.rows
        ]


def simulate(
    log: OutcomeTable | Any,
    policies: Sequence[str] | Mapping[str, Learner] = ("linucb", "thompson"),
    *,
    preference: Preference | None = None,
    objectives: Sequence[Objective] = (),
    seeds: int = 20,
    warm: int = 0,
    conditions: Conditions | None = None,
    features: Featurizer | Vector | None = None,
    expected: Expected | None = None,
    keep: Path | None = None,
    executor: str = "serial",
) -> Simulation:
    """Route every request of a table once under each seed and policy, and compare with what needs no learning.

    Parameters
    ----------
    log
        A table of outcomes, or anything that :func:`banditroute.logs.read_outcomes` reads.
    policies
        Specs of learners such as ``"linucb(alpha=1)"``, or name -> learner.
    preference
        Weights of the objectives in the utility. Default: ``Preference(quality=1.0)``.
    objectives
        The user's own objectives.
    seeds
        How many orders of the requests, at least 1.
    warm
        How many requests, the first of each order, a warm start knows with the outcomes of all arms.
    conditions
        Delays, outages and the like. Default: as logged.
    features
        A featurizer of the prompts, or features of each prompt ``(n, d - 1)``. Default: text features.
    expected
        Arm -> objective -> what is known before the first request, as in ``Arm(expected=...)``; for costs see
        :func:`expected_costs`. None: nothing.
    keep
        Folder of finished passes: the same call again goes on where it was. None: nothing is kept.
    executor
        ``"serial"`` uses this process, ``"processes"`` every core, ``"dask"`` a local cluster, or an address of one.

    Raises
    ------
    InvalidInputError
        If the table or a setting cannot be used, or a policy makes no choice.
    InvalidConfigurationError
        If a spec is not understood, or the executor is unknown.

    Examples
    --------
    >>> table = OutcomeTable(
    ...     name="toy",
    ...     prompts=("",) * 99,
    ...     tasks=("",) * 99,
    ...     arms=("bad", "good"),
    ...     outcomes={"quality": np.tile([0.0, 1.0], (99, 1))},
    ... )
    >>> found = simulate(table, ["epsilon_greedy"], seeds=2, features=np.zeros((99, 0)))
    >>> bool(found.utility["epsilon_greedy"].min() > 0.8)
    True
    """
    table = log if isinstance(log, OutcomeTable) else read_outcomes(log)
    preference = Preference(quality=1.0) if preference is None else preference
    check_preference(preference, merge_objectives(objectives))
    conditions = Conditions.as_logged() if conditions is None else conditions
    learners = (
        dict(policies) if isinstance(policies, Mapping) else {spec: learner_of(spec) for spec in map(str, policies)}
    )
    if seeds < 1 or not learners:
        raise InvalidInputError(f"there are {len(learners)} policies and {seeds} seeds; give at least one of each")
    conditions.check(table)
    cells = sweep(
        table,
        _contexts(table, features),
        learners=learners,
        preference=preference,
        objectives=objectives,
        seeds=range(seeds),
        warm=warm,
        expected=expected,
        conditions=conditions,
        keep=keep,
        executor=executor,
    )
    traces: dict[str, list[Trace]] = {policy: [] for policy in learners}
    for trace in tqdm(cells, total=len(traces) * seeds, desc=table.name, unit="pass", disable=None):
        traces[trace.policy].append(trace)
    for runs in traces.values():
        runs.sort(key=lambda trace: trace.seed)
    value = utilities(table, preference, objectives=objectives)
    return Simulation(
        name=table.name,
        preference=preference,
        rows=tuple(_rows(table, preference, objectives, traces, conditions)),
        utility={
            policy: np.array([gained(run, value, preference).mean() for run in runs]) for policy, runs in traces.items()
        },
        traces=traces,
    )


def _contexts(table: OutcomeTable, features: Featurizer | Vector | None) -> Vector:
    if isinstance(features, np.ndarray):
        if features.ndim != 2 or len(features) != len(table):
            raise InvalidInputError(
                f"features have shape {features.shape}; give a row for each of {len(table)} prompts"
            )
        return features
    return (features or TextFeatures()).transform([Request(text=prompt) for prompt in table.prompts])


def _rows(
    table: OutcomeTable,
    preference: Preference,
    objectives: Sequence[Objective],
    traces: Mapping[str, Sequence[Trace]],
    conditions: Conditions,
) -> list[Row]:
    """Return the policies' rows, and those of static mixtures and other references."""
    orders = [trace.rows for trace in next(iter(traces.values()))]
    given: dict[str, Any] = {"objectives": objectives, "conditions": conditions}
    rows = [summarize(table, preference, policy, runs, **given) for policy, runs in traces.items()]
    met = conditions.met(table, orders[0])
    mixtures = {"uniform": dict.fromkeys(table.arms, 1.0)}
    for row in rows:
        if "cost_usd" in row.objectives and not np.isnan(met.outcomes["quality"]).any():
            name = f"static mixture at {row.policy}'s cost"
            mixtures[name] = static_mixture(met, cost_usd=row.objectives["cost_usd"].mean)
    rows += [mixture(table, preference, policy, shares, orders=orders, **given) for policy, shares in mixtures.items()]
    return rows + references(table, preference, orders=orders, **given)


def _cell(value: object) -> str:
    return "–" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)
