"""How cacheable the traffic of a log is: how many adapters to keep resident, and for how long, with what they keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from banditroute.adapters.cacheability import knee, longest_epoch, lookahead_hit_rates, net_coverage
from banditroute.core.arrays import Vector
from banditroute.core.optional_imports import optional
from banditroute.core.preference import Preference
from banditroute.core.request import Request
from banditroute.errors import InvalidInputError
from banditroute.evaluate.reward_model import cross_fitted
from banditroute.features import TextFeatures
from banditroute.objectives.objective import Objective
from banditroute.objectives.utility import check_preference, merge_objectives
from banditroute.simulate.metrics import utilities

if TYPE_CHECKING:
    from banditroute.logs import DecisionLog, OutcomeTable

_SLOTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128)
_LENGTHS = (10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_LATEST = 20_000
_FEWEST = 4 * _LENGTHS[0]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """Which adapters n requests want, and why that is said.

    Attributes
    ----------
    source
        Whose word it is.
    adapters
        The K adapters.
    wanted : (n, K) bool
        Which of them serve each request best, in the order of the requests.
    utilities : (n, K) or None
        What each is worth; None: not known.
    """

    source: str
    adapters: tuple[str, ...]
    wanted: NDArray[np.bool_]
    utilities: Vector | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Residency:
    """Shares that resident adapters keep, and how many to keep for how long; ``print()`` shows tables.

    Attributes
    ----------
    demand
        Whose requests these are.
    slots, lengths
        Numbers S of resident adapters, the last of which is all, and L lengths of an epoch, in requests.
    figures
        Name -> share ``(L, S)``. ``coverage`` and ``utility`` are kept by the best adapters of each epoch, ``carried``
        by those of the epoch before; ``lookahead`` is the hit rate of a cache that looks one epoch ahead
        (:mod:`banditroute.adapters.cacheability`).
    recommended_slots, recommended_length
        The knee, over the number of adapters, of what is carried in the best epoch; and the longest epoch in which
        that many carry 99% of it. By utility where it is known, else by coverage.
    """

    demand: Demand
    slots: tuple[int, ...]
    lengths: tuple[int, ...]
    figures: Mapping[str, Vector]
    recommended_slots: int
    recommended_length: int

    @property
    def at(self) -> tuple[int, int]:
        """Where the recommendation stands in the figures."""
        return self.lengths.index(self.recommended_length), self.slots.index(self.recommended_slots)

    def __str__(self) -> str:
        row, column = self.at
        demand = self.demand
        shares = demand.wanted.mean(axis=0)
        wanted = ", ".join(f"{demand.adapters[k]} {shares[k]:.0%}" for k in np.argsort(-shares, kind="stable")[:5])
        return "\n".join(
            [
                f"Adapter of a request: {demand.source}.",
                f"{len(demand.wanted):,} requests, {len(demand.adapters)} adapters, wanted by: {wanted}",
                f"Recommended: {self.recommended_slots} resident, epochs of {self.recommended_length:,} requests.",
                "",
                *self._table("resident", self.slots, {name: each[row] for name, each in self.figures.items()}, column),
                "",
                *self._table(
                    "epoch", self.lengths, {name: each[:, column] for name, each in self.figures.items()}, row
                ),
            ]
        )

    @staticmethod
    def _table(title: str, values: Sequence[int], columns: Mapping[str, Vector], marked: int) -> list[str]:
        head = "  ".join([f"{title:>9} ", *columns])
        body = [
            "  ".join(
                [
                    f"{value:>9,}{'*' if i == marked else ' '}",
                    *(f"{c[i]:{len(name)}.3f}" for name, c in columns.items()),
                ]
            )
            for i, value in enumerate(values)
        ]
        return [head, "-" * len(head), *body]


def demand_of_table(
    table: OutcomeTable, preference: Preference, *, objectives: Sequence[Objective] = (), seed: int = 0
) -> list[Demand]:
    """Return the demand of a table's requests: as measured and, where there are prompts, as expected of them.

    Rows of a table have no order, and come in one drawn with ``seed``; at most 20,000 of them. Expectations are those
    of a ridge regression per arm on features of the prompt, cross-fitted.

    Raises
    ------
    InvalidInputError
        If the table lacks an objective that the preference names, for any arm and row.
    InvalidConfigurationError
        If the objective is unknown.
    """
    check_preference(preference, merge_objectives(objectives))
    for name in preference:
        if name not in table.outcomes or np.isnan(table.outcomes[name]).any():
            raise InvalidInputError(f"{table.name} lacks the {name} of some arms; prefer what it has of all")
    order = np.random.default_rng(seed).permutation(len(table))[:_LATEST]
    worth = utilities(table, preference, objectives=objectives)[order]
    found = [_best("the best as measured, where the luck of an answer counts as skill", table.arms, worth)]
    if any(table.prompts):
        x = TextFeatures().transform([Request(text=table.prompts[i]) for i in order])
        one = np.zeros(len(order), dtype=np.intp)
        expected = cross_fitted(x, one, worth, arms=1)[:, 0]  # one design, all arms' outcomes of every row
        found.append(_best("the best by θ̂, a ridge per arm on features of the prompt", table.arms, expected))
    return found


def demand_of_log(log: DecisionLog, preference: Preference, *, objectives: Sequence[Objective] = ()) -> list[Demand]:
    """Return the demand of a log's requests: the chosen arm and, where there are contexts, as expected of them.

    Of the latest 20,000 decisions. Expectations are those of a ridge regression per arm on the contexts, off-policy and
    cross-fitted, of the decisions of which all that the preference names was observed; of all arms, whether or not they
    were eligible.

    Raises
    ------
    InvalidConfigurationError
        If the objective is unknown.
    """
    known = merge_objectives(objectives)
    check_preference(preference, known)
    chosen, arms = log.chosen[-_LATEST:], len(log.arms)
    nothing = np.full(len(log), np.nan)
    parts = [weight * known[name].sign * log.outcomes.get(name, nothing) for name, weight in preference.items()]
    had: Vector = np.sum(parts, axis=0)[-_LATEST:]
    rows = np.flatnonzero(np.isfinite(had))
    source, wanted = "the one that was chosen", np.eye(arms, dtype=bool)[chosen]
    if log.contexts is None or len(rows) < _FEWEST:
        lacks = "contexts" if log.contexts is None else f"{_FEWEST} decisions whose {' and '.join(preference)} is known"
        source += f" (the log lacks {lacks}, so no more can be expected)"
        return [Demand(source=source, adapters=log.arms, wanted=wanted, utilities=None)]
    expected = cross_fitted(log.contexts[-_LATEST:][rows], chosen[rows], had[rows], arms=arms)
    return [
        Demand(source=source, adapters=log.arms, wanted=wanted, utilities=None),
        _best("the best by θ̂, a ridge per arm on the contexts, off-policy", log.arms, expected),
    ]


def residency(demand: Demand, *, miss_cost: float | None = None) -> Residency:
    """Return the share of the demand that resident adapters keep, by their number and the length of an epoch.

    Parameters
    ----------
    demand
        Of at least 40 requests.
    miss_cost
        What paging an adapter in costs, in utility, at least 0; None: what is not resident serves nobody.

    Raises
    ------
    InvalidInputError
        For fewer requests, another cost, and utilities that are not above 0 on average.

    Examples
    --------
    >>> wanted = np.eye(3, dtype=bool)[np.arange(400) % 20 // 19]  # the second adapter every twentieth time
    >>> found = residency(Demand(source="an example", adapters=("a", "b", "c"), wanted=wanted, utilities=None))
    >>> found.recommended_slots, found.figures["coverage"][1].round(2).tolist()
    (2, [0.95, 1.0, 1.0])
    """
    n, arms = demand.wanted.shape
    if n < _FEWEST:
        raise InvalidInputError(f"{n} requests say too little; log at least {_FEWEST}")
    slots = (*(each for each in _SLOTS if each < arms), arms)
    lengths = tuple(each for each in _LENGTHS if 4 * each <= n)[-6:]
    shares: dict[str, list[list[float]]] = {}
    for length in tqdm(lengths, desc="epochs", leave=False, disable=None):
        kept = {"coverage": [net_coverage(demand.wanted.astype(float), length=length, slots=k) for k in slots]}
        if demand.utilities is not None:
            settings = {"length": length, "miss_cost": miss_cost}
            kept["utility"] = [net_coverage(demand.utilities, slots=k, **settings) for k in slots]
        for name, pairs in kept.items():
            shares.setdefault(name, []).append([each.hindsight for each in pairs])
            shares.setdefault(f"{name} carried", []).append([each.carried for each in pairs])
        shares.setdefault("lookahead", []).append(
            lookahead_hit_rates(demand.wanted, ahead=length, slots=slots).tolist()
        )
    figures = {name: np.array(rows) for name, rows in shares.items()}
    carried = figures["coverage carried" if demand.utilities is None else "utility carried"]
    best = knee(slots, carried.max(axis=0).tolist())
    return Residency(
        demand=demand,
        slots=slots,
        lengths=lengths,
        figures=figures,
        recommended_slots=best,
        recommended_length=longest_epoch(lengths, carried[:, slots.index(best)].tolist()),
    )


def draw(path: str | Path, found: Sequence[Residency]) -> None:
    """Write a PNG: the figures against the number of resident adapters, and against the length of an epoch.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    """
    optional("matplotlib", extra="plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 4.6 * len(found)), layout="constrained")
    FigureCanvasAgg(figure)
    for (left, right), each in zip(figure.subplots(len(found), 2, squeeze=False), found, strict=True):
        row, column = each.at
        for name, shares in each.figures.items():
            style = "--" if name.endswith("carried") else "-"
            left.plot(each.slots, shares[row], style, marker="o", markersize=3, label=name)
            right.plot(each.lengths, shares[:, column], style, marker="o", markersize=3, label=name)
        for axes, at in ((left, each.recommended_slots), (right, each.recommended_length)):
            axes.axvline(at, color="0.4", linewidth=0.8)
            axes.set_ylabel("share")
        left.set_xlabel(f"resident adapters, with epochs of {each.recommended_length:,} requests")
        right.set_xlabel(f"requests of an epoch, with {each.recommended_slots} resident adapters")
        right.set_xscale("log")
        left.legend(frameon=False, fontsize=9)
        left.set_title(each.demand.source, loc="left", fontsize=10)
    figure.savefig(path, dpi=110, format="png")


def _best(source: str, arms: tuple[str, ...], worth: Vector) -> Demand:
    return Demand(source=source, adapters=arms, wanted=worth == worth.max(axis=1, keepdims=True), utilities=worth)
