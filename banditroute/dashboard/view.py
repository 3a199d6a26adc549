"""The figures of the page for one choice of router, arm, tag and time."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from banditroute.dashboard.history import Group, History, Step
from banditroute.objectives.objective import AVAILABILITY
from banditroute.store.outcomes import PAGING

RANGES: Mapping[str, tuple[str, float]] = {  # name -> words, seconds
    "hour": ("the last hour", 3_600.0),
    "day": ("the last 24 hours", 86_400.0),
    "week": ("the last 7 days", 7 * 86_400.0),
    "month": ("the last 30 days", 30 * 86_400.0),
    "year": ("the last year", 365 * 86_400.0),
    "all": ("all time", math.inf),
}
_MOST_TAGS = 10  # that a decision can be asked to have
_MOST_KINDS = 5  # of tags, each with a choice of its own
_FEWEST_EFFECTIVE = 30.0  # answers that a comparison with one arm needs
_HOURLY_SECONDS = 3 * 86_400.0  # longest time of which figures are shown by hour
_DAILY_SECONDS = 100 * 86_400.0
_WEEKLY_SECONDS = 2 * 365 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """The choice of a visitor.

    Attributes
    ----------
    router, arm
        Names; empty for the busiest router, for all arms.
    tags
        The tags that a decision must have, all of them.
    range
        A key of :data:`RANGES`.
    step
        Length of the time over which curves are summed; empty to fit the range.
    """

    router: str = ""
    arm: str = ""
    tags: tuple[str, ...] = ()
    range: str = "day"
    step: str = ""

    @classmethod
    def of(cls, query: Iterable[tuple[str, str]]) -> Filters:
        """Return the filters of a query, names with values; what is unknown is as if it were not given."""
        items = list(query)
        given = dict(items)
        range, step = given.get("range", ""), given.get("step", "")
        return cls(
            router=given.get("router", ""),
            arm=given.get("arm", ""),
            tags=tuple(value for name, value in items if name == "tag" and value)[:_MOST_TAGS],
            range=range if range in RANGES else "day",
            step=step if step in ("hour", "day", "week", "month") else "",
        )


@dataclass(slots=True)
class Sums:
    """Sums of one objective, as :class:`~banditroute.store.sql.hourly.OutcomeHour` has them.

    Examples
    --------
    >>> sums = Sums(number=2, total=3.0, w=4.0, wv=5.0)
    >>> sums.mean, sums.weighted_mean
    (1.5, 1.25)
    """

    number: float = 0.0
    late: float = 0.0
    positive: float = 0.0
    delay_seconds: float = 0.0
    total: float = 0.0
    squares: float = 0.0
    w: float = 0.0
    w2: float = 0.0
    wv: float = 0.0
    w2v: float = 0.0
    w2v2: float = 0.0

    def add(self, row: Any) -> None:
        """Add a row of :meth:`History.outcomes`."""
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + row[name])

    @property
    def mean(self) -> float | None:
        """Mean of the reported values; None without values."""
        return self.total / self.number if self.number else None

    @property
    def std_error(self) -> float:
        """Standard error of :attr:`mean`."""
        if self.number < 2:
            return math.inf
        mean = self.total / self.number
        return math.sqrt(max(self.squares / self.number - mean * mean, 0.0) / (self.number - 1))

    @property
    def weighted_mean(self) -> float | None:
        """Estimate of the mean that the arm would have got from all requests; None without values.

        Each value counts 1 / propensity, and the sum is divided by the sum of these weights (self-normalised).
        """
        return self.wv / self.w if self.w else None

    @property
    def weighted_std_error(self) -> float:
        """Standard error of :attr:`weighted_mean`."""
        if not self.w:
            return math.inf
        mean = self.wv / self.w
        return math.sqrt(max(self.w2v2 - 2.0 * mean * self.w2v + mean * mean * self.w2, 0.0)) / self.w

    @property
    def effective(self) -> float:
        """How many equally weighted values say as much."""
        return self.w * self.w / self.w2 if self.w2 else 0.0


@dataclass(slots=True)
class ArmFigures:
    """Figures of one arm in the chosen time."""

    decisions: int = 0
    fallbacks: int = 0
    outcomes: defaultdict[str, Sums] = field(default_factory=lambda: defaultdict(Sums))

    def of(self, objective: str) -> Sums:
        """Return the sums of an objective; without values where nothing was reported."""
        return self.outcomes.get(objective) or Sums()


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Routing against always one arm.

    Attributes
    ----------
    baseline
        The arm: the one that would have cost the most.
    saved
        Share of the baseline's cost that was saved; below 0 where routing cost more.
    saved_error, quality_error
        Half the widths of 95% intervals.
    quality
        Mean quality of routing minus that of the baseline; None where quality is not known.
    """

    baseline: str
    saved: float
    saved_error: float
    quality: float | None
    quality_error: float


@dataclass(slots=True, kw_only=True)
class View:
    """The figures of one choice.

    Attributes
    ----------
    routers, arms, tags
        What can be chosen.
    router
        The router that is shown; empty without decisions.
    since
        When the chosen time begins, in Unix seconds.
    step
        Length of the time over which curves are summed.
    figures, all
        Of each arm, and of all together.
    shares, curves
        Bucket -> arm -> decisions; objective -> bucket -> arm -> sums. A bucket is when it begins, in Unix seconds.
    """

    routers: list[str]
    router: str
    arms: list[str]
    tags: list[str]
    since: float
    step: Step
    figures: dict[str, ArmFigures] = field(default_factory=dict)
    all: ArmFigures = field(default_factory=ArmFigures)
    shares: defaultdict[int, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))
    curves: defaultdict[str, defaultdict[int, dict[str, Sums]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(dict))
    )

    @property
    def kinds(self) -> dict[str, list[str]]:
        """The tags to choose from by kind: those of the form ``tenant:acme`` under ``tenant``, all others under "".

        Examples
        --------
        >>> tags = ["beta", "task:code", "tenant:acme", "tenant:zoo"]
        >>> View(routers=[], router="", arms=[], tags=tags, since=0.0, step="day").kinds
        {'tenant': ['tenant:acme', 'tenant:zoo'], 'task': ['task:code'], '': ['beta']}
        """
        first = ("tenant", "task")
        names = {name for name, colon, value in (tag.partition(":") for tag in self.tags) if name and value}
        shown = sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))[:_MOST_KINDS]
        found: dict[str, list[str]] = {name: [] for name in shown}
        for tag in self.tags:
            name, _, value = tag.partition(":")
            found.setdefault(name if value and name in shown else "", []).append(tag)
        return found

    @property
    def failed(self) -> int:
        """Number of calls that were reported as failed."""
        availability = self.all.of(AVAILABILITY.name)
        return round(availability.number - availability.total)

    @property
    def objectives(self) -> list[str]:
        """Names of the reported objectives, quality and cost first; without availability, which few calls report."""
        first = ("quality", "cost_usd", "latency_seconds", "energy_joules")
        names = [name for name in self.all.outcomes if name not in (PAGING, AVAILABILITY.name)]
        return sorted(names, key=lambda name: (first.index(name) if name in first else len(first), name))


def view_of(history: History, filters: Filters, *, routers: Iterable[str] = (), now: float | None = None) -> View:
    """Return the figures that ``filters`` ask for.

    Parameters
    ----------
    history
        The sums.
    filters
        The choice.
    routers
        Names of routers that may have no decision yet.
    now
        Unix time in seconds. Default: the present.
    """
    now = time.time() if now is None else now
    keys = history.groups()
    names = sorted({*routers, *(key.router for key in keys)})
    router = filters.router if filters.router in names else _busiest(history, keys, names)
    mine = [key for key in keys if key.router == router]
    chosen = [key for key in mine if set(filters.tags) <= set(key.tags)]
    seconds = RANGES[filters.range][1]
    since = 0.0 if math.isinf(seconds) else now - seconds
    view = View(
        routers=names,
        router=router,
        arms=sorted({key.arm for key in mine}),
        tags=sorted({tag for key in mine for tag in key.tags}),
        since=since,
        step=filters.step or _step(min(seconds, now - (history.times or (now, now))[0])),  # type: ignore[arg-type]
    )
    for row in history.decisions(chosen, since, view.step):
        for figures in (view.figures.setdefault(row["arm"], ArmFigures()), view.all):
            figures.decisions += row["decisions"]
            figures.fallbacks += row["fallbacks"]
        view.shares[row["bucket"]][row["arm"]] = row["decisions"]
    for row in history.outcomes(chosen, since, view.step):
        arm, objective = row["arm"], row["objective"]
        for figures in (view.figures.setdefault(arm, ArmFigures()), view.all):
            figures.outcomes[objective].add(row)
        view.curves[objective][row["bucket"]].setdefault(arm, Sums()).add(row)
    return view


def comparison(view: View) -> Comparison | None:
    """Return what routing saved against the arm that would have cost the most; None where the log cannot say."""
    costs = {
        arm: figures.of("cost_usd")
        for arm, figures in view.figures.items()
        if figures.of("cost_usd").effective >= _FEWEST_EFFECTIVE
    }
    routed = view.all.of("cost_usd")
    baseline = max(costs, key=lambda arm: costs[arm].weighted_mean or 0.0, default=None)
    if baseline is None or routed.mean is None or not costs[baseline].weighted_mean:
        return None
    always = costs[baseline].weighted_mean or 1.0
    ratio = routed.mean / always
    relative = math.hypot(routed.std_error / max(routed.mean, 1e-12), costs[baseline].weighted_std_error / always)
    good, best = view.all.of("quality"), view.figures[baseline].of("quality")
    quality, error = None, math.inf
    if good.mean is not None and best.weighted_mean is not None and best.effective >= _FEWEST_EFFECTIVE:
        quality = good.mean - best.weighted_mean
        error = 1.96 * math.hypot(good.std_error, best.weighted_std_error)
    return Comparison(
        baseline=baseline,
        saved=1.0 - ratio,
        saved_error=1.96 * ratio * relative,
        quality=quality,
        quality_error=error,
    )


def _busiest(history: History, keys: list[Group], names: list[str]) -> str:
    """Return the router with the most decisions."""
    if len(names) < 2:
        return names[0] if names else ""
    made = {
        name: sum(row["decisions"] for row in history.decisions([k for k in keys if k.router == name], 0.0, "all"))
        for name in names
    }
    return max(names, key=lambda name: made[name])


def _step(seconds: float) -> Step:
    """Return the length of the time over which curves of so many seconds are summed."""
    if seconds <= _HOURLY_SECONDS:
        return "hour"
    if seconds <= _DAILY_SECONDS:
        return "day"
    return "week" if seconds <= _WEEKLY_SECONDS else "month"
